"""Another model, held against the same responses."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import xarray as xr
from torch import Tensor

from alignment.encoding import gram_equivalent
from alignment.models.base import Model
from alignment.registry import foreign_code
from benchmarks.contracts import Part
from benchmarks.model_files import check_model, display_name, load_model
from benchmarks.neural.fits import fit_splits, part_dataset
from benchmarks.neural.regressions import Ridge
from benchmarks.neural.scoring import Cell, choose
from benchmarks.neural.target import Shown, Target


@dataclass(frozen=True)
class Chosen:
    """What the other model brings to one split.

    Attributes
    ----------
    cell : its layer and time_bin
    features : (stimulus, axis) float64, the `gram_equivalent` of that layer
    """

    cell: Cell
    features: Tensor


class Other:
    """A model that is named by a setting of a benchmark, and loaded when it is first needed.

    Parameters
    ----------
    name : as a user types it
    cache, data_root, seed : as for `benchmarks.model_files.load_model`
    """

    def __init__(self, name: str, *, cache: Path, data_root: Path | None, seed: int) -> None:
        self.name = name
        self.cache = cache
        self.data_root = data_root
        self.seed = seed
        # choices serve all layers of the model that is measured, subject after subject
        self._latest: tuple[Target, list[Chosen]] | None = None

    @property
    def label(self) -> str:
        """What an id calls it: `./mine.py:net` is `mine:net`."""
        return display_name(self.name)

    def check_name(self) -> None:
        """Whether there is such a model; loads no weight.

        Raises
        ------
        RequestError, DataError
            There is none (with near misses).
        """
        faults = check_model(self.name, cache=self.cache, data_root=self.data_root)
        if faults:
            raise type(faults[0])(f"benchmark.against={self.name}: {faults[0]}")

    def model(self) -> Model:
        """The model itself, loaded once."""
        return self._loaded

    @cached_property
    def fingerprint(self) -> str:
        """That of the model, computed once: no model changes while it is being scored."""
        return self._loaded.fingerprint

    def chosen(self, target: Target, *, shown: Shown, ridge: Ridge) -> list[Chosen]:
        """Its layer and time_bin for each split, by the ridge's cross-validated score in the training stimuli."""
        if self._latest is None or self._latest[0] is not target:
            self._latest = (target, self._choose(target, shown=shown, ridge=ridge))
        return self._latest[1]

    @cached_property
    def _loaded(self) -> Model:
        with foreign_code(f"model {self.name!r}"):
            return load_model(self.name, cache=self.cache, data_root=self.data_root, seed=self.seed)

    def _choose(self, target: Target, *, shown: Shown, ridge: Ridge) -> list[Chosen]:
        observed = target.observed(shown.device)
        measured: dict[Part, xr.Dataset] = {}
        for layer in self._loaded.layers:
            bins = [
                fit_splits(x, observed, target=target, regression=ridge)[["cv_score"]]
                for x in shown.layer(self._loaded, layer)
            ]
            time_bins = self._loaded.time_bins[layer]
            measured[Part(target.subject, layer)] = part_dataset(bins, target, time_bins=time_bins)
        cells = choose(measured, target.subject)
        features = {cell: self._features(cell, shown) for cell in dict.fromkeys(cells)}
        return [Chosen(cell, features[cell]) for cell in cells]

    def _features(self, cell: Cell, shown: Shown) -> Tensor:
        position = list(self._loaded.time_bins[cell.layer]).index(cell.time_bin)
        return gram_equivalent(shown.layer(self._loaded, cell.layer)[position], device=shown.device)
