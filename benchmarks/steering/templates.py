"""What a network is asked with: one-hot vectors, class means of what it puts out itself, and random vectors."""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment import fingerprint
from alignment.models.base import Model
from alignment.models.torch_model import RECORDING_VERSION
from alignment.steering import class_moments, one_hot, random_templates
from benchmarks.contracts import Session
from benchmarks.robustness.images import at_work
from benchmarks.steering.composed import FOLDS, ROOT, Composed, steerable

ONE_HOT, MEANS, RANDOM = "one-hot", "class means", "random"
VARIABLE = "outputs"
# images that are put out and stored as one
AT_ONCE = 128
FLOAT32 = 4


@dataclass(frozen=True, eq=False)
class Templates:
    """The templates of one model.

    Parameters
    ----------
    model, source : whose source of feedback they take the place of
    composed : of which class means are made
    session : where those are kept
    batch_size : images in a forward pass
    """

    model: Model
    source: str
    composed: Composed
    session: Session
    batch_size: int

    def of(self, kind: str, fold: int) -> Tensor:
        """(class, class) float32, of one-hot, class means or random, for the composites of a fold.

        The mean of a class that nobody is asked for is 0.
        """
        n_classes = len(self.composed.dataset.classes)
        if kind == ONE_HOT:
            return one_hot(n_classes)
        if kind == RANDOM:
            return random_templates(n_classes, (n_classes,), seed=ROOT)
        positions = self.composed.for_means(fold)
        classes = torch.tensor(self.composed.images(positions).targets)
        return class_moments([(self._outputs(positions), classes)], n_classes=n_classes).mean.float().nan_to_num(0.0)

    def missing_bytes(self) -> int:
        """Size of what class means still add to the store."""
        blocks = {tuple(block) for fold in range(FOLDS) for block in _blocks(self.composed.for_means(fold))}
        left = [block for block in blocks if not self.session.recordings.store.has(self._key(np.array(block)))]
        return FLOAT32 * len(self.composed.dataset.classes) * sum(map(len, left))

    def _outputs(self, positions: np.ndarray) -> Tensor:
        """What the source puts out in the last pass, computed where it is not in the store: (image, class)."""
        store, found = self.session.recordings.store, []
        for block in _blocks(positions):
            key = self._key(block)
            if not store.has(key):
                store.put_dataset(key, xr.Dataset({VARIABLE: (("image", "class"), self._put_out(block))}))
            with store.dataset(key) as kept:
                found.append(kept[VARIABLE].values)
        return torch.from_numpy(np.concatenate(found))

    def _key(self, block: np.ndarray) -> str:
        dataset, recordings = self.composed.dataset, self.session.recordings
        return fingerprint.of_parts(
            f"outputs of {self.source} {RECORDING_VERSION}",
            recordings.fingerprint(self.model),
            self.session.digests.block(dataset.stimuli, self.composed.images(block).ids),
        )

    def _put_out(self, block: np.ndarray) -> np.ndarray:
        device, last = self.session.device, float(steerable(self.model).module.passes - 1)
        layer = f"feedforward.{self.source}"
        found = []
        with at_work(self.model, device=device), torch.no_grad():
            for start in range(0, len(block), self.batch_size):
                images = self.composed.images(block[start : start + self.batch_size])
                pixels = images.pixels(self.composed.dataset, self.model, device=device)
                found.append(self.model.record(pixels, [layer], time_bins=[last])[layer][:, 0].cpu().numpy())
        return np.concatenate(found)


def _blocks(positions: np.ndarray) -> list[np.ndarray]:
    return [positions[start : start + AT_ONCE] for start in range(0, len(positions), AT_ONCE)]
