"""Perturbed flows from the command to the table."""

import csv
import subprocess
import sys
from pathlib import Path

BENCH = Path(sys.executable).parent / "bench"
WORDS = ["model=toy_recurrent", "model.weights=none", "data.subset=24", "benchmark=perturbation-digits.location"]
BOARD = "perturbation-digits.location"


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), "run", *words], cwd=folder, capture_output=True, text=True, timeout=300)


def test_importance_by_layer_and_time_bin(tmp_path: Path) -> None:
    done = bench(tmp_path, *WORDS)
    assert done.returncode == 0, done.stdout + done.stderr
    boards = tmp_path / "results" / "leaderboards"
    with (boards / f"{BOARD}.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["benchmark"] == f"{BOARD}-importance[subset=24]" and row["model"] == "toy_recurrent[weights=none]"
    assert (row["layer"] in ("first", "second")) and 0 < float(row["clean"]) < 1
    with (boards / f"{BOARD}.layers.csv").open() as file:
        cells = [(each["layer"], float(each["time_bin"])) for each in csv.DictReader(file)]
    assert sorted(cells) == [(layer, float(step)) for layer in ("first", "second") for step in range(3)]
    with (boards / f"{BOARD}.figures.csv").open() as file:
        assert [each["figure"] for each in csv.DictReader(file)] == ["accuracy, perturbed", "accuracy, control"]
    kinds = sorted(path.name.split(".")[-2] for path in (tmp_path / "results" / "over_time" / BOARD).iterdir())
    assert kinds == ["curves", "maps"]
    again = bench(tmp_path, *WORDS)
    assert "0 scores computed, 1 were there" in again.stdout


def test_a_network_without_flows_is_refused_in_one_line(tmp_path: Path) -> None:
    done = bench(tmp_path, "model=toy", "model.weights=none", "benchmark=perturbation-digits.scale", "data.subset=8")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "toy[weights=none] declares no flows between its layers" in done.stderr
