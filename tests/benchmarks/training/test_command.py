"""`bench train` as a user runs it: made once, resumed exactly, used without another word, refused in one line."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.datasets import load_digits
from torch.nn import functional as F

from alignment.errors import DataError, RequestError
from alignment.models import load_model as load_by_name
from alignment.models.toy import Recipe, ToyNetwork, split
from benchmarks.model_files import load_model
from benchmarks.settings import parse
from benchmarks.training.base import Made, TrainingRequest, training
from benchmarks.training.command import complete, train_command
from benchmarks.training.presets import Preset

BENCH = Path(sys.executable).parent / "bench"
WORDS = ("model=toy", "training.data=digits", "training.epochs=4")
STEM = "toy+digits-epochs=4"


def bench(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=120)


def trained_here(folder: Path, *words: str) -> int:
    return train_command(parse([*words, f"results={folder / 'results'}", "threads=1"]))


def place(folder: Path, stem: str = STEM) -> Path:
    return folder / "results" / "trained" / stem / f"{stem}.yaml"


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file.with_suffix(".pt"), weights_only=True)["state_dict"]


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody interrupted, and what the command said of it."""
    where = tmp_path_factory.mktemp("trained")
    ended = bench("train", *WORDS, "threads=1", folder=where)
    assert ended.returncode == 0, ended.stderr
    (where / "said.txt").write_text(ended.stdout)
    return where


def test_it_leaves_weights_their_yaml_and_history(folder: Path):
    left = sorted(path.name for path in place(folder).parent.iterdir())
    assert left == ["history.csv", f"{STEM}.pt", f"{STEM}.yaml"]
    history, said = pd.read_csv(place(folder).with_name("history.csv")), yaml.safe_load(place(folder).read_text())
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    kept = history["validation_accuracy"].idxmax()
    assert said["epoch"] == kept and said["validation_accuracy"] == pytest.approx(history["validation_accuracy"][kept])
    assert (said["name"], said["base"], said["images"], said["validation_images"]) == (STEM, "toy", 1293, 144)
    printed = (folder / "said.txt").read_text()
    assert f"epoch {kept + 1} of 4 kept, accuracy {history['validation_accuracy'][kept]:.3f} on held-out" in printed
    assert f"bench run model=results/trained/{STEM}/{STEM}.yaml" in printed


def test_the_weights_know_digits_they_have_not_seen(folder: Path):
    net = ToyNetwork(Recipe().channels)
    net.load_state_dict(weights(place(folder)))
    bunch = load_digits()
    _, held_out = split(Recipe(), len(bunch.target))
    pixels = torch.from_numpy(bunch.images[held_out] / 16).float()[:, None].expand(-1, 3, -1, -1)
    large = F.interpolate(pixels, size=(32, 32), mode="bilinear", align_corners=False)
    found = net.eval()((large - 0.5) / 0.5).argmax(1).numpy()
    assert np.mean(found == bunch.target[held_out]) > 0.8


def test_the_file_is_a_model(folder: Path):
    model = load_model(str(place(folder)), cache=folder / "cache")
    assert model.name == STEM and same(model.module.state_dict(), weights(place(folder)))
    assert model.fingerprint != load_by_name("toy", weights="none", cache=folder / "cache").fingerprint


def test_it_is_made_once(folder: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.stat().st_mtime_ns for path in place(folder).parent.iterdir()}
    assert trained_here(folder, *WORDS) == 0
    assert f"{STEM}: trained already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in place(folder).parent.iterdir()} == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_training_goes_on_to_the_same_weights(folder: Path, tmp_path: Path, number: signal.Signals):
    history = place(tmp_path).with_name("history.csv")
    words = [str(BENCH), "train", *WORDS, "threads=1"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not history.exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[number]
    if number != signal.SIGKILL:
        assert errors == "bench: error: stopped; the same command resumes\n"
    step = torch.load(history.with_name("state.pt"), weights_only=True)["step"]
    assert 41 <= step < 164 and not place(tmp_path).exists()
    assert trained_here(tmp_path, *WORDS) == 0
    assert same(weights(place(tmp_path)), weights(place(folder)))
    assert history.read_bytes() == place(folder).with_name("history.csv").read_bytes()
    assert not history.with_name("state.pt").exists()


def test_weights_of_other_things_or_changed_since_are_not_taken_for_these(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    place(tmp_path).parent.mkdir(parents=True)
    said = yaml.safe_load(place(folder).read_text())
    place(tmp_path).with_suffix(".pt").write_bytes(place(folder).with_suffix(".pt").read_bytes())
    place(tmp_path).write_text(yaml.safe_dump(said | {"of": said["of"] | {"images": "others"}}))
    assert trained_here(tmp_path, *WORDS) == 1
    assert "was made of other images; move it away" in capsys.readouterr().out.replace("\n", " ")
    place(tmp_path).write_text(yaml.safe_dump(said))
    place(tmp_path).with_suffix(".pt").write_bytes(b"damaged")
    assert trained_here(tmp_path, *WORDS) == 1
    assert "has sha256" in capsys.readouterr().out


def test_a_fault_of_one_model_does_not_stop_the_next(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "net.py").write_text(
        "from alignment.models.toy import ToyNetwork\n"
        "def net():\n    net = ToyNetwork((4, 4, 4))\n"
        "    net.image_size, net.classes = (16, 16), tuple('0123456789')\n    return net\n"
    )
    state = place(tmp_path).with_name("state.pt")
    state.parent.mkdir(parents=True)
    state.write_bytes(b"half")
    both = f"model=toy,{tmp_path / 'net.py'}:net"
    own = ["training=digits", "training.epochs=4"]
    assert trained_here(tmp_path, both, *own) == 1
    said = capsys.readouterr().out
    assert f"failed: {STEM}: training state" in said and "delete it to start again" in said
    assert place(tmp_path, "net+digits-epochs=4").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["model=toy", "training.epocs=3"], 2, "did you mean training.epochs"),
        (["model=toy", "trainin.epochs=3"], 2, "did you mean training.epochs"),
        (["model=toy", "model.weights=none"], 2, "bench train makes no use of model.weights"),
        (["model=toy", "training="], 2, "it is empty"),
        (["model=resnet18_cifar10", "data.cifar10=nowhere"], 3, "nowhere"),
    ],
)
def test_bad_input_is_one_line_with_the_right_code_and_nothing_written(
    tmp_path: Path, words: list[str], code: int, message: str
):
    ended = bench("train", *words, folder=tmp_path)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ended.stderr.startswith("bench: error: ") and len(ended.stderr.splitlines()) == 1
    assert message in ended.stderr and not list(tmp_path.iterdir())


def test_what_is_missing_is_said_at_once(tmp_path: Path):
    with pytest.raises(RequestError, match=r"device=cuda:99: this machine has .*; no model; add model=<name>"):
        trained_here(tmp_path, "training.epochs=3", "device=cuda:99")
    assert not list(tmp_path.iterdir())


class Instant:
    """A training of another kind: it counts, and its network is random."""

    def __init__(self, request: TrainingRequest, *, makes_default: bool = False) -> None:
        self.request, self.makes_default = request, makes_default
        self.name = request.name(request.changes)
        self.module = load_by_name(request.model, weights="none", seed=5, cache=Path("none")).module

    def identity(self) -> Mapping[str, str]:
        return {"iterations": self.request.changes.get("iterations", "1")}

    def run(self, folder: Path, *, device: str, stop: Callable[[], bool], report) -> Made | None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.txt").write_text("half")
        report("count", 1, 1)
        return None if stop() else Made(self.module, {"iterations": 3}, "counted to 3")


def test_a_training_of_another_kind_has_keys_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    training("instant")(Instant)
    assert trained_here(tmp_path, "model=toy", "training=instant", "training.iterations=3") == 0
    assert "toy+instant-iterations=3: counted to 3" in capsys.readouterr().out
    made = place(tmp_path, "toy+instant-iterations=3")
    assert yaml.safe_load(made.read_text())["of"] == {"iterations": "3"}
    assert sorted(path.suffix for path in made.parent.iterdir()) == [".pt", ".yaml"]


def test_a_stopped_training_keeps_its_state_and_says_nothing(tmp_path: Path):
    settings = parse(["model=toy", f"results={tmp_path}"])
    request = TrainingRequest("toy", Preset("instant", "instant"), {}, settings)
    found = complete(Instant(request), "toy", settings=settings, stop=lambda: True, notify=lambda *_: None)
    assert found == [] and [path.name for path in (tmp_path / "trained" / "toy+instant").iterdir()] == ["state.txt"]


def test_a_models_own_weights_are_its_default_from_then_on(tmp_path: Path):
    settings = parse(["model=resnet18_cifar10", f"results={tmp_path}", "seed=3"])
    made = Instant(TrainingRequest("resnet18_cifar10", Preset("instant", "instant"), {}, settings), makes_default=True)
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="make it with `bench train model=resnet18_cifar10 seed=3`"):
        load_by_name("resnet18_cifar10", cache=cache, seed=3)
    for _ in range(2):
        lines = complete(made, "resnet18_cifar10", settings=settings, stop=lambda: False, notify=lambda *_: None)
        assert lines[-1] == "use it: bench run model=resnet18_cifar10 seed=3 ..."
        model = load_by_name("resnet18_cifar10", cache=cache, seed=3)
        assert model.name == "resnet18_cifar10[seed=3]" and same(model.module.state_dict(), made.module.state_dict())
        # what was cleared from the cache is put back
        (cache / "trained" / "resnet18_cifar10-seed3.pt").unlink()
