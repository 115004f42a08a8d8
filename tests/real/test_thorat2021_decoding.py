"""What a read-out tells of cluttered images as they are, against the published numbers of the layer that holds them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from alignment.decoding import PUBLISHED, read_out
from alignment.stimuli.clutter import VARIABLES, Clutter, Objects
from benchmarks.datasets.mnist_files import TEST, RawFiles

# the published order of variables, of which location is the mean of the second and third
READ = ("category", "column", "row", "scale", "orientation", "domain")
SUMMARY = ("category", "location", "scale", "orientation", "domain")
CLUTTERED = (6.6, 66.5, 56.8, 53.4, 52.4)
CLEAN = (23.9, 100.0, 91.8, 68.9, 65.5)
IMAGES, SERIES = 1000, 3


def in_summary(values: np.ndarray) -> np.ndarray:
    """(..., variable), column and row averaged."""
    return np.concatenate([values[..., :1], values[..., 1:3].mean(axis=-1, keepdims=True), values[..., 3:]], axis=-1)


@pytest.fixture(scope="module")
def published(shared_data: Path) -> np.ndarray:
    """(network, condition, variable) percent, cluttered and clean, of the input layer at its first time step."""
    files = sorted((shared_data / "thorat2021").glob("dec_acc*.npy"))
    found = []
    for path in files:
        with path.open("rb") as file:
            layers = np.load(file)
        # layer, step, variable, condition, repetition
        found.append(100 * layers[0, 0].mean(axis=-1).T)
    return in_summary(np.stack(found))


def test_the_published_numbers_are_those_of_the_files(published) -> None:
    assert published.shape == (10, 2, 5)
    np.testing.assert_allclose(published.mean(axis=0), [CLUTTERED, CLEAN], atol=0.1)


@pytest.mark.slow
def test_read_outs_of_new_images_agree_with_the_published_ones(published, shared_data, tmp_path) -> None:
    """Over 5 folds, so that 800 images are fitted as published and all 1,000 judged.

    The objects are 2,000 of each 10,000, so that exemplars recur; images differ more between series than chance says.
    """
    objects = Objects(*[part for name in ("MNIST", "FashionMNIST") for part in objects_of(shared_data, name, tmp_path)])
    assert set(READ) == set(VARIABLES)
    found = np.empty((SERIES, 2, len(READ)))
    for seed, clean in np.ndindex(SERIES, 2):
        batch = Clutter(objects, seed=seed).batch(range(IMAGES), clean=bool(clean))
        labels = np.stack([batch.variables[name] for name in READ], axis=1)
        x = torch.from_numpy(batch.images.reshape(IMAGES, -1))
        read = read_out(x, labels, folds=np.arange(IMAGES) % 5, inner=None, decoder=PUBLISHED)
        found[seed, clean] = 100 * (read.predicted == labels).mean(axis=0)
    ours, theirs = in_summary(found).mean(axis=0), published.mean(axis=0)
    share = theirs / 100
    # location is two read-outs of the same images
    error = 100 * np.sqrt(share * (1 - share) / (SERIES * IMAGES))
    stated = published.std(axis=0, ddof=1) / np.sqrt(len(published))
    np.testing.assert_array_less(np.abs(ours - theirs), 3 * np.hypot(error, stated) + 0.5, err_msg=f"{ours} {theirs}")


def objects_of(shared_data: Path, name: str, place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Test images and classes of one set, unpacked into a temporary folder."""
    folder = place / name
    folder.mkdir()
    for packed in sorted((shared_data / "torchvision" / name / "raw").glob(f"{TEST}-*.gz")):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    found = RawFiles(folder).grey(TEST)
    return found.images, found.targets
