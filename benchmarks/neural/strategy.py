"""What sets one measure of predictivity apart from another."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import xarray as xr
from torch import Tensor

from alignment.encoding import FeatureSource
from alignment.models.base import Model
from benchmarks.datasets.base import Split
from benchmarks.neural.scoring import Evaluated, Outcome
from benchmarks.neural.target import Shown, Target
from benchmarks.recordings import Recording


class Strategy(Protocol):
    """How a layer is held against one subject's responses.

    Attributes
    ----------
    name : what settings call it
    summary : one line
    has_ceiling : whether the noise ceiling of a data set, the highest r of each neuroid, is that of its values
    invariances : changes of the activations, of `alignment.invariances`, that leave the score as it is
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def summary(self) -> str: ...  # noqa: D102
    @property
    def has_ceiling(self) -> bool: ...  # noqa: D102
    @property
    def invariances(self) -> tuple[str, ...]: ...  # noqa: D102

    def words(self, recording: Recording) -> tuple[str, ...]:
        """What an id says of it and of the recording."""
        ...

    def settings(self) -> dict[str, object]:
        """All that enters a part beside data, model and recording."""
        ...

    def check(self, splits: Sequence[Split], *, where: str) -> None:
        """Refuse what cannot be measured, before anything is computed.

        Raises
        ------
        RequestError, DataError
            In one line.
        """
        ...

    def beside(self) -> tuple[Model, ...]:
        """Models whose activations it needs as well."""
        ...

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """Bytes that measuring a part needs at once, roughly."""
        ...

    def measure(self, bins: Sequence[Tensor | FeatureSource], target: Target, *, shown: Shown) -> list[xr.Dataset]:
        """What is kept of a layer, one Dataset per time bin, as `part_dataset` takes them.

        Among the variables is `cv_score` (fold, ...), by whose median the layer of a fold is chosen; it must rest on
        training stimuli alone.

        Parameters
        ----------
        bins : (stimulus, unit), one per time bin of the layer
        target : what the layer is held against
        shown : other models' layers on the same stimuli; the device
        """
        ...

    def outcome(self, folds: Sequence[xr.Dataset], judged: Evaluated, counts: Sequence[np.ndarray]) -> Outcome:
        """What the chosen cells of one subject come to.

        Parameters
        ----------
        folds : per fold, what was measured of its cell, of the stimuli it held out
        judged : the responses to these
        counts : per fold (resample, stimulus)
        """
        ...

    def card(self) -> dict[str, str]:
        """Formula, choice of layer, invariances, source, known failure."""
        ...
