"""Dynamics from the command to the table and its figures, and a suite in which not every network has any."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
# random weights of the small CordsNet, which need no training
NAME = "toy_cordsnet[weights=none]"
BOARD = "dynamics-digits"
ID = "dynamics-digits-dynamics[subset=20]"
STEM = "dynamics-digits-dynamics_subset=20_"
PNG = b"\x89PNG\r\n\x1a\n"
SUITE = """
summary: two networks with time, of which one has rates that obey an equation
benchmarks: [digits, dynamics-digits]
models: [./late.py:late, toy_cordsnet]
nulls: []
"""
LATE = """
from torch import nn

class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.readout = nn.Identity(), nn.Linear(12, 10)
        self.image_size, self.classes = (2, 2), [str(digit) for digit in range(10)]

    def forward(self, x):
        return [self.readout((step * self.cell(x)).flatten(1)) for step in range(3)]

def late():
    return Late()
"""


def bench(folder: Path, *words: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    called = [str(BENCH), command, *words, *(["threads=1"] if command == "run" else [])]
    return subprocess.run(called, cwd=folder, capture_output=True, text=True, timeout=300)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where two benchmarks were run on a small network."""
    folder = tmp_path_factory.mktemp("dynamics")
    words = ["model=toy_cordsnet", "model.weights=none", "data.subset=20", "nulls=references"]
    done = bench(folder, *words, "benchmark=dynamics-digits,digits")
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(Path("results") / "over_time" / BOARD) in done.stdout
    return folder


def test_row_surface_and_figures_of_a_run(ran: Path) -> None:
    boards = ran / "results" / "leaderboards"
    (row,) = table(boards / f"{BOARD}.csv")
    assert (row["model"], row["benchmark"], row["layer"], row["null"]) == (NAME, ID, "all areas", "")
    assert float(row["time_bin"]) == 40.0 and int(row["n_stimuli"]) == 20
    surface = table(boards / f"{BOARD}.layers.csv")
    assert [float(cell["time_bin"]) for cell in surface if cell["layer"] == "rates.1"] == [
        4.0 * n for n in range(1, 11)
    ]
    figures = {cell["figure"] for cell in table(boards / f"{BOARD}.figures.csv")}
    assert {"rates.0: spectral radius", "rates.1: growth, image", "rates.1: ms to 90 % of the last state"} <= figures
    drawn = sorted((ran / "results" / "over_time" / BOARD).iterdir())
    of_model = [f"{STEM}.toy_cordsnet_weights=none_.{kind}.png" for kind in ("decisions", "spectra", "trajectories")]
    assert [path.name for path in drawn] == sorted([f"{STEM}.curves.png", f"{STEM}.maps.png", *of_model])
    assert all(path.read_bytes().startswith(PNG) for path in drawn)


def test_decisions_over_time_are_in_ms(ran: Path) -> None:
    boards = ran / "results" / "leaderboards"
    rows = {row["model"]: float(row["time_bin"]) for row in table(boards / "digits.csv")}
    assert rows == {NAME: 40.0, "chance": 0.0}
    times = [float(cell["time_bin"]) for cell in table(boards / "digits.layers.csv") if cell["model"] == NAME]
    assert times == [4.0 * n for n in range(1, 11)]


def test_a_table_made_from_records_alone_has_the_figures_too(ran: Path) -> None:
    folder = ran / "results" / "over_time" / BOARD
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    done = bench(ran, "benchmark=dynamics-digits", command="leaderboard")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_suite_goes_on_where_a_network_has_no_dynamics(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "mixed.yaml").write_text(SUITE)
    words = ["suite=./mixed.yaml", "model.weights=none", "data.subset=20"]
    done = bench(tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{ID}: no row of ./late.py:late: late[weights=none] has no rates that obey an equation" in done.stdout
    rows = {(row["model"], row["benchmark"]) for row in table(tmp_path / "results" / "leaderboards" / "mixed.csv")}
    late, accuracy = "late[weights=none]", "digits-accuracy[subset=20]"
    assert rows == {(late, accuracy), (NAME, accuracy), (NAME, ID)}
    # what no benchmark of a suite judges, and what was asked for by name, is refused
    (tmp_path / "only.yaml").write_text(SUITE.replace("digits, ", "", 1))
    for asked in (["suite=./only.yaml"], ["model=./late.py:late", "benchmark=dynamics-digits,digits"]):
        refused = bench(tmp_path, *asked, "model.weights=none", "data.subset=20")
        lines = refused.stderr.strip().splitlines()
        assert refused.returncode == 2 and len(lines) == 1, refused.stderr
        assert lines[0].startswith("bench: error: late") and "no rates that obey an equation" in lines[0]
