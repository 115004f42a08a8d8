"""A place to work in, and labelled images that a linear network tells apart by a known margin."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from alignment.models import TorchModel
from alignment.models.base import Model
from benchmarks.contracts import Part, Session
from benchmarks.datasets.labelled import LabelledImages, labelled
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recordings
from benchmarks.robustness.classification import Classification
from benchmarks.store import Store

EDGE, N_IMAGES = 4, 150


class Two(NamedTuple):
    """Two classes, a network, and the Linf distance of each image from the boundary, below 0 where it is wrong."""

    dataset: LabelledImages
    model: TorchModel
    margins: np.ndarray


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=32, block_size=50), digests, "cpu")


@pytest.fixture
def two() -> Two:
    rng = np.random.default_rng(0)
    images = {f"i{n:03}": rng.integers(64, 192, (EDGE, EDGE, 3), dtype=np.uint8) for n in range(N_IMAGES)}
    weight = torch.from_numpy(rng.normal(size=3 * EDGE**2).astype(np.float32))
    pixels = np.stack([image.transpose(2, 0, 1).ravel() for image in images.values()]) / 255
    gaps = (pixels - 0.5) @ weight.numpy().astype(np.float64)
    right = np.where(np.arange(N_IMAGES) % 10, gaps > 0, gaps < 0)
    dataset = labelled("two", images, ["a" if each else "b" for each in right], classes=("a", "b"))
    readout = nn.Linear(3 * EDGE**2, 2)
    with torch.no_grad():
        readout.weight.copy_(torch.stack([weight, -weight]))
        readout.bias.copy_(-0.5 * readout.weight.sum(1))
    model = TorchModel(
        nn.Sequential(nn.Flatten(), readout), name="linear", image_size=(EDGE, EDGE), layers=["1"], classes=("a", "b")
    )
    margins = np.where(right, gaps, -gaps) / float(weight.abs().sum())
    return Two(dataset, model, margins)


Measure = Callable[[Classification, Model], Mapping[Part, xr.Dataset]]


@pytest.fixture
def measured(session: Session) -> Measure:
    """All parts of a benchmark, for one model."""
    return lambda benchmark, model: {part: benchmark.measure(model, part, session) for part in benchmark.parts(model)}


class Reversing(nn.Module):
    """Decides twice: first against what it then says."""

    def __init__(self, decides: nn.Module) -> None:
        super().__init__()
        self.decides = decides

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        logits = self.decides(x)
        return [-logits, logits]


@pytest.fixture
def reversing(two: Two) -> TorchModel:
    """The linear network, which first says the opposite."""
    return TorchModel(Reversing(two.model.module), name="reversing", image_size=(EDGE, EDGE), classes=("a", "b"))
