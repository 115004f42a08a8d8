"""MNIST and Fashion-MNIST as data sets, from the published files where they are at hand."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import MNIST as TorchvisionMNIST
from torchvision.datasets import FashionMNIST as TorchvisionFashion

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings, Fetches, holds_labels
from benchmarks.datasets.mnist import FASHION_MNIST, MNIST, build_fashion_mnist, build_mnist
from benchmarks.datasets.sources import HasTrainingImages

KINDS = [(MNIST, build_mnist, TorchvisionMNIST), (FASHION_MNIST, build_fashion_mnist, TorchvisionFashion)]
N = 25


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in torchvision's layout: 25 test and 30 training images of each set."""
    place, random = tmp_path_factory.mktemp("root"), np.random.default_rng(0)
    for kind, _, _ in KINDS:
        folder = place / kind.published.folder / "raw"
        folder.mkdir(parents=True)
        for part, n in (("t10k", N), ("train", 30)):
            images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))
    return place


@pytest.mark.parametrize(("kind", "build", "theirs"), KINDS)
def test_images_labels_and_classes_are_those_of_torchvision(root: Path, kind, build, theirs) -> None:
    made = build(DataSettings(root=root), None)
    assert holds_labels(made) and isinstance(made, Fetches) and isinstance(made, HasTrainingImages)
    for train in (False, True):
        expected = theirs(root, train=train, download=False)
        if train:
            images, targets = made.train()
        else:
            images = np.stack([made.stimuli.image(stimulus) for stimulus in made.stimuli.ids])
            targets = made.targets()
        np.testing.assert_array_equal(images[..., 1], expected.data.numpy())
        np.testing.assert_array_equal(targets, expected.targets.numpy())
    assert made.stimuli.labels == tuple(made.classes[target] for target in made.targets())
    named = [name.split(" - ")[0] for name in theirs.classes]
    assert list(made.classes) == named


@pytest.mark.parametrize(("kind", "build", "theirs"), KINDS)
def test_a_cut_set_says_so_and_a_subset_is_the_first(root: Path, kind, build, theirs) -> None:
    made = build(DataSettings(root=root), None)
    assert made.name == kind.name and made.marks == (f"subset={N}",)
    assert made.describe()["test images at hand"] == N and kind.licence == made.describe()["licence"]
    few = build(DataSettings(root=root, options={"subset": "9"}), None)
    assert few.marks == ("subset=9",) and few.stimuli.ids == made.stimuli.ids[:9]
    assert few.fingerprint != made.fingerprint
    copy = pickle.loads(pickle.dumps(made))
    assert (copy.fingerprint, copy.stimuli.fingerprint) == (made.fingerprint, made.stimuli.fingerprint)


def test_the_two_sets_lie_beside_each_other_or_in_folders_of_their_own(root: Path, tmp_path: Path) -> None:
    digits, garments = build_mnist(DataSettings(root=root), None), build_fashion_mnist(DataSettings(root=root), None)
    assert digits.stimuli.fingerprint != garments.stimuli.fingerprint
    assert len(digits.fetch()) == len(garments.fetch()) == 4
    moved = tmp_path / "data" / "mnist"
    moved.parent.mkdir()
    moved.symlink_to(root / "MNIST")
    for settings in (DataSettings(root=tmp_path / "data"), DataSettings(folder=root / "MNIST" / "raw")):
        assert build_mnist(settings, None).stimuli.fingerprint == digits.stimuli.fingerprint


def test_bad_requests(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^mnist\.zero: nothing follows mnist; leave \.zero out$"):
        build_mnist(DataSettings(root=root), "zero")
    with pytest.raises(RequestError, match=r"^fashion_mnist takes no data\.subse; did you mean subset\?$"):
        build_fashion_mnist(DataSettings(root=root, options={"subse": "3"}), None)
    with pytest.raises(RequestError, match=rf"^data\.subset=26: .*t10k-images-idx3-ubyte holds {N} images"):
        build_mnist(DataSettings(root=root, options={"subset": "26"}), None)
    with pytest.raises(DataError, match=r"nowhere: no such folder; make it, and mnist is downloaded into it"):
        build_mnist(DataSettings(folder=tmp_path / "nowhere"), None)


def test_the_published_files(shared_data: Path, tmp_path: Path) -> None:
    """Counts that anybody can look up: the first test digits are 7, 2, 1, 0, the first garment is an ankle boot."""
    for kind, _, _ in KINDS:
        folder = tmp_path / kind.published.folder / "raw"
        folder.mkdir(parents=True)
        packed = shared_data / "torchvision" / kind.published.folder / "raw"
        for path in sorted(packed.glob("*.gz")):
            (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    digits, garments = (build(DataSettings(root=tmp_path), None) for _, build, _ in KINDS)
    assert digits.stimuli.labels[:4] == ("7", "2", "1", "0") and garments.stimuli.labels[0] == "Ankle boot"
    assert digits.marks == garments.marks == ("subset=2000",)
    assert [len(made.train().images) for made in (digits, garments)] == [12_000, 12_000]
