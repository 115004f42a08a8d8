"""npy files that are not what they should be."""

from pathlib import Path

import numpy as np
import pytest

from alignment.errors import DataError
from benchmarks.datasets.npy_files import read_array

DIMS = ("presentation", "neuroid")


def test_reads_what_was_saved(tmp_path: Path) -> None:
    values = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", dims=DIMS), values)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (np.zeros((2, 3, 4)), r"shape is \(2, 3, 4\), expected \(presentation, neuroid\)"),
        (np.zeros((0, 3)), "none empty"),
        (np.array([["a"]]), "expected one npy array of real numbers"),
        (np.array([[1j]]), "complex128, expected one npy array of real numbers"),
    ],
)
def test_wrong_kinds(tmp_path: Path, values: np.ndarray, fault: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match=fault):
        read_array(tmp_path / "a.npy", dims=DIMS)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot read the array"):
        read_array(tmp_path / "a.npy", dims=DIMS)


@pytest.mark.parametrize("size", [0, 3, 60, 150])
def test_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4)))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"a\.npy: cannot read the array \(truncated, pickled or not npy\)"):
        read_array(path, dims=DIMS)


def test_archives_and_absent_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 2)))
    with pytest.raises(DataError, match="an npz archive"):
        read_array(tmp_path / "a.npz", dims=DIMS)
    with pytest.raises(DataError, match="No such file"):
        read_array(tmp_path / "b.npy", dims=DIMS)
