"""Labelled images on the device where they are learned."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alignment.errors import RequestError
from alignment.models.cordsnet.layout import Layout
from alignment.models.torch_model import Normalisation


@dataclass(frozen=True)
class Data:
    """Labelled images on a device.

    Parameters
    ----------
    images : (image, row, column, 3) uint8, at the size of the network
    targets : (image,) int64 classes, or (image, class) float32 shares of classes
    normalise : (mean, sd) per colour
    """

    images: Tensor
    targets: Tensor
    normalise: Normalisation

    def pixels(self, images: Tensor) -> Tensor:
        """(batch, row, column, 3) uint8 as a network takes them."""
        scaled = images.permute(0, 3, 1, 2).float() / 255
        mean, sd = (scaled.new_tensor(row).view(1, 3, 1, 1) for row in self.normalise)
        return (scaled - mean) / sd

    def right(self, logits: Tensor, places: Tensor) -> int:
        """How many decisions are the likeliest class."""
        targets = self.targets[places]
        return int((logits.argmax(1) == (targets if targets.ndim == 1 else targets.argmax(1))).sum())


def labelled(layout: Layout, images: np.ndarray, targets: np.ndarray, *, normalise: Normalisation, device: str) -> Data:
    """From arrays, checked; arguments as of `run_pipeline`.

    Raises
    ------
    RequestError
        Images or targets have other types or shapes.
    """
    expected = (*layout.image_size, 3)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != expected:
        raise RequestError(f"training: images are {images.dtype} {images.shape}, expected uint8 (image, {expected})")
    n = len(images)
    is_class = targets.shape == (n,) and targets.dtype.kind in "iu"
    is_share = targets.shape == (n, layout.n_classes) and targets.dtype.kind == "f"
    if not (is_class and targets.min() >= 0 and targets.max() < layout.n_classes) and not is_share:
        raise RequestError(
            f"training: targets are {targets.dtype} {targets.shape}, expected a class below {layout.n_classes} or "
            f"{layout.n_classes} shares to each of {n} images"
        )
    kept = torch.tensor(targets, dtype=torch.int64 if is_class else torch.float32, device=device)
    return Data(torch.tensor(images, device=device), kept, normalise)
