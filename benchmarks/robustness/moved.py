"""A layer on images that were perturbed so that it moves away: attacked and recorded once, in blocks, then read back.

Nothing here depends on responses: subjects who are judged on the same images share what is stored.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment import fingerprint, seeds
from alignment.attacks.base import draw_seeds
from alignment.attacks.gradient import random_start
from alignment.attacks.representation import RepresentationAttack
from alignment.attacks.threat import Norm, Threat
from alignment.models.base import Model
from alignment.record import record_block
from alignment.stimuli import StimulusSet
from benchmarks.neural.target import Shown
from benchmarks.recordings import VARIABLE, StoredFeatures
from benchmarks.robustness.images import at_work

# raised when the same attack would find other images
CODE_VERSION = 1
DISTANCES = ("shift", "shift_by_chance")
FLOAT32 = 4


@dataclass(frozen=True)
class Moving:
    """How images are perturbed so that a layer moves away.

    Attributes
    ----------
    norm : of the ball
    epsilon : its radius in pixel units, as it is written ("1/255") and its value
    steps : of the ascent
    seed : root of the seeds of images
    """

    norm: Norm = "linf"
    epsilon: tuple[str, float] = ("1/255", 1 / 255)
    steps: int = 20
    seed: int = 0

    @property
    def threat(self) -> Threat:
        """The ball."""
        return Threat(self.norm, self.epsilon[1])

    @property
    def words(self) -> tuple[str, ...]:
        """Norm, radius, steps."""
        return (self.norm, self.epsilon[0], f"{self.steps}steps")

    def settings(self) -> dict[str, Any]:
        """All that enters the perturbed images beside model, layer, time_bin and stimuli."""
        return {**asdict(self), "epsilon": self.epsilon[1], "version": CODE_VERSION}

    def attack(self, layer: str, time_bin: float) -> RepresentationAttack:
        """On one layer at one time_bin."""
        return RepresentationAttack(layer, steps=self.steps, time_bins=(time_bin,))

    def seeds(self, ids: Sequence[str]) -> list[int]:
        """One per image, which depends on its id and the root only."""
        return [seeds.derive(self.seed, "fragility", name) for name in ids]


class Moved(NamedTuple):
    """A layer at one time_bin on perturbed images.

    Attributes
    ----------
    features : (stimulus, unit), pooled and projected as any recording
    shift : (stimulus,) float64, |a(x') - a(x)| / |a(x)| of the activations a as the network gives them
    shift_by_chance : (stimulus,) float64, the same for a random point of the ball in the place of x'
    """

    features: StoredFeatures
    shift: np.ndarray
    shift_by_chance: np.ndarray


@dataclass(frozen=True)
class Moves:
    """One layer of a model and the images on which it is moved.

    Attributes
    ----------
    model, layer : what is moved
    shown : the images, by id, and how they are shown and recorded
    moving : within which ball, and how
    """

    model: Model
    layer: str
    shown: Shown
    moving: Moving

    def at(self, time_bin: float) -> Moved:
        """The layer at one time_bin; blocks that are not in the store are attacked and recorded first.

        Raises
        ------
        DataError
            An entry of the store is damaged.
        """
        recordings = self.shown.session.recordings
        missing = self.missing(time_bin)
        what = f"attack {self.layer} of {self.model.name}"
        for done, ids in enumerate(missing):
            recordings.notify(what, done, len(missing))
            recordings.store.put_dataset(self._key(ids, time_bin), self._block(ids, time_bin))
        if missing:
            recordings.notify(what, len(missing), len(missing))
        blocks = self._blocks()
        keys = [self._key(ids, time_bin) for ids in blocks]
        position = {name: row for row, name in enumerate(name for ids in blocks for name in ids)}
        rows = [position[name] for name in self.shown.ids]
        features = StoredFeatures(recordings.store, keys, time_bin=time_bin, rows=rows)
        return Moved(features, *(self._distances(name, keys)[rows] for name in DISTANCES))

    def missing(self, time_bin: float) -> list[tuple[str, ...]]:
        """Blocks of images that are not in the store."""
        store = self.shown.session.recordings.store
        return [ids for ids in self._blocks() if not store.has(self._key(ids, time_bin))]

    def _blocks(self) -> list[tuple[str, ...]]:
        return self.shown.stimuli.blocks(self.shown.session.recordings.block_size, self.shown.ids)

    def _key(self, ids: Sequence[str], time_bin: float) -> str:
        recordings, shown = self.shown.session.recordings, self.shown
        return fingerprint.of_parts(
            "moved activations",
            recordings.key(self.model, shown.stimuli, ids, self.layer, shown.recording),
            fingerprint.of_settings({**self.moving.settings(), "time_bin": time_bin}),
        )

    def _distances(self, name: str, keys: Sequence[str]) -> np.ndarray:
        found = []
        for key in keys:
            with self.shown.session.recordings.store.dataset(key) as block:
                found.append(block[name].values)
        return np.concatenate(found)

    def _block(self, ids: Sequence[str], time_bin: float) -> xr.Dataset:
        """Attacked and recorded batch by batch, so that no more than a batch of perturbed images is held."""
        size = self.shown.session.recordings.batch_size
        batches = [ids[start : start + size] for start in range(0, len(ids), size)]
        return xr.concat(
            [self._batch(batch, time_bin) for batch in batches],
            dim="stimulus",
            data_vars="all",
            coords="minimal",
            compat="override",
            join="exact",
        )

    def _batch(self, ids: Sequence[str], time_bin: float) -> xr.Dataset:
        model, recording, device = self.model, self.shown.recording, self.shown.session.recordings.device
        stimuli = recording.viewed(self.shown.stimuli)
        distances = {name: np.empty(len(ids)) for name in DISTANCES}
        groups = []
        with at_work(model, device=device):
            for places, pixels in stimuli.pixels_by_size(
                ids, size=model.image_size, visual_degrees=model.visual_degrees
            ):
                found = self._perturbed([ids[place] for place in places], pixels.to(device), time_bin)
                groups.append((places, found[0]))
                for name, values in zip(DISTANCES, found[1:], strict=True):
                    distances[name][places] = values.cpu().double().sqrt().numpy()
        settings = recording.settings(batch_size=len(ids), device=device)
        perturbed = _Perturbed(stimuli.name, tuple(ids), stimuli.read, perturbed=tuple(groups))
        recorded = record_block(model, perturbed, ids, [self.layer], settings=settings, time_bins=[time_bin])
        of_stimuli = {name: ("stimulus", values) for name, values in distances.items()}
        return recorded[self.layer].to_dataset(name=VARIABLE).assign(of_stimuli)

    def _perturbed(self, ids: Sequence[str], pixels: Tensor, time_bin: float) -> tuple[Tensor, Tensor, Tensor]:
        """Images of one size, and the squared relative distances of `DISTANCES`."""
        attack, threat, drawn = self.moving.attack(self.layer, time_bin), self.moving.threat, self.moving.seeds(ids)
        found = attack.perturb(self.model, pixels, threat, seeds=drawn)
        # an answer that is no image moves nothing
        moved = found.where(torch.isfinite(found).flatten(1).all(1)[:, None, None, None], pixels)
        random = random_start(pixels, threat, seeds=draw_seeds(drawn, "chance"))
        shifts = [attack.shift(self.model, each, pixels, seeds=drawn) for each in (moved, random)]
        return moved, shifts[0], shifts[1]


@dataclass(frozen=True)
class _Perturbed(StimulusSet):
    """Stimuli whose pixels were perturbed at the size that a model takes."""

    perturbed: tuple[tuple[list[int], Tensor], ...] = ()

    def pixels_by_size(
        self, ids: Sequence[str], *, size: tuple[int, int] | None = None, visual_degrees: float | None = None
    ) -> list[tuple[list[int], Tensor]]:
        """As they are: size and visual degrees are those that were perturbed."""
        return list(self.perturbed)


def bytes_of(moves: Sequence[Moves]) -> int:
    """Size of what is not in the store, of layers of one model, from the activations to one image."""
    counts = {
        (each.layer, time_bin, ids): len(ids)
        for each in moves
        for time_bin in each.model.time_bins[each.layer]
        for ids in each.missing(time_bin)
    }
    if not counts:
        return 0
    model, shown = moves[0].model, moves[0].shown
    layers = list(dict.fromkeys(layer for layer, _, _ in counts))
    settings = shown.recording.settings(batch_size=1, device=shown.session.recordings.device)
    one = record_block(model, shown.recording.viewed(shown.stimuli), shown.stimuli.ids[:1], layers, settings=settings)
    units = {layer: one[layer].sizes["unit"] for layer in layers}
    return sum(FLOAT32 * units[layer] * count for (layer, _, _), count in counts.items())
