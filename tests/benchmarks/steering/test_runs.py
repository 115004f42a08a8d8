"""Steering from the command to the table."""

import csv
import subprocess
import sys
from pathlib import Path

BENCH = Path(sys.executable).parent / "bench"
WORDS = ["model=toy_lrm", "model.weights=none", "benchmark=steering", "data.subset=80", "nulls=none"]


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_each_strength_has_hallucinations_beside_it(tmp_path: Path) -> None:
    done = bench(tmp_path, "run", *WORDS)
    assert done.returncode == 0, done.stdout + done.stderr
    boards = tmp_path / "results" / "leaderboards"
    (row,) = rows_of(boards / "steering.csv")
    assert row["benchmark"] == "steering-cued-overlap[subset=80]" and row["model"] == "toy_lrm[weights=none]"
    # a network that was never trained follows no cue
    assert float(row["raw"]) < 0.5
    named = [each["layer"] for each in rows_of(boards / "steering.layers.csv")]
    for strength in range(6):
        assert f"one-hot @ strength {strength}" in named and f"one-hot @ strength {strength}, hallucination" in named
    assert any(name.endswith("share 0.3") for name in named)
    again = bench(tmp_path, "run", *WORDS)
    assert "0 scores computed, 1 were there" in again.stdout


def test_side_by_side_is_another_measure(tmp_path: Path) -> None:
    done = bench(tmp_path, "run", *WORDS, "benchmark.measure=steering-side-by-side")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = rows_of(tmp_path / "results" / "leaderboards" / "steering.csv")
    assert row["benchmark"] == "steering-cued-side-by-side[subset=80]"


def test_a_network_without_feedback_is_refused_in_one_line(tmp_path: Path) -> None:
    done = bench(tmp_path, "run", "model=toy", "model.weights=none", "benchmark=steering")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "has no feedback from its decisions, so it cannot be steered" in done.stderr
    assert not (tmp_path / "results" / "records").exists()
