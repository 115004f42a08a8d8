"""What attacks are given, checked once where it enters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from alignment.errors import DataError, RequestError


def check_images(pixels: Tensor, labels: Tensor, seeds: Sequence[int]) -> None:
    """Whether images, labels and seeds are what attacks take, and fit each other.

    Parameters
    ----------
    pixels : (image, 3, row, column) float32 in [0, 1]
    labels : (image,) int64, 0 or above
    seeds : one per image

    Raises
    ------
    RequestError
        Another shape or type, no image, or lengths that differ.
    DataError
        A pixel outside [0, 1] or not finite, or a negative label.
    """
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise RequestError(f"labels are {labels.dtype} {tuple(labels.shape)}, expected int64 (image,)")
    if len(labels) != len(pixels):
        raise RequestError(f"{len(pixels)} images and {len(labels)} labels; give one to each")
    check_pixels(pixels, seeds)
    if int(labels.min()) < 0:
        raise DataError(
            f"labels: {int(labels.min())} of image {int(labels.argmin())} is negative; count classes from 0"
        )


def check_pixels(pixels: Tensor, seeds: Sequence[int]) -> None:
    """`check_images` where no label counts."""
    if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.dtype != torch.float32:
        raise RequestError(
            f"pixels are {pixels.dtype} {tuple(pixels.shape)}, expected float32 (image, 3, row, column) in [0, 1]"
        )
    if len(pixels) != len(seeds) or not len(pixels):
        raise RequestError(f"{len(pixels)} images and {len(seeds)} seeds; give at least one image, and a seed to each")
    low, high = (float(value) for value in pixels.aminmax())
    if not (low >= 0 and high <= 1):
        raise DataError(f"pixels range from {low:g} to {high:g}; scale them to [0, 1]")


def check_scores(scores: Tensor, labels: Tensor) -> None:
    """Whether logits are (batch, time_bin, class), of 2 classes or more, and labels are among their classes.

    Raises
    ------
    RequestError
        Another shape, or a single class.
    DataError
        A label beyond the last class.
    """
    if scores.ndim != 3 or len(scores) != len(labels) or not scores.shape[1]:
        raise RequestError(f"logits are {tuple(scores.shape)}, expected ({len(labels)} images, time_bin, class)")
    if scores.shape[2] < 2:
        raise RequestError("the model has 1 class; an attack needs another class to aim at")
    if int(labels.max()) >= scores.shape[2]:
        raise DataError(
            f"labels: {int(labels.max())} of image {int(labels.argmax())} is beyond the model's {scores.shape[2]} "
            "classes; give labels and a model of the same classes"
        )
