"""Similarity from the command to the table, on a small data set of one's own."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
DATA = """
import numpy as np
from alignment.rsa import RDMs
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.datasets.presented import presented

rng = np.random.default_rng(0)
images = {f"image{i:02}": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) // (1 + i % 4) for i in range(60)}
signal = np.array([image.reshape(16, -1).mean(1) for image in images.values()]) / 20

def data(settings, selection):
    noisy = np.concatenate([signal + 0.3 * rng.normal(size=signal.shape) for _ in range(2)], axis=1)
    subject = ["a"] * 16 + ["b"] * 16
    return presented("mine", images, responses=noisy, stimulus=list(images), subject=subject)

def rdms(settings, selection):
    rows, columns = np.triu_indices(60, k=1)
    distances = np.linalg.norm(signal[rows] - signal[columns], axis=1)
    measured = RDMs(distances + rng.normal(size=(3, len(rows))), tuple(images))
    return rdm_dataset("given", images, rdms=measured, references={"true": RDMs(distances[None], tuple(images))})
"""
NET = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    net.image_size = (8, 8)
    return net
"""
MEASURES = ("rsa", "versa", "cka-linear", "cka-linear-biased", "cka-rbf", "cka-rbf-biased", "procrustes")
QUICK = ("n_bootstrap=100", "nulls=shuffled,references")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("similarity")
    (place / "data.py").write_text(DATA)
    (place / "net.py").write_text(NET)
    return place


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300)


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "leaderboards" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def measured(folder: Path) -> list[dict[str, str]]:
    words = ("model=./net.py:net,pixels", "benchmark=./data.py:data", f"benchmark.measure={','.join(MEASURES)}")
    done = bench(folder, "run", *words, *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{3 * len(MEASURES)} scores computed" in done.stdout
    again = bench(folder, "run", *words, *QUICK)
    assert "0 scores computed" in again.stdout
    return rows(folder, "data")


def test_every_measure_has_its_rows(measured: list[dict[str, str]]) -> None:
    found = {row["benchmark"].removeprefix("data-").removesuffix("[n_bootstrap=100]") for row in measured}
    assert found == {
        "rsa-1-pearson-spearman-avg4x4",
        "versa-1-pearson-spearman-ridge-loo-avg4x4",
        "cka-linear-unbiased-avg4x4",
        "cka-linear-biased-avg4x4",
        "cka-rbf0.5median-unbiased-avg4x4",
        "cka-rbf0.5median-biased-avg4x4",
        "procrustes-avg4x4",
    }
    for row in measured:
        assert float(row["raw_low"]) < float(row["raw"]) < float(row["raw_high"])
        assert row["n_subjects"] == "2"
    by_name = {(row["model"], row["benchmark"]): row for row in measured}
    for (model, benchmark), row in by_name.items():
        if model == "net[responses=shuffled]":
            own = by_name["net", benchmark]
            assert row["ceiling"] == own["ceiling"]
            assert float(row["raw"]) < float(own["raw"])


def test_models_are_compared_and_ranked(folder: Path, measured: list[dict[str, str]]) -> None:
    done = bench(folder, "compare", "model=./net.py:net,pixels", "benchmark=./data.py:data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("net - pixels") == len(MEASURES)
    unknown = bench(folder, "compare", "model=nett,pixels", "benchmark=./data.py:data")
    assert unknown.returncode == 2
    assert "did you mean net" in unknown.stderr


def test_rdms_of_ones_own(folder: Path) -> None:
    done = bench(folder, "run", "model=./net.py:net", "benchmark=./data.py:rdms", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    by_model = {row["model"]: row for row in rows(folder, "data.rdms")}
    assert by_model["true"]["null"] == "references"
    assert (
        float(by_model["true"]["raw"])
        > float(by_model["net"]["raw"])
        > float(by_model["net[responses=shuffled]"]["raw"])
    )
    assert by_model["net"]["n_neuroids"] == ""
    assert float(by_model["net"]["p_lower"]) <= 1


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ["benchmark=./data.py:rdms", "benchmark.measure=ridge"],
            "holds rdms, which ridge cannot use; choose from rsa",
        ),
        (["benchmark=./data.py:data", "benchmark.measure=rssa"], "did you mean rsa"),
        (["benchmark=./data.py:data", "benchmark.comparator=spearman"], "benchmark.comparator means nothing to ridge"),
        (["benchmark=./data.py:data", "benchmark.measure=rsa", "benchmark.distance=pearson"], "did you mean 1-pearson"),
        (
            ["benchmark=./data.py:data", "benchmark.measure=rsa", "benchmark.comparator=spearmn"],
            "did you mean spearman",
        ),
        (["benchmark=./data.py:data", "benchmark.measure=rsa", "benchmark.pooling=best"], "optimal"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(folder: Path, words: list[str], part: str) -> None:
    done = bench(folder, "run", "model=pixels", *words, "results=nowhere")
    assert done.returncode == 2, done.stdout + done.stderr
    assert part in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (folder / "nowhere").exists()


def test_cards_name_formula_source_and_failure(folder: Path) -> None:
    done = bench(folder, "show", "benchmark=./data.py:data", f"benchmark.measure={','.join(MEASURES)}")
    assert done.returncode == 0, done.stderr
    for word in ("HSIC", "||X^T Y||_*", "Kriegeskorte", "invariances", "known failure"):
        assert word in done.stdout
    assert done.stdout.count("known failure") == len(MEASURES)
