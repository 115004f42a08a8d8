"""From words to a training on clutter: which images, which name, resumed to the bit; and every fault in one line."""

import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from alignment.errors import AlignmentError
from alignment.models import load_model
from alignment.training.clutter import ClutterRecipe
from benchmarks.settings import parse
from benchmarks.training.clutter import ClutterTraining
from benchmarks.training.command import build_training, train_command
from benchmarks.training.presets import own_preset

BENCH = Path(sys.executable).parent / "bench"
WORDS = (
    "training=clutter-lean", "training.iterations=3", "training.batch_size=2", "training.validate_every=1",
    "training.validation_images=3", "training.held_out=10",
)  # fmt: skip
STEM = "thorat_rnn_lean+clutter-lean-batch_size=2-held_out=10-iterations=3-validate_every=1-validation_images=3"
N = 40


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in torchvision's layout, 40 training and 10 test images of each set."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        folder = root / name / "raw"
        folder.mkdir(parents=True)
        for part, n in (("train", N), ("t10k", 10)):
            images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))
    return root


def training(data: Path, tmp_path: Path, *words: str, model: str = "thorat_rnn_lean") -> ClutterTraining:
    settings = parse([f"model={model}", f"results={tmp_path / 'results'}", f"data.root={data}", *words])
    return build_training(settings.model.name[0], settings)


def trained_here(data: Path, folder: Path, *words: str) -> int:
    places = [f"results={folder / 'results'}", f"data.root={data}", "threads=1"]
    return train_command(parse(["model=thorat_rnn_lean", *words, *places]))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "results/trained" / STEM / f"{STEM}.pt", weights_only=True)["state_dict"]


@pytest.mark.parametrize(("convention", "held_out"), [("float", slice(0, 10)), ("uint8", slice(N - 10, N))])
def test_validation_objects_are_none_of_those_trained_on(data: Path, tmp_path: Path, convention, held_out) -> None:
    made = training(data, tmp_path, *WORDS, f"training.convention={convention}")
    for domain, name in enumerate(("MNIST", "FashionMNIST")):
        raw = (data / name / "raw" / "train-images-idx3-ubyte").read_bytes()
        images = np.frombuffer(raw, np.uint8, offset=16).reshape(N, 28, 28)
        np.testing.assert_array_equal(made.series.validation.objects.images[domain], images[held_out])
        np.testing.assert_array_equal(made.series.training.objects.images[domain], np.delete(images, held_out, axis=0))
    assert made.series.training.convention == made.series.validation.convention == convention
    if convention == "float":
        assert made.name == STEM and not made.makes_default
        untrained = load_model("thorat_rnn_lean", weights="none", cache=tmp_path).module.state_dict()
        assert all(torch.equal(value, untrained[name]) for name, value in made.model.module.state_dict().items())


def test_the_seed_is_of_the_images_trained_on_and_of_the_weights(data: Path, tmp_path: Path) -> None:
    one, mixed, other = (training(data, tmp_path, *WORDS, *more) for more in ((), ("training.seed=3",), ("seed=3",)))
    identities = [each.identity() for each in (one, mixed, other)]
    images, weights_, held_out = (
        [each[name] for each in identities] for name in ("images", "starting weights", "validation images")
    )
    assert images[0] != images[1] == images[2]
    assert weights_[0] == weights_[1] != weights_[2]
    assert len(set(held_out)) == 1 and held_out[0] not in images


def test_a_preset_is_the_papers_training_and_one_of_its_models_own(data: Path, tmp_path: Path) -> None:
    lean = training(data, tmp_path, "training.held_out=10")
    assert lean.name == "thorat_rnn_lean+clutter-lean-held_out=10" and not lean.makes_default
    assert lean.recipe == ClutterRecipe(iterations=20_000, validation_images=1000)
    full = training(data, tmp_path, "training=clutter", "training.held_out=10")
    assert full.recipe == ClutterRecipe() and full.name == "thorat_rnn_lean+clutter-held_out=10"
    assert own_preset("thorat_rnn").name == own_preset("thorat_rnn_bias").name == "clutter"
    assert own_preset("thorat_rnn_lean").default_weights and not own_preset("thorat_rnn").default_weights


def test_a_kill_costs_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert trained_here(data, whole, *WORDS) == 0
    said = capsys.readouterr().out
    assert f"{STEM}: 3 iterations, accuracy" in said.replace("\n", "")
    place = cut / "results" / "trained" / STEM
    words = [str(BENCH), "train", "model=thorat_rnn_lean", *WORDS, f"data.root={data}", "results=results", "threads=1"]
    cut.mkdir()
    with subprocess.Popen(words, cwd=cut, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (place / "history.csv").exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == -9 and not (place / f"{STEM}.yaml").exists()
    assert torch.load(place / "state.pt", weights_only=True)["step"] in (1, 2)
    assert trained_here(data, cut, *WORDS) == 0
    one, other = weights(whole), weights(cut)
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
    histories = [folder / "results/trained" / STEM / "history.csv" for folder in (whole, cut)]
    assert histories[0].read_bytes() == histories[1].read_bytes()
    assert pd.read_csv(histories[0])["epoch"].tolist() == [0, 1, 2] and not (place / "state.pt").exists()
    file = yaml.safe_load((place / f"{STEM}.yaml").read_text())
    assert (file["training"], file["convention"], file["held_out"], file["seed"]) == ("clutter-lean", "float", 10, 0)
    assert file["recipe"]["iterations"] == 3 and len(file["of"]) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["training.iteration=3"], "unknown key 'training.iteration'; did you mean training.iterations"),
        (["training.iterations=0"], "training: iterations is 0; give 1 or more"),
        (["training.iterations=2.5"], "training.iterations=2.5: "),
        (["training.learning_rate=fast"], "training.learning_rate=fast: "),
        (["training.learning_rate=-1"], "training: learning_rate is -1.0; give one above 0"),
        (["training.seed=-1"], "training.seed=-1: "),
        (["training.convention=floot"], "unknown convention 'floot'; did you mean float?"),
        (["training.held_out=40"], "40 images of 40 to validate on; give 1 to 39"),
        (["training.held_out=5000"], "5000 images of 40 to validate on; give 1 to 39"),
        (["training.held_out=0"], "training.held_out=0: "),
        (["model=thorat_rnn_lea", "training=clutter-lean"], "did you mean thorat_rnn_lean"),
        (["model=toy", "training=clutter-lean"], "toy[weights=none] is no network for cluttered images; name"),
        (["data.mnist=nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_refused_in_one_line(data: Path, tmp_path: Path, words: list[str], message: str) -> None:
    model = next((word.removeprefix("model=") for word in words if word.startswith("model=")), "thorat_rnn_lean")
    asked = [word for word in words if not word.startswith("model=")]
    usual = [] if any(word.startswith("training.held_out") for word in words) else ["training.held_out=10"]
    with pytest.raises(AlignmentError) as caught:
        training(data, tmp_path, *asked, *usual, model=model)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_command_says_so_with_the_right_code_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    words = ["model=thorat_rnn_lean", "training.iteration=3", "training.held_out=99", f"data.root={data}"]
    ended = subprocess.run([str(BENCH), "train", *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert ended.stderr.startswith("bench: error: ") and len(ended.stderr.splitlines()) == 1
    assert "did you mean training.iterations" in ended.stderr and not list(tmp_path.iterdir())
