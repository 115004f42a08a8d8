"""A user's folder: images, and four repetitions of each in mixed order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

STIMULI, NEUROIDS, REPETITIONS = 30, 8, 4
NAMES = [f"image{number:03d}.png" for number in range(STIMULI)]


def write_images(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for shade, name in enumerate(NAMES):
        Image.fromarray(np.full((6, 6, 3), shade, np.uint8)).save(folder / "images" / name)


def simulated() -> tuple[pd.DataFrame, np.ndarray]:
    """Presentations in mixed order, and their responses: signal variance 4, noise variance 1."""
    random = np.random.default_rng(0)
    shown = pd.DataFrame({"stimulus": np.tile(NAMES, REPETITIONS)}).sample(frac=1, random_state=0, ignore_index=True)
    signal = pd.DataFrame(random.normal(size=(STIMULI, NEUROIDS)) * 2, index=NAMES)
    return shown, signal.loc[shown["stimulus"]].to_numpy() + random.normal(size=(len(shown), NEUROIDS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """npy and csv, four repetitions, nothing optional."""
    place = tmp_path / "my data"
    write_images(place)
    shown, values = simulated()
    shown.to_csv(place / "presentations.csv", index=False)
    np.save(place / "responses.npy", values)
    return place
