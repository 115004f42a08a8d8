"""The settings of a training, and which images choose its epoch."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignment import seeds
from alignment.errors import RequestError, unknown

SELECTIONS = ("accuracy", "loss")
PRECISIONS = ("float32", "bfloat16")
# which images validate is part of the data, so the root is fixed and never the seed of a run
SPLIT_ROOT = 0


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the trained weights, beside the data, the starting weights and the hardware.

    The defaults are the baseline of rep_align: stochastic gradient descent with Nesterov momentum and coupled weight
    decay, a learning rate that rises for 45 epochs and falls for 105, shifts by up to 4 pixels and flips. It keeps
    images of its own to choose the epoch by, where rep_align takes the test images.

    Parameters
    ----------
    epochs : passes over the training images
    batch_size : images in an update; the last batch of an epoch is smaller where they do not divide
    learning_rate : the highest
    least_learning_rate : at the beginning and at the end
    warm_up_epochs : of the rise
    momentum : of Nesterov's kind; 0 for none
    weight_decay : added to the gradient, times the weight
    padding : largest shift of an image, in pixels
    flip : whether half of the images are flipped, left to right
    validation : share of the training images that is held out; 0 for none, and then the last epoch is chosen
    select : accuracy | loss, of the validation images; the first of equals is chosen
    precision : float32 | bfloat16 (weights float32, the forward pass in bfloat16 where torch deems it safe)
    seed : of the order of images, shifts, flips and dropout

    Raises
    ------
    RequestError
        A setting is out of its range.

    Examples
    --------
    >>> Recipe(epochs=10, warm_up_epochs=2).batch_size
    256
    """

    epochs: int = 150
    batch_size: int = 256
    learning_rate: float = 0.01
    least_learning_rate: float = 1e-8
    warm_up_epochs: int = 45
    momentum: float = 0.9
    weight_decay: float = 0.01
    padding: int = 4
    flip: bool = True
    validation: float = 0.1
    select: str = "accuracy"
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.select not in SELECTIONS:
            raise unknown("select", self.select, SELECTIONS)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        ranges = {
            "epochs": (self.epochs >= 1, "1 or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "learning_rate": (0 < self.learning_rate < float("inf"), "above 0"),
            "least_learning_rate": (0 <= self.least_learning_rate <= self.learning_rate, "0 to learning_rate"),
            "warm_up_epochs": (0 <= self.warm_up_epochs <= self.epochs, "0 to epochs"),
            "momentum": (0 <= self.momentum < 1, "0 to below 1"),
            "weight_decay": (0 <= self.weight_decay < float("inf"), "0 or more"),
            "padding": (self.padding >= 0, "0 or more"),
            "validation": (0 <= self.validation < 1, "0 to below 1"),
        }
        for name, (is_sound, expected) in ranges.items():
            if not is_sound:
                raise RequestError(f"training: {name} is {getattr(self, name)}; give {expected}")


class Positions(NamedTuple):
    """Sorted positions of images, disjoint."""

    training: np.ndarray
    validation: np.ndarray


def split(n: int, *, validation: float) -> Positions:
    """Which of n training images are trained on and which choose the epoch: the same for every seed.

    Parameters
    ----------
    n : images
    validation : share that is held out, rounded to whole images

    Raises
    ------
    RequestError
        No image is left on a side that needs some.

    Examples
    --------
    >>> [len(part) for part in split(50, validation=0.1)]
    [45, 5]
    """
    held_out = round(n * validation)
    if held_out >= n or (validation and not held_out):
        raise RequestError(f"training: validation={validation} of {n} images leaves a side empty; give more images")
    order = seeds.generator(SPLIT_ROOT, "training", "validation").permutation(n)
    return Positions(np.sort(order[held_out:]), np.sort(order[:held_out]))
