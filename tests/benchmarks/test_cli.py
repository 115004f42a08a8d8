"""What a newcomer types, and what comes back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(sys.executable).parent / "bench"


def bench(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300, env=os.environ)


@pytest.mark.parametrize("words", [["--help"], ["list"], ["run", "--help"], ["data", "--help"]])
def test_help_and_lists_import_no_torch(words, tmp_path):
    code = f"import sys; sys.argv = ['bench', *{words!r}]; from benchmarks.cli import main\n"
    code += "try:\n main()\nexcept SystemExit:\n pass\n"
    code += "assert not {'torch', 'xarray', 'pandas', 'sklearn'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "simulat" in done.stdout or "KEY=VALUE" in done.stdout or "Commands" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["run", "modle=toy", "suite=smoke"], 2, "did you mean model"),
        (["run", "model=toy", "suite=smke"], 2, "did you mean smoke"),
        (["run", "model=resnet81", "suite=smoke"], 2, "did you mean resnet18"),
        (["run", "model=toy", "model.layers=layer9x", "suite=smoke"], 2, "layer9x"),
        (["run", "model=toy", "benchmark=nsd-smoke.V9"], 2, "V9"),
        (["run", "model=toy", "benchmark=cowly2023.201025"], 2, "did you mean"),
        (["run", "model=toy", "benchmark=nsd"], 2, "needs a selection"),
        (["run", "model=toy"], 2, "suite="),
        (["run", "benchmark=nsd-smoke.V1"], 2, "no model"),
        (["run", "model=toy", "suite=smoke", "nulls=pixel"], 2, "did you mean pixels"),
        (["run", "model=toy", "suite=smoke", "data.nsdd=x"], 2, "did you mean data.nsd"),
        (["run", "model=toy", "suite=smoke", "device=cuda:99"], 2, "device=cuda:99"),
        (["run", "model=toy", "benchmark=nsd-smoke.V1", "benchmark.selection=lou"], 2, "did you mean loo"),
        (["run", "model=toy", "benchmark=nsd-smoke.V1", "benchmark.pool=big"], 2, "benchmark.pool=big"),
        (["run", "model=./none.py:build", "suite=smoke"], 2, "none.py"),
        (["run", "model=toy", "model.weights=gone.pt", "suite=smoke"], 2, "gone.pt"),
        (["run", "model=toy", "benchmark=nsd.V1", "data.nsd=nowhere"], 3, "nowhere"),
        (["run", "model=pixels", "benchmark=cowley2023.201025", "data.root=nowhere"], 3, "nowhere"),
        (["run", "model=toy", "suite=cowley2023", "benchmark.pool=²"], 2, "benchmark.pool=²"),
        (["run", "model=toy", "benchmark=nsd.V1", "data.nsd=nowhere", "data.subjects=1-99999999"], 2, "from 1 to 8"),
        (["show", "model=pixels", "data.nsdd=1"], 2, "did you mean data.nsd"),
        (["data", "simulate", "data.nsd-simulatd=x"], 2, "did you mean data.nsd-simulated"),
        (["leaderboard", "suite=smoke"], 2, "no records"),
        (["list", "model"], 2, "did you mean models"),
        (["rnu"], 2, "rnu"),
        (["show"], 2, "KEY=VALUE"),
    ],
)
def test_bad_input_is_one_line_with_the_right_code_and_nothing_written(words, code, part, tmp_path):
    done = bench(*words, folder=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("bench: error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert part in done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_weights_with_a_missing_key_are_found_before_anything_is_written(tmp_path):
    torch.save({"stage1.0.weight": torch.zeros(1)}, tmp_path / "half.pt")
    done = bench("run", "model=toy", "model.weights=half.pt", "suite=smoke", folder=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "half.pt" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results" / "store").exists()
    assert not (tmp_path / "results" / "leaderboards").exists()


def test_all_faults_are_reported_at_once(tmp_path):
    done = bench("run", "model=resnet81,alexnt", "suite=smoke", "nulls=none", folder=tmp_path)
    assert "resnet18" in done.stderr
    assert "alexnet" in done.stderr
