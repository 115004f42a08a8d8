"""Matching of single units to single neuroids, made on training stimuli and judged on others."""

from alignment.matching.held_out import matched_correlations, resampled_matched_correlations
from alignment.matching.plans import Matching, match_best_unit, match_one_to_one, match_soft

__all__ = [
    "Matching",
    "match_best_unit",
    "match_one_to_one",
    "match_soft",
    "matched_correlations",
    "resampled_matched_correlations",
]
