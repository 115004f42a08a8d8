"""A place to work in."""

from pathlib import Path

import pytest

from alignment.models import TorchModel
from benchmarks.contracts import Session
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recordings
from benchmarks.store import Store
from tests.benchmarks.perturbation.coloured import CLASSES, Hears, Shown, coloured


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=32, block_size=50), digests, "cpu")


@pytest.fixture
def shown() -> Shown:
    model = TorchModel(Hears(), name="hears", image_size=(4, 4), layers=["used"], classes=CLASSES)
    return Shown(coloured(wrong=30), model)
