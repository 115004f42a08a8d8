"""Published curves, against the numbers that anybody can recompute from the arrays, and one's own beside them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignment.errors import DataError, RequestError
from alignment.samples import Samples
from benchmarks.catalogue import benchmark_names
from benchmarks.packing import packed
from benchmarks.published.figures import curves_beside
from benchmarks.published.suites import COLUMNS, beside_published
from benchmarks.published.thorat2021 import PROPERTIES, VARIABLES, published_curves
from benchmarks.suites import load_suite

BENCH = Path(sys.executable).parent / "bench"
GAIN, BIAS = "published, gain flows", "published, bias flows"


@pytest.fixture(scope="module")
def published(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return published_curves(data_root=shared_data, cache=tmp_path_factory.mktemp("cache"))


def record(model: str, benchmark: str, *, shuffled: bool = False) -> dict:
    """Of a model with two layers and two sweeps."""
    cells = [("states.input", 0.0, 0.2), ("states.input", 3.0, 0.3), ("states.fc", 0.0, 0.4), ("states.fc", 3.0, 0.6)]
    raw = 0.1 if shuffled else 0.6
    values = Samples(np.array([raw]), raw + 0.05 * np.sin(np.arange(100.0))[None], n_stimuli=100)
    estimate = {"value": raw, "low": raw - 0.1, "high": raw + 0.1}
    name = f"{model}[responses=shuffled]" if shuffled else model
    return {
        "key": f"{name}-{benchmark}",
        "model": {"name": name, "fingerprint": "m" * 32, "null": "shuffled" if shuffled else None, "of": "m" * 32},
        "benchmark": {
            "name": benchmark,
            "id": f"{benchmark}-svm",
            "measure": "svm",
            "version": 1,
            "fingerprint": "d" * 32,
            "of": "d" * 32,
        },
        "layer": {"name": "states.fc", "time_bin": 3.0, "share": 1.0},
        "score": {
            **dict.fromkeys(
                ("ceiling", "lower", "p_zero", "p_lower", "normalised", "p_value", "n_neuroids", "n_subjects")
            ),
            "raw": estimate,
            "status": "ok",
            "n_stimuli": 100,
            "subjects_resampled": False,
        },
        "samples": packed(values),
        **{"by_split": {}, "clean": None, "clean_samples": None, "flags": [], "figures": [], "details": {}},
        "surface": [
            {"layer": layer, "time_bin": time, "raw": value, "raw_low": value - 0.1, "raw_high": value + 0.1}
            for layer, time, value in cells
        ],
        "provenance": {},
    }


@pytest.mark.parametrize(
    ("model", "benchmark", "layer", "percent"),
    [
        (GAIN, "orthogonal.category", "states.fc", [8.8, 23.2, 49.2, 63.7]),
        (GAIN, "orthogonal.location", "states.fc", [84.2, 94.8, 95.0, 88.8]),
        (GAIN, "orthogonal.domain", "states.input", [51.8, 53.5, 67.3, 89.3]),
        (BIAS, "orthogonal.orientation", "states.conv2", [59.1, 71.7, 82.7, 87.6]),
        (GAIN, "perturbation.location", "conv1", [52.5, 67.2, 36.6]),
        (GAIN, "perturbation.category_between", "conv2", [2.0, 21.1, 47.0]),
        (BIAS, "perturbation.category_within", "conv1", [74.5, 54.2, 20.1]),
        (BIAS, "perturbation.scale", "fc", [0.1, 0.1, -0.8]),
    ],
)
def test_curves_are_the_published_ones(published: pd.DataFrame, model, benchmark, layer, percent) -> None:
    rows = published[
        (published["model"] == model) & (published["benchmark"] == benchmark) & (published["layer"] == layer)
    ]
    first = 1 if benchmark.startswith("perturbation") else 0
    assert rows["time_bin"].tolist() == [first + sweep for sweep in range(len(percent))]
    np.testing.assert_allclose(100 * rows["raw"], percent, atol=0.051)


def test_intervals_are_those_of_the_paper(published: pd.DataFrame) -> None:
    rows = published[(published["model"] == GAIN) & (published["layer"] == "conv1")].set_index(
        ["benchmark", "time_bin"]
    )
    half = 50 * (rows["raw_high"] - rows["raw_low"])
    np.testing.assert_allclose(half["perturbation.location"], [6.7, 6.2, 5.4], atol=0.051)
    np.testing.assert_allclose(half["perturbation.orientation"], [3.3, 2.5, 1.1], atol=0.051)


def test_every_benchmark_of_the_suite_has_published_curves(published: pd.DataFrame) -> None:
    assert set(published["benchmark"]) == set(load_suite("thorat2021").benchmarks) == {*VARIABLES, *PROPERTIES}
    assert set(published["benchmark"]) <= set(benchmark_names())
    assert len(published) == 2 * 4 * (5 * 4 + 5 * 3)


def test_ones_own_curves_stand_beside_them_with_their_control(shared_data: Path, tmp_path: Path) -> None:
    records = [
        record("mine", "orthogonal.category"),
        record("mine", "orthogonal.category", shuffled=True),
        record("mine", "digits"),
    ]
    rows = beside_published(records, "thorat2021", data_root=shared_data, cache=tmp_path)
    assert list(rows.columns) == COLUMNS and len(rows) == 280 + 8
    own = rows[rows["model"] == "mine"]
    assert set(own["benchmark"]) == {"orthogonal.category"} and set(own["figure"]) == {"decoding"}
    assert own.groupby("control")["raw"].max().to_dict() == {False: 0.6, True: 0.6}
    assert len(own[own["control"]]) == 4
    png = curves_beside(rows[rows["figure"] == "decoding"], value="accuracy")
    assert png.startswith(b"\x89PNG")


def test_where_nothing_can_be_laid_beside_it_says_so(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^no published curves of suite 'smoke'; there are some of thorat2021$"):
        beside_published([], "smoke", data_root=shared_data, cache=tmp_path)
    with pytest.raises(RequestError, match=r"^no record of suite thorat2021; bench run suite=thorat2021 makes them$"):
        beside_published([], "thorat2021", data_root=shared_data, cache=tmp_path)
    damaged = tmp_path / "thorat2021"
    damaged.mkdir()
    (damaged / "dec_accrnn_bglt_0111_t_4_num_1.npy").write_bytes(b"damaged")
    with pytest.raises(DataError, match="sha256"):
        published_curves(data_root=tmp_path, cache=tmp_path / "cache")


def test_the_command_says_so_in_one_line(tmp_path: Path) -> None:
    for words, message in ((["suite=smoke"], "no published curves of suite 'smoke'"), (["results=r"], "name a suite")):
        done = subprocess.run(
            [str(BENCH), "published", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and message in done.stderr
        assert not list(tmp_path.iterdir())
