"""A place to work in, and targets made of plain arrays."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from alignment.stimuli import StimulusSet
from benchmarks.contracts import Session
from benchmarks.datasets.splits import k_folds
from benchmarks.fingerprint import PixelDigests
from benchmarks.neural.target import Shown, Target
from benchmarks.recordings import Recording, Recordings
from benchmarks.store import Store

MakeTarget = Callable[..., Target]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=32, block_size=50), digests, "cpu")


@pytest.fixture
def target_of() -> MakeTarget:
    """From responses (stimulus, neuroid) to a target with folds by stimulus."""

    def make(responses: np.ndarray, *, n_folds: int = 3) -> Target:
        ids = [f"s{number:03}" for number in range(len(responses))]
        array = xr.DataArray(
            responses.astype(np.float32), dims=("stimulus", "neuroid"), coords={"stimulus": ids}, attrs={"dropped": []}
        )
        return Target("monkey", array, k_folds(ids, n=n_folds, name="made"))

    return make


@pytest.fixture
def shown(session: Session) -> Shown:
    """Where the mathematics runs; its stimuli are never looked at where features are given."""
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    return Shown(session, StimulusSet("none", ("s000",), lambda _: image), Recording(), ())
