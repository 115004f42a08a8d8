"""Accuracy, attacks and corruptions from the command to the table."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
FILES = """
import numpy as np
import torch
from torch import nn
from benchmarks.datasets.labelled import labelled

class Colour(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.mixing = nn.Parameter(5 * torch.eye(3))

    def forward(self, x):
        return self.mean(x).flatten(1) @ self.mixing

def net():
    made = Colour()
    made.image_size, made.classes = (16, 16), ("red", "green", "blue")
    return made

class Slow(Colour):
    def forward(self, x):
        import time
        time.sleep(0.02)
        return super().forward(x)

def slow():
    made = Slow()
    made.image_size, made.classes = (16, 16), ("red", "green", "blue")
    return made

def mute():
    made = Colour()
    made.image_size = (16, 16)
    return made

def data(settings, selection):
    rng = np.random.default_rng(0)
    names = [f"i{n:03}" for n in range(300)]
    labels = [("red", "green", "blue")[n % 3] for n in range(300)]
    tints = [np.eye(3)[n % 3] * rng.integers(0, 60) for n in range(300)]
    images = {name: (rng.integers(60, 160, (16, 16, 3)) + tint).astype(np.uint8) for name, tint in zip(names, tints)}
    return labelled("mine", images, labels, classes=("red", "green", "blue"))
"""
ATTACKED = ["benchmark=./mine.py:data", "benchmark.measure=robust", "benchmark.attack=pgd"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(FILES)
    return tmp_path


def bench(folder: Path, *words: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), command, *words], cwd=folder, capture_output=True, text=True, timeout=300)


def rows(folder: Path, name: str = "mine.data", results: str = "results") -> list[dict[str, str]]:
    with (folder / results / "leaderboards" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_all_three_measures_of_ones_own_network_and_images(folder: Path) -> None:
    words = ["model=./mine.py:net", "benchmark=./mine.py:data", "benchmark.measure=accuracy,robust,corruptions"]
    done = bench(folder, *words, "benchmark.attack=pgd", "benchmark.kinds=contrast", "benchmark.severities=1,5")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {(row["benchmark"].split("-")[1], row["model"]): row for row in rows(folder)}
    assert {model for _, model in found} == {"mine:net", "mine:net[untrained]", "chance"}
    own = {measure: found[measure, "mine:net"] for measure in ("accuracy", "robust", "corruptions")}
    assert own["accuracy"]["clean"] == ""
    assert own["robust"]["clean"] == own["corruptions"]["clean"] == own["accuracy"]["raw"]
    assert float(own["robust"]["raw"]) < float(own["robust"]["clean"])
    assert float(found["robust", "chance"]["raw"]) == pytest.approx(1 / 3, abs=1e-6)
    assert "left: pgd @ 8/255" in done.stdout
    with (folder / "results" / "leaderboards" / "mine.data.figures.csv").open() as file:
        figures = {(row["model"], row["figure"]): float(row["value"]) for row in csv.DictReader(file)}
    assert figures["mine:net", "left: pgd @ 8/255"] == pytest.approx(float(own["robust"]["raw"]), abs=1e-6)
    compared = bench(folder, "model=./mine.py:net,chance", "benchmark=./mine.py:data", command="compare")
    assert compared.returncode == 0, compared.stderr
    assert compared.stdout.count("mine:net - chance") == 3


def test_a_killed_attack_resumes_at_the_last_block(folder: Path) -> None:
    words = ["model=./mine.py:slow", "nulls=none", "benchmark.steps=3", *ATTACKED]
    process = subprocess.Popen([str(BENCH), "run", *words], cwd=folder, stdout=subprocess.DEVNULL)
    store, deadline = folder / "results" / "store", time.monotonic() + 120
    while not list(store.rglob("*.nc")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in store.rglob("*.nc")}
    assert 1 <= len(kept) < 3
    assert bench(folder, *words).returncode == 0
    assert all(path.stat().st_mtime_ns == kept[path] for path in kept)
    assert len(list(store.rglob("*.nc"))) == 3
    assert bench(folder, *words, "results=fresh").returncode == 0
    assert rows(folder) == rows(folder, results="fresh")
    # batches change what a float rounds to, never more than 2 images in 1,000
    assert bench(folder, *words, "results=other", "batch_size=7").returncode == 0
    raw = [float(rows(folder, results=results)[0]["raw"]) for results in ("results", "other")]
    assert abs(raw[0] - raw[1]) <= 0.002


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["model=./mine.py:mute", *ATTACKED], 2, "mine:mute has no logits"),
        (["model=toy", *ATTACKED], 2, "toy tells 10 classes apart, mine has 3; take a model or data of the same"),
        (["model=toy", "suite=robust-digits", "benchmark.measure=rsa"], 2, "digits holds labels, which rsa cannot use"),
        (["model=resnet18", "benchmark=imagenet_folder", "data.imagenet_folder=gone"], 3, "no such folder"),
    ],
)
def test_bad_input_gets_one_line(folder: Path, words: list[str], code: int, line: str) -> None:
    done = bench(folder, *words)
    assert done.returncode == code, done.stdout + done.stderr
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "results" / "records").exists()


def test_a_folder_with_labels_is_a_data_set(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    place = folder / "labels"
    (place / "images").mkdir(parents=True)
    for number, colour in enumerate([(200, 50, 50), (50, 200, 50), (50, 50, 200), (180, 20, 20)]):
        Image.fromarray(np.full((16, 16, 3), colour, np.uint8)).save(place / "images" / f"{number}.png")
    (place / "labels.csv").write_text("stimulus,label\n0,red\n1,green\n2,blue\n3,green\n")
    (place / "classes.txt").write_text("red\ngreen\nblue\n")
    checked = subprocess.run(
        [str(BENCH), "data", "check", "benchmark=folder", "data.folder=labels"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert "4 of 3 classes" in checked.stdout
    done = bench(folder, "model=./mine.py:net", "benchmark=folder", "data.folder=labels", "nulls=references")
    assert done.returncode == 0, done.stderr
    found = {row["model"]: float(row["raw"]) for row in rows(folder, "folder")}
    assert found == {"mine:net": 0.75, "chance": 0.5}
