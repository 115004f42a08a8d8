"""What a user types of a CordsNet: what is shown of it, and a line for each thing that cannot be."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.network import CordsNet

BENCH = Path(sys.executable).parent / "bench"
NETS = """
from pathlib import Path
from alignment.models.cordsnet.layout import Clock
from alignment.models.cordsnet.model import cordsnet
here = Path(__file__).parent
def larger():
    return cordsnet(2, weights=here / "good.pth", image_size=(40, 40))
def three():
    return cordsnet(3)
def ten():
    return cordsnet(10)
def fast():
    return cordsnet(2, image_size=(16, 16), clock=Clock(alpha=1.5))
def still():
    return cordsnet(2, image_size=(16, 16), clock=Clock(alpha=0.0))
"""
GAIN = "area_conv.1.parametrizations.weight.original0"


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with networks and checkpoints, some of which do not fit."""
    where = tmp_path_factory.mktemp("words")
    (where / "nets.py").write_text(NETS)
    torch.manual_seed(0)
    state = CordsNet(Layout(2, image_size=(16, 16), n_classes=10), Clock(steps=3, blank_steps=1)).state_dict()
    old = {
        name.replace(".parametrizations.", ".").replace("weight.original0", "weight_g"): each
        for name, each in state.items()
    }
    old = {name.replace("weight.original1", "weight_v"): each for name, each in old.items()}
    torch.save(state, where / "good.pth")
    torch.save(old, where / "old.pth")
    torch.save({name: each for name, each in state.items() if name != GAIN}, where / "short.pth")
    torch.save({**state, "prelu.weight": torch.ones(1)}, where / "long.pth")
    return where


def test_the_published_network_is_shown_without_its_weights(folder: Path) -> None:
    done = bench(folder, "show", "model=cordsnet_r8")
    assert done.returncode == 0, done.stderr
    assert "12,475,280" in done.stdout and "224 x 224" in done.stdout and "512 x 7 x 7" in done.stdout


@pytest.mark.parametrize("file", ["good", "old"])
def test_both_spellings_of_weight_normalisation_are_read(folder: Path, file: str) -> None:
    done = bench(folder, "show", "model=cordsnet_r2", f"model.weights={file}.pth")
    assert done.returncode == 0 and "16 x 16" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["model=./nets.py:larger"], 2, "images of 40x40 need bias maps of 10x10, and weights"),
        (["model=cordsnet_r2", "model.weights=short.pth"], 3, f"1 missing ({GAIN})"),
        (["model=cordsnet_r2", "model.weights=long.pth"], 3, "1 unexpected (prelu.weight)"),
        (["model=cordsnet_r4", "model.weights=good.pth"], 3, "missing"),
        (["model=./nets.py:fast"], 2, "cordsnet: alpha is 1.5; give a step above 0 and at most 1 time constant"),
        (["model=./nets.py:still"], 2, "cordsnet: alpha is 0.0; give a step above 0 and at most 1 time constant"),
        (["model=./nets.py:three"], 2, "cordsnet: depth is 3; give 2, 4, 6, 8 areas"),
        (["model=./nets.py:ten"], 2, "cordsnet: depth is 10; give 2, 4, 6, 8 areas"),
        (["model=cordsnet_r3"], 2, "unknown model 'cordsnet_r3'; did you mean cordsnet_r"),
    ],
)
def test_what_cannot_be_is_one_line(folder: Path, words: list[str], code: int, message: str) -> None:
    done = bench(folder, "run", *words, "benchmark=dynamics-digits")
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code and len(lines) == 1, done.stderr
    assert lines[0].startswith("bench: error: ") and message in lines[0]
    assert not done.stdout and not (folder / "results" / "records").exists()
