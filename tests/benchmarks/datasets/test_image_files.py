"""Image files decode one way or not at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignment.errors import DataError
from benchmarks.datasets.image_files import ImageFolder, decode

RGB = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)


def saved(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(image).save(path)
    return path


def test_lossless_rgb_is_what_was_saved(tmp_path: Path) -> None:
    np.testing.assert_array_equal(decode(saved(tmp_path / "a.png", RGB), name="a"), RGB)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = decode(saved(tmp_path / "a.png", RGB[..., 0]), name="a")
    np.testing.assert_array_equal(grey, np.repeat(RGB[..., :1], 3, axis=2))


def test_opaque_alpha_is_no_matter_and_transparency_is(tmp_path: Path) -> None:
    alpha = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(decode(saved(tmp_path / "a.png", alpha), name="a"), RGB)
    alpha[0, 0, 3] = 254
    with pytest.raises(DataError, match="a: image is see-through; flatten it"):
        decode(saved(tmp_path / "a.png", alpha), name="a")


def test_more_than_eight_bits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="8 bits a channel"):
        decode(saved(tmp_path / "a.png", RGB[..., 0].astype(np.uint16) * 256), name="a")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", np.tile(RGB, (20, 20, 1)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="a: cannot decode the image"):
        decode(path, name="a")


def test_found_by_file_name_or_stem(tmp_path: Path) -> None:
    for name in ("cat.png", "dog.1.jpg", "two.png", "two.jpg"):
        saved(tmp_path / name, RGB)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".hidden.png").write_text("")
    images = ImageFolder(tmp_path)
    assert sorted(images.files) == ["cat.png", "dog.1.jpg", "two.jpg", "two.png"]
    assert [images.resolve(text) for text in ("cat", "cat.png", "dog.1", "two.png")] == [
        "cat.png",
        "cat.png",
        "dog.1.jpg",
        "two.png",
    ]
    with pytest.raises(DataError, match=r"two\.jpg and two\.png are in .*; give the file name"):
        images.resolve("two")
    with pytest.raises(DataError, match=r"'catt': no image of that name in .*; did you mean cat"):
        images.resolve("catt")
    np.testing.assert_array_equal(images.read("cat.png"), RGB)


def test_never_outside_the_folder(tmp_path: Path) -> None:
    saved(tmp_path / "secret.png", RGB)
    (tmp_path / "in").mkdir()
    saved(tmp_path / "in" / "cat.png", RGB)
    with pytest.raises(DataError, match="no image of that name"):
        ImageFolder(tmp_path / "in").resolve("../secret.png")


def test_no_folder_and_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(tmp_path / "absent")
    with pytest.raises(DataError, match="no image in it"):
        ImageFolder(tmp_path)
