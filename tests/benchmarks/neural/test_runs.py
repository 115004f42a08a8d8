"""All measures of predictivity in one command, on a small data set of one's own."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
FILES = """
import numpy as np
import torch
from torch import nn
from benchmarks.datasets.presented import presented

def images():
    rng = np.random.default_rng(0)
    return {f"i{i:02}": (rng.integers(0, 256, (16, 16, 3)) * rng.random(3)).astype(np.uint8) for i in range(90)}

class Means(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mixing", torch.randn(3, 40, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        return torch.relu(x @ self.mixing)

def net():
    made = nn.Sequential(Means(), Mixed())
    made.image_size = (16, 16)
    return made

def data(settings, selection):
    shown = images()
    rng = np.random.default_rng(1)
    stimulus = [name for name in shown for _ in range(2)]
    colours = np.array([shown[name].mean((0, 1)) for name in stimulus]) / 20
    return presented("mine", shown, responses=colours + 0.3 * rng.normal(size=colours.shape), stimulus=stimulus)

def few(settings, selection):
    shown = dict(list(images().items())[:20])
    return presented("few", shown, responses=np.random.default_rng(0).normal(size=(20, 3)), stimulus=list(shown))
"""
MEASURES = "ridge,pls,pcr,one-to-one,best-unit,soft-matching,reverse"
# the first layer has 3 units, and the last 40
SMALL = ["benchmark=./mine.py:data", "model=./mine.py:net", "n_bootstrap=100", "benchmark.components=3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("place")
    (made / "mine.py").write_text(FILES)
    return made


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300)


def parts(folder: Path) -> set[Path]:
    return set((folder / "results" / "store").rglob("*.nc"))


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(measure, null) -> row."""
    done = bench(folder, "run", *SMALL, "nulls=shuffled", f"benchmark.measure={MEASURES}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 scores computed" in done.stdout
    with (folder / "results" / "leaderboards" / "mine.data.csv").open() as file:
        board = list(csv.DictReader(file))
    names = sorted(MEASURES.split(","), key=len, reverse=True)
    return {
        (next(name for name in names if row["benchmark"].startswith(f"mine.data-{name}")), row["null"]): row
        for row in board
    }


def test_every_measure_finds_the_planted_signal_and_none_where_it_is_shuffled(rows):
    assert len(rows) == 14
    for measure in MEASURES.split(","):
        real, shuffled = rows[measure, ""], rows[measure, "shuffled"]
        assert float(real["raw_low"]) > 0.4, measure
        assert float(shuffled["raw"]) < 0.35, measure
        assert real["status"] == ("no_ceiling" if measure == "reverse" else "ok"), measure
        assert (real["normalised"] == "") == (measure == "reverse"), measure
    for measure in ("ridge", "pcr", "pls", "one-to-one", "best-unit"):
        assert float(rows[measure, ""]["normalised"]) > 0.97, measure
    # the plan must use every unit, and the layer of three units is one unit for each neuroid
    assert rows["soft-matching", ""]["layer"] == rows["one-to-one", ""]["layer"] == "0"


def test_the_same_command_again_computes_nothing_and_other_resamples_need_no_other_fits(folder, rows):
    before = parts(folder)
    words = ["run", *SMALL, "nulls=none", f"benchmark.measure={MEASURES}"]
    assert "0 scores computed, 7 were there" in bench(folder, *words).stdout
    words[words.index("n_bootstrap=100")] = "n_bootstrap=200"
    assert "7 scores computed" in bench(folder, *words).stdout
    assert parts(folder) == before


def test_what_is_unique_stands_beside_the_parts_it_is_made_of(folder, rows):
    words = [word for word in SMALL if "components" not in word]
    done = bench(folder, "run", *words, "nulls=none", "benchmark.measure=unique", "benchmark.against=pixels")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in (folder / "results" / "records").glob("*.json")]
    (record,) = [each for each in records if "unique" in each["benchmark"]["id"]]
    assert record["benchmark"]["id"] == "mine.data-unique-over-pixels-ridge-loo-avg4x4[n_bootstrap=100]"
    assert record["score"]["status"] == "no_ceiling"
    # the mean colour is the mean of the pixels
    assert abs(record["score"]["raw"]["value"]) < 0.03
    parts = dict(record["figures"])
    alone = parts["explained by the model alone"]
    assert alone > 0.9
    assert parts["shared"] == pytest.approx(alone, abs=0.05)
    assert any("shared" in line and f"{parts['shared']:.3f}" in line for line in done.stdout.splitlines())
    assert record["details"]["subjects"]["subject1"]["other_chosen"][0] == {"layer": "blocks", "time_bin": 0.0}


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["benchmark=./mine.py:data", "benchmark.measure=unique"], 2, "benchmark.against=pixels"),
        (["benchmark=./mine.py:data", "benchmark.measure=unique", "benchmark.against=pixl"], 2, "did you mean pixels"),
        (["benchmark=./mine.py:few", "benchmark.measure=pls"], 2, "at most 11 directions"),
    ],
)
def test_what_cannot_be_measured_is_one_line_before_anything_is_written(words, code, part, folder):
    done = bench(folder, "run", "model=pixels", *words, "results=nothing")
    assert done.returncode == code, done.stdout + done.stderr
    assert part in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (folder / "nothing").exists()
