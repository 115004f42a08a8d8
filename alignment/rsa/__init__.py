"""Representational similarity: RDMs, how they are made, compared, pooled, resampled and exchanged."""

from alignment.rsa.comparators import COMPARATORS, compare, midranks
from alignment.rsa.crossnobis import CROSSNOBIS, crossnobis, crossnobis_of_trials
from alignment.rsa.distances import DISTANCES, rdm
from alignment.rsa.interchange import from_rsatoolbox, read_rdm_file, to_rsatoolbox, write_rdm_file
from alignment.rsa.noise import SHRINKAGES, noise_precision
from alignment.rsa.pooling import (
    Bounds,
    Comparison,
    agreement_p_value,
    bounds_of_cosines,
    leave_one_out,
    pool,
    prepared,
)
from alignment.rsa.rdms import RDMs
from alignment.rsa.resampling import (
    bound_deviations,
    resampled_bounds,
    resampled_similarities,
    similarity_deviations,
)

__all__ = [
    "COMPARATORS",
    "CROSSNOBIS",
    "DISTANCES",
    "SHRINKAGES",
    "Bounds",
    "Comparison",
    "RDMs",
    "agreement_p_value",
    "bound_deviations",
    "bounds_of_cosines",
    "compare",
    "crossnobis",
    "crossnobis_of_trials",
    "from_rsatoolbox",
    "leave_one_out",
    "midranks",
    "noise_precision",
    "pool",
    "prepared",
    "rdm",
    "read_rdm_file",
    "resampled_bounds",
    "resampled_similarities",
    "similarity_deviations",
    "to_rsatoolbox",
    "write_rdm_file",
]
