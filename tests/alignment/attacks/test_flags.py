"""Which flag which network raises: quantised, saturated, softmax, noisy, stopping; and none for an honest one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from alignment.attacks.apgd import APGD
from alignment.attacks.flags import flags, flags_of_truncation
from alignment.attacks.gradient import FGSM, PGD
from alignment.attacks.judge import judge
from alignment.attacks.square import Square
from alignment.attacks.threat import Logits, Threat
from alignment.errors import RequestError
from alignment.models import load_model
from alignment.models.toy import Recipe, digits, split


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """A trained network, and held-out images."""
    model = load_model("toy", cache=tmp_path_factory.mktemp("toy"))
    pixels, labels = digits(32)
    _, held_out = split(Recipe(), len(labels))
    return lambda images: model.logits(images)[:, 0], pixels[held_out[:32]], labels[held_out[:32]]


ATTACKS = (APGD(steps=30), PGD())


def raised(
    toy, network: Callable[[Tensor], Tensor], *, attacks=ATTACKS, epsilon: float = 0.02, **settings
) -> list[str]:  # type: ignore[no-untyped-def]
    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return network(images)[:, None]

    _, pixels, labels = toy
    arguments = {"seeds": range(len(pixels))} | settings
    verdict = judge(logits, attacks, pixels, labels, Threat("linf", epsilon), **arguments)
    found = flags(logits, verdict, attacks, pixels=pixels, labels=labels, **arguments)
    assert all("\n" not in flag.reason and flag.reason for flag in found)
    return [flag.kind for flag in found]


@pytest.mark.parametrize("epsilon", [0.01, 0.02, 0.05])
def test_an_honest_network_raises_none(toy, epsilon: float) -> None:
    assert raised(toy, toy[0], epsilon=epsilon) == []


def test_an_honest_published_network_raises_none(cifar) -> None:
    pixels, labels, seeds = cifar.pixels[:40], cifar.labels[:40], range(40)
    attacks = (APGD(steps=30),)
    verdict = judge(cifar.model.logits, attacks, pixels, labels, Threat("linf", 1 / 255), seeds=seeds)
    assert verdict.robust.sum() > 0
    assert flags(cifar.model.logits, verdict, attacks, pixels=pixels, labels=labels, seeds=seeds) == ()


def test_quantised_input_is_flat(toy) -> None:
    assert "flat" in raised(toy, lambda x: toy[0]((x * 15).round() / 15))


def test_a_saturated_softmax_is_flat(toy) -> None:
    assert raised(toy, lambda x: toy[0](x) * 1e4) == ["flat"]


def test_softmax_output_is_no_logits(toy) -> None:
    assert "probabilities" in raised(toy, lambda x: toy[0](x).softmax(1))


def test_noise_is_flagged_unless_it_is_declared(toy) -> None:
    def network(x: Tensor) -> Tensor:
        return toy[0](x) + torch.randn(len(x), 10)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert "randomised" in raised(toy, network)
    network_of_seeds = Seeded(toy[0])
    _, pixels, labels = toy
    attacks, seeds, threat = (PGD(steps=10, samples=5),), range(32), Threat("linf", 0.01)
    verdict = judge(network_of_seeds, attacks, pixels, labels, threat, seeds=seeds, stochastic=True)
    arguments = {"pixels": pixels, "labels": labels, "seeds": seeds}
    assert flags(network_of_seeds, verdict, attacks, stochastic=True, **arguments) == ()
    assert [flag.kind for flag in flags(network_of_seeds, verdict, attacks, **arguments)] == ["randomised"]


@dataclass
class Seeded:
    """Noise that depends on the seed of each image alone."""

    network: Callable[[Tensor], Tensor]

    def __call__(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        assert seeds is not None
        noise = [torch.randn(10, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return (self.network(pixels) + 0.5 * torch.stack(noise))[:, None]


def confident(scores: Tensor) -> Tensor:
    return scores.softmax(1).amax(1)


def test_a_loop_that_stops_for_each_image_has_no_one_depth(toy) -> None:
    def network(x: Tensor) -> Tensor:
        rows = []
        for image in x.split(1):
            scores = toy[0](image)
            for _ in range(4):
                if confident(scores) > 0.95:
                    break
                scores = scores + toy[0](image)
            rows.append(scores)
        return torch.cat(rows)

    assert "depth" in raised(toy, network)


def test_a_loop_that_stops_for_the_batch_depends_on_it(toy) -> None:
    def network(x: Tensor) -> Tensor:
        scores = toy[0](x)
        for _ in range(4):
            if confident(scores).mean() > 0.97:
                break
            scores = scores + toy[0](x)
        return scores

    assert {"batch", "depth"} <= set(raised(toy, network))


def test_a_stopped_gradient_in_a_loop_is_not_the_slope(toy) -> None:
    def network(x: Tensor) -> Tensor:
        state = x
        for _ in range(3):
            state = 0.1 * x + 0.9 * state.detach().clamp(min=0) ** 1.05
        return toy[0](state)

    assert "slope" in raised(toy, network)


def test_square_beats_attacks_on_a_hidden_gradient(toy) -> None:
    """A gradient of the wrong sign: values and their size are right, only the direction misleads."""

    class Reversed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            return x.clone()

        @staticmethod
        def backward(ctx, slope):  # type: ignore[no-untyped-def]
            return -slope

    attacks = (PGD(random_start=False), Square(queries=150))
    kinds = raised(toy, lambda x: toy[0](Reversed.apply(x)), attacks=attacks, epsilon=0.05)
    assert {"slope", "gradient-free"} <= set(kinds)
    assert raised(toy, toy[0], attacks=attacks, epsilon=0.05) == []
    # before the others it has no one to beat
    assert "gradient-free" not in raised(toy, toy[0], attacks=attacks[::-1], epsilon=0.05)


def test_an_ascent_with_too_short_steps_is_still_rising(toy) -> None:
    short = PGD(relative_step=0.01, random_start=False)
    assert raised(toy, toy[0], attacks=(short,)) == ["rising"]
    # one attack that has levelled off is enough to believe the number
    assert raised(toy, toy[0], attacks=(short, APGD(steps=30))) == []


@dataclass(frozen=True)
class Useless:
    name: str = "useless"

    def settings(self) -> Mapping[str, object]:
        return {}

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        return pixels * float("nan")


def test_answers_that_cannot_be_used_are_reported(toy) -> None:
    assert raised(toy, toy[0], attacks=(Useless(), FGSM())) == ["rejected"]


def test_another_verdict_is_refused(toy) -> None:
    network, pixels, labels = toy

    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return network(images)[:, None]

    verdict = judge(logits, [FGSM()], pixels, labels, Threat(), seeds=range(32))
    with pytest.raises(RequestError, match="other images or attacks"):
        flags(logits, verdict, [PGD()], pixels=pixels, labels=labels, seeds=range(32))
    other = judge(logits, [FGSM()], pixels, labels, Threat("l2"), seeds=range(32))
    with pytest.raises(RequestError, match="other images, attacks or threats"):
        flags_of_truncation(verdict, other)
    assert flags_of_truncation(verdict, verdict) == ()
