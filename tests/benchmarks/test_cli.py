"""What a newcomer types, and what comes back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.settings import known_keys

BENCH = Path(sys.executable).parent / "bench"


def bench(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300, env=os.environ)


HELP = [["--help"], ["list"], *([command, "--help"] for command in ("run", "train", "leaderboard", "data"))]
# a slip of the pen is found before anything is loaded
SLIPS = [["run", "modle=toy"], ["run", "model"], ["plan", "device=gpu"], ["leaderboard", "suite=smoke", "seed=5"]]


@pytest.mark.parametrize("words", [*HELP, *SLIPS])
def test_help_and_lists_and_slips_import_no_torch(words, tmp_path):
    code = f"import sys; sys.argv = ['bench', *{words!r}]; from benchmarks.cli import main\n"
    code += "try:\n main()\nexcept SystemExit as end:\n status = end.code\n"
    code += f"assert status == {2 if words in SLIPS else 0}\n"
    code += "assert not {'torch', 'xarray', 'pandas', 'sklearn'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if words in HELP:
        assert "simulat" in done.stdout or "KEY=VALUE" in done.stdout or "Commands" in done.stdout
    else:
        assert done.stderr.startswith("bench: error: ") and len(done.stderr.splitlines()) == 1


def test_the_help_of_a_command_lists_its_keys(tmp_path):
    commands = ("run", "leaderboard", "tune", "train", "relate", "data export")
    helps = {command: bench(*command.split(), "--help", folder=tmp_path).stdout for command in commands}
    of_run, of_board = helps["run"], helps["leaderboard"]
    for key in known_keys():
        assert any(f"  {key}=" in text for text in helps.values()) or key.endswith(".name")
    assert "default | none" not in of_run and "(default 32)" in of_run and "data.<data set>=" in of_run
    assert "  suite=" in of_board and "  seed=" not in of_board


@pytest.mark.parametrize("words", [[], ["data"]])
def test_no_words_give_the_help_and_nothing_else(words, tmp_path):
    done = bench(*words, folder=tmp_path)
    assert done.returncode == 2
    assert "Commands" in done.stdout
    assert done.stderr == ""


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
        (["leaderboard", "model=nosuch", "suite=smoke", "seed=5"], 2, "makes no use of model, seed; leave it out"),
        (["data", "check", "benchmark=nsd.V1", "nulls=none"], 2, "bench data check makes no use of nulls"),
        (["data", "fetch", "suite=smoke", "benchmark=nsd.V1"], 2, "give one, not both"),
        (["show", "model=toy", "batch_size=4"], 2, "bench show makes no use of batch_size"),
        (["run", "MODEL=toy", "suite=smoke"], 2, "did you mean model"),
        (["run", "model=toy", "suite=smoke", "results="], 2, "results=: it is empty"),
        (["run", "model=toy", "suite=smoke", "device=gpu"], 2, "give cpu, cuda, cuda:<number> or mps"),
        (
            ["run", "model=toy", "benchmark=nsd-smoke.V1", "benchmark.selection=lou", "benchmark.viewing=half"],
            2,
            "'lou'; did you mean loo?; unknown benchmark.viewing 'half'",
        ),
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


ODD = """
from torch import nn

def sized():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net.image_size = 64
    return net

def half():
    class Half:
        name, record = "half", print
    return Half()

def ends():
    raise SystemExit(0)
"""


def test_what_networks_say_wrongly_of_themselves_is_one_line(tmp_path):
    (tmp_path / "odd.py").write_text(ODD)
    models = "model=./odd.py:sized,./odd.py:half,./odd.py:ends"
    done = bench("run", models, "suite=smoke", "nulls=none", folder=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    for part in ("its image_size is 64; give (row, column)", "and no layers, time_bins", "SystemExit: 0; raise"):
        assert part in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["odd.py"]


def test_a_whole_network_in_the_place_of_weights_is_one_line(tmp_path):
    torch.save(torch.nn.Conv2d(3, 4, 3), tmp_path / "whole.pt")
    done = bench("show", "model=toy", "model.weights=whole.pt", folder=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "whole.pt: it holds Python objects" in done.stderr


CUT = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        pass
except BaseException:
    raise ImportError("cut short")
"""


def test_an_import_that_a_signal_cuts_short_is_an_interrupt(tmp_path):
    """Some modules turn whatever is raised while they load into a failure of their own."""
    (tmp_path / "cut.py").write_text(CUT)
    done = bench("show", "model=./cut.py:build", folder=tmp_path)
    assert done.returncode == 143, done.stdout + done.stderr
    assert done.stderr == "bench: error: stopped; the same command resumes\n"


def test_all_faults_are_reported_at_once(tmp_path):
    done = bench("run", "model=resnet81,alexnt", "suite=smoke", "nulls=none", folder=tmp_path)
    assert "resnet18" in done.stderr
    assert "alexnet" in done.stderr
