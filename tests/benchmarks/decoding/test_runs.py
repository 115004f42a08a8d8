"""Decoding from the command to the table and its figures."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from alignment.decoding import PUBLISHED, STANDARDISED
from benchmarks.catalogue import build_benchmarks
from benchmarks.decoding.benchmark import Decoding
from benchmarks.settings import parse

BENCH = Path(sys.executable).parent / "bench"
OWN, CONTROL = "mine:late[layers=cell]", "mine:late[layers=cell,responses=shuffled]"
FILES = """
import numpy as np
import torch
from torch import nn
from benchmarks.datasets.labelled import labelled

class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Identity()

    def forward(self, x):
        for step in range(3):
            shown = self.cell(x if step else torch.zeros_like(x))
        return shown.mean((2, 3))

def late():
    made = Late()
    made.image_size = (4, 4)
    return made

def data(settings, selection):
    rng = np.random.default_rng(0)
    images = {f"i{n:02}": (60 * (n % 3) + rng.integers(0, 40, (4, 4, 3))).astype(np.uint8) for n in range(60)}
    return labelled("mine", images, [("red", "green", "blue")[n % 3] for n in range(60)])
"""


def bench(folder: Path, *words: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), command, *words], cwd=folder, capture_output=True, text=True, timeout=300)


def test_layer_and_time_bin_in_table_surface_and_figures(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILES)
    words = ["model=./mine.py:late", "model.layers=cell", "benchmark=./mine.py:data", "benchmark.measure=decoding"]
    done = bench(tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    boards = tmp_path / "results" / "leaderboards"
    with (boards / "mine.data.csv").open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert set(rows) == {OWN, CONTROL, "pixels", "gabor", "chance"}
    own = rows[OWN]
    assert (own["benchmark"], own["layer"], float(own["time_bin"])) == ("mine.data-svm-avg4x4", "cell", 1.0)
    assert float(own["raw"]) > 0.9 and own["status"] == "ok"
    # labels are equally frequent: saying the most frequent of the other folds is right for a third at most
    assert float(rows["chance"]["raw"]) <= 1 / 3 and float(rows[CONTROL]["raw"]) < 0.6
    with (boards / "mine.data.layers.csv").open() as file:
        surface = {(row["model"], float(row["time_bin"])): float(row["raw"]) for row in csv.DictReader(file)}
    assert surface[OWN, 0.0] <= 1 / 3 < 0.9 < surface[OWN, 2.0]
    assert (CONTROL, 2.0) in surface
    folder = tmp_path / "results" / "over_time" / "mine.data"
    names = [f"mine.data-svm-avg4x4.{kind}.png" for kind in ("curves", "maps")]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert "time_bin" in done.stdout and str(folder.relative_to(tmp_path)) in done.stdout
    again = bench(tmp_path, *words)
    assert "0 scores computed, 5 were there" in again.stdout


@pytest.mark.parametrize(
    ("words", "identity", "decoder"),
    [
        ([], "decoding-digits-svm-avg2x2", PUBLISHED),
        (["benchmark.pool=4"], "decoding-digits-svm-avg4x4", PUBLISHED),
        (["benchmark.scale=floored_sd"], "decoding-digits-svm-floored_sd-avg2x2", STANDARDISED),
        (["seed=3"], "decoding-digits-svm-avg2x2[seed=3]", PUBLISHED),
    ],
)
def test_digits_are_decoded_without_another_word(words, identity, decoder) -> None:
    (made,) = build_benchmarks("decoding-digits", parse(words))
    assert isinstance(made, Decoding)
    made.check()
    assert (made.id, made.decoder) == (identity, decoder)


def test_a_data_sets_own_measure_gives_way_to_what_is_asked() -> None:
    (usual,) = build_benchmarks("digits", parse([]))
    (asked,) = build_benchmarks("decoding-digits", parse(["benchmark.measure=accuracy"]))
    (of_suite,) = build_benchmarks("decoding-digits", parse([]), measures=("accuracy",))
    assert usual.measured_by == asked.measured_by == of_suite.measured_by == "accuracy"
