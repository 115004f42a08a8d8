"""Struct arrays of MATLAB files, written by SciPy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.distance import squareform

from alignment.errors import DataError
from benchmarks.datasets.kriegeskorte2008_files import MatlabImages, read_rdms, stack

STIMULI = ("a", "b", "c", "d")
PAIRS = np.arange(1.0, 7.0)


def write(path: Path, *rdms: np.ndarray) -> Path:
    """A MATLAB file with one struct array `Models`, records named m0, m1, ..."""
    array = np.empty((1, len(rdms)), dtype=[("RDM", object), ("name", object)])
    for number, rdm in enumerate(rdms):
        array[0, number] = (rdm, f" m{number} ")
    savemat(path, {"Models": array})
    return path


def test_squares_and_rows_of_pairs_of_any_number_type(tmp_path: Path) -> None:
    whole = squareform(PAIRS.astype(np.uint8))
    path = write(tmp_path / "x.mat", squareform(PAIRS), PAIRS[None], whole, squareform(np.float32(PAIRS / 3)))
    named = read_rdms(path, variable="Models", stimuli=STIMULI)
    assert list(named) == ["m0", "m1", "m2", "m3"]
    for name in ("m0", "m1", "m2"):
        np.testing.assert_array_equal(named[name].dissimilarities, PAIRS[None])
    np.testing.assert_array_equal(named["m3"].dissimilarities[0], np.float32(PAIRS / 3))
    assert {rdms.dissimilarities.dtype.name for rdms in named.values()} == {"float64"}
    assert named["m0"].stimuli == STIMULI


def test_stacked_rows_keep_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mat", squareform(PAIRS), squareform(PAIRS * 2))
    both = stack(read_rdms(path, variable="Models", stimuli=STIMULI), distance="d", subjects="xy", sessions="12")
    assert (both.subjects, both.sessions, both.distance) == (("x", "y"), ("1", "2"), "d")
    np.testing.assert_array_equal(both.dissimilarities, [PAIRS, PAIRS * 2])


@pytest.mark.parametrize(
    ("rdm", "fault"),
    [
        (np.arange(16.0).reshape(4, 4), "not symmetric"),
        (squareform(PAIRS)[:3, :3], "of 4 stimuli"),
        (PAIRS[None, :5], "6 pairs"),
    ],
)
def test_rdms_that_do_not_fit(tmp_path: Path, rdm: np.ndarray, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read_rdms(write(tmp_path / "x.mat", rdm), variable="Models", stimuli=STIMULI)


def test_images_are_numbered_within_the_file_and_keep_their_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    array = np.empty((1, 2), dtype=[("category", object), ("image", object)])
    array[0, 0], array[0, 1] = ("human face", pixels[0]), ("human face", pixels[1])
    savemat(tmp_path / "x.mat", {"stimuli_92objs": array})
    stimuli = MatlabImages(tmp_path / "x.mat").stimulus_set("mine")
    assert (stimuli.name, stimuli.ids) == ("mine", ("01-human-face", "02-human-face"))
    assert stimuli.labels == ("human face", "human face")
    for name, expected in zip(stimuli.ids, pixels, strict=True):
        np.testing.assert_array_equal(stimuli.image(name), expected)
    np.testing.assert_array_equal(stimuli.pixels(stimuli.ids).numpy(), np.float32(pixels.transpose(0, 3, 1, 2)) / 255)
