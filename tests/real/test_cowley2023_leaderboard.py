"""The whole command on real macaque V4, against what an independent analysis got from the same files."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
MIDDLE = [f"block{number}" for number in range(6, 13)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v4")
    models = f"model=pixels,gabor,{shared / 'models' / 'mobilenet_v2.py'}:mobilenet_v2"
    command = [str(BENCH), "run", models, "suite=cowley2023", f"data.root={shared / 'data'}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=1800)
    return folder / "results" / "leaderboards"


def table(path: Path, session: str) -> list[dict[str, str]]:
    with path.open() as file:
        return [row for row in csv.DictReader(file) if row["benchmark"].startswith(f"cowley2023.{session}-")]


def layers(results: Path, session: str) -> dict[str, float]:
    rows = table(results / "cowley2023.layers.csv", session)
    return {row["layer"]: float(row["raw"]) for row in rows if row["model"] == "mobilenet_v2"}


def scores(results: Path, session: str) -> dict[str, dict[str, str]]:
    return {row["model"]: row for row in table(results / "cowley2023.csv", session)}


@pytest.mark.parametrize("session", ["201025", "210325"])
def test_pixels_gabor_and_the_shuffled_row(results, session):
    rows = scores(results, session)
    assert 0.20 <= float(rows["pixels"]["raw"]) <= 0.27
    assert 0.45 <= float(rows["gabor"]["raw"]) <= 0.54
    assert abs(float(rows["mobilenet_v2[responses=shuffled]"]["raw"])) < 0.06
    assert float(rows["mobilenet_v2[untrained]"]["raw"]) < float(rows["mobilenet_v2"]["raw"]) - 0.1


@pytest.mark.parametrize("session", ["201025", "210325"])
def test_the_middle_of_the_network_predicts_v4_best(results, session):
    profile = layers(results, session)
    best = max(profile, key=lambda layer: profile[layer])
    assert best in MIDDLE
    assert 0.57 <= profile[best] <= 0.65
    assert profile["pool"] <= profile[best] - 0.07


def test_the_profile_is_the_independent_one(results):
    published = {"block2": 0.516, "block5": 0.553, "block9": 0.621, "block12": 0.583, "block15": 0.527, "pool": 0.427}
    profile = layers(results, "201025")
    for layer, r in published.items():
        assert profile[layer] == pytest.approx(r, abs=0.012)


def test_ceilings_and_nothing_above_them(results):
    assert {row["status"] for row in scores(results, "201025").values()} == {"no_ceiling"}
    rows = scores(results, "210325")
    assert {row["status"] for row in rows.values()} == {"ok"}
    ceiling = float(rows["mobilenet_v2"]["ceiling"])
    (record,) = (results.parent / "records").glob(f"{rows['mobilenet_v2']['record']}.json")
    stated = json.loads(record.read_text())["score"]["ceiling"]
    assert 0.005 < stated["high"] - stated["low"] < 0.06
    assert ceiling == pytest.approx(0.866, abs=0.02)
    assert max(layers(results, "210325").values()) < ceiling
