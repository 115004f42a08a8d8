"""Raw files of MNIST's kind, written byte by byte as their page describes them, and the published ones."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import DataError
from benchmarks.datasets.mnist_files import TEST, TRAIN, Published, RawFiles, file_name, raw_files

N = {TEST: 7, TRAIN: 11}
NAMES = [f"{part}-{kind}-ubyte" for part in ("t10k", "train") for kind in ("images-idx3", "labels-idx1")]


def idx(array: np.ndarray) -> bytes:
    """Two zeros, 8 for unsigned bytes, the number of axes, their sizes as big-endian integers, then the values."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def drawn() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    made = {}
    for part, n in N.items():
        made[file_name(part, "images")] = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        made[file_name(part, "labels")] = random.integers(0, 10, n, dtype=np.uint8)
    return made


def write(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / name).write_bytes(idx(array))
    return folder


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """What a server has: the four archives."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    for name, array in drawn().items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return folder


def published(address: str, upstream: Path) -> Published:
    sums = {name: hashlib.sha256((upstream / f"{name}.gz").read_bytes()).hexdigest() for name in NAMES}
    return Published("MNIST", f"{address}/", sums)


def test_images_and_classes_are_those_of_the_files(tmp_path: Path) -> None:
    made = drawn()
    assert sorted(made) == NAMES
    source = RawFiles(write(tmp_path / "raw", made))
    assert [path.name for path in source.files] == NAMES
    for part, coloured in ((TEST, source.test()), (TRAIN, source.train())):
        grey = source.grey(part)
        np.testing.assert_array_equal(grey.images, made[file_name(part, "images")])
        np.testing.assert_array_equal(grey.targets, made[file_name(part, "labels")])
        assert (grey.images.dtype, grey.targets.dtype) == (np.uint8, np.int64)
        assert coloured.images.shape == (N[part], 28, 28, 3)
        for colour in range(3):
            np.testing.assert_array_equal(coloured.images[..., colour], grey.images)
        np.testing.assert_array_equal(coloured.targets, grey.targets)


def test_published_files_are_those_of_an_independent_reading(shared_data: Path, tmp_path: Path) -> None:
    for name in ("MNIST", "FashionMNIST"):
        folder = tmp_path / name
        folder.mkdir()
        for packed in sorted((shared_data / "torchvision" / name / "raw").glob("t10k-*.gz")):
            (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
        found = RawFiles(folder).grey(TEST)
        labels = np.frombuffer((folder / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
        pixels = np.frombuffer((folder / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
        np.testing.assert_array_equal(found.targets, labels)
        np.testing.assert_array_equal(found.images.ravel(), pixels)
        assert len(found.images) == 2000


@pytest.mark.parametrize("layout", ["MNIST/raw", "raw", ".", "elsewhere"])
def test_files_at_hand_are_found_without_a_network(tmp_path: Path, closed_url: str, layout: str) -> None:
    folder = tmp_path / "mnist"
    place = write(tmp_path / "beside" if layout == "elsewhere" else folder / layout, drawn())
    nowhere = Published("MNIST", f"{closed_url}/", dict.fromkeys(NAMES, "0" * 64))
    assert raw_files(nowhere, folder, also=(tmp_path / "beside",)).folder.resolve() == place.resolve()


def test_downloads_are_checked_unpacked_and_made_once(
    tmp_path: Path, upstream: Path, serve: Callable[[Path], str]
) -> None:
    asked = published(serve(upstream), upstream)
    folder = tmp_path / "mnist"
    source = raw_files(asked, folder)
    assert source.folder == folder / "MNIST" / "raw"
    np.testing.assert_array_equal(source.grey(TRAIN).images, drawn()[file_name(TRAIN, "images")])
    for path in upstream.iterdir():
        path.unlink()
    assert raw_files(asked, folder) == source


def test_an_archive_that_is_another_or_cannot_be_unpacked_is_refused(
    tmp_path: Path, upstream: Path, serve: Callable[[Path], str]
) -> None:
    address = serve(upstream)
    other = published(address, upstream)
    (upstream / f"{NAMES[0]}.gz").write_bytes(gzip.compress(b"another"))
    with pytest.raises(DataError, match=r"sha256") as caught:
        raw_files(other, tmp_path / "other")
    assert "\n" not in str(caught.value)
    whole = gzip.compress(idx(drawn()[NAMES[0]]))
    (upstream / f"{NAMES[0]}.gz").write_bytes(whole[: len(whole) // 2])
    half = published(address, upstream)
    with pytest.raises(DataError, match=r"cannot unpack it \(.*\); delete it and fetch it again$"):
        raw_files(half, tmp_path / "half")
    assert not (tmp_path / "half" / "MNIST" / "raw" / NAMES[0]).exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (NAMES[0], None, r"cannot read .*t10k-images-idx3-ubyte \(No such file or directory\); put the unpacked file"),
        (NAMES[1], None, r"cannot read .*t10k-labels-idx1-ubyte \(No such file"),
        (NAMES[0], b"", "damaged, or not of this kind; replace it"),
        (NAMES[0], idx(np.zeros((7, 28, 28), np.uint8))[:500], "damaged, or not of this kind"),
        (NAMES[0], gzip.compress(idx(np.zeros((7, 28, 28), np.uint8)), mtime=0), "damaged, or not of this kind"),
        (NAMES[1], idx(np.zeros((7, 28, 28), np.uint8)), "damaged, or not of this kind"),
        (NAMES[0], idx(np.zeros((7, 27, 28), np.uint8)), r"images are \(7, 27, 28\) .*; replace both files$"),
        (NAMES[0], idx(np.zeros((6, 28, 28), np.uint8)), r"labels \(7,\), expected .* a label to each"),
        (NAMES[1], idx(np.full(7, 10, np.uint8)), r"a label is 10, expected 0 to 9; replace it$"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    source = RawFiles(write(tmp_path, drawn()))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        source.grey(TEST)
    assert "\n" not in str(caught.value)
    assert source.grey(TRAIN).images.shape == (11, 28, 28)
