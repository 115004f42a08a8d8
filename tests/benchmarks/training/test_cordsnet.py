"""`bench train` of a CordsNet: stages in one command, a kill, the network's file, faults."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from alignment.models.cordsnet.model import CordsNetModel
from benchmarks.model_files import load_model
from benchmarks.training.base import STATE

BENCH = Path(sys.executable).parent / "bench"
NAME = "cordsnet_r2+cordsnet-digits-cnn_epochs=1-images=60-inverse_epochs=1-steps=4"
FEW = ["training.cnn_epochs=1", "training.images=60", "training.inverse_epochs=1", "training.steps=4"]
WORDS = ["model=cordsnet_r2", "training=cordsnet-digits", "threads=1", *FEW]


def bench(folder: Path, *words: str, command: str = "train") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), command, *words], cwd=folder, capture_output=True, text=True, timeout=300)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "results" / "trained" / NAME / f"{NAME}.pt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = bench(folder, *WORDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_one_command_takes_it_through_all_stages(trained: Path) -> None:
    place = trained / "results" / "trained" / NAME
    with (place / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["stage"] for row in rows)) == ["cnn", "inverse", "linear", "anneal", "fine_tune"]
    slopes = [float(row["slope"]) for row in rows if row["stage"] == "anneal"]
    assert slopes == [0.75, 0.5, 0.25, 0.0]
    assert not list(place.glob(f"{STATE}*"))
    again = bench(trained, *WORDS)
    assert again.returncode == 0 and "trained already" in again.stdout


def test_the_file_says_what_the_network_is(trained: Path) -> None:
    path = trained / "results" / "trained" / NAME / f"{NAME}.yaml"
    model = load_model(str(path), cache=trained, data_root=trained)
    assert isinstance(model, CordsNetModel) and model.name == NAME
    assert model.image_size == (8, 8) and model.classes == tuple("0123456789")
    assert model.module.clock.steps == 4 and model.time_bins["rates.0"] == (2.0, 4.0, 6.0, 8.0)
    assert model.folded is not None and model.logits(torch.rand(2, 3, 8, 8)).shape == (2, 4, 10)


@pytest.mark.slow
@pytest.mark.parametrize("after", ["cnn", "inverse", "linear", "anneal"])
def test_killed_in_any_stage_the_same_command_goes_on_to_the_same_weights(
    tmp_path: Path, trained: Path, after: str
) -> None:
    history = tmp_path / "results" / "trained" / NAME / "history.csv"
    with subprocess.Popen([str(BENCH), "train", *WORDS], cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if history.is_file() and after in history.read_text():
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL and (history.parent / f"{STATE}.pt").is_file()
    done = bench(tmp_path, *WORDS)
    assert done.returncode == 0, done.stdout + done.stderr
    expected, found = weights(trained), weights(tmp_path)
    assert list(expected) == list(found)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=resnet18", "training=cordsnet-digits"], "unknown model of the training cordsnet 'resnet18'"),
        (["model=cordsnet_r3", "training=cordsnet-digits"], "did you mean cordsnet_r"),
        (["model=cordsnet_r2", "training=cordsnet-digits", "training.alpha=1.2"], "alpha is 1.2"),
        (["model=cordsnet_r2", "training=cordsnet-digits", "training.anneal_epoch=3"], "did you mean"),
        (["model=cordsnet_r2", "training=cordsnet-digits", "training.linear_rate=fast"], "training.linear_rate=fast"),
        (["model=cordsnet_r4", "training=cordsnet-digits", "training.channels=2"], "n_channels is 2"),
        (["model=cordsnet_r2", "training=cordsnet-digits", "training.data=cowley2023.201025"], "no labels|cowley2023"),
    ],
)
def test_faults_in_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    done = bench(tmp_path, *words)
    assert done.returncode in (2, 3), done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("bench: error: ")
    assert any(part in lines[0] for part in message.split("|")), lines[0]
    assert not (tmp_path / "results" / "trained").exists()
