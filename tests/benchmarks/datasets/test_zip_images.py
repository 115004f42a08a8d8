"""Numbered images inside a zip."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignment.errors import DataError
from benchmarks.datasets.zip_images import ZipImages


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path: Path, entries: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("prefix", ["", "images_201025/", "/deep/../er/"])
def test_sorted_by_number_whatever_the_prefix(tmp_path: Path, prefix: str) -> None:
    shades = {"image10.png": 10, "image9.PNG": 9, "image11.png": 11}
    images = ZipImages(zipped(tmp_path / "i.zip", {prefix + name: png(shade) for name, shade in shades.items()}))
    assert list(images.entries) == ["image9", "image10", "image11"]
    assert [images.read(name)[0, 0, 0] for name in images.entries] == [9, 10, 11]
    assert images.read("image9").shape == (4, 5, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"i.zip"}


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    others = {"a/": b"", "a/readme.txt": b"", "__MACOSX/a/image1.png": b"", "a/._image1.png": b""}
    assert list(ZipImages(zipped(tmp_path / "i.zip", {**others, "a/image1.png": png(1)})).entries) == ["image1"]


def test_the_same_after_pickling(tmp_path: Path) -> None:
    images = ZipImages(zipped(tmp_path / "i.zip", {"image1.png": png(7)}))
    copy = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(copy.read("image1"), images.read("image1"))


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ({"notes.txt": b""}, "no numbered image"),
        ({"image1.png": b"", "b/image01.png": b""}, r"image 1 is there twice \(image1.png, b/image01.png\)"),
        ({"image1.png": b"", "image4.png": b""}, r"image 2 is missing \(2 are\)"),
    ],
)
def test_bad_entries(tmp_path: Path, entries: dict[str, bytes], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        ZipImages(zipped(tmp_path / "i.zip", entries))


def test_a_truncated_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "i.zip", {"image1.png": png(1)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"i\.zip: cannot read the zip"):
        ZipImages(path)


def test_a_damaged_entry(tmp_path: Path) -> None:
    path = zipped(tmp_path / "i.zip", {"image1.png": png(1)})
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"image1\.png: cannot read the entry"):
        ZipImages(path).read("image1")


def test_an_entry_that_is_no_image(tmp_path: Path) -> None:
    images = ZipImages(zipped(tmp_path / "i.zip", {"image1.png": b"no picture"}))
    with pytest.raises(DataError, match=r"image1\.png: cannot decode the image"):
        images.read("image1")
