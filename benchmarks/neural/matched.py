"""Each neuroid predicted by the activation of one unit, matched to it on training stimuli."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from alignment.encoding import FeatureSource
from alignment.encoding.features import as_source
from alignment.invariances import said_of
from alignment.matching import Matching, match_best_unit, match_one_to_one, matched_correlations
from benchmarks.datasets.base import Split
from benchmarks.neural.regressions import Fitted
from benchmarks.neural.target import INNER_FOLDS, check_inner_folds
from benchmarks.neural.units import RESIDENT_BYTES, columns_of, of_units, resident, rows_of

BY_CORRELATION = (
    f"chosen inside the training stimuli of each split, by the median over neuroids of r on a fold of them, matched on "
    f"the others, averaged over {INNER_FOLDS} folds"
)


class Match(Protocol):
    """Makes a matching, as those of `alignment.matching` do."""

    def __call__(self, x: Tensor | FeatureSource, y: Tensor, *, device: torch.device | str | None = None) -> Matching:
        """From features and responses of training stimuli."""
        ...


@dataclass(frozen=True)
class Matched:
    """The prediction of a neuroid is the activation of its unit, so that held-out r is their signed correlation.

    A neuroid without a unit is predicted by a constant, and so scores 0.

    Attributes
    ----------
    name : "one-to-one" or "best-unit"
    match : of `alignment.matching`
    said : entries of the card that are its own
    units : at most so many units, drawn by a fixed seed; None for all
    """

    name: str
    match: Match = field(repr=False)
    said: Mapping[str, str] = field(repr=False)
    units: int | None = None

    @property
    def invariances(self) -> tuple[str, ...]:
        """Correlations with single units; which are drawn depends on their order."""
        return of_units(self.units)

    @property
    def words(self) -> tuple[str, ...]:
        """Its name."""
        return (self.name,)

    def settings(self) -> dict[str, object]:
        """How many units are drawn."""
        return {"units": self.units}

    def check(self, split: Split, *, where: str) -> None:
        """Inner folds must be large enough to correlate over."""
        check_inner_folds(split, where=where)

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """The layer or a block of it, and correlations of a block of units with all neuroids."""
        return 3 * RESIDENT_BYTES + 8 * n_stimuli * n_neuroids

    def prepared(self, x: Tensor | FeatureSource, *, n_splits: int, device: str) -> Tensor | FeatureSource:
        """Read once where it fits: every fold and inner fold looks at it."""
        return resident(x)

    def fit(self, x: Tensor | FeatureSource, y: Tensor, *, folds: Tensor) -> Fitted:
        """Match on all training stimuli, and in each inner fold for the choice of layer."""
        matching = self.match(x, y, device=y.device)
        return Fitted(partial(_activations, matching), held_out_correlations(self.match, x, y, folds=folds))

    def card(self) -> dict[str, str]:
        """What it is, and where it fails."""
        return {"layer": BY_CORRELATION, "invariances": said_of(self.invariances), **self.said}


def one_to_one(units: int | None = None) -> Matched:
    """Different units for all neuroids."""
    said = {
        "measure": "each neuroid predicted by one unit, no unit twice, so that the sum of signed correlations over "
        "training stimuli is largest; neuroids left over score 0",
        "formula": "r(x_m(j), y_j), m the one-to-one map from neuroids to units with the largest sum of r(x_m(j), y_j) "
        "on training stimuli",
        "source": "Li et al. 2015, arXiv 1511.07543; Khosla & Williams 2024, arXiv 2311.09466",
        "known failure": "the more units a layer has, the better the best of them (benchmark.units= draws as many "
        "from each); neuroids beyond the number of units pull the median to 0",
    }
    return Matched("one-to-one", match_one_to_one, said, units)


def best_unit(units: int | None = None) -> Matched:
    """The best unit for every neuroid."""
    said = {
        "measure": "each neuroid predicted by the unit with the highest signed correlation over training stimuli",
        "formula": "r(x_m(j), y_j), m(j) the unit with the largest r(x_m(j), y_j) on training stimuli",
        "source": "Arend et al. 2018, CBMM Memo 93 (question)",
        "known failure": "the more units a layer has, the better the best of them (benchmark.units= draws as many "
        "from each); one unit may stand for all neuroids",
    }
    return Matched("best-unit", match_best_unit, said, units)


def held_out_correlations(match: Match, x: Tensor | FeatureSource, y: Tensor, *, folds: Tensor) -> np.ndarray:
    """(neuroid,), r on each fold of stimuli, matched on the others, averaged over folds."""
    found = []
    for fold in folds.unique():
        inside, outside = (torch.nonzero(held_out)[:, 0] for held_out in (folds == fold, folds != fold))
        matching = match(rows_of(x, outside), y[outside], device=y.device)
        found.append(matched_correlations(matching, rows_of(x, inside), y[inside]))
    return np.mean(found, axis=0)


def _activations(matching: Matching, x: Tensor | FeatureSource) -> Tensor:
    predicted = torch.zeros(as_source(x).shape[0], matching.n_neuroids)
    predicted[:, torch.from_numpy(matching.neuroids)] = columns_of(x, matching.units)
    return predicted
