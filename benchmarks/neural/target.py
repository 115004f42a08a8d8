"""What a layer is held against: one subject's responses and their splits, and layers read on the same stimuli."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment import seeds
from alignment.errors import DataError
from alignment.models.base import Model
from alignment.stimuli import StimulusSet
from benchmarks.contracts import Session
from benchmarks.datasets.base import Split
from benchmarks.recordings import Recording, StoredFeatures

INNER_FOLDS = 5


class Rows(NamedTuple):
    """Positions of a split's stimuli among a subject's, `(stimulus,) int64` each, in the order of the split."""

    train: Tensor
    test: Tensor


@dataclass(frozen=True)
class Target:
    """One subject's responses and how they are split.

    Attributes
    ----------
    subject : its id
    responses : ("stimulus", "neuroid") float32
    splits : what is fitted and judged on, disjoint test sets
    """

    subject: str
    responses: xr.DataArray
    splits: tuple[Split, ...]

    @cached_property
    def ids(self) -> list[str]:
        """Stimuli in the order of the responses."""
        return [str(name) for name in self.responses["stimulus"].values]

    @cached_property
    def held_out_in(self) -> np.ndarray:
        """(stimulus,) int32, number of the split that judges on each; -1 where none does."""
        fold = np.full(len(self.ids), -1, dtype=np.int32)
        for number, split in enumerate(self.splits):
            fold[self.rows(split).test.numpy()] = number
        return fold

    @cached_property
    def judged(self) -> np.ndarray:
        """(stimulus,) bool, whether some split judges on it."""
        return self.held_out_in >= 0

    def rows(self, split: Split) -> Rows:
        """Where the stimuli of a split lie."""
        return Rows(*(torch.tensor([self._position[name] for name in names]) for names in (split.train, split.test)))

    def observed(self, device: str) -> Tensor:
        """The responses, (stimulus, neuroid) float32."""
        return torch.from_numpy(np.ascontiguousarray(self.responses.values)).to(device)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}


@dataclass(frozen=True)
class Shown:
    """Layers of any model on some stimuli, recorded where they are missing.

    Attributes
    ----------
    session : where activations are kept, and the device that the mathematics runs on
    stimuli : what a model is shown
    recording : how
    ids : the stimuli that are read, in order
    """

    session: Session
    stimuli: StimulusSet
    recording: Recording
    ids: Sequence[str]

    @property
    def device(self) -> str:
        """Where the mathematics runs."""
        return self.session.device

    def layer(self, model: Model, layer: str) -> list[StoredFeatures]:
        """One layer, (stimulus, unit) at each of its time bins; all layers of the model are recorded in one pass."""
        recordings = self.session.recordings
        recordings.record(model, self.stimuli, model.layers, self.recording)
        return [
            recordings.features(model, self.stimuli, layer, recording=self.recording, time_bin=time_bin, ids=self.ids)
            for time_bin in model.time_bins[layer]
        ]


def inner_folds(split: Split) -> Tensor:
    """Fold of each training stimulus, by its id and nothing else of the data.

    Examples
    --------
    >>> inner_folds(Split("all", train=tuple("abcdefghij"), test=())).bincount()
    tensor([2, 2, 2, 2, 2])
    """
    order = np.argsort([seeds.derive(0, "inner folds", name) for name in split.train])
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % INNER_FOLDS
    return torch.from_numpy(folds)


def check_inner_folds(split: Split, *, where: str) -> None:
    """Refuse a split whose inner folds are too small to correlate over.

    Raises
    ------
    DataError
        An inner fold has fewer than 2 stimuli.
    """
    if len(split.train) < 2 * INNER_FOLDS:
        raise DataError(
            f"{where}: split {split.name!r} has {len(split.train)} training stimuli; layers are chosen by "
            f"correlations within {INNER_FOLDS} folds of them, so at least {2 * INNER_FOLDS} are needed"
        )
