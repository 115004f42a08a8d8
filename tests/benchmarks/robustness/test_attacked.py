"""What attacks leave, from images to scores, against margins in closed form."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import norm
from torch import Tensor, nn

from alignment.errors import RequestError
from alignment.models import TorchModel
from alignment.proportions import wilson
from alignment.score import paired_difference
from benchmarks.choices import Inference
from benchmarks.datasets.labelled import labelled
from benchmarks.robustness.attacked import Protocol, Robustness
from benchmarks.robustness.chance import chance

EPSILONS = (("0.01", 0.01), ("0.02", 0.02), ("0.04", 0.04))
INFERENCE = Inference(n_bootstrap=200)


def robustness(dataset, **protocol) -> Robustness:
    return Robustness(
        name="two",
        dataset=dataset,
        protocol=Protocol(**{"epsilons": EPSILONS, "attack": "pgd-plain", **protocol}),
        inference=INFERENCE,
        batch_size=32,
    )


@pytest.mark.parametrize(("attack", "epsilons"), [("pgd-plain", EPSILONS), ("standard", EPSILONS[2:])])
def test_what_is_left_is_the_share_of_wide_margins(two, measured, attack, epsilons) -> None:
    benchmark = robustness(two.dataset, attack=attack, epsilons=epsilons)
    scored = benchmark.score(measured(benchmark, two.model))
    left = [float((two.margins > epsilon).mean()) for _, epsilon in epsilons]
    assert scored.score.raw == wilson(two.margins > 0.04)
    assert scored.clean == wilson(two.margins > 0)
    last = scored.surface[-1]["layer"].partition(" @ ")[0]
    found = [row["raw"] for row in scored.surface if row["layer"].startswith(f"{last} @")]
    assert found == pytest.approx(left)
    assert scored.score.status == "ok" and scored.flags == ()
    assert 0 < left[-1] < scored.clean.value - 0.1


def test_images_are_judged_in_blocks_that_hold_each_of_them_once(two, measured) -> None:
    benchmark = robustness(two.dataset)
    parts = measured(benchmark, two.model)
    assert [part.subject for part in parts] == ["block 1 of 2", "block 2 of 2"]
    correct = [data["correct"].values[-1, -1, :, 0] for data in parts.values()]
    dealt = [two.margins[start::2] > 0.04 for start in range(2)]
    for found, wanted in zip(correct, dealt, strict=True):
        assert (found > 0.5).tolist() == wanted.tolist()


def test_models_differ_on_the_same_images(two, measured) -> None:
    benchmark = robustness(two.dataset)
    weaker = TorchModel(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), name="w", image_size=(4, 4), layers=["1"], classes=("a", "b")
    )
    weaker.module[1].load_state_dict(two.model.module[1].state_dict())
    with torch.no_grad():
        weaker.module[1].bias.add_(torch.tensor([3.0, -3.0]))
    a, b = (benchmark.score(measured(benchmark, model)).raw for model in (two.model, weaker))
    difference, p_value = paired_difference(a, b)
    gaps = (
        np.where(two.dataset.targets() == 0, 1, -1) * 6 / float(two.model.module[1].weight.detach()[0].abs().sum()) / 2
    )
    left = np.stack([two.margins > 0.04, two.margins + gaps > 0.04]).astype(float)
    assert difference.value == pytest.approx(left[0].mean() - left[1].mean(), abs=0.01)
    error = np.std(left[0] - left[1]) / np.sqrt(len(left[0]))
    assert (difference.high - difference.low) / 3.95 == pytest.approx(error, rel=0.15)
    assert 0 <= p_value <= 1


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drive, self.state = nn.Linear(48, 24), nn.Linear(24, 24)

    def forward(self, pixels: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(self.drive(pixels) + self.state(state))


class Recurrent(nn.Module):
    """Shown the image at every step, which it mostly reads from its own past."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.readout = Cell(), nn.Linear(24, 5)
        for seed, weight in enumerate(self.parameters()):
            drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
            weight.data.copy_(drawn / weight.shape[-1] ** 0.5)

    def forward(self, x: Tensor) -> list[Tensor]:
        flat, state, scores = x.flatten(1) - 0.5, torch.zeros(len(x), 24), []
        for step in range(4):
            state = self.cell(flat * (0.15 if step else 1.0), state)
            scores.append(self.readout(state))
        return scores


def recurrent() -> TorchModel:
    return TorchModel(Recurrent(), name="rnn", image_size=(4, 4), layers=["cell"], classes=tuple("abcde"))


def labelled_by(model, *, count: int = 60):
    rng = np.random.default_rng(1)
    images = {f"i{n:02}": rng.integers(20, 236, (4, 4, 3), dtype=np.uint8) for n in range(count)}
    pixels = torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images.values()])).float() / 255
    with torch.no_grad():
        answers = model.logits(pixels, seeds=list(range(count)))[:, -1].argmax(1)
    return labelled("mine", images, [model.classes[answer] for answer in answers], classes=model.classes)


def test_a_network_with_time_is_shown_under_either_gradient(measured) -> None:
    model = recurrent()
    dataset = labelled_by(model)
    benchmark = robustness(dataset, epsilons=(("0.15", 0.15),))
    scored = benchmark.score(measured(benchmark, model))
    figures = dict(scored.figures)
    # the full gradient finds more, and both are in the table
    assert figures["left: pgd @ 0.15"] < figures["left: truncated gradients @ 0.15"] - 0.1
    assert scored.flags == ()
    each = robustness(dataset, moment="each", epsilons=(("0.15", 0.15),))
    by_time = [row for row in each.score(measured(each, model)).surface if row["layer"] == "clean"]
    assert [row["time_bin"] for row in by_time] == [0.0, 1.0, 2.0, 3.0]
    assert by_time[-1]["raw"] == 1.0


class Noisy(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.02 * torch.randn(x.shape))


def test_a_stochastic_network_gets_draws_and_its_expected_accuracy(two, measured) -> None:
    """Correctness of a noisy linear network: P(margin - epsilon + noise along w > 0)."""
    model = TorchModel(
        Noisy(*two.model.module), name="noisy", image_size=(4, 4), layers=["1"], classes=("a", "b"), stochastic=True
    )
    stimuli, some = two.dataset.stimuli, 30
    images = {name: stimuli.image(name) for name in stimuli.ids[:some]}
    benchmark = robustness(
        labelled("few", images, stimuli.labels[:some], classes=("a", "b")), attack="fgsm", epsilons=(("0.01", 0.01),)
    )
    scored = benchmark.score(measured(benchmark, model))
    weight = two.model.module[1].weight.detach()[0].numpy()
    spread = 0.02 * np.linalg.norm(weight) / np.abs(weight).sum()
    expected = norm.cdf((two.margins[:some] - 0.01) / spread)
    assert [attack.name for attack in robustness(two.dataset, attack="standard").attacks(model)] == [
        "apgd-ce",
        "apgd-margin",
    ]
    # 20 draws for each image
    chance_error = np.sqrt((expected * (1 - expected) / 20).sum()) / some
    assert scored.score.raw.value == pytest.approx(expected.mean(), abs=3 * chance_error)
    assert scored.score.raw.low <= expected.mean() <= scored.score.raw.high


class Saturated(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.round(4 * x) / 4)


def test_a_number_that_cannot_be_believed_says_so(two, measured) -> None:
    model = TorchModel(Saturated(*two.model.module), name="steps", image_size=(4, 4), layers=["1"], classes=("a", "b"))
    benchmark = robustness(two.dataset)
    scored = benchmark.score(measured(benchmark, model))
    assert scored.score.status == "unreliable"
    assert any(flag.startswith("flat: ") for flag in scored.flags)


class Rooted(nn.Sequential):
    """Adds nothing to its logits, and a gradient that is no number where a pixel is 0."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0 * x[:, 0, 0, 0].sqrt()[:, None]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_gradient_that_is_no_number_saves_no_image(two, measured, norm) -> None:
    stimuli = two.dataset.stimuli
    images = {name: stimuli.image(name).copy() for name in stimuli.ids}
    for image in list(images.values())[1::2]:
        image[0, 0, 0] = 0
    dataset = labelled("dark", images, stimuli.labels, classes=("a", "b"))
    rooted = TorchModel(Rooted(*two.model.module), name="rooted", image_size=(4, 4), layers=["1"], classes=("a", "b"))
    epsilons = {"l2": (("0.2", 0.2),), "linf": (("0.04", 0.04),)}[norm]
    benchmark = robustness(dataset, attack="apgd-ce", norm=norm, epsilons=epsilons)
    left = [benchmark.score(measured(benchmark, model)).score.raw.value for model in (two.model, rooted)]
    assert left[1] == pytest.approx(left[0], abs=0.02)
    assert left[0] < 0.9


def test_answers_that_are_refused_in_any_block_are_told(two) -> None:
    benchmark = robustness(two.dataset)
    data = [xr.Dataset({"rejected": (("epsilon", "attack"), [[count]])}, attrs={"flags": "[]"}) for count in (0, 3)]
    correct = np.ones((2, 150, 1), np.float32)
    assert benchmark._reasons(correct, ["pgd"], data, truncated=None) == (
        "rejected: pgd gave no usable image for 3 of 150 images",
    )


def test_too_few_steps_are_told(two, measured) -> None:
    benchmark = robustness(two.dataset, attack="pgd", steps=3)
    scored = benchmark.score(measured(benchmark, two.model))
    assert scored.score.status == "unreliable"
    assert [flag.partition(":")[0] for flag in scored.flags] == ["short"]


def test_models_that_the_attacks_cannot_judge_are_refused(two) -> None:
    with pytest.raises(RequestError, match=r"linear makes one decision; leave benchmark\.moment=each out"):
        robustness(two.dataset, moment="each").check_model(two.model)
    with pytest.raises(RequestError, match="apgd-dlr needs 3 classes or more; take apgd-ce"):
        robustness(two.dataset, attack="apgd-dlr").check_model(two.model)
    noisy = TorchModel(
        Noisy(*two.model.module), name="noisy", image_size=(4, 4), layers=["1"], classes=("a", "b"), stochastic=True
    )
    with pytest.raises(RequestError, match="square takes one draw for the network; take pgd, or rand"):
        robustness(two.dataset, attack="square").check_model(noisy)


def test_chance_is_the_most_frequent_class_and_cannot_be_moved(two, measured) -> None:
    (model,) = robustness(two.dataset).references()
    benchmark = robustness(two.dataset, attack="standard")
    scored = benchmark.score(measured(benchmark, model))
    most = np.bincount(two.dataset.targets()).max() / len(two.margins)
    assert scored.score.raw.value == scored.clean.value == pytest.approx(most)
    assert scored.flags == ()
    assert model.fingerprint == chance(two.dataset).fingerprint


def test_what_is_kept_is_plain(two, measured) -> None:
    benchmark = robustness(two.dataset)
    data = next(iter(measured(benchmark, two.model).values()))
    assert json.loads(data.attrs["flags"]) == []
    assert data["correct"].dims == ("epsilon", "stage", "image", "decision")
    broken = data["broken_by"].values[-1, :, 0] == 0
    assert broken.any() and (data["distance"].values[-1, broken, 0] <= 0.04 + 1e-6).all()
