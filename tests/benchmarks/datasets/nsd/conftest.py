"""One small simulated data set for all tests here, and copies of it to break."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.nsd import NSD, Tree
from benchmarks.datasets.nsd_simulator import SMOKE, simulate_nsd, truth_path

BETA = "betas_fithrf_GLMdenoise_RR"


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke simulation, two subjects of six and five sessions. Never written to."""
    return simulate_nsd(tmp_path_factory.mktemp("nsd") / "tree", settings=SMOKE, seed=0)


@pytest.fixture(scope="session")
def tree(root: Path) -> Tree:
    return Tree.at(root)


@pytest.fixture(scope="session")
def truth(root: Path) -> dict[str, np.ndarray]:
    with np.load(truth_path(root)) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture
def broken(root: Path, tmp_path: Path) -> Tree:
    """A copy by hard links: unlink a file before writing another in its place."""
    shutil.copytree(root, tmp_path / "broken", copy_function=os.link)
    return Tree.at(tmp_path / "broken")


@pytest.fixture
def load(root: Path, tmp_path: Path) -> Callable[..., NSD]:
    """load("V1", source="nii") -> the data set, with a cache of its own."""

    def loaded(roi: str = "V1", /, *, folder: Path = root, **options: str) -> NSD:
        return NSD(DataSettings(folder=folder, cache=tmp_path / "cache", options=options), roi=roi)

    return loaded
