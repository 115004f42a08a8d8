"""A place to work in, and images whose label a network shows in one layer at one time bin alone."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from alignment.models import TorchModel
from alignment.models.base import Model
from benchmarks.contracts import Part, Session
from benchmarks.datasets.labelled import LabelledImages, labelled
from benchmarks.decoding.benchmark import Decoding
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recordings
from benchmarks.store import Store

EDGE, N_IMAGES = 4, 90


class Late(nn.Module):
    """`deep` shows the image at its second step; all else is the brightness of one pixel that says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.shallow, self.deep = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(1)
        blank = torch.cat([pixels[:, :1], torch.zeros_like(pixels[:, 1:])], dim=1)
        for step in range(3):
            self.shallow(blank * (1 + step))
            shown = self.deep(pixels if step == 1 else blank)
        return shown


class Shown(NamedTuple):
    """A data set and a network."""

    dataset: LabelledImages
    model: TorchModel


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=32, block_size=50), digests, "cpu")


@pytest.fixture
def late() -> Shown:
    rng = np.random.default_rng(0)
    classes = ("a", "b", "c")
    centres = rng.integers(60, 190, (3, EDGE, EDGE, 3))
    centres[:, 0, 0] = 128
    images = {
        f"i{n:03}": np.clip(centres[n % 3] + rng.normal(0, 25, centres[0].shape), 0, 255).astype(np.uint8)
        for n in range(N_IMAGES)
    }
    dataset = labelled("late", images, [classes[n % 3] for n in range(N_IMAGES)], classes=classes)
    model = TorchModel(Late(), name="late", image_size=(EDGE, EDGE), layers=["shallow", "deep"])
    return Shown(dataset, model)


Measure = Callable[[Decoding, Model], Mapping[Part, xr.Dataset]]


@pytest.fixture
def measured(session: Session) -> Measure:
    """All parts of a benchmark, for one model."""
    return lambda benchmark, model: {part: benchmark.measure(model, part, session) for part in benchmark.parts(model)}
