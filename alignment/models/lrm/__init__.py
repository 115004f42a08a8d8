"""LRM: long-range modulatory feedback between the layers of a convolutional network, and steering by it."""

from alignment.models.lrm.connections import Connection
from alignment.models.lrm.model import LRMModel, alexnet_lrm, lrm
from alignment.models.lrm.network import LRM, State
from alignment.models.lrm.signals import Signal

__all__ = ["LRM", "Connection", "LRMModel", "Signal", "State", "alexnet_lrm", "lrm"]
