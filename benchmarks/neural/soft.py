"""Soft matching: every neuroid shared out over units by optimal transport, judged on held-out stimuli."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment.encoding import FeatureSource
from alignment.invariances import said_of
from alignment.matching import Matching, match_soft, matched_correlations, resampled_matched_correlations
from alignment.models.base import Model
from benchmarks.choices import recording_words
from benchmarks.datasets.base import Split
from benchmarks.neural.matched import BY_CORRELATION, held_out_correlations
from benchmarks.neural.predicting import JUDGED
from benchmarks.neural.scoring import Evaluated, Outcome, resampled_medians_of
from benchmarks.neural.target import Shown, Target, check_inner_folds, inner_folds
from benchmarks.neural.units import drawn_units, of_units, units_word
from benchmarks.recordings import Recording

PAIR = ("pair_unit", "pair_neuroid", "pair_weight")


@dataclass(frozen=True)
class SoftMatching:
    """Median over neuroids of the mean r with the units that a transport plan gives them, averaged over splits.

    Attributes
    ----------
    units : at most so many units of a layer, drawn by a fixed seed among those that vary; None for all
    """

    units: int | None

    name = "soft-matching"
    summary = "optimal transport from units to neuroids: held-out Pearson r by the plan, median over neuroids"
    has_ceiling = True

    @property
    def invariances(self) -> tuple[str, ...]:
        """Correlations with single units; which are drawn depends on their order."""
        return of_units(self.units)

    def words(self, recording: Recording) -> tuple[str, ...]:
        """`soft-matching-avg4x4-units1000`."""
        return (self.name, *recording_words(recording), units_word(self.units))

    def settings(self) -> dict[str, object]:
        """How many units are drawn."""
        return {"units": self.units}

    def check(self, splits: Sequence[Split], *, where: str) -> None:
        """Inner folds must be large enough to correlate over."""
        for split in splits:
            check_inner_folds(split, where=where)

    def beside(self) -> tuple[Model, ...]:
        """No other."""
        return ()

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """The plan, its costs and the simplex that finds it; a few copies of the responses."""
        return 33 * (self.units or 0) * n_neuroids + 4 * 4 * n_stimuli * (n_neuroids + (self.units or 0))

    def measure(self, bins: Sequence[Tensor | FeatureSource], target: Target, *, shown: Shown) -> list[xr.Dataset]:
        """What is kept of a layer: `r`, `cv_score` (fold, neuroid), the plan of each fold, activations.

        The plan is `pair_unit`, `pair_neuroid` and `pair_weight` (fold, pair), weights of 0 at the end; `activations`
        (stimulus, unit) are those of the judged stimuli.
        """
        y = target.observed(shown.device)
        return [_matched(x, y, target) for x in drawn_units(bins, self.units)]

    def outcome(self, folds: Sequence[xr.Dataset], judged: Evaluated, counts: Sequence[np.ndarray]) -> Outcome:
        """Median over neuroids of r averaged over folds; its mean, the sum over the plan, is among the details."""
        r = [of_fold["r"].values for of_fold in folds]
        weigh = [
            partial(_resampled, _plan(of_fold), torch.from_numpy(of_fold["activations"].values), torch.from_numpy(y))
            for of_fold, y in zip(folds, judged.observed, strict=True)
        ]
        return Outcome(
            value=float(np.median(np.mean(r, axis=0))),
            resampled=resampled_medians_of(weigh, counts, n_columns=len(r[0])),
            by_fold=[float(np.median(of_fold)) for of_fold in r],
            details={"sum_over_plan": float(np.mean(r))},
        )

    def card(self) -> dict[str, str]:
        """What it is, and where it fails."""
        return {
            "measure": "each neuroid shared out over units by the transport plan with the largest sum of signed "
            f"correlations over training stimuli, all units and neuroids of equal mass; per neuroid the mean over its "
            f"units of r; {JUDGED}",
            "units": f"{self.units or 'all'} of each layer at most, drawn by a fixed seed among those that vary",
            "layer": BY_CORRELATION,
            "formula": "m sum_i P_ij r(x_i, y_j) for m neuroids, P the plan with the largest sum of P_ij r(x_i, y_j) "
            "on training stimuli, all of its rows of one sum and all of its columns of one sum, 1 in all",
            "invariances": said_of(self.invariances),
            "source": "Khosla & Williams 2024, arXiv 2311.09466, whose score is the mean over neuroids "
            "(sum_over_plan in a record)",
            "known failure": "all units are used, so that those which match nothing pull it down; a layer that holds "
            "the neuroids among other units stays below the ceiling",
            "cost": "at most 30 million pairs of units and neuroids; 13 s for 20 million, six times for each split",
        }


def _matched(x: Tensor, y: Tensor, target: Target) -> xr.Dataset:
    folds = [_of_split(x, y, split=split, target=target) for split in target.splits]
    kept = xr.concat(folds, dim="fold", data_vars="all", coords="minimal", compat="override", join="exact")
    return kept.assign(activations=(("stimulus", "unit"), x.numpy()[target.judged]))


def _of_split(x: Tensor, y: Tensor, *, split: Split, target: Target) -> xr.Dataset:
    train, test = target.rows(split)
    plan = match_soft(x[train], y[train], device=y.device)
    # no plan of the simplex has more pairs
    spare = plan.n_units + plan.n_neuroids - 1 - len(plan.weights)
    pairs = zip(PAIR, (plan.units, plan.neuroids, plan.weights), strict=True)
    return xr.Dataset(
        {
            "r": ("neuroid", matched_correlations(plan, x[test], y[test])),
            "cv_score": ("neuroid", held_out_correlations(match_soft, x[train], y[train], folds=inner_folds(split))),
            **{name: ("pair", np.pad(values, (0, spare))) for name, values in pairs},
        }
    )


def _plan(of_fold: xr.Dataset) -> Matching:
    units, neuroids, weights = (of_fold[name].values for name in PAIR)
    real = weights > 0
    return Matching(units[real], neuroids[real], weights[real], of_fold.sizes["unit"], of_fold.sizes["neuroid"])


def _resampled(plan: Matching, x: Tensor, y: Tensor, counts: np.ndarray) -> np.ndarray:
    return resampled_matched_correlations(plan, x, y, counts=counts)
