"""Runs end to end on a small data set of one's own: nothing twice, nothing lost, nothing half."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
# tests that run in the background ignore interrupts, and would pass that on
HEED = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
HEEDING = [sys.executable, "-c", HEED]
NET = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
    net.image_size = (32, 32)
    return net

class Slow(nn.Sequential):
    def forward(self, x):
        import time
        time.sleep(0.1)
        return super().forward(x)

def slow():
    net = Slow(*build())
    net.image_size = (32, 32)
    return net

class Broken(nn.Sequential):
    def forward(self, x):
        if len(x) > 2:
            raise RuntimeError("the network fell over")
        return super().forward(x)

def broken():
    net = Broken(*build())
    net.image_size = (32, 32)
    return net
"""
DATA = """
import numpy as np
from benchmarks.datasets.presented import presented

def data(settings, selection):
    rng = np.random.default_rng(0)
    images = {f"image{i:03}": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) // (1 + i % 3) for i in range(150)}
    stimulus = [name for name in images for _ in range(3)]
    signal = np.array([images[name].mean((0, 1)) for name in stimulus]) / 20
    return presented("mine", images, responses=signal + rng.normal(size=signal.shape), stimulus=stimulus)
"""
LEAKY = """
import numpy as np
from benchmarks.datasets.base import Split
from benchmarks.datasets.presented import presented

def leaky(settings, selection):
    rng = np.random.default_rng(0)
    images = {f"image{i:02}": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in range(20)}
    splits = [Split("all", tuple(images), tuple(images))]
    return presented("leaky", images, responses=rng.normal(size=(20, 4)), stimulus=list(images), splits=splits)

def raises(settings, selection):
    raise ValueError("no such thing")

def full(settings, selection):
    raise OSError(28, "No space left on device", "somewhere")

def three(settings, selection):
    return 3
"""
ODD = """
import torch
from torch import nn

class Constant(nn.Module):
    def forward(self, x):
        return torch.ones(len(x), 4)

class Nan(nn.Module):
    def forward(self, x):
        return torch.full((len(x), 4), torch.nan)

def build():
    net = nn.Sequential(Constant(), Nan(), Constant())
    net.image_size = (32, 32)
    return net
"""
SMALL = ["benchmark=./data.py:data", "n_bootstrap=100", "block_size=50"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "data.py").write_text(DATA)
    return tmp_path


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), "run", *words], cwd=folder, capture_output=True, text=True, timeout=300)


def rows(folder: Path, results: str = "results", name: str = "data") -> list[dict[str, str]]:
    with (folder / results / "leaderboards" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def state(folder: Path) -> dict[str, int]:
    kept = [path for path in (folder / "results").rglob("*") if path.is_file() and "leaderboards" not in path.parts]
    return {str(path): path.stat().st_mtime_ns for path in kept}


def test_the_same_command_again_computes_nothing(folder):
    words = ["model=./net.py:build", *SMALL]
    first = bench(folder, *words)
    assert first.returncode == 0, first.stderr
    assert "5 scores computed, 0 were there" in first.stdout
    before, board = state(folder), rows(folder)
    second = bench(folder, *words)
    assert "0 scores computed, 5 were there" in second.stdout
    assert state(folder) == before
    assert rows(folder) == board
    by_name = {row["model"]: row for row in board}
    assert set(by_name) == {"pixels", "gabor", "net:build", "net:build[untrained]", "net:build[responses=shuffled]"}
    assert float(by_name["pixels"]["raw"]) > 0.5
    assert float(by_name["net:build[responses=shuffled]"]["raw"]) < 0.2
    assert {row["status"] for row in board} == {"ok"}


def test_a_killed_run_resumes_to_the_same_table(folder):
    words = ["model=./net.py:slow", "nulls=none", "batch_size=16", *SMALL]
    process = subprocess.Popen([str(BENCH), "run", *words], cwd=folder, stdout=subprocess.DEVNULL)
    store = folder / "results" / "store"
    deadline = time.monotonic() + 120
    while len(list(store.rglob("*.nc"))) < 4:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((folder / "results").glob("leaderboards/*"))
    kept = state(folder)
    resumed = bench(folder, *words)
    assert resumed.returncode == 0, resumed.stderr
    assert {path: kept[path] for path in kept if path.endswith(".nc")}.items() <= state(folder).items()
    fresh = bench(folder, *words, "results=fresh")
    assert fresh.returncode == 0
    assert rows(folder) == rows(folder, "fresh")


def test_an_interrupt_says_how_to_go_on(folder):
    words = ["model=./net.py:slow", "nulls=none", "batch_size=16", *SMALL]
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        command = [str(BENCH), "run", *words, f"results=results{code}"]
        process = subprocess.Popen([*HEEDING, *command], cwd=folder, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not list((folder / f"results{code}" / "store").rglob("*.nc")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        assert process.returncode == code
        assert "the same command resumes" in error
        assert "Traceback" not in error


def test_a_unit_that_fails_is_reported_and_the_rest_go_on(folder):
    done = bench(folder, "model=./net.py:broken,./net.py:build", "nulls=none", *SMALL)
    assert done.returncode == 1
    assert "the network fell over" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert [row["model"] for row in rows(folder)] == ["net:build"]


def test_a_layer_that_fails_is_named_and_the_others_are_kept(folder):
    (folder / "odd.py").write_text(ODD)
    done = bench(folder, "model=./odd.py:build", "nulls=none", *SMALL)
    assert done.returncode == 1
    assert "subject1/1" in done.stdout and "NaN" in done.stdout
    assert len(list((folder / "results" / "store").rglob("*.nc"))) == 3 * 3 + 2
    rest = bench(folder, "model=./odd.py:build", "nulls=none", "model.layers=0,2", *SMALL)
    assert rest.returncode == 0, rest.stdout
    (row,) = rows(folder)
    assert float(row["raw"]) == pytest.approx(0, abs=1e-6)


def test_a_copy_of_a_data_set_under_another_name_is_measured_afresh(folder):
    """Shuffles and resamples are drawn by the name."""
    (folder / "copy.py").write_text(
        DATA.replace('presented("mine"', 'presented("yours"').replace("def data", "def copy")
    )
    words = ["model=pixels", "nulls=none", "n_bootstrap=100"]
    assert bench(folder, *words, "benchmark=./data.py:data").returncode == 0
    assert "1 scores computed" in bench(folder, *words, "benchmark=./copy.py:copy").stdout


def test_images_of_several_sizes_are_shown_to_models_that_take_any(folder):
    (folder / "mixed.py").write_text(
        DATA.replace("(32, 32, 3)", "(32 + i % 2, 32, 3)").replace("def data", "def mixed")
    )
    done = bench(folder, "model=pixels", "benchmark=./mixed.py:mixed", "nulls=none", "n_bootstrap=100")
    assert done.returncode == 0, done.stdout
    assert float(rows(folder, name="mixed")[0]["raw"]) > 0.5


def test_a_suite_of_ones_own_finds_its_rows_again(folder):
    (folder / "mine.yaml").write_text("summary: mine\nbenchmarks: [./data.py:data]\n")
    assert bench(folder, "model=pixels", "suite=./mine.yaml", "nulls=none", "n_bootstrap=100").returncode == 0
    again = subprocess.run([str(BENCH), "leaderboard", "suite=./mine.yaml"], cwd=folder, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "pixels" in again.stdout


def test_an_edited_network_is_another_network(folder):
    words = ["model=./net.py:build", "nulls=none", *SMALL]
    assert bench(folder, *words).returncode == 0
    (folder / "net.py").write_text(NET.replace("manual_seed(0)", "manual_seed(1)"))
    assert "1 scores computed" in bench(folder, *words).stdout
    names = [row["model"] for row in rows(folder)]
    assert len(names) == 2
    assert all(name.startswith("net:build@") for name in names)


def test_batch_size_and_block_size_do_not_change_the_numbers(folder):
    words = ["model=./net.py:build", "nulls=none", "benchmark=./data.py:data", "n_bootstrap=100"]
    assert bench(folder, *words, "batch_size=7", "results=a").returncode == 0
    assert bench(folder, *words, "batch_size=60", "block_size=13", "results=b").returncode == 0
    (first,), (second,) = rows(folder, "a"), rows(folder, "b")
    for column in ("raw", "raw_low", "raw_high", "ceiling", "normalised"):
        assert float(first[column]) == pytest.approx(float(second[column]), abs=2e-4)


def test_a_record_says_where_its_number_came_from(folder):
    assert bench(folder, "model=./net.py:build", "nulls=none", *SMALL).returncode == 0
    (path,) = (folder / "results" / "records").glob("*.json")
    record = json.loads(path.read_text())
    assert path.stem == record["key"]
    assert record["settings"]["asked"]["n_bootstrap"] == 100
    resolved = record["settings"]["resolved"]
    assert (resolved["ridge"]["selection"], resolved["recording"]["pool"]) == ("loo", 4)
    assert resolved["layers"] == [cell["layer"] for cell in record["surface"]]
    assert record["provenance"]["libraries"]["torch"]
    assert record["provenance"]["peak_memory_bytes"] > 1e8
    assert record["benchmark"]["id"].startswith("data-ridge-loo-avg4x4")
    assert record["details"]["subjects"]["subject1"]["dropped_neuroids"] == []
    with (folder / "results" / "leaderboards" / "data.layers.csv").open() as file:
        surface = list(csv.DictReader(file))
    assert [row["layer"] for row in surface] == [cell["layer"] for cell in record["surface"]]


def test_other_resamples_need_no_other_fits(folder):
    words = ["model=./net.py:build", "nulls=none", "benchmark=./data.py:data", "block_size=50"]
    assert bench(folder, *words, "n_bootstrap=100").returncode == 0
    before = state(folder)
    assert bench(folder, *words, "n_bootstrap=200").returncode == 0
    new = set(state(folder)) - set(before)
    assert [Path(path).parent.name for path in new] == ["records"]


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["model=pixels", "benchmark=./leaky.py:leaky"], 3, "in train and test"),
        (["model=pixels", "benchmark=./leaky.py:raises"], 2, "ValueError: no such thing"),
        (["model=pixels", "benchmark=./leaky.py:three"], 2, "int"),
        (["model=pixels", "benchmark=./leaky.py:none"], 2, "none"),
        (["model=pixels", "benchmark=./leaky.py:full"], 3, "No space left"),
        (["model=pixels", "suite=./list.yaml"], 3, "list.yaml"),
        (["model=pixels", "benchmark=./data.py:data", "results=net.py"], 2, "net.py"),
        (["model=pixels", "benchmark=./data.py:data", "results=/proc/nope"], 2, "/proc"),
        (["model=pixels", "benchmark=./data.py:data", "benchmark.precision=tf32"], 2, "tf32"),
        (["model=toyy", "benchmark=./data.py:data", "benchmark.pool=0"], 2, "benchmark.pool=0"),
    ],
)
def test_what_a_user_s_files_do_wrong_is_one_line(folder, words, code, part):
    (folder / "leaky.py").write_text(LEAKY)
    (folder / "list.yaml").write_text("- a\n- b\n")
    done = bench(folder, *words)
    assert done.returncode == code, done.stdout + done.stderr
    assert part in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (folder / "results").exists()


def test_a_plan_computes_and_writes_nothing(folder):
    done = subprocess.run(
        [str(BENCH), "plan", "model=./net.py:build", *SMALL], cwd=folder, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "pending" in done.stdout
    assert not (folder / "results").exists()
