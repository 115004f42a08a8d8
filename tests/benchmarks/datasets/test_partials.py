"""What is in the making, and what killed processes leave of it."""

import os
import time
from pathlib import Path

import pytest

from benchmarks.datasets.nsd_simulator import SimulatedNSD, simulate_nsd, writer
from benchmarks.datasets.partials import partial_file, partial_folder, sweep_partials

TWO_DAYS_AGO = time.time() - 2 * 24 * 3600


def aged(path: Path) -> Path:
    for each in (*path.rglob("*"), path):
        os.utime(each, (TWO_DAYS_AGO, TWO_DAYS_AGO))
    return path


def litter(cache: Path) -> tuple[Path, Path]:
    """A file and a folder as a killed process leaves them."""
    with partial_file(cache / "nsd" / "key.npz") as file, partial_folder(cache / "tree") as folder:
        names = file, folder
    names[0].write_bytes(b"half")
    (names[1] / "tree").mkdir(parents=True)
    (names[1] / "tree" / "betas").write_bytes(b"half")
    return names


def test_names_lie_beside_the_target_and_vanish(tmp_path: Path) -> None:
    with partial_file(tmp_path / "a.npz") as file, partial_folder(tmp_path / "b") as folder:
        assert file.parent == folder.parent == tmp_path
        assert file.name.endswith(".partial") and folder.name.endswith(".partial")
        file.write_text("whole")
        file.replace(tmp_path / "a.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_old_litter_is_swept_and_nothing_else(tmp_path: Path) -> None:
    old = [aged(path) for path in litter(tmp_path)]
    new = litter(tmp_path)
    kept = aged(new[1])
    (kept / "tree" / "still-written").write_text("")
    whole = tmp_path / "nsd" / "other.npz"
    whole.write_text("")
    aged(whole)
    assert set(sweep_partials(tmp_path)) == set(old)
    assert all(path.exists() for path in (*new, whole))
    assert sweep_partials(tmp_path) == ()
    assert sweep_partials(tmp_path / "absent") == ()


def test_a_simulation_in_the_making_can_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def stopped(root: Path, *_args: object, **_kwargs: object) -> None:
        seen.append(root.parent)
        raise OSError("killed")

    monkeypatch.setattr(writer, "_write_tree", stopped)
    with pytest.raises(OSError, match="killed"):
        simulate_nsd(tmp_path / "tree", settings=SimulatedNSD())
    assert seen[0].parent == tmp_path and seen[0].match(".tree.*.partial")
    assert list(tmp_path.iterdir()) == []
