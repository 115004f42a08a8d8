"""Composite images: two images in one, over each other or side by side, and a third class that is in neither.

The challenge of Konkle & Alvarez 2023 (NeurIPS, Cognitive steering in deep neural networks via long-range modulatory
feedback connections): tell either of two objects when asked for it, and do not see a third when asked for that.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alignment import seeds
from alignment.errors import RequestError

Arrange = Callable[[Tensor, Tensor, float], Tensor]


def overlap(first: Tensor, second: Tensor, share: float = 0.5) -> Tensor:
    r"""$p A + (1 - p) B$; before normalisation or after, since that is affine.

    Parameters
    ----------
    first, second : (batch, 3, row, column), alike in shape
    share : p, 0 to 1

    Raises
    ------
    RequestError
        The images differ in shape, or the share is none.

    Examples
    --------
    >>> overlap(torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1), 0.25).flatten()
    tensor([0.2500, 0.2500, 0.2500])
    """
    _check_shapes(first, second)
    if not 0 <= share <= 1:
        raise RequestError(f"composite: share={share:g}; give a share of the first image, 0 to 1")
    return share * first + (1 - share) * second


def side_by_side(first: Tensor, second: Tensor, share: float = 0.5) -> Tensor:
    """The first image to the left of the second: (batch, 3, row, 2 column).

    Parameters
    ----------
    first, second : (batch, 3, row, column), alike in shape
    share : 0.5, since each keeps its size

    Raises
    ------
    RequestError
        The images differ in shape, or a share was asked for.

    Examples
    --------
    >>> side_by_side(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 3, 8, 16])
    """
    _check_shapes(first, second)
    if share != 0.5:
        raise RequestError(f"composite: share={share:g} means nothing side by side; leave it at 0.5")
    return torch.cat([first, second], dim=3)


ARRANGEMENTS: Mapping[str, Arrange] = {"overlap": overlap, "side-by-side": side_by_side}


class Triplets(NamedTuple):
    """Two images for each composite, and one of a third class.

    Attributes
    ----------
    first, second : (composite,) int64, positions of the images that are composed
    absent : (composite,) int64, position of an image of a class that is in neither
    """

    first: np.ndarray
    second: np.ndarray
    absent: np.ndarray

    def take(self, places: np.ndarray | slice) -> "Triplets":
        """Some of them."""
        return Triplets(*(positions[places] for positions in (self.first, self.second, self.absent)))


def triplets(targets: np.ndarray, *, seed: int, most: int | None = None) -> Triplets:
    """Images in pairs of two classes, each image in one pair at most, so that composites are independent.

    Parameters
    ----------
    targets : (image,) class of each
    seed : of who is paired with whom, and of the third classes
    most : composites at most; as many as can be made when not given

    Returns
    -------
    Triplets, in no order of images or classes

    Raises
    ------
    RequestError
        There are fewer than three classes.

    Examples
    --------
    >>> made = triplets(np.array([0, 1, 2, 0, 1, 2, 0]), seed=0)
    >>> len(made.first), len(set(made.first) | set(made.second))
    (3, 6)
    """
    classes = np.unique(targets)
    if len(classes) < 3:
        raise RequestError(f"composites: images of {len(classes)} classes; give images of three or more")
    draws = seeds.generator(seed, "composites")
    waiting: list[int] = []
    pairs: list[tuple[int, int]] = []
    for image in draws.permutation(len(targets)):
        partner = next((each for each in waiting if targets[each] != targets[image]), None)
        if partner is None:
            waiting.append(int(image))
        else:
            waiting.remove(partner)
            pairs.append((partner, int(image)))
    pairs = pairs[:most]
    absent = [draws.choice(np.flatnonzero(~np.isin(targets, targets[list(pair)]))) for pair in pairs]
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Triplets(first, second, np.array(absent, dtype=np.int64))


def without_repeats(made: Triplets) -> Triplets:
    """Of a list that someone else made, the first of those with the same two images in either order.

    Over each other at equal shares they are one composite; side by side they are two.

    Examples
    --------
    >>> two = Triplets(np.array([4, 7]), np.array([7, 4]), np.array([1, 2]))
    >>> without_repeats(two).first
    array([4])
    """
    pairs = np.sort(np.stack([made.first, made.second], axis=1), axis=1)
    _, places = np.unique(pairs, axis=0, return_index=True)
    return made.take(np.sort(places))


def _check_shapes(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4:
        raise RequestError(
            f"composite: images are {tuple(first.shape)} and {tuple(second.shape)}; give two batches (batch, 3, row, "
            "column) of one shape"
        )
