"""Sets of images that tuning goes through: held in memory, or read each time they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from alignment.stimuli import StimulusSet

FLOAT32 = 4
# images that are read and resized together
AT_ONCE = 64


class Images(Protocol):
    """Pixels by row; a tensor (image, 3, row, column) float32 in [0, 1] is such a set."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """(image, 3, row, column) float32 in [0, 1], of rows (image,) int64."""
        ...


@dataclass(frozen=True)
class ReadImages:
    """Stimuli that are read and resized whenever they are asked for, so that none stays in memory.

    Parameters
    ----------
    stimuli : where they are read from
    ids : which, in the order of the rows
    size, visual_degrees : as of `StimulusSet.pixels`

    Examples
    --------
    >>> import numpy as np
    >>> grey = StimulusSet("grey", ("a", "b"), lambda name: np.full((4, 4, 3), ord(name), np.uint8))
    >>> round(float(ReadImages(grey, ("b", "a"))[torch.tensor([1])].mean() * 255))
    97
    """

    stimuli: StimulusSet
    ids: tuple[str, ...]
    size: tuple[int, int] | None = None
    visual_degrees: float | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.ids)

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """(image, 3, row, column) float32 in [0, 1]."""
        wanted = [self.ids[row] for row in rows.tolist()]
        return self.stimuli.pixels(wanted, size=self.size, visual_degrees=self.visual_degrees)


def images_of(read: ReadImages, *, most_bytes: int) -> Images:
    """In memory where they need no more than so many bytes there, else as they are."""
    one = read[torch.arange(1)]
    if len(read) * one.numel() * FLOAT32 > most_bytes:
        return read
    # originals can be much larger: some at a time
    held, start = one.new_empty(len(read), *one.shape[1:]), 0
    for part in in_batches(read, AT_ONCE):
        held[start : start + len(part)] = part
        start += len(part)
    return held


def in_batches(images: Images, size: int) -> Iterator[Tensor]:
    """All of them in order, the last batch with what is left.

    Examples
    --------
    >>> [len(batch) for batch in in_batches(torch.zeros(7, 3, 2, 2), 3)]
    [3, 3, 1]
    """
    for rows in torch.arange(len(images)).split(size):
        yield images[rows]
