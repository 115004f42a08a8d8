"""Objects to draw from: blobs that nobody wrote, and the published ones where they are at hand."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from alignment.stimuli.clutter import Objects


@pytest.fixture(scope="session")
def blobs() -> Objects:
    """Forty strokes of each domain, bright on black, asymmetric, four of each class."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:28, :28]

    def stroke() -> np.ndarray:
        image = np.zeros((28, 28))
        for _ in range(4):
            row, column = random.uniform(8, 20, 2)
            image += np.exp(
                -((rows - row) ** 2) / random.uniform(2, 20) - (columns - column) ** 2 / random.uniform(2, 20)
            )
        return np.rint(255 * np.minimum(image / image.max() * 1.2, 1)).astype(np.uint8)

    digits, garments = (np.stack([stroke() for _ in range(40)]) for _ in range(2))
    return Objects(digits, np.arange(40) % 10, garments, np.arange(40) % 10)


@pytest.fixture(scope="session")
def test_objects(shared_data: Path) -> Objects:
    """The first 2,000 test images of MNIST and Fashion-MNIST, read without the project's own reader."""
    parts = []
    for name in ("MNIST", "FashionMNIST"):
        raw = shared_data / "torchvision" / name / "raw"
        images, labels = (
            np.frombuffer(gzip.decompress((raw / f"t10k-{kind}-ubyte.gz").read_bytes()), np.uint8)
            for kind in ("images-idx3", "labels-idx1")
        )
        parts += [images[16:].reshape(-1, 28, 28), labels[8:].astype(np.int64)]
    return Objects(*parts)
