"""CordsNet-R2 on MNIST as a user trains it: the pipeline, its directly trained control, the suite's table."""

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

BENCH = Path(sys.executable).parent / "bench"
CONTROL = "cordsnet_r2+cordsnet-direct=true"
# of the 1,200 held-out training images
POINTS = 0.03

pytestmark = pytest.mark.slow


def bench(command: str, folder: Path, *words: str) -> None:
    called = [str(BENCH), command, *words, f"data.root={folder / 'data'}", "threads=1"]
    done = subprocess.run(called, cwd=folder, capture_output=True, text=True, timeout=7200)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """A place with MNIST unpacked, the network trained in stages, and the control."""
    where = tmp_path_factory.mktemp("mnist")
    raw = where / "data" / "mnist"
    raw.mkdir(parents=True)
    for packed in (shared_data / "torchvision" / "MNIST" / "raw").glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    bench("train", where, "model=cordsnet_r2", "training=cordsnet")
    bench("train", where, "model=cordsnet_r2", "training=cordsnet", "training.direct=true")
    return where


def made(folder: Path, name: str) -> Path:
    stem = name.replace("/", "_")
    return folder / "results" / "trained" / stem / f"{stem}.yaml"


def test_accuracy_stays_near_that_of_the_cnn(folder: Path) -> None:
    accuracy = yaml.safe_load(made(folder, "cordsnet_r2").read_text())["accuracy"]
    assert accuracy["cnn"] > 0.93
    for stage in ("linear", "anneal", "fine_tune"):
        assert accuracy[stage] > accuracy["cnn"] - POINTS, accuracy


def test_it_returns_to_rest_better_than_the_control_and_has_its_rows_in_the_table(folder: Path) -> None:
    control = made(folder, CONTROL).relative_to(folder)
    bench("run", folder, f"model=cordsnet_r2,{control}", "suite=cordsnet2024")
    with (folder / "results" / "leaderboards" / "cordsnet2024.csv").open() as file:
        # the ids say how many test images there are
        rows = {(row["benchmark"].partition("[")[0], row["model"]): row for row in csv.DictReader(file)}
    own, other = rows["mnist-dynamics", "cordsnet_r2"], rows["mnist-dynamics", CONTROL]
    assert float(own["raw_low"]) > float(other["raw_high"])
    assert float(rows["mnist-accuracy", "cordsnet_r2"]["raw"]) > 0.9
    with (folder / "results" / "leaderboards" / "cordsnet2024.figures.csv").open() as file:
        figures = {row["figure"]: float(row["value"]) for row in csv.DictReader(file) if row["model"] == "cordsnet_r2"}
    network, cnn = (figures[f"{system}: relative error of rates.1 at noise 1"] for system in ("network", "cnn"))
    assert network < cnn
