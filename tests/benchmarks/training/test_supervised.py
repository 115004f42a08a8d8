"""From words to a training: which images, which settings, which name; and every fault before a weight is changed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision.transforms import functional as TF

from alignment.errors import AlignmentError
from alignment.models import load_model
from alignment.training.recipe import Recipe
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.digits import build as build_digits
from benchmarks.settings import parse
from benchmarks.training.base import TrainingRequest
from benchmarks.training.command import build_training
from benchmarks.training.presets import load_preset

CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def training(tmp_path: Path, *words: str, model: str = "toy"):
    settings = parse([f"model={model}", f"results={tmp_path / 'results'}", f"data.root={tmp_path / 'data'}", *words])
    return build_training(settings.model.name[0], settings)


@pytest.fixture
def few_cifar(tmp_path: Path) -> Path:
    """A part of CIFAR-10 that nobody drew: 40 training and 10 test images of noise."""
    rng = np.random.default_rng(0)
    place = tmp_path / "data" / "cifar10_subset"
    place.mkdir(parents=True)
    arrays = {
        f"{part}_images": rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        for part, n in (("train", 40), ("test", 10))
    }
    labels = {f"{part}_labels": np.arange(n) % 10 for part, n in (("train", 40), ("test", 10))}
    np.savez(place / "cifar10_subset.npz", **arrays, **labels, names=np.array(CIFAR_CLASSES))
    return tmp_path


def test_digits_that_judge_are_none_of_those_trained_on(tmp_path: Path):
    images, targets = build_digits(DataSettings(), None).train()
    bunch = load_digits()
    judged = {int(name.removeprefix("digit")) for name in build_digits(DataSettings(), None).stimuli.ids}
    rest = [place for place in range(len(bunch.target)) if place not in judged]
    assert len(rest) == len(images) == 1437
    assert targets.tolist() == bunch.target[rest].tolist()
    np.testing.assert_allclose(images[..., 0], bunch.images[rest] * 255 / 16, atol=0.5)
    found = training(tmp_path)
    assert found.targets.tolist() == targets.tolist()
    # as torchvision resizes, to within the rounding of its own integers
    resized = TF.resize(torch.from_numpy(images).permute(0, 3, 1, 2), [32, 32], antialias=True)
    difference = resized.permute(0, 2, 3, 1).numpy().astype(int) - found.images
    assert found.images.shape == (1437, 32, 32, 3) and found.images.dtype == np.uint8 and abs(difference).max() <= 1


def test_a_model_has_its_own_training_and_random_weights(tmp_path: Path):
    found = training(tmp_path, "training.data=digits")
    assert found.name == "toy+digits" and not found.makes_default
    assert found.recipe == Recipe(
        epochs=12, batch_size=32, learning_rate=0.05, least_learning_rate=1e-5, warm_up_epochs=2, weight_decay=5e-4,
        padding=2, flip=False,
    )  # fmt: skip
    random = load_model("toy", weights="none", cache=tmp_path).module.state_dict()
    assert all(torch.equal(value, random[name]) for name, value in found.model.module.state_dict().items())


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "toy+digits"),
        (["training=digits", "training.epochs=12", "training.learning_rate=5e-2"], "toy+digits"),
        (["training.flip=TRUE", "training.epochs=3"], "toy+digits-epochs=3-flip=true"),
        (["seed=2"], "toy[seed=2]+digits"),
        (["seed=2", "training.seed=2"], "toy[seed=2]+digits"),
        (["seed=2", "training.seed=0"], "toy[seed=2]+digits-seed=0"),
        (["training=supervised", "training.data=digits"], "toy+supervised-data=digits"),
        (["training=./mine.yaml"], "toy+mine"),
    ],
)
def test_names_say_what_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], name: str
):
    (tmp_path / "mine.yaml").write_text("summary: mine\nkind: supervised\ndata: digits\nmodels: [toy]\n")
    monkeypatch.chdir(tmp_path)
    assert training(tmp_path, *words).name == name


def test_the_seed_is_that_of_weights_and_of_order(tmp_path: Path):
    one, other = (training(tmp_path, *words) for words in (["seed=2"], ["seed=2", "training.seed=5"]))
    assert (one.recipe.seed, other.recipe.seed) == (2, 5)
    assert one.identity()["starting weights"] == other.identity()["starting weights"]
    assert one.identity()["starting weights"] != training(tmp_path).identity()["starting weights"]


@pytest.mark.parametrize(
    ("words", "warm_up"),
    [
        (["training.epochs=6"], 1),
        (["training.epochs=6", "training.warm_up_epochs=2"], 2),
        (["training=supervised", "training.data=digits", "training.epochs=10"], 3),
    ],
)
def test_other_epochs_rise_for_the_same_share(tmp_path: Path, words: list[str], warm_up: int):
    assert training(tmp_path, *words).recipe.warm_up_epochs == warm_up


def test_a_part_of_cifar_makes_no_default_weights(few_cifar: Path):
    with pytest.raises(AlignmentError, match=r"cifar10 has 40 training images at hand; .* or give training.images=40"):
        training(few_cifar, model="resnet18_cifar10")
    part = training(few_cifar, "training.images=40", "training.batch_size=8", model="resnet18_cifar10")
    assert part.name == "resnet18_cifar10+rep_align-batch_size=8-images=40" and not part.makes_default
    assert part.recipe == Recipe(batch_size=8) and len(part.images) == 40
    fewer = training(few_cifar, "training.images=30", model="resnet18_cifar10")
    assert np.array_equal(fewer.images, part.images[:30])


def test_only_a_models_own_training_as_it_is_shipped_makes_its_default_weights(tmp_path: Path):
    settings = parse(["model=resnet18_cifar10", "seed=3"])
    own = TrainingRequest("resnet18_cifar10", load_preset("rep_align"), {}, settings)
    assert own.makes_default({}) and own.name({}) == "resnet18_cifar10[seed=3]"
    assert not own.makes_default({"epochs": 5}) and own.name({"epochs": 5}).endswith("+rep_align-epochs=5")
    assert not TrainingRequest("toy", load_preset("rep_align"), {}, settings).makes_default({})
    path = tmp_path / "mine.yaml"
    path.write_text("summary: x\nkind: supervised\nmodels: [resnet18_cifar10]\ndefault_weights: true\ndata: cifar10\n")
    assert not TrainingRequest("resnet18_cifar10", load_preset(str(path)), {}, settings).makes_default({})


ODD = """
import torch
from torch import nn

def small(pool=1):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(pool), nn.Flatten(), nn.Linear(4 * pool**2, 10))
    net.image_size = (16, 16)
    return net

def classed():
    net = small()
    net.classes = tuple(map(str, range(10)))
    return net

def turned():
    net = small()
    net.classes = tuple(map(str, range(9, -1, -1)))
    return net

class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small()
    def forward(self, x):
        return [self.net(x), self.net(x)]

class Noisy(Twice):
    def forward(self, x):
        return self.net(x + torch.randn_like(x))

def timed():
    net = Twice()
    net.image_size, net.classes = (16, 16), tuple(map(str, range(10)))
    return net

def noisy():
    net = Noisy()
    net.image_size, net.classes = (16, 16), tuple(map(str, range(10)))
    return net
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    return path


def test_a_users_network_is_trained_at_its_own_size(tmp_path: Path, odd: Path):
    found = training(tmp_path, "training.data=digits", model=f"{odd}:classed")
    assert found.name == "odd:classed+supervised-data=digits" and found.images.shape == (1437, 16, 16, 3)


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("toyy", ["training.data=digitss", "training.epochs=0"], "unknown model 'toyy'.*; training: epochs is 0"),
        ("toyy", ["training.data=digitss"], "unknown model 'toyy'.*; unknown data set 'digitss'; did you mean digits"),
        ("toy", ["training.epocs=3"], r"unknown key 'training\.epocs'; did you mean training\.epochs"),
        (
            "toy",
            ["training.epochs=ten", "training.flip=maybe"],
            r"training\.epochs=ten: input .*; training\.flip=maybe",
        ),
        ("toy", ["training.learning_rate=nan"], "training: learning_rate is nan; give above 0"),
        ("toy", ["training.precision=bf16"], "unknown precision 'bf16'; did you mean bfloat16"),
        ("toy", ["training.batch_size=1292"], "1293 images in batches of 1292 leave one alone"),
        ("toy", ["training.validation=0.0001"], "leaves a side empty"),
        ("toy", ["training.images=0"], r"training\.images=0: input should be greater"),
        ("toy", ["training.seed=-1"], r"training\.seed=-1: input should be greater"),
        ("toy", ["training.images=5000"], "digits has 1437 training images at hand"),
        ("toy", ["data.subset=50"], "data.subset is of the images that judge.*; give training.images"),
        ("toy", ["training=digit"], "unknown training 'digit'; did you mean digits"),
        ("toy", ["training=./none.yaml"], "no file ./none.yaml of a training; shipped ones: .*digits.*rep_align"),
        ("toy", ["training.data=nsd-smoke.V1"], "training.data=nsd-smoke.V1: it has no labels"),
        ("alexnet", [], "training.data is missing; name labelled images"),
        ("alexnet", ["training.data=digits"], "tells 1000 classes apart, digits has 10"),
        ("pixels", ["training.data=digits"], "pixels has no weights to set"),
        ("made.yaml", ["training.data=digits"], "model made.yaml is trained already; name the network it is of"),
        ("odd:small", ["training.data=digits"], "has no logits"),
        ("odd:turned", ["training.data=digits"], "class '9' is at another place"),
        ("odd:timed", ["training.data=digits"], "decides at 2 time_bins; it needs a training of its own"),
        ("odd:noisy", ["training.data=digits"], "draws random numbers; it needs a training of its own"),
    ],
)
def test_faults_are_one_line_before_anything_is_made(
    tmp_path: Path, odd: Path, model: str, words: list[str], message: str
):
    before = sorted(tmp_path.rglob("*.pt"))
    name = model.replace("odd:", f"{odd}:")
    with pytest.raises(AlignmentError, match=message) as caught:
        training(tmp_path, *words, model=name)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*.pt")) == before


def test_labels_without_training_images_are_refused(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\nfrom benchmarks.datasets.labelled import labelled\n"
        "def build(settings, selection):\n"
        "    images = {str(i): np.zeros((8, 8, 3), np.uint8) for i in range(10)}\n"
        "    return labelled('mine', images, list('0123456789'))\n"
    )
    with pytest.raises(AlignmentError, match="it has no training images beside those that judge"):
        training(tmp_path, f"training.data={path}:build")
