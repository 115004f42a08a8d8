"""The judge against attacks that cheat, closed forms, and its own promises on order, batches and epsilons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from alignment.attacks.apgd import APGD
from alignment.attacks.gradient import FGSM, PGD
from alignment.attacks.judge import Verdict, admit, curve, judge
from alignment.attacks.threat import Logits, Norm, Threat, distances
from alignment.errors import DataError, RequestError


@dataclass(frozen=True)
class Scripted:
    """An attack that answers whatever it is told to."""

    answer: Callable[[Tensor], object]
    name: str = "scripted"

    def settings(self) -> Mapping[str, object]:
        return {}

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        return self.answer(pixels)  # type: ignore[return-value]


def spoil(pixels: Tensor) -> Tensor:
    """Overwrites its own arguments."""
    return pixels.fill_(0.99)


CHEATS: dict[str, Callable[[Tensor], object]] = {
    "nan": lambda pixels: torch.full_like(pixels, float("nan")),
    "infinite": lambda pixels: torch.full_like(pixels, float("inf")),
    "nothing": lambda pixels: None,
    "another shape": lambda pixels: pixels[:, :, :2],
    "fewer images": lambda pixels: pixels[:-1],
    "complex": lambda pixels: pixels.to(torch.complex64),
}
LEAVERS: dict[str, Callable[[Tensor], object]] = {
    "far away": lambda pixels: pixels + 100,
    "outside the pixel range": lambda pixels: -pixels,
    "another image": lambda pixels: pixels.roll(1, 0),
    "its arguments": spoil,
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_unusable_answers_are_counted_and_change_nothing(linear, cheat: str) -> None:
    logits, pixels, labels, seeds = linear(2)
    verdict = judge(logits, [Scripted(CHEATS[cheat])], pixels, labels, Threat("linf", 0.1), seeds=seeds)
    right = logits(pixels)[:, 0].argmax(1) == labels
    assert torch.equal(verdict.clean[:, 0] > 0, right)
    assert torch.equal(verdict.robust, verdict.clean)
    assert torch.equal(verdict.rejected[0], right)
    assert (verdict.broken_by == -1).all()
    assert torch.equal(verdict.perturbed[:, 0], pixels)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("leaver", LEAVERS)
def test_what_leaves_the_ball_is_brought_back(linear, leaver: str, norm: Norm) -> None:
    logits, pixels, labels, seeds = linear(2)
    threat = Threat(norm, 0.03 if norm == "linf" else 0.15)
    verdict = judge(logits, [Scripted(LEAVERS[leaver])], pixels, labels, threat, seeds=seeds)
    assert (verdict.distance <= threat.epsilon + 1e-7).all()
    assert verdict.perturbed.min() >= 0 and verdict.perturbed.max() <= 1
    broken = verdict.robust[:, 0] < verdict.clean[:, 0]
    # no image can be lost that lies farther from the boundary than epsilon
    assert (logits.distances(pixels, labels, norm)[broken] <= threat.epsilon).all()
    assert not verdict.rejected.any()


def test_one_bad_image_spoils_no_other() -> None:
    answer = torch.full((3, 3, 2, 2), 0.52)
    answer[1, 0, 0, 0] = float("nan")
    points, rejected = admit(answer, torch.full((3, 3, 2, 2), 0.5), Threat("linf", 0.1))
    assert rejected.tolist() == [False, True, False]
    assert points[:, 0, 0, 0].tolist() == pytest.approx([0.52, 0.5, 0.52])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_distances_and_positions_are_those_of_the_worst_image(linear, norm: Norm) -> None:
    logits, pixels, labels, seeds = linear(2)
    threat = Threat(norm, 0.06 if norm == "linf" else 0.3)
    weak, strong = PGD(steps=1, relative_step=0.3, random_start=False), PGD(random_start=False)
    verdict = judge(logits, [weak, strong, strong], pixels, labels, threat, seeds=seeds)
    margins = logits.distances(pixels, labels, norm)
    expected = torch.where(margins < 0.3 * threat.epsilon, 0, torch.where(margins < threat.epsilon, 1, -1))
    expected[margins < 0] = -1
    assert torch.equal(verdict.broken_by[:, 0], expected)
    assert {-1, 0, 1} == set(expected.tolist())
    np.testing.assert_allclose(verdict.distance[:, 0], distances(verdict.perturbed[:, 0], pixels, norm=norm))
    assert (verdict.distance[:, 0][expected == -1] == 0).all()
    left = [(margins > 0).double().mean(), (margins > 0.3 * threat.epsilon).double().mean()]
    left += [(margins > threat.epsilon).double().mean()] * 2
    np.testing.assert_allclose(verdict.accuracies[:, 0], left)


def test_later_attacks_get_survivors_only(linear) -> None:
    logits, pixels, labels, seeds = linear(2)
    seen: list[int] = []

    def count(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images

    attacks = [Scripted(count), PGD(), Scripted(count)]
    verdict = judge(logits, attacks, pixels, labels, Threat("linf", 0.06), seeds=seeds)
    assert seen == [int(verdict.correct[1].sum()), int(verdict.correct[2].sum())]
    assert seen[1] < seen[0] < len(pixels)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_curve_falls_and_never_takes_back(linear, norm: Norm) -> None:
    """With an attack that is worse the more room it has."""
    logits, pixels, labels, seeds = linear(2)
    scale = 1.0 if norm == "linf" else 5.0
    epsilons = [scale * value for value in (0.15, 0.01, 0.06, 0.03)]

    class OnlySmall(PGD):
        def perturb(self, logits, pixels, labels, threat, *, seeds):  # type: ignore[no-untyped-def]
            found = super().perturb(logits, pixels, labels, threat, seeds=seeds)
            return found if threat.epsilon < 0.05 * scale else pixels

    attack = OnlySmall(random_start=False)
    verdicts = curve(logits, [attack], pixels, labels, Threat(norm), epsilons=epsilons, seeds=seeds)
    assert [verdict.threat.epsilon for verdict in verdicts] == sorted(epsilons)
    margins = logits.distances(pixels, labels, norm)
    left = [int(verdict.robust.sum()) for verdict in verdicts]
    assert left == [int((margins > min(epsilon, 0.03 * scale)).sum()) for epsilon in sorted(epsilons)]
    assert left[0] > left[1] == left[2]
    alone = judge(logits, [attack], pixels, labels, Threat(norm, 0.15 * scale), seeds=seeds)
    assert int(alone.robust.sum()) > left[3]
    for verdict in verdicts:
        assert (verdict.distance <= verdict.threat.epsilon + 1e-7).all()


def noisy(problem, sd: float):  # type: ignore[no-untyped-def]
    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        assert seeds is not None
        noise = torch.cat([torch.randn(1, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        scores = problem.logits(pixels)
        return scores + sd * torch.stack([noise, -noise], dim=1)[:, None]

    return logits


def test_a_lucky_pass_loses_no_image(linear) -> None:
    """Perturbations that do nothing leave clean accuracy, whatever the draws that chose among them."""
    problem = linear(2, n_images=200)
    logits = noisy(problem, sd=2.0)
    idle = [Scripted(lambda pixels: pixels + 1e-4, name=f"idle{number}") for number in range(4)]
    arguments = (problem.pixels, problem.labels, Threat("linf", 0.1))
    verdict = judge(logits, idle, *arguments, seeds=problem.seeds, stochastic=True)
    change = verdict.accuracies[-1] - verdict.accuracies[0]
    # on the same draws, so that only those decided by 1e-4 can differ
    assert abs(float(change)) < 0.002
    assert float(verdict.chosen.mean()) <= float(verdict.robust.mean()) + 0.02
    declared_still = judge(logits, idle, *arguments, seeds=problem.seeds)
    assert set(declared_still.robust.unique().tolist()) == {0.0, 1.0}


def test_stochastic_models_are_reported_on_fresh_draws(linear) -> None:
    """The worst of several points that are all the same: chosen too low, reported right."""
    problem = linear(2, n_images=150)

    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        assert seeds is not None
        # draws that depend on the point too: otherwise equal points would have equal luck
        mixed = [seed ^ int(image.sum() * 2**20) for seed, image in zip(seeds, pixels, strict=True)]
        noise = torch.cat([torch.randn(1, generator=torch.Generator().manual_seed(seed)) for seed in mixed])
        return (noise[:, None] * torch.tensor([1.0, -1.0]))[:, None]

    shifted = [Scripted(lambda p, by=by: p + by, name=f"by{by}") for by in (0.01, 0.02, 0.03, 0.04, 0.05)]
    verdict = judge(
        logits, shifted, problem.pixels, problem.labels, Threat("linf", 0.1), seeds=problem.seeds, stochastic=True
    )
    interval = 3 * np.sqrt(0.25 / (150 * 20))
    assert abs(float(verdict.accuracies[-1]) - 0.5) < interval
    assert float(verdict.chosen.mean()) < 0.5 - 3 * interval


def test_every_time_bin_is_attacked_on_its_own(linear) -> None:
    """Two time bins that read different things: no image is the worst for both, and each is attacked exactly."""
    problem, other = linear(2), linear(2, seed=7).logits
    other.weight = problem.logits.weight + 0.7 * other.weight
    other.bias = -(problem.pixels.flatten(1) @ other.weight.T).mean(0)

    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return torch.cat([problem.logits(pixels), other(pixels)], dim=1)

    threat = Threat("linf", 0.06, moment="each")
    verdict = judge(logits, [PGD(random_start=False)], problem.pixels, problem.labels, threat, seeds=problem.seeds)
    assert verdict.robust.shape == (60, 2)
    for at, part in enumerate((problem.logits, other)):
        margins = part.distances(problem.pixels, problem.labels, "linf")
        assert torch.equal(verdict.robust[:, at] > 0, margins > threat.epsilon)
        assert 0 < int(verdict.robust[:, at].sum()) < int(verdict.clean[:, at].sum())
        worst = part(verdict.perturbed[:, at])[:, 0].argmax(1) == problem.labels
        assert torch.equal(worst, verdict.robust[:, at] > 0)


def same(one: Verdict, other: Verdict) -> int:
    return int((one.robust != other.robust).any(1).sum())


def test_neither_order_nor_blocks_change_a_verdict(linear) -> None:
    problem = linear(4, n_images=70, edge=6)
    attacks = [APGD(steps=10), APGD(steps=10, loss="dlr", targets=3)]
    threat = Threat("linf", 0.01)
    pixels, labels = problem.pixels, problem.labels
    whole = judge(problem.logits, attacks, pixels, labels, threat, seeds=problem.seeds)
    assert 0 < whole.robust.sum() < whole.clean.sum()
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    turned = judge(problem.logits, attacks, pixels[order], labels[order], threat, seeds=order.tolist())
    assert torch.equal(turned.robust, whole.robust[order])
    assert torch.equal(turned.broken_by, whole.broken_by[order])
    blocks = [
        judge(problem.logits, attacks, pixels[rows], labels[rows], threat, seeds=rows.tolist())
        for rows in torch.arange(70).split(13)
    ]
    assert torch.equal(torch.cat([block.robust for block in blocks]), whole.robust)
    np.testing.assert_allclose(torch.cat([block.perturbed for block in blocks]), whole.perturbed, atol=1e-4)


def test_order_and_batch_size_on_a_real_network(cifar) -> None:
    """Where rounding depends on how many images are computed at once: 2 in 1,000 at most, here 0 of 64."""
    pixels, labels = cifar.pixels[:64], cifar.labels[:64]
    attacks, threat = [APGD(steps=8)], Threat("linf", 1 / 255)
    arguments = {"seeds": list(range(64))}
    whole = judge(cifar.model.logits, attacks, pixels, labels, threat, **arguments)
    assert 0 < whole.robust.sum() < whole.clean.sum()
    small = judge(cifar.model.logits, attacks, pixels, labels, threat, batch_size=11, **arguments)
    assert torch.equal(small.robust, whole.robust)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    turned = judge(
        cifar.model.logits, attacks, pixels[order], labels[order], threat, seeds=order.tolist(), batch_size=11
    )
    assert torch.equal(turned.robust, whole.robust[order])


def test_logits_of_nan_are_no_right_decision(linear) -> None:
    problem = linear(2)

    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return problem.logits(pixels) * float("nan")

    labels = torch.zeros_like(problem.labels)
    verdict = judge(logits, [FGSM()], problem.pixels, labels, Threat(), seeds=problem.seeds)
    assert verdict.clean.sum() == 0


def test_bad_requests_are_named(linear) -> None:
    logits, pixels, labels, seeds = linear(2)
    threat = Threat("linf", 0.05)

    def run(**changes: object) -> Verdict:
        arguments: dict[str, object] = {"seeds": seeds} | changes
        attacks, images = arguments.pop("attacks", [FGSM()]), arguments.pop("pixels", pixels)
        classes, ball = arguments.pop("labels", labels), arguments.pop("threat", threat)
        return judge(logits, attacks, images, classes, ball, **arguments)  # type: ignore[arg-type]

    first = run()
    with pytest.raises(RequestError, match="no attack"):
        run(attacks=[])
    with pytest.raises(DataError, match="scale them to"):
        run(pixels=pixels * 255)
    with pytest.raises(DataError, match="labels: 2 of image 0 is beyond the model's 2 classes"):
        run(labels=torch.full_like(labels, 2))
    with pytest.raises(RequestError, match="60 images and 1 seeds"):
        run(seeds=[0])
    with pytest.raises(RequestError, match="n_draws is 0"):
        run(n_draws=0)
    with pytest.raises(RequestError, match="since is a verdict on other images, attacks, norm or moment"):
        run(since=first, attacks=[PGD()])
    with pytest.raises(RequestError, match=r"at epsilon 0.05, above 0.01"):
        run(since=first, threat=Threat("linf", 0.01))
    with pytest.raises(RequestError, match="no epsilon"):
        curve(logits, [FGSM()], pixels, labels, threat, epsilons=[], seeds=seeds)
    with pytest.raises(RequestError, match=r"epsilon is -0\.1"):
        curve(logits, [FGSM()], pixels, labels, threat, epsilons=[-0.1], seeds=seeds)


@pytest.mark.slow
def test_published_accuracies_under_attack(cifar) -> None:
    """Known beside the images: PGD of 20 steps leaves about .18, .01, 0 and 0 of 1,000."""
    epsilons = [value / 255 for value in (1, 2, 4, 8)]
    verdicts = curve(
        cifar.model.logits,
        [PGD(random_start=False)],
        cifar.pixels,
        cifar.labels,
        Threat("linf"),
        epsilons=epsilons,
        seeds=range(1000),
    )
    left = [float(verdict.accuracies[-1]) for verdict in verdicts]
    assert float(verdicts[0].accuracies[0]) == pytest.approx(0.915, abs=0.001)
    assert left == pytest.approx([0.18, 0.01, 0, 0], abs=0.01)
    assert left == sorted(left, reverse=True)
