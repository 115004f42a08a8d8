"""A set of images, each known by its id, read one at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment import fingerprint
from alignment.errors import DataError, RequestError

GREY = 0.5


@dataclass(frozen=True)
class StimulusSet:
    """Images by id, in a fixed order.

    Parameters
    ----------
    name : what a person calls the set
    ids : unique stimulus ids, in order
    read : id -> image, (row, column, 3) or (row, column) uint8
    visual_degrees : the width of an image in degrees of visual angle when it was shown; None when unknown
    labels : class of each id, in the order of `ids`, where known
    groups : lengths of consecutive runs of `ids` that blocks must not straddle (say, one run per subject), so that
        choosing fewer subjects leaves the blocks of the others as they are
    sources : the files the pixels come from; their size and time of change tell whether a remembered fingerprint holds
    """

    name: str
    ids: tuple[str, ...]
    read: Callable[[str], np.ndarray]
    visual_degrees: float | None = None
    labels: tuple[str, ...] | None = None
    groups: tuple[int, ...] = ()
    sources: tuple[Path, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len(set(self.ids)) != len(self.ids):
            raise DataError(f"{self.name}: stimulus ids are not unique; give every image its own id")
        if self.groups and sum(self.groups) != len(self.ids):
            raise DataError(f"{self.name}: groups cover {sum(self.groups)} of {len(self.ids)} stimuli")
        if self.labels is not None and len(self.labels) != len(self.ids):
            raise DataError(f"{self.name}: {len(self.labels)} labels for {len(self.ids)} stimuli")

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, stimulus: str) -> np.ndarray:
        """One image as (row, column, 3) uint8.

        Raises
        ------
        DataError
            The image is not uint8 with one or three channels, or has no pixel.
        """
        pixels = np.asarray(self.read(stimulus))
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise DataError(
                f"{self.name}: stimulus {stimulus!r} is {pixels.dtype} {pixels.shape}, expected uint8 (row, column, 3)"
            )
        return pixels

    def pixels(
        self, ids: Sequence[str], *, size: tuple[int, int] | None = None, visual_degrees: float | None = None
    ) -> Tensor:
        """Images as the model's input.

        Parameters
        ----------
        ids : which stimuli
        size : (row, column) after bilinear, antialiased resizing of the whole image; None leaves them as they are
        visual_degrees : the field of view of the viewer. Where it and the set's own are known, the image is cropped
            to its centre, or padded with mid-grey, so that a degree of the stimulus is a degree of the viewer

        Returns
        -------
        Tensor (stimulus, 3, row, column) float32 in [0, 1]
        """
        groups = self.pixels_by_size(ids, size=size, visual_degrees=visual_degrees)
        if len(groups) > 1:
            raise RequestError(f"{self.name}: images differ in size ({len(groups)} sizes); ask for one image size")
        return groups[0][1]

    def pixels_by_size(
        self, ids: Sequence[str], *, size: tuple[int, int] | None = None, visual_degrees: float | None = None
    ) -> list[tuple[list[int], Tensor]]:
        """As `pixels`, for images that stay of different sizes: positions in `ids`, and their images, of each size."""
        ratio = visual_degrees / self.visual_degrees if visual_degrees and self.visual_degrees else 1.0
        images = [self.image(stimulus) for stimulus in ids]
        shapes = list(dict.fromkeys(image.shape for image in images))
        if size is not None and len(shapes) > 1:
            return [(list(range(len(ids))), torch.cat([_fit(image[None], size, ratio) for image in images]))]
        groups = [[place for place, image in enumerate(images) if image.shape == shape] for shape in shapes]
        return [(places, _fit(np.stack([images[place] for place in places]), size, ratio)) for places in groups]

    def blocks(self, size: int, ids: Sequence[str] | None = None) -> list[tuple[str, ...]]:
        """The ids in blocks of at most `size`, never across a group; `ids` keeps only those, in the set's order."""
        wanted = set(self.ids if ids is None else ids)
        runs, start = [], 0
        for length in self.groups or (len(self.ids),):
            runs.append([name for name in self.ids[start : start + length] if name in wanted])
            start += length
        return [tuple(run[at : at + size]) for run in runs for at in range(0, len(run), size)]

    def digest(self, ids: Sequence[str]) -> str:
        """Hash of ids, their order and the decoded pixels of those stimuli."""
        return fingerprint.of_parts(*[text for name in ids for text in (name, fingerprint.of_array(self.image(name)))])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of ids, their order, decoded pixels and visual degrees of the whole set."""
        return fingerprint.of_parts(self.digest(self.ids), repr(self.visual_degrees))

    def select(self, ids: Sequence[str]) -> "StimulusSet":
        """The same stimuli, fewer and in the order given."""
        missing = [name for name in ids if name not in self.index]
        if missing:
            raise RequestError(f"{self.name}: no stimulus {missing[0]!r} ({len(missing)} ids are not in the set)")
        labels = None if self.labels is None else tuple(self.labels[self.index[name]] for name in ids)
        return StimulusSet(
            self.name, tuple(ids), self.read, visual_degrees=self.visual_degrees, labels=labels, sources=self.sources
        )

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of each id."""
        return {name: position for position, name in enumerate(self.ids)}


def _fit(images: np.ndarray, size: tuple[int, int] | None, ratio: float) -> Tensor:
    """Crop (ratio < 1) or pad (ratio > 1) about the centre, then resize; images of one shape in one call."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32) / 255
    if ratio != 1.0:
        tensor = _window(tensor, tuple(max(1, round(edge * ratio)) for edge in tensor.shape[2:]))
    if size is None or tuple(tensor.shape[2:]) == tuple(size):
        return tensor.contiguous()
    resized = F.interpolate(tensor, size=size, mode="bilinear", antialias=True, align_corners=False)
    return resized.clamp(0, 1)


def _window(images: Tensor, edges: tuple[int, ...]) -> Tensor:
    for dim, edge in ((2, edges[0]), (3, edges[1])):
        length = images.shape[dim]
        if edge < length:
            images = images.narrow(dim, (length - edge) // 2, edge)
        elif edge > length:
            before = (edge - length) // 2
            pad = [0, 0, before, edge - length - before] if dim == 2 else [before, edge - length - before, 0, 0]
            images = F.pad(images, pad, value=GREY)
    return images
