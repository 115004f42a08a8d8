"""Activations in the store: recorded once, in blocks of stimuli, read back by columns.

A block of stimuli of one layer is one entry. A killed recording resumes at the first missing block, and several layers
are recorded in one pass over the images.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from weakref import WeakKeyDictionary

import h5py
import numpy as np
import torch
from torch import Tensor

from alignment import fingerprint
from alignment.models.base import Model
from alignment.models.torch_model import RECORDING_VERSION
from alignment.record import RecordSettings, record_block
from alignment.stimuli import StimulusSet
from benchmarks.fingerprint import PixelDigests
from benchmarks.store import Store, reading

VARIABLE = "activations"
FULL = "float32"


@dataclass(frozen=True)
class Recording:
    """What of a recording enters a number.

    Attributes
    ----------
    pool : maps larger than pool x pool are average-pooled to it; None keeps whole maps
    projection : units after a seeded sparse random projection; None for no projection
    precision : of the forward pass
    viewing : "degrees" keeps degrees of visual angle by cropping or padding, "whole" resizes all of the image
    """

    pool: int | None = 4
    projection: int | None = None
    precision: str = FULL
    viewing: str = "degrees"

    def settings(self, *, batch_size: int, device: str) -> RecordSettings:
        """Together with what does not enter a number."""
        return RecordSettings(
            batch_size=batch_size,
            device=device,
            pool=self.pool,
            projection=self.projection,
            precision=self.precision,
        )

    def viewed(self, stimuli: StimulusSet) -> StimulusSet:
        """The stimuli as this recording shows them."""
        return replace(stimuli, visual_degrees=None) if self.viewing == "whole" else stimuli


@dataclass(frozen=True)
class Pending:
    """A block of stimuli and the layers that are not recorded for it."""

    ids: tuple[str, ...]
    layers: tuple[str, ...]


class Recordings:
    """Activations by model, layer and stimulus, made where they are missing."""

    def __init__(
        self,
        store: Store,
        digests: PixelDigests,
        *,
        device: str,
        batch_size: int,
        block_size: int,
        notify: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self.store = store
        self.digests = digests
        self.device = device
        self.batch_size = batch_size
        self.block_size = block_size
        self.notify = notify
        self._complete: set[tuple[str, str, tuple[str, ...], Recording]] = set()
        self._fingerprints: WeakKeyDictionary[Model, str] = WeakKeyDictionary()

    def fingerprint(self, model: Model) -> str:
        """Of a model, computed once: no model changes while it is being scored."""
        if model not in self._fingerprints:
            self._fingerprints[model] = model.fingerprint
        return self._fingerprints[model]

    def key(self, model: Model, stimuli: StimulusSet, ids: Sequence[str], layer: str, recording: Recording) -> str:
        """Key of one block of one layer."""
        shown = recording.viewed(stimuli)
        return fingerprint.of_parts(
            f"{VARIABLE} {RECORDING_VERSION}",
            self.fingerprint(model),
            layer,
            fingerprint.of_settings(asdict(recording)),
            repr(shown.visual_degrees),
            # reduced precision rounds differently on other devices
            "" if recording.precision == FULL else torch.device(self.device).type,
            self.digests.block(stimuli, ids),
        )

    def pending(self, model: Model, stimuli: StimulusSet, layers: Sequence[str], recording: Recording) -> list[Pending]:
        """Blocks that are not recorded, with the layers each lacks."""
        found = []
        for ids in stimuli.blocks(self.block_size):
            missing = tuple(
                layer for layer in layers if not self.store.has(self.key(model, stimuli, ids, layer, recording))
            )
            if missing:
                found.append(Pending(ids, missing))
        return found

    def bytes(self, model: Model, stimuli: StimulusSet, layers: Sequence[str], recording: Recording) -> int:
        """Size of what is not recorded, from the activations to one stimulus."""
        pending = self.pending(model, stimuli, layers, recording)
        if not pending:
            return 0
        settings = recording.settings(batch_size=1, device=self.device)
        one = record_block(model, recording.viewed(stimuli), stimuli.ids[:1], layers, settings=settings)
        return sum(one[layer].nbytes * len(block.ids) for block in pending for layer in block.layers)

    def record(self, model: Model, stimuli: StimulusSet, layers: Sequence[str], recording: Recording) -> None:
        """Record whatever is missing; one pass over the images for all layers."""
        asked = (self.fingerprint(model), self.digests.identity(stimuli), tuple(layers), recording)
        if asked in self._complete:
            return
        pending = self.pending(model, stimuli, layers, recording)
        shown = recording.viewed(stimuli)
        settings = recording.settings(batch_size=self.batch_size, device=self.device)
        for done, block in enumerate(pending):
            self.notify(f"record {model.name}", done, len(pending))
            recorded = record_block(model, shown, block.ids, block.layers, settings=settings)
            for layer, activations in recorded.items():
                key = self.key(model, stimuli, block.ids, layer, recording)
                self.store.put_dataset(key, activations.to_dataset(name=VARIABLE))
        if pending:
            self.notify(f"record {model.name}", len(pending), len(pending))
        self._complete.add(asked)

    def features(
        self,
        model: Model,
        stimuli: StimulusSet,
        layer: str,
        *,
        recording: Recording,
        time_bin: float,
        ids: Sequence[str],
    ) -> "StoredFeatures":
        """One layer at one time_bin for some stimuli in the order given, read by columns from the store."""
        wanted = set(ids)
        blocks = [block for block in stimuli.blocks(self.block_size) if not wanted.isdisjoint(block)]
        keys = [self.key(model, stimuli, block, layer, recording) for block in blocks]
        position = {name: row for row, name in enumerate(name for block in blocks for name in block)}
        return StoredFeatures(self.store, keys, time_bin=time_bin, rows=[position[name] for name in ids])


class StoredFeatures:
    """A (stimulus, unit) matrix that lies in the store in blocks of stimuli.

    Never in memory as a whole: `columns` reads a range of units for all its stimuli.

    Parameters
    ----------
    store, keys : the blocks, in order
    time_bin : which time_bin of them
    rows : which of the blocks' stimuli, counted through all blocks, in the order wanted
    """

    def __init__(self, store: Store, keys: Sequence[str], *, time_bin: float, rows: Sequence[int]) -> None:
        self.paths = [store.path(key) for key in keys]
        self.rows = np.asarray(rows, dtype=np.int64)
        with store.dataset(keys[0]) as block:
            self.time = int(np.flatnonzero(block["time_bin"].values == time_bin)[0])
            self.shape = (len(self.rows), block.sizes["unit"])

    def columns(self, start: int, stop: int) -> Tensor:
        """Units start..stop of every stimulus, (stimulus, unit) float32.

        Raises
        ------
        DataError
            A block is damaged; it says which file to delete.
        """
        pieces = []
        for path in self.paths:
            with reading(path), h5py.File(path, "r") as block:
                pieces.append(block[VARIABLE][:, self.time, start:stop])
        return torch.from_numpy(np.concatenate(pieces)[self.rows].astype(np.float32, copy=False))
