"""Random shifts and flips: of each image in each epoch, whatever the order and the size of the batches."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alignment import seeds


class Draws(NamedTuple):
    """What is done to each image.

    Attributes
    ----------
    shifts : (image, 2) int64, rows and columns that the window moves down and to the right, from -padding to padding
    flips : (image,) bool, left and right exchanged
    """

    shifts: Tensor
    flips: Tensor


def draw(n: int, *, epoch: int, padding: int, flip: bool, seed: int) -> Draws:
    """Shifts and flips of n images in one epoch.

    Parameters
    ----------
    n : images
    epoch : counted from 0
    padding : the largest shift in pixels
    flip : whether half of the images are flipped
    seed : root of the draws

    Examples
    --------
    >>> draw(2, epoch=0, padding=0, flip=False, seed=0)
    Draws(shifts=tensor([[0, 0],
            [0, 0]]), flips=tensor([False, False]))
    """
    # two generators, so that the shifts are the same with flips and without
    shifts = seeds.generator(seed, "training", "shift", epoch).integers(-padding, padding + 1, size=(n, 2))
    coins = seeds.generator(seed, "training", "flip", epoch).random(n) < 0.5 if flip else np.zeros(n, dtype=bool)
    return Draws(torch.from_numpy(shifts), torch.from_numpy(coins))


def shift_and_flip(images: Tensor, draws: Draws) -> Tensor:
    """A window of each image of the same size as the image, black beyond its border, flipped where asked for.

    Parameters
    ----------
    images : (image, row, column, channel)
    draws : one to each image, on the device of the images

    Returns
    -------
    Tensor (image, row, column, channel)

    Examples
    --------
    >>> image = torch.tensor([[1, 2, 3]]).view(1, 1, 3, 1)
    >>> shift_and_flip(image, Draws(torch.tensor([[0, 1]]), torch.tensor([True]))).flatten().tolist()
    [0, 3, 2]
    """
    rows, row_inside = _window(images.shape[1], draws.shifts[:, 0])
    columns, column_inside = _window(images.shape[2], draws.shifts[:, 1])
    columns = torch.where(draws.flips[:, None], columns.flip(1), columns)
    column_inside = torch.where(draws.flips[:, None], column_inside.flip(1), column_inside)
    position = torch.arange(len(images), device=images.device)[:, None, None]
    inside = row_inside[:, :, None, None] & column_inside[:, None, :, None]
    return images[position, rows[:, :, None], columns[:, None, :]] * inside


def _window(edge: int, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """(image, edge) places that a window looks at, and which of them lie in the image."""
    places = torch.arange(edge, device=shifts.device) + shifts[:, None]
    inside = (places >= 0) & (places < edge)
    return places.clamp(0, edge - 1), inside
