"""What the benchmarks of classification share: images with targets, shown whole, to models that can classify them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from alignment import seeds
from alignment.errors import RequestError
from alignment.models.base import Model
from alignment.registry import foreign_code
from benchmarks.contracts import Part
from benchmarks.datasets.base import LabelledDataSet

# images that are computed, stored and resumed as one
BLOCK = 128
# classes that a library may number rather than name
MANY = 100


@dataclass(frozen=True)
class Block:
    """Some of the images of a data set."""

    ids: tuple[str, ...]
    targets: tuple[int, ...]

    def pixels(self, dataset: LabelledDataSet, model: Model, *, device: str) -> Tensor:
        """(image, 3, row, column) float32 in [0, 1], whole images at the model's size."""
        shown = replace(dataset.stimuli, visual_degrees=None)
        return shown.pixels(self.ids, size=model.image_size).to(device)

    def labels(self, *, device: str) -> Tensor:
        """(image,) int64."""
        return torch.tensor(self.targets, device=device)

    def seeds(self, *names: str | int, root: int) -> list[int]:
        """One per image, which depends on the image's id, the names and the root only."""
        return [seeds.derive(root, *names, name) for name in self.ids]


def blocks(dataset: LabelledDataSet, size: int = BLOCK) -> tuple[Block, ...]:
    """All images, dealt out in turn, so that every block holds some of each part of a sorted data set."""
    ids, targets = dataset.stimuli.ids, dataset.targets().tolist()
    count = -(-len(ids) // size)
    return tuple(Block(tuple(ids[start::count]), tuple(targets[start::count])) for start in range(count))


def block_parts(dataset: LabelledDataSet) -> tuple[Part, ...]:
    """A part for each block of images."""
    count = len(blocks(dataset))
    return tuple(Part(f"block {number + 1} of {count}", str(number)) for number in range(count))


def check_logits(model: Model, dataset: LabelledDataSet) -> int:
    """Whether a model's logits are of the classes of a data set; one grey image is passed through it.

    Names are compared where they can agree: not with the ids of ImageNet's classes, nor with numbers, by which some
    libraries name the logits of all of their networks.

    Returns
    -------
    Number of decisions, time_bins of the logits

    Raises
    ------
    RequestError
        The model has no logits, or others than the data set's classes, or in another order.
    """
    _check_names(model, dataset)
    size = model.image_size or dataset.stimuli.image(dataset.stimuli.ids[0]).shape[:2]
    with foreign_code(f"{model.name} on one image"), torch.no_grad():
        scores = model.logits(torch.full((1, 3, *size), 0.5), seeds=[0])
    if scores.shape[2] != len(dataset.classes):
        raise RequestError(
            f"{model.name} gives {scores.shape[2]} logits and names {len(dataset.classes)} classes; name one for each"
        )
    return int(scores.shape[1])


def _check_names(model: Model, dataset: LabelledDataSet) -> None:
    own, there = model.classes, dataset.classes
    if own is None:
        raise RequestError(
            f"{model.name} has no logits (its classes are not named), so it cannot be judged on {dataset.name}"
        )
    if len(own) != len(there):
        raise RequestError(
            f"{model.name} tells {len(own)} classes apart, {dataset.name} has {len(there)}; "
            "take a model or data of the same classes"
        )
    numbered = len(own) >= MANY and own == tuple(map(str, range(len(own))))
    if numbered or all(re.fullmatch(r"n\d{8}", name) for name in there):
        return
    moved = [name for place, name in enumerate(own) if name in there and there[place] != name]
    if moved:
        raise RequestError(
            f"{model.name}: class {moved[0]!r} is at another place than in {dataset.name}, whose order is "
            f"{', '.join(there[:3])}, ...; give both the same order"
        )
    if not set(own) & set(there):
        raise RequestError(
            f"{model.name} tells {own[0]!r}, {own[1]!r}, ... apart, {dataset.name} has {there[0]!r}, {there[1]!r}, "
            "...; take a model or data of the same classes"
        )


@contextmanager
def at_work(model: Model, *, device: str) -> Iterator[None]:
    """The model on its device, its parameters without gradients, then as before."""
    if model.module is None:
        yield
        return
    model.module.to(device)
    asked = [parameter.requires_grad for parameter in model.module.parameters()]
    model.module.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, needed in zip(model.module.parameters(), asked, strict=True):
            parameter.requires_grad_(needed)
