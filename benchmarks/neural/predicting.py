"""From a layer to responses: held-out r of every neuroid, by any regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from torch import Tensor

from alignment.encoding import FeatureSource
from alignment.models.base import Model
from alignment.resampling import resampled_medians
from benchmarks.choices import recording_words
from benchmarks.datasets.base import Split
from benchmarks.neural.fits import fit_splits
from benchmarks.neural.regressions import Regression
from benchmarks.neural.scoring import Evaluated, Outcome
from benchmarks.neural.target import Shown, Target
from benchmarks.neural.units import drawn_units
from benchmarks.recordings import Recording

JUDGED = (
    "Pearson r per neuroid on held-out stimuli, averaged over splits, median over neuroids, mean over subjects; "
    "normalised = raw / ceiling"
)


@dataclass(frozen=True)
class Predicting:
    """Median over neuroids of the r of predicted and measured responses, averaged over splits.

    Attributes
    ----------
    regression : how responses are predicted
    """

    regression: Regression

    has_ceiling = True

    @property
    def name(self) -> str:
        """That of the regression."""
        return self.regression.name

    @property
    def invariances(self) -> tuple[str, ...]:
        """Those of the regression."""
        return self.regression.invariances

    @property
    def summary(self) -> str:
        """One line."""
        return f"{'-'.join(self.regression.words)} to each neuroid: held-out Pearson r, median over neuroids"

    def words(self, recording: Recording) -> tuple[str, ...]:
        """Regression and its settings, recording, number of units where these are drawn."""
        units = self.regression.units
        return (*self.regression.words, *recording_words(recording), *([f"units{units}"] if units else []))

    def settings(self) -> dict[str, object]:
        """Those of the regression."""
        return self.regression.settings()

    def check(self, splits: Sequence[Split], *, where: str) -> None:
        """Every split must do for the regression."""
        for split in splits:
            self.regression.check(split, where=where)

    def beside(self) -> tuple[Model, ...]:
        """No other."""
        return ()

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """Of one fit."""
        return self.regression.memory(n_stimuli, n_neuroids)

    def measure(self, bins: Sequence[Tensor | FeatureSource], target: Target, *, shown: Shown) -> list[xr.Dataset]:
        """See `fit_splits` for what is kept."""
        observed = target.observed(shown.device)
        units = self.regression.units
        features = bins if units is None else drawn_units(bins, units)
        return [fit_splits(x, observed, target=target, regression=self.regression) for x in features]

    def outcome(self, folds: Sequence[xr.Dataset], judged: Evaluated, counts: Sequence[np.ndarray]) -> Outcome:
        """Median over neuroids of r averaged over folds."""
        r = [of_fold["r"].values for of_fold in folds]
        return Outcome(
            value=float(np.median(np.mean(r, axis=0))),
            resampled=resampled_medians([of_fold["predicted"].values for of_fold in folds], judged.observed, counts),
            by_fold=[float(np.median(of_fold)) for of_fold in r],
        )

    def card(self) -> dict[str, str]:
        """That of the regression, and how it is judged."""
        said = self.regression.card()
        return {"measure": f"{said.pop('measure')}; {JUDGED}", **said}
