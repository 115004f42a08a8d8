"""Fragility from the command to the table, killed and resumed."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
FILES = """
import time
import numpy as np
import torch
from torch import nn
from benchmarks.datasets.presented import presented

def images():
    rng = np.random.default_rng(0)
    tints = rng.integers(-12, 12, size=(60, 3))
    return {f"i{i:02}": (rng.integers(90, 160, (16, 16, 3)) + tints[i]).astype(np.uint8) for i in range(60)}

def data(settings, selection):
    shown = images()
    rng = np.random.default_rng(1)
    stimulus = [name for name in shown for _ in range(2)]
    colours = np.array([shown[name].mean((0, 1)) for name in stimulus]) / 5
    return presented("mine", shown, responses=colours + 0.5 * rng.normal(size=colours.shape), stimulus=stimulus)

class Net(nn.Module):
    def __init__(self, pause=0.0):
        super().__init__()
        self.image_size, self.pause = (16, 16), pause
        self.first, self.second = nn.Conv2d(3, 8, 5), nn.Conv2d(8, 8, 5)
        draw = torch.Generator().manual_seed(0)
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.2, generator=draw)

    def forward(self, x):
        time.sleep(self.pause)
        return self.second(torch.relu(self.first(x - 0.5)))

class Cut(Net):
    def forward(self, x):
        return super().forward(x.detach())

def net():
    return Net()

def slow():
    return Net(0.02)

def cut():
    return Cut()
"""
BALL = ["benchmark.epsilon=16/255", "benchmark.steps=4"]
WORDS = ["benchmark=./mine.py:data", "model.layers=first,second", "n_bootstrap=100"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(FILES)
    return tmp_path


def bench(folder: Path, *words: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), command, *words], cwd=folder, capture_output=True, text=True, timeout=300)


def table(folder: Path, results: str = "results", kind: str = "") -> list[dict[str, str]]:
    with (folder / results / "leaderboards" / f"mine.data{kind}.csv").open() as file:
        return list(csv.DictReader(file))


def test_what_is_left_stands_beside_what_the_ridge_scores(folder: Path) -> None:
    words = ["model=./mine.py:net", *WORDS, *BALL, "nulls=pixels,untrained,shuffled"]
    done = bench(folder, *words, "benchmark.measure=ridge,fragility")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 scores computed" in done.stdout
    found = {(row["benchmark"].split("-")[1], row["null"]): row for row in table(folder)}
    for null in ("", "pixels", "untrained", "shuffled"):
        left, ridge = found["fragility", null], found["ridge", null]
        for name in ("", "_low", "_high"):
            assert left[f"clean{name}"] == ridge[f"raw{name}"]
        assert left["layer"] == ridge["layer"]
        assert left["ceiling"] == ridge["ceiling"]
    own = found["fragility", ""]
    assert own["benchmark"] == "mine.data-fragility-linf-16/255-4steps-ridge-loo-avg4x4[n_bootstrap=100]"
    assert float(own["raw"]) < float(own["clean"])
    assert float(own["normalised"]) == pytest.approx(float(own["raw"]) / float(own["ceiling"]), abs=1e-4)
    assert own["status"] == "ok"
    figures = {
        row["figure"]: float(row["value"])
        for row in table(folder, kind=".figures")
        if row["model"] == "mine:net[layers=first+second]"
    }
    assert figures["left of clean"] == pytest.approx(float(own["raw"]) / float(own["clean"]), abs=1e-5)
    assert figures["relative shift"] > figures["relative shift by chance"] > 0
    assert "left of clean" in done.stdout
    layers = {row["layer"] for row in table(folder, kind=".layers") if "fragility" in row["benchmark"]}
    assert layers >= {"first", "second", "clean: first", "clean: second"}
    again = bench(folder, *words, "benchmark.measure=fragility")
    assert "0 scores computed, 4 were there" in again.stdout


def test_a_killed_attack_resumes_at_the_last_block(folder: Path) -> None:
    words = ["model=./mine.py:slow", *WORDS, *BALL, "nulls=none", "benchmark.measure=fragility", "block_size=20"]
    process = subprocess.Popen([str(BENCH), "run", *words], cwd=folder, stdout=subprocess.DEVNULL)
    store, deadline = folder / "results" / "store", time.monotonic() + 120
    # two layers in three blocks of images, then the first of them perturbed
    while len(list(store.rglob("*.nc"))) <= 6:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in store.rglob("*.nc")}
    assert 6 < len(kept) < 12
    assert bench(folder, *words).returncode == 0
    assert all(path.stat().st_mtime_ns == kept[path] for path in kept)
    # and two parts
    assert len(list(store.rglob("*.nc"))) == 14
    assert bench(folder, *words, "results=fresh").returncode == 0
    assert table(folder) == table(folder, results="fresh")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=./mine.py:cut", *WORDS], "mine:cut[layers=first+second]: layer 'first' has no gradient in the pixels"),
        (["model=./mine.py:net", *WORDS, "benchmark.epsilon=1/255,2/255"], "give one radius, such as 1/255"),
        (["model=./mine.py:net", *WORDS, "benchmark.moment=last"], "benchmark.moment means nothing to fragility"),
        (["model=toy", "benchmark=digits"], "digits holds labels, which fragility cannot use"),
    ],
)
def test_bad_input_gets_one_line(folder: Path, words: list[str], line: str) -> None:
    done = bench(folder, *words, "benchmark.measure=fragility")
    assert done.returncode == 2, done.stdout + done.stderr
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "results").exists()


def test_its_card_says_what_is_done_to_the_images(folder: Path) -> None:
    done = bench(folder, "benchmark=./mine.py:data", "benchmark.measure=fragility", "benchmark.norm=l2", command="show")
    assert done.returncode == 0, done.stderr
    for part in (
        "l2, epsilon 0.5 in pixel units",
        "20 steps of 2.5 epsilon / 20",
        "known failure",
        "Sabour et al. 2016",
    ):
        assert part in " ".join(done.stdout.split())
    assert "fragility" in bench(folder, "measures", command="list").stdout
