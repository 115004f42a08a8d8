"""The whole command on real RDMs: what a network scores, what animacy beats, and subjects who do not agree."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.comparison import paired
from benchmarks.results import load_records, named_records

BENCH = Path(sys.executable).parent / "bench"
# mean over the four subjects, the group RDM, monkey IT
PROFILE = {
    "block2": (0.152, 0.213, 0.203),
    "block9": (0.178, 0.250, 0.268),
    "block12": (0.238, 0.337, 0.358),
    "block15": (0.258, 0.376, 0.421),
}
SELECTIONS = ("humanIT", "humanIT-group", "monkeyIT")

pytestmark = pytest.mark.slow


def bench(folder: Path, shared: Path, *words: str) -> str:
    return said(folder, "run", *words, f"data.root={shared / 'data'}")


def said(folder: Path, *words: str) -> str:
    command, wide = [str(BENCH), *words], {**os.environ, "COLUMNS": "250"}
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=1200, env=wide
    ).stdout


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "leaderboards" / name).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rsa92")
    network = f"model={shared / 'models' / 'mobilenet_v2.py'}:mobilenet_v2"
    bench(place, shared, network, "suite=rsa92")
    for layer in ("block2", "block15"):
        bench(place, shared, network, "benchmark=kriegeskorte2008.humanIT", f"model.layers={layer}", "nulls=none")
    bench(place, shared, "model=pixels", "benchmark=kriegeskorte2008.humanIT", "benchmark.comparator=rho-a")
    return place


def test_the_profile_is_the_independent_one(folder: Path) -> None:
    rows = {
        (row["benchmark"], row["layer"]): float(row["raw"])
        for row in table(folder, "rsa92.layers.csv")
        if row["model"] == "mobilenet_v2"
    }
    for layer, published in PROFILE.items():
        for selection, value in zip(SELECTIONS, published, strict=True):
            found = rows[f"kriegeskorte2008.{selection}-rsa-1-pearson-spearman-avg4x4", layer]
            assert found == pytest.approx(value, abs=0.02)


def test_a_late_block_beats_an_early_one_on_the_same_stimuli(folder: Path) -> None:
    named = named_records(load_records(folder / "results"), ["kriegeskorte2008.humanIT"])
    row = paired(named, ["mobilenet_v2[layers=block15]", "mobilenet_v2[layers=block2]"]).iloc[0]
    assert 0 < row["low"] < row["difference"] < row["high"] < 0.25


def test_animacy_beats_the_lower_bound_under_spearman_and_not_under_rho_a(folder: Path) -> None:
    lines = said(folder, "leaderboard", "benchmark=kriegeskorte2008.humanIT").splitlines()
    # ids are sorted: rho-a stands before Spearman; published: .386 on .372, and .334 below its lower bound
    rho_a, spearman = [line for line in lines if "animacy" in line]
    assert re.search(r"0\.386 .* 0\.372 beaten, p = ", spearman)
    assert re.search(r"0\.334 .* not beaten, p = ", rho_a)
    for row in table(folder, "kriegeskorte2008.humanIT.csv"):
        if row["model"] == "animacy":
            assert float(row["normalised"]) == pytest.approx(float(row["raw"]) / float(row["ceiling"]), abs=1e-5)


def test_references_and_null_rows_are_in_the_table(folder: Path) -> None:
    rows = [row for row in table(folder, "rsa92.csv") if row["benchmark"].startswith("kriegeskorte2008.humanIT-rsa")]
    kinds = {row["model"]: row["null"] for row in rows}
    assert kinds["mobilenet_v2"] == ""
    assert {"pixels", "gabor", "untrained", "shuffled", "references"} <= set(kinds.values())
    own = next(row for row in rows if row["model"] == "mobilenet_v2")
    assert float(own["p_zero"]) < 0.01 and float(own["p_null"]) < 0.05
    assert {row["status"] for row in rows} == {"ok"}


def test_people_of_the_78_images_have_no_ceiling_to_divide_by(folder: Path, shared: Path) -> None:
    printed = bench(folder, shared, "model=pixels", "suite=rsa78", "nulls=none")
    assert "undefined (p = " in printed
    rows = table(folder, "rsa78.csv")
    assert {row["status"] for row in rows} == {"undefined"}
    assert all(float(row["p_value"]) > 0.05 and row["normalised"] == "" for row in rows)
    published = ("benchmark.comparator=spearman-squared", "benchmark.pooling=mean")
    bench(folder, shared, "model=pixels", "suite=rsa78", "nulls=none", *published)
    bounds = {}
    for path in (folder / "results" / "records").glob("*.json"):
        record = json.loads(path.read_text())
        if "spearman-squared-plain-mean" in record["benchmark"]["id"]:
            score = record["score"]
            bounds[record["benchmark"]["name"]] = (score["lower"]["value"], score["ceiling"]["value"])
    assert bounds["algonauts2019_78.EVC"] == pytest.approx((0.006817660885847, 0.063974694194841), abs=1e-9)
    assert bounds["algonauts2019_78.IT"] == pytest.approx((0.002784925615650, 0.064733251165980), abs=1e-9)
