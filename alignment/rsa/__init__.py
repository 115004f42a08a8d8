"""Representational similarity: RDMs, how they are made, compared and exchanged."""

from alignment.rsa.comparators import COMPARATORS, compare, midranks
from alignment.rsa.crossnobis import CROSSNOBIS, crossnobis, noise_precision
from alignment.rsa.distances import DISTANCES, rdm
from alignment.rsa.interchange import from_rsatoolbox, read_rdm_file, to_rsatoolbox, write_rdm_file
from alignment.rsa.rdms import RDMs

__all__ = [
    "COMPARATORS",
    "CROSSNOBIS",
    "DISTANCES",
    "RDMs",
    "compare",
    "crossnobis",
    "from_rsatoolbox",
    "midranks",
    "noise_precision",
    "rdm",
    "read_rdm_file",
    "to_rsatoolbox",
    "write_rdm_file",
]
