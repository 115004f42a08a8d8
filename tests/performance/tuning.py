"""What a step of tuning costs beside the passes it cannot do without, in one process with the same threads.

Bare are a student's forward and backward pass and its teacher's forward pass, on the same images. Rounds of all are
interleaved, and medians compared. Shifted images need the teacher anew; of images that stay the same its logits are
kept, so that a step must cost less than the bare passes.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.models import load_model
from alignment.models.torch_model import TorchModel
from alignment.tuning.batches import batches
from alignment.tuning.loop import Material, Neural, Task, Tuner
from alignment.tuning.recipe import Recipe

NEUROIDS, REPEATS = 100, 15


class Case(NamedTuple):
    """A network, not trained since time does not depend on it, and a batch."""

    label: str
    model: str
    layer: str
    edge: int
    images: int


CASES = (
    Case("ResNet-18, 16 images of 112 px", "resnet18", "layer4", 112, 16),
    Case("ResNet-20, 64 images of 32 px", "cifar_resnet20", "layer3", 32, 64),
)


def measure() -> list[tuple[str, float, str]]:
    """(what, value, target) of each figure."""
    return [row for case in CASES for row in steps(case)]


def steps(case: Case) -> list[tuple[str, float, str]]:
    """One step of learning without forgetting, with shifted images and with images as they are."""
    model = load_model(case.model, weights="none", cache=Path())
    assert isinstance(model, TorchModel)
    model.image_size = (case.edge, case.edge)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.rand(case.images, 3, case.edge, case.edge, generator=draw)
    seen = Neural(pixels, torch.randn(case.images, NEUROIDS, generator=draw))
    material = Material({"s": seen}, {"s": seen}, Task(pixels[:2], torch.arange(2)))
    tuners = {
        name: Tuner(model, material, Recipe((case.layer,), batch_size=case.images, jitter=jitter))
        for name, jitter in (("shifted", 1 / 16), ("kept", 0.0))
    }
    calls: dict[str, Callable[[], object]] = {"bare": lambda: bare(model, pixels)}
    calls |= {name: step_of(tuner) for name, tuner in tuners.items()}
    times = medians(calls)
    label = f"a step of tuning, {case.label}"
    return [
        (f"{label}: seconds", times["shifted"], ""),
        (f"{label}: over bare passes of student and teacher", times["shifted"] / times["bare"], "<= 1.15"),
        (f"{label}, logits kept: over the same bare passes", times["kept"] / times["bare"], "< 1"),
    ]


def bare(model: TorchModel, pixels: Tensor) -> None:
    """Forward and backward of a student, forward of a teacher."""
    prepared = model.prepare(pixels)
    model.module.eval().zero_grad(set_to_none=True)
    model.module(prepared).sum().backward()
    with torch.no_grad():
        model.module(prepared)


def step_of(tuner: Tuner) -> Callable[[], object]:
    """A whole step, with its update of the weights."""
    batch = batches(tuner.material, tuner.recipe, epoch=0)[0]
    return lambda: tuner._descend(batch, step=0)


def medians(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median wall time of each call in seconds; rounds are interleaved, the first is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: median(each[1:]) for name, each in times.items()}


if __name__ == "__main__":
    for title, figure, target in measure():
        print(f"{title:<110} {figure:10.4g}  {target}")
