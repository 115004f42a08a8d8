"""Which images of a data set are composed with which, in which half, and which are left to make templates of."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from alignment.errors import DataError, RequestError
from alignment.models.base import Model
from alignment.models.lrm import LRMModel
from alignment.steering import Pairs
from alignment.stimuli.composites import Triplets, triplets
from benchmarks.contracts import Unsuited
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.robustness.images import Block

# who is composed with whom is part of the data, so the root is fixed and never the seed of a run
ROOT = 0
FOLDS = 2
# composites that a score is made of at most, those that are computed as one, and those without which there is none
MOST, SIZE, LEAST = 512, 64, 10
# images that a class mean is made of at most
OF_A_CLASS = 10


def steerable(model: Model) -> LRMModel:
    """A model as one that can be steered.

    Raises
    ------
    Unsuited
        It is of another kind.
    """
    if not isinstance(model, LRMModel):
        raise Unsuited(
            f"{model.name} has no feedback from its decisions, so it cannot be steered; name a network that has, such "
            "as toy_lrm or alexnet_lrm1"
        )
    return model


@dataclass(frozen=True)
class Composed:
    """The composites of a data set.

    Parameters
    ----------
    dataset : images with targets
    """

    dataset: LabelledDataSet

    @cached_property
    def triplets(self) -> Triplets:
        """Positions of images, two to a composite and one of a third class; each image in one composite at most."""
        return triplets(self._targets, seed=ROOT, most=MOST)

    @cached_property
    def blocks(self) -> tuple[np.ndarray, ...]:
        """Positions of the composites that are computed together, each block of one fold: every second composite."""
        places = np.arange(len(self.triplets.first))
        folds = [places[fold::FOLDS] for fold in range(FOLDS)]
        return tuple(part for fold in folds for part in np.array_split(fold, -(-len(fold) // SIZE)) if len(fold))

    def check(self, name: str) -> None:
        """There are enough images of three classes or more.

        Raises
        ------
        DataError
            There are not.
        """
        try:
            count = len(self.triplets.first)
        except RequestError as fault:
            raise DataError(f"{name}: {fault}") from None
        if count < LEAST:
            raise DataError(
                f"{name}: {len(self._targets)} images make {count} composites of two classes; give enough for {LEAST}"
            )

    def fold_of(self, block: np.ndarray) -> int:
        """The half that a block belongs to."""
        return int(block[0]) % FOLDS

    def pairs(self, block: np.ndarray, model: Model, *, device: str) -> Pairs:
        """Images of a block as the network takes them."""
        some, prepare = self.triplets.take(block), steerable(model).prepare
        first, second = (
            prepare(self.images(positions).pixels(self.dataset, model, device=device)) for positions in some[:2]
        )
        classes = np.stack([self._targets[positions] for positions in some], axis=1)
        return Pairs(first, second, torch.from_numpy(classes).to(device))

    def images(self, positions: np.ndarray) -> Block:
        """Some images of the data set."""
        ids = self.dataset.stimuli.ids
        return Block(tuple(ids[place] for place in positions), tuple(self._targets[positions].tolist()))

    def for_means(self, fold: int) -> np.ndarray:
        """Positions of the images whose class means the composites of a fold are asked with: none of those in them."""
        composed = self._in(fold)
        shown = np.zeros(len(self._targets), dtype=bool)
        shown[[*composed.first, *composed.second]] = True
        left = np.flatnonzero(~shown)
        of_class = [left[self._targets[left] == each][:OF_A_CLASS] for each in np.unique(self._targets[left])]
        return np.sort(np.concatenate(of_class)) if of_class else left

    @cached_property
    def without_mean(self) -> tuple[str, ...]:
        """Classes that some composite is asked for, and that no image is left of to make a mean of."""
        lacking = [
            np.setdiff1d(self._targets[np.concatenate(self._in(fold))], self._targets[self.for_means(fold)])
            for fold in range(FOLDS)
        ]
        return tuple(self.dataset.classes[each] for each in np.unique(np.concatenate(lacking)))

    def _in(self, fold: int) -> Triplets:
        return self.triplets.take(slice(fold, None, FOLDS))

    @cached_property
    def _targets(self) -> np.ndarray:
        return self.dataset.targets()
