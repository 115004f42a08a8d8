"""Neural predictivity: how well layers and responses predict each other on stimuli that the fit has not seen."""

from benchmarks.neural.builders import (
    best_unit_matching,
    one_to_one_matching,
    pcr_predictivity,
    pls_predictivity,
    reverse_predictivity,
    ridge_predictivity,
    soft_matching,
    time_resolved,
    unique_variance,
)
from benchmarks.neural.predictivity import NeuralPredictivity

__all__ = [
    "NeuralPredictivity",
    "best_unit_matching",
    "one_to_one_matching",
    "pcr_predictivity",
    "pls_predictivity",
    "reverse_predictivity",
    "ridge_predictivity",
    "soft_matching",
    "time_resolved",
    "unique_variance",
]
