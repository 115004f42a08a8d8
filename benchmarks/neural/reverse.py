"""From responses to a layer: held-out r of every unit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from torch import Tensor

from alignment.encoding import FeatureSource
from alignment.invariances import said_of
from alignment.models.base import Model
from alignment.resampling import resampled_medians
from benchmarks.choices import recording_words
from benchmarks.datasets.base import Split
from benchmarks.neural.fits import fit_splits
from benchmarks.neural.regressions import BY_ERROR, Ridge
from benchmarks.neural.scoring import Evaluated, Outcome
from benchmarks.neural.target import Shown, Target
from benchmarks.neural.units import drawn_units, of_units, units_word
from benchmarks.recordings import Recording


@dataclass(frozen=True)
class Reverse:
    """Median over units of the r of predicted and recorded activations, averaged over splits.

    Attributes
    ----------
    ridge : from responses to units
    units : at most so many units of a layer, drawn by a fixed seed among those that vary; None for all
    """

    ridge: Ridge
    units: int | None

    name = "reverse"
    summary = "ridge from all neuroids to each unit: held-out Pearson r, median over units"
    has_ceiling = False

    @property
    def invariances(self) -> tuple[str, ...]:
        """Units are predicted one by one; which are drawn depends on their order."""
        return of_units(self.units)

    def words(self, recording: Recording) -> tuple[str, ...]:
        """`reverse-ridge-loo-avg4x4-units1000`."""
        return (self.name, *self.ridge.words, *recording_words(recording), units_word(self.units))

    def settings(self) -> dict[str, object]:
        """Those of the ridge, and how many units are drawn."""
        return {"ridge": self.ridge.settings(), "units": self.units}

    def check(self, splits: Sequence[Split], *, where: str) -> None:
        """Any split will do."""

    def beside(self) -> tuple[Model, ...]:
        """No other."""
        return ()

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """Of one fit; neuroids are features and units are predicted."""
        return self.ridge.memory(n_stimuli, n_neuroids + (self.units or 0))

    def measure(self, bins: Sequence[Tensor | FeatureSource], target: Target, *, shown: Shown) -> list[xr.Dataset]:
        """As `fit_splits`, of units, and `observed` (stimulus, unit), what was recorded of them."""
        responses = target.observed(shown.device)
        found = []
        for activations in drawn_units(bins, self.units):
            recorded = activations.to(shown.device)
            fits = fit_splits(responses, recorded, target=target, regression=self.ridge, column="unit")
            found.append(fits.assign(observed=(("stimulus", "unit"), activations.numpy()[target.judged])))
        return found

    def outcome(self, folds: Sequence[xr.Dataset], judged: Evaluated, counts: Sequence[np.ndarray]) -> Outcome:
        """Mean over folds of the median over units: folds that choose different layers have different units."""
        by_fold = [float(np.median(of_fold["r"].values)) for of_fold in folds]
        resampled = [
            resampled_medians([of_fold["predicted"].values], [of_fold["observed"].values], [each])
            for of_fold, each in zip(folds, counts, strict=True)
        ]
        return Outcome(
            value=float(np.mean(by_fold)),
            resampled=np.mean(resampled, axis=0),
            by_fold=by_fold,
            details={"n_units": [of_fold.sizes["unit"] for of_fold in folds]},
        )

    def card(self) -> dict[str, str]:
        """What it is, and where it fails."""
        return {
            "measure": "ridge from all neuroids of a subject to each unit, with an alpha per unit; Pearson r per unit "
            "on held-out stimuli, median over units, averaged over splits, mean over subjects",
            "units": f"{self.units or 'all'} of each layer at most, drawn by a fixed seed among those that vary",
            "alphas": self.ridge.card()["alphas"],
            "layer": BY_ERROR.format("units"),
            "ceiling": "none: what the noise of the responses and the number of neuroids allow is not known, and the "
            "ceiling of the responses is that of another question",
            "formula": "r(x_i, Y b), b the minimum of |x_i - Y b|^2 + alpha |b|^2 on training stimuli, for each unit i",
            "invariances": f"{said_of(self.invariances)}; of the responses: {', '.join(self.ridge.invariances)}",
            "source": "Muzellec & Kar 2025, bioRxiv 2025.08.08.669382 (question); Hoerl & Kennard 1970 (ridge)",
            "known failure": "it grows with the number of neuroids and of repetitions: compare models within a data "
            "set, never data sets; a layer of few dimensions is easily predicted, whatever it computes",
        }
