"""Alignment against robustness over models: from records, and by the command."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from alignment.errors import RequestError
from alignment.samples import Samples
from benchmarks.packing import packed
from benchmarks.relation import relate

BENCH = Path(sys.executable).parent / "bench"
MODELS = tuple("abcdefgh")
RNG = np.random.default_rng(0)
CLEAN = RNG.uniform(0.6, 0.9, 8)
BRAIN, LEFT = 0.5 * CLEAN + RNG.normal(0, 0.02, 8), CLEAN - 0.4 + RNG.normal(0, 0.02, 8)


def samples(value: float) -> dict:
    return packed(Samples(np.array([value]), value + 0.01 * RNG.standard_normal((1, 200)), n_stimuli=300))


def named(
    model: str, benchmark: str, value: float, *, clean: float | None = None, null: str | None = None, status: str = "ok"
):
    record = {
        "model": {"name": model, "null": null},
        "benchmark": {"name": benchmark.partition("-")[0], "id": benchmark},
        "score": {
            "raw": {"value": value, "low": value - 0.02, "high": value + 0.02},
            "status": status,
            "n_subjects": None if clean is not None else 1,
        },
        "samples": samples(value),
        "clean_samples": None if clean is None else samples(clean),
    }
    return model, benchmark, record


@pytest.fixture
def table():
    scored = zip(MODELS, BRAIN, LEFT, CLEAN, strict=True)
    rows = [
        row
        for model, brain, left, clean in scored
        for row in (named(model, "v4-ridge", brain), named(model, "digits-robust", left, clean=clean))
    ]
    return [
        *rows,
        named("pixels", "v4-ridge", 0.9, null="pixels"),
        named("pixels", "digits-robust", 0.1, null="pixels"),
    ]


def test_models_are_correlated_and_null_rows_are_not(table) -> None:
    found = relate(table, "v4", "digits-robust")
    rows = {(row["statistic"], row["given"]): row for row in found.table.to_dict("records")}
    assert rows["pearson", ""]["value"] == pytest.approx(np.corrcoef(BRAIN, LEFT)[0, 1], abs=1e-6)
    assert rows["spearman", ""]["value"] == pytest.approx(stats.spearmanr(BRAIN, LEFT).statistic)
    r = np.corrcoef([BRAIN, LEFT, CLEAN])
    partial = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert rows["pearson", "clean"]["value"] == pytest.approx(partial, abs=1e-6)
    assert rows["pearson", "clean"]["value"] < rows["pearson", ""]["value"]
    assert set(found.points["model"]) == set(MODELS)
    assert {row["n_models"] for row in rows.values()} == {8}


def test_unreliable_scores_are_left_out(table) -> None:
    odd = [named("odd", "v4-ridge", 0.4), named("odd", "digits-robust", 0.9, clean=0.9, status="unreliable")]
    found = relate([*table, *odd], "v4", "digits")
    assert "odd" not in set(found.points["model"])


def test_clean_accuracy_is_not_held_fixed_against_itself(table) -> None:
    accuracy = [named(model, "digits-accuracy", clean) for model, clean in zip(MODELS, CLEAN, strict=True)]
    found = relate([*table, *accuracy], "digits-accuracy", "digits-robust")
    assert set(found.table["given"]) == {""}


def test_only_models_with_both_scores_count(table) -> None:
    found = relate([row for row in table if row[:2] != ("c", "v4-ridge")], "v4-ridge", "digits-robust")
    assert set(found.points["model"]) == set(MODELS) - {"c"}


def test_what_cannot_be_related_is_named(table) -> None:
    unknown = r"^unknown benchmark in the table \(x=\) 'v5'; known: digits, digits-robust, v4"
    with pytest.raises(RequestError, match=unknown):
        relate(table, "v5", "digits")
    with pytest.raises(RequestError, match="2 models have both v4 and digits; score 4 or more"):
        relate([row for row in table if row[0] in "ab"], "v4", "digits")
    both = [*table, named("a", "v4-rsa", 0.1)]
    with pytest.raises(RequestError, match=r"x=v4: several measures were taken on it; name one of v4-ridge, v4-rsa"):
        relate(both, "v4", "digits")


FILES = """
import numpy as np
import torch
from torch import nn
from benchmarks.datasets.labelled import labelled

class Colour(nn.Module):
    def __init__(self, blur, noise):
        super().__init__()
        self.pool = nn.AvgPool2d(blur)
        self.mixing = nn.Parameter(5 * torch.eye(3) + noise * torch.randn(3, 3))

    def forward(self, x):
        return self.pool(x).mean((2, 3)) @ self.mixing

def made(blur, noise):
    torch.manual_seed(0)
    net = Colour(blur, noise)
    net.image_size, net.classes = (16, 16), ("red", "green", "blue")
    return net

def one(): return made(1, 0.0)
def two(): return made(2, 1.0)
def three(): return made(4, 2.0)
def four(): return made(8, 3.0)

def data(settings, selection):
    rng = np.random.default_rng(0)
    tints = [np.eye(3)[n % 3] * rng.integers(0, 20) for n in range(60)]
    images = {f"i{n:02}": (rng.integers(60, 160, (16, 16, 3)) + tint).astype(np.uint8) for n, tint in enumerate(tints)}
    names = ("red", "green", "blue")
    return labelled("mine", images, [names[n % 3] for n in range(60)], classes=names)
"""


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_command_writes_a_table_and_a_plot(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILES)
    (tmp_path / "mine.yaml").write_text("summary: mine\nbenchmarks: [./mine.py:data]\n")
    models = ",".join(f"./mine.py:{name}" for name in ("one", "two", "three", "four"))
    measures = ["benchmark.measure=accuracy,robust", "benchmark.attack=pgd", "benchmark.steps=10"]
    measures.append("benchmark.epsilon=2/255")
    done = bench(tmp_path, "run", f"model={models}", "suite=./mine.yaml", *measures, "nulls=none")
    assert done.returncode == 0, done.stdout + done.stderr
    ids = ["x=mine.data-accuracy", "y=mine.data-robust-linf-2/255-pgd-10steps"]
    related = bench(tmp_path, "relate", "suite=./mine.yaml", *ids)
    assert related.returncode == 0, related.stderr
    place, stem = (
        tmp_path / "results" / "leaderboards",
        "mine.data-accuracy and mine.data-robust-linf-2_255-pgd-10steps",
    )
    relations = tmp_path / "results" / "relations"
    with (relations / f"{stem}.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (relations / f"{stem}.models.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    with (place / "mine.csv").open() as file:
        board = {(row["model"], row["benchmark"]): float(row["raw"]) for row in csv.DictReader(file)}
    pairs = [[board[f"mine:{name}", key.partition("=")[2]] for name in ("one", "two", "three", "four")] for key in ids]
    assert float(rows[0]["value"]) == pytest.approx(np.corrcoef(*pairs)[0, 1], abs=1e-5)
    with Image.open(relations / f"{stem}.png") as plot:
        assert plot.size == (900, 750)
    missing = bench(tmp_path, "relate", "suite=./mine.yaml", ids[0])
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "say what to relate" in missing.stderr
