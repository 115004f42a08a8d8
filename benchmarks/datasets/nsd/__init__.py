"""The Natural Scenes Dataset (Allen et al. 2022), read from its official tree."""

from benchmarks.datasets.nsd.check import Finding, check_nsd
from benchmarks.datasets.nsd.dataset import NSD, build, check
from benchmarks.datasets.nsd.layout import Layout, Tree
from benchmarks.datasets.nsd.rois import rois

__all__ = ["NSD", "Finding", "Layout", "Tree", "build", "check", "check_nsd", "rois"]
