"""Cluttered images with the variables of their targets; their numbers on the raw image are in tests/real."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import DataError, RequestError
from alignment.stimuli.clutter import CLASSES
from benchmarks.catalogue import ENTRIES
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.orthogonal import VARIABLES, build, build_clean, build_digits
from benchmarks.decoding.variables import variables_of

N = 60
FOLDERS = ("MNIST/raw", "FashionMNIST/raw")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The test images as torchvision unpacks them."""
    place = tmp_path_factory.mktemp("root")
    for folder in FOLDERS:
        (place / folder).mkdir(parents=True)
        for packed in sorted((shared_data / "torchvision" / folder).glob("t10k-*.gz")):
            (place / folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return place


def of_digits(cache: Path, selection: str, n: int = N):
    return build_digits(DataSettings(cache=cache, options={"subset": str(n)}), selection)


@pytest.mark.parametrize("selection", VARIABLES)
def test_classes_and_variables_say_the_same(cache, selection) -> None:
    dataset = of_digits(cache, selection)
    names, labels = variables_of(dataset)
    assert names == VARIABLES[selection].read and labels.shape == (N, len(names))
    targets = 2 * labels[:, 0] + labels[:, 1] if selection == "location" else labels[:, 0]
    np.testing.assert_array_equal(dataset.targets(), targets)
    assert dataset.name == f"orthogonal-digits.{selection}" and dataset.marks == (f"subset={N}",)


def test_the_target_is_where_and_what_its_labels_say(cache) -> None:
    category, location, domain = (of_digits(cache, name) for name in ("category", "location", "domain"))
    assert category.classes == tuple("0123456789")
    np.testing.assert_array_equal(category.targets() >= 5, domain.targets() == 1)
    clean = location.clutter.batch(range(N), clean=True).images
    rows, columns = (clean.sum(axis=axis) @ np.arange(100) / clean.sum(axis=(1, 2)) for axis in (2, 1))
    corners = [
        f"{'bottom' if row > 50 else 'top'} {'right' if column > 50 else 'left'}"
        for row, column in zip(rows, columns, strict=True)
    ]
    assert list(location.stimuli.labels) == corners
    image = location.stimuli.image(location.stimuli.ids[3])
    assert image.dtype == np.uint8 and image.min() == 0 and image.max() == 255


def test_images_are_made_once_and_alike_for_every_variable(cache) -> None:
    first, again = of_digits(cache, "scale"), of_digits(cache, "orientation")
    assert first.stimuli.fingerprint == again.stimuli.fingerprint
    assert first.fingerprint != again.fingerprint
    (file,) = (cache / "clutter").glob(f"cluttered-{N}-*.npy")
    before = file.stat().st_mtime_ns
    of_digits(cache, "scale").stimuli.image("clutter00000")
    assert file.stat().st_mtime_ns == before
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"damaged .*; delete it, and it is made again"):
        of_digits(cache, "scale").stimuli.image("clutter00000")
    file.unlink()


def test_fewer_images_are_the_first(cache) -> None:
    few, more = of_digits(cache, "scale", 10), of_digits(cache, "scale", 20)
    assert few.stimuli.ids == more.stimuli.ids[:10]
    np.testing.assert_array_equal(few.targets(), more.targets()[:10])
    np.testing.assert_array_equal(few.stimuli.image("clutter00007"), more.stimuli.image("clutter00007"))


def test_from_the_test_images_of_mnist_with_and_without_clutter(cache, root) -> None:
    settings = DataSettings(root=root, cache=cache, options={"subset": "20"})
    cluttered, clean = build(settings, "category"), build_clean(settings, "category")
    assert cluttered.classes == clean.classes == CLASSES
    np.testing.assert_array_equal(cluttered.targets(), clean.targets())
    pixels = [each.stimuli.image("clutter00000").astype(int) for each in (cluttered, clean)]
    assert (pixels[0] > 60).mean() > 2 * (pixels[1] > 60).mean()
    assert len(cluttered.fetch()) == 4
    assert cluttered.marks == ("subset=20", "objects=2000+2000")
    named = build(DataSettings(folder=root, cache=cache, options={"subset": "20"}), "category")
    assert named.fingerprint == cluttered.fingerprint


def test_bad_words_are_refused(cache) -> None:
    with pytest.raises(RequestError, match=r"variable of orthogonal-digits 'scal'; did you mean scale"):
        of_digits(cache, "scal")
    with pytest.raises(RequestError, match=r"data\.subset=500: orthogonal-digits holds 400 images"):
        of_digits(cache, "scale", 500)
    for name in ("orthogonal", "orthogonal-clean", "orthogonal-digits"):
        assert ENTRIES[name].selections == tuple(VARIABLES)
