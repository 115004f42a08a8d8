"""Cluttered images as labelled sets; the generator is tested beside it, numbers of the image in tests/real."""

import gzip
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import DataError, RequestError
from alignment.stimuli.clutter import CLASSES, Clutter, Objects
from benchmarks.datasets.base import DataSettings, Fetches, holds_labels
from benchmarks.datasets.clutter import build, build_clean, cut_marks, objects_of, sources_of
from benchmarks.datasets.mnist_files import TEST
from benchmarks.datasets.orthogonal import build as build_orthogonal

FOLDERS = ("MNIST/raw", "FashionMNIST/raw")
N = 12


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The published test images as torchvision unpacks them."""
    place = tmp_path_factory.mktemp("root")
    for folder in FOLDERS:
        (place / folder).mkdir(parents=True)
        for packed in sorted((shared_data / "torchvision" / folder).glob("t10k-*.gz")):
            (place / folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return place


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def few(root: Path, cache: Path) -> DataSettings:
    return DataSettings(root=root, cache=cache, options={"subset": str(N)})


def read(root: Path, kind: str, offset: int) -> list[np.ndarray]:
    """Bytes after the head of the files of digits, and of garments."""
    return [
        np.frombuffer((root / folder / f"t10k-{kind}-ubyte").read_bytes(), np.uint8, offset=offset)
        for folder in FOLDERS
    ]


def test_labels_are_the_categories_of_the_objects_shown(root: Path, few: DataSettings) -> None:
    made = build(few, None)
    assert holds_labels(made) and isinstance(made, Fetches) and made.classes == CLASSES
    classes = read(root, "labels-idx1", 8)
    for place, label in enumerate(made.stimuli.labels):
        shown = made.clutter.scene(place).shown
        assert CLASSES.index(label) == 10 * shown.domain + classes[shown.domain][shown.exemplar]
    assert made.targets().tolist() == [CLASSES.index(label) for label in made.stimuli.labels]


def test_pixels_are_those_of_the_generator_to_half_a_grey_value(root: Path, few: DataSettings) -> None:
    digits, garments = (pixels.reshape(-1, 28, 28) for pixels in read(root, "images-idx3", 16))
    classes = [labels.astype(np.int64) for labels in read(root, "labels-idx1", 8)]
    series = Clutter(Objects(digits, classes[0], garments, classes[1]))
    for made, clean in ((build(few, None), False), (build_clean(few, None), True)):
        images = np.stack([made.stimuli.image(stimulus) for stimulus in made.stimuli.ids])
        assert images.dtype == np.uint8 and images.shape == (N, 100, 100, 3)
        expected = series.batch(range(N), clean=clean).images
        assert np.abs(images[..., 0] / 255 - expected).max() <= 0.5 / 255 + 1e-6


def test_the_clean_twin_has_the_same_targets(few: DataSettings) -> None:
    cluttered, clean = build(few, None), build_clean(few, None)
    assert (cluttered.name, clean.name) == ("clutter", "clutter-clean")
    assert cluttered.stimuli.labels == clean.stimuli.labels
    assert cluttered.stimuli.fingerprint != clean.stimuli.fingerprint
    black = [(made.stimuli.image(made.stimuli.ids[0]) < 30).mean() for made in (cluttered, clean)]
    assert black[0] < black[1]


def test_an_id_says_that_fewer_images_or_objects_were_used(few: DataSettings, root: Path) -> None:
    made = build(few, None)
    assert made.marks == (f"subset={N}", "objects=2000+2000")
    assert build(DataSettings(root=root), None).marks == ("objects=2000+2000",)
    assert [path.parent.parent.name for path in made.fetch()] == ["MNIST"] * 2 + ["FashionMNIST"] * 2
    whole = np.zeros((10_000, 28, 28), np.uint8)
    classes = np.arange(10_000) % 10
    assert cut_marks(Objects(whole, classes, whole, classes)) == ()
    assert cut_marks(Objects(whole, classes, whole[:9], classes[:9])) == ("objects=10000+9",)


def test_fingerprints_follow_objects_and_count(few: DataSettings, root: Path, tmp_path: Path) -> None:
    made = build(few, None)
    more = build(DataSettings(root=root, options={"subset": "13"}), None)
    assert more.stimuli.ids[:N] == made.stimuli.ids and more.fingerprint != made.fingerprint
    # the same labels, other pixels
    other = tmp_path / "other"
    shutil.copytree(root, other)
    path = other / "MNIST/raw/t10k-images-idx3-ubyte"
    data = bytearray(path.read_bytes())
    data[16] ^= 1
    path.write_bytes(data)
    changed = build(DataSettings(folder=other, options={"subset": str(N)}), None)
    assert changed.stimuli.labels == made.stimuli.labels and changed.fingerprint != made.fingerprint


def test_images_are_made_once_and_shared_with_what_reads_their_variables(few: DataSettings, cache: Path) -> None:
    made = build(few, None)
    first = made.stimuli.image("clutter00003")
    files = {path.name: path.stat().st_mtime_ns for path in (cache / "clutter").iterdir()}
    other = build_orthogonal(few, "category")
    assert made.stimuli.fingerprint == other.stimuli.fingerprint and made.stimuli.labels == other.stimuli.labels
    packed = pickle.dumps(made)
    # images stay in their file
    assert len(packed) < len(pickle.dumps(made.clutter)) + N * 100 * 100
    copy = pickle.loads(packed)
    np.testing.assert_array_equal(copy.stimuli.image("clutter00003"), first)
    assert (copy.fingerprint, copy.stimuli.fingerprint) == (made.fingerprint, made.stimuli.fingerprint)
    assert {path.name: path.stat().st_mtime_ns for path in (cache / "clutter").iterdir()} == files


def test_objects_are_of_the_part_asked_for(root: Path) -> None:
    objects = objects_of(sources_of(DataSettings(root=root)), part=TEST)
    for images, expected in zip(objects.images, read(root, "images-idx3", 16), strict=True):
        np.testing.assert_array_equal(images.ravel(), expected)


def test_bad_requests(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^clutter\.scale: nothing follows clutter; leave \.scale out$"):
        build(DataSettings(root=root), "scale")
    with pytest.raises(RequestError, match=r"^clutter-clean takes no data\.sub; did you mean subset\?$"):
        build_clean(DataSettings(root=root, options={"sub": "3"}), None)
    with pytest.raises(RequestError, match=r"^data\.subset=1001: clutter holds 1000 images"):
        build(DataSettings(root=root, options={"subset": "1001"}), None)
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        build(DataSettings(folder=tmp_path / "nowhere"), None)
    half = tmp_path / "half"
    shutil.copytree(root, half)
    (half / "FashionMNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"cannot read .*FashionMNIST/raw/t10k-labels-idx1-ubyte") as caught:
        build(DataSettings(root=half), None)
    assert "\n" not in str(caught.value)
