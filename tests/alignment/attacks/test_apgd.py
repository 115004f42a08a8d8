"""Auto-PGD against closed forms, the published algorithm written one image at a time, and its authors' code."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.attacks.apgd import APGD, checkpoint_spans
from alignment.attacks.base import draw_seeds
from alignment.attacks.gradient import random_start
from alignment.attacks.losses import of_decisions
from alignment.attacks.threat import Norm, Threat
from alignment.errors import RequestError
from alignment.models import load_model
from alignment.models.base import Model
from alignment.models.toy import Recipe, digits, split

EPSILONS = (0.01, 0.03, 0.06, 0.1, 0.15, 0.2)
FINER = (0.002, 0.005, 0.01, 0.02, 0.03)


def accuracy_curve(attack: APGD, problem, norm: Norm, epsilons: Sequence[float]) -> list[int]:  # type: ignore[no-untyped-def]
    """How many images are left at each epsilon, each checked against its distance from the nearest boundary."""
    logits, pixels, labels, seeds = problem
    margins = logits.distances(pixels, labels, norm)
    scale = 1.0 if norm == "linf" else 5.0
    counts = []
    for epsilon in (scale * value for value in epsilons):
        threat = Threat(norm, epsilon)
        found = threat.project(attack.perturb(logits, pixels, labels, threat, seeds=seeds), pixels)
        right = logits(found)[:, 0].argmax(1) == labels
        clear = (margins - epsilon).abs() >= 1e-6
        assert torch.equal(right[clear], margins[clear] > epsilon)
        counts.append(int(right.sum()))
    return counts


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [APGD(), APGD(loss="margin"), APGD(targets=1)], ids=lambda attack: attack.name)
def test_two_classes_are_attacked_to_the_analytic_accuracy(linear, attack: APGD, norm: Norm) -> None:
    counts = accuracy_curve(attack, linear(2), norm, EPSILONS)
    assert counts[0] > 40 and counts[-1] < 30


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["dlr", "margin"])
def test_all_targets_together_reach_the_analytic_accuracy(linear, loss: str, norm: Norm) -> None:
    counts = accuracy_curve(APGD(loss=loss, targets=9), linear(6, n_images=40, seed=1), norm, FINER)
    assert counts[0] > 25 and counts[-1] < 10


def test_fewer_targets_are_fewer_chances(linear) -> None:
    """The class that is nearest in pixels is not the one that is nearest in logits."""
    logits, pixels, _, seeds = linear(6, seed=1)
    logits.weight[3] *= 30
    logits.bias -= logits(pixels)[:, 0].mean(0)
    logits.bias[3] -= 60
    labels = logits(pixels)[:, 0].argmax(1)
    threat = Threat("linf", 0.02)

    def left(targets: int) -> int:
        found = APGD(loss="margin", targets=targets).perturb(logits, pixels, labels, threat, seeds=seeds)
        return int((logits(found)[:, 0].argmax(1) == labels).sum())

    exact = int((logits.distances(pixels, labels, "linf") > threat.epsilon).sum())
    assert left(5) == left(9) == exact < left(1)


def test_checkpoints_are_the_published_ones() -> None:
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    for steps in (10, 37, 100, 250):
        wanted = sorted({int(np.ceil(round(share * steps, 6))) for share in shares[1:] if share < 1})
        assert list(checkpoint_spans(steps)) == wanted
        assert list(checkpoint_spans(steps).values()) == np.diff([0, *wanted]).tolist()


@pytest.fixture
def network() -> nn.Module:
    """Wiggly enough for both conditions to halve steps."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 40), nn.Tanh(), nn.Linear(40, 5)).double()
        for weight in net.parameters():
            weight.data *= 10
        return net


def of_module(network: nn.Module) -> Callable[..., Tensor]:
    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return network(pixels)[:, None]

    return logits


def by_hand(
    network: nn.Module, image: Tensor, label: Tensor, start: Tensor, *, epsilon: float, norm: Norm, steps: int
) -> tuple[list[Tensor], float]:
    """Algorithm 1 on one image: every point visited, and the last step size."""

    def project(x: Tensor) -> Tensor:
        delta = x - image
        delta = delta.clamp(-epsilon, epsilon) if norm == "linf" else delta * min(1.0, epsilon / float(delta.norm()))
        return (image + delta).clamp(0, 1)

    def evaluate(x: Tensor) -> tuple[float, Tensor]:
        leaf = x.clone().requires_grad_()
        loss = F.cross_entropy(network(leaf[None]), label[None])
        (slope,) = torch.autograd.grad(loss, leaf)
        return loss.item(), slope.sign() if norm == "linf" else slope / slope.norm()

    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    checkpoints = [int(np.ceil(round(share * steps, 6))) for share in shares]
    eta, before, x, visited = 2 * epsilon, start, start, [start]
    loss, slope = evaluate(x)
    best, best_loss, best_slope = x, loss, slope
    rose: list[bool] = []
    etas, bests = {0: eta}, {0: best_loss}
    for k in range(1, steps + 1):
        z = project(x + eta * slope)
        alpha = 1.0 if k == 1 else 0.75
        x, before = project(x + alpha * (z - x) + (1 - alpha) * (x - before)), x
        visited.append(x)
        new_loss, slope = evaluate(x)
        rose.append(new_loss > loss)
        loss = new_loss
        if loss > best_loss:
            best, best_loss, best_slope = x, loss, slope
        if k in checkpoints:
            last = max(checkpoint for checkpoint in checkpoints if checkpoint < k)
            first_condition = sum(rose[last:k]) < 0.75 * (k - last)
            second_condition = last in etas and (etas[last], bests[last]) == (eta, best_loss)
            # compared at the next checkpoint with the step as it was before a halving here
            etas[k], bests[k] = eta, best_loss
            if first_condition or second_condition:
                eta, x, loss, slope = eta / 2, best, best_loss, best_slope
    return visited, eta


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_each_image_follows_the_published_algorithm(network: nn.Module, norm: Norm) -> None:
    pixels = torch.rand(12, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, steps, epsilon = torch.arange(12) % 5, 60, 0.6
    seen: list[Tensor] = []

    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        seen.append(images.detach().clone())
        return network(images)[:, None]

    threat, attack = Threat(norm, epsilon), APGD(steps=steps, keep_going=True)
    attack.perturb(logits, pixels, labels, threat, seeds=range(12))
    start = random_start(pixels, threat, seeds=draw_seeds(range(12), "apgd-ce", "any", 0, "start"))
    halvings = set()
    for at in range(12):
        visited, eta = by_hand(network, pixels[at], labels[at], start[at], epsilon=epsilon, norm=norm, steps=steps)
        np.testing.assert_allclose(torch.stack(seen)[:, at], torch.stack(visited), atol=1e-7)
        halvings.add(round(np.log2(2 * epsilon / eta)))
    assert len(halvings) > 2


def test_the_answer_is_the_best_point_on_the_way(network: nn.Module) -> None:
    pixels = torch.rand(12, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = network(pixels).argmax(1)
    seen: list[Tensor] = []

    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        seen.append(images.detach().clone())
        return network(images)[:, None]

    found = APGD(steps=20, keep_going=True).perturb(logits, pixels, labels, Threat("l2", 0.02), seeds=range(12))
    margins = torch.stack([of_decisions("margin", network(points)[:, None], labels)[:, 0] for points in seen])
    answer = of_decisions("margin", network(found)[:, None], labels)[:, 0]
    np.testing.assert_allclose(answer.detach(), margins.amax(0).detach(), atol=1e-9)
    assert (margins.argmax(0) < 20).any()


def test_broken_images_rest_and_the_others_do_not_notice(network: nn.Module) -> None:
    pixels = torch.rand(300, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, threat = network(pixels).argmax(1), Threat("linf", 0.03)
    passed = []

    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        passed.append(len(images))
        return network(images)[:, None]

    found = APGD(steps=30).perturb(logits, pixels, labels, threat, seeds=range(300))
    cost = sum(passed)
    pushed = APGD(steps=30, keep_going=True).perturb(logits, pixels, labels, threat, seeds=range(300))
    right, right_pushed = (network(points).argmax(1) == labels for points in (found, pushed))
    assert torch.equal(right, right_pushed)
    assert 50 < right.sum() < 250
    np.testing.assert_allclose(found[right], pushed[right], atol=1e-9)
    assert cost < sum(passed) - cost


def test_what_was_broken_on_the_way_is_broken_in_the_answer(network: nn.Module) -> None:
    pixels = torch.rand(300, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, epsilon = network(pixels).argmax(1), 0.04
    broken = torch.zeros(300, dtype=torch.bool)

    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        scores = network(images)
        owners = (images.detach()[:, None] - pixels).abs().flatten(2).amax(2).argmin(1)
        broken[owners] |= scores.argmax(1) != labels[owners]
        return scores[:, None]

    attack = APGD(steps=20, targets=4, loss="margin")
    found = attack.perturb(logits, pixels, labels, Threat("linf", epsilon), seeds=range(300))
    assert torch.equal(network(found).argmax(1) != labels, broken)
    assert 50 < broken.sum() < 250


def test_restarts_and_the_batch_change_no_draw(network: nn.Module) -> None:
    pixels = torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, threat = network(pixels).argmax(1), Threat("l2", 0.03)
    attack = APGD(steps=10, restarts=3, targets=2)
    together = attack.perturb(of_module(network), pixels, labels, threat, seeds=range(6))
    order = torch.tensor([4, 2, 0])
    apart = attack.perturb(of_module(network), pixels[order], labels[order], threat, seeds=[4, 2, 0])
    np.testing.assert_allclose(apart, together[order], atol=1e-9)


def test_the_trace_levels_off(network: nn.Module) -> None:
    pixels = torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, threat = network(pixels).argmax(1), Threat("l2", 0.01)
    trace = APGD().trace(of_module(network), pixels, labels, threat, seeds=range(6))
    assert trace.shape == (101, 6)
    assert (trace.diff(dim=0) >= 0).all()
    assert ((trace[-1] - trace[-11]) < 0.01 * (trace[-1] - trace[0])).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: APGD(steps=0), "steps is 0"),
        (lambda: APGD(targets=-1), "targets is -1"),
        (lambda: APGD(rho=1.5), "rho is 1.5"),
        (lambda: APGD(loss="cw"), "unknown loss"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make()


def peer_left(model: Model, pixels: Tensor, labels: Tensor, *, epsilon: float, steps: int, targets: int) -> Tensor:
    """Which images the authors' own code leaves; DLR towards targets, or cross-entropy."""
    base = pytest.importorskip("pyautoattack.autopgd_base", reason="pyautoattack is not installed")

    def scores(images: Tensor) -> Tensor:
        return model.logits(images)[:, 0]

    settings = {"n_iter": steps, "norm": "Linf", "n_restarts": 1, "eps": epsilon, "seed": 0, "device": "cpu"}
    if targets:
        peer = base.APGDAttack_targeted(scores, **settings, n_target_classes=targets, logger=logging.getLogger("peer"))
    else:
        peer = base.APGDAttack(scores, **settings, loss="ce", logger=logging.getLogger("peer"))
    found = peer.perturb(pixels, labels)
    with torch.no_grad():
        return scores(found).argmax(1) == labels


@pytest.mark.parametrize("targets", [0, 9])
def test_the_authors_code_leaves_as_many(tmp_path: Path, targets: int) -> None:
    """On digits, where about half of the images withstand."""
    pytest.importorskip("pyautoattack", reason="pyautoattack is not installed")
    model = load_model("toy", cache=tmp_path)
    images, classes = digits(32)
    _, held_out = split(Recipe(), len(classes))
    pixels, labels = images[held_out[:100]], classes[held_out[:100]]
    with torch.no_grad():
        right = model.logits(pixels)[:, 0].argmax(1) == labels
    pixels, labels = pixels[right], labels[right]
    attack = APGD(steps=40, loss="dlr" if targets else "ce", targets=targets)
    found = attack.perturb(model.logits, pixels, labels, Threat("linf", 0.02), seeds=range(len(pixels)))
    with torch.no_grad():
        ours = model.logits(found)[:, 0].argmax(1) == labels
    theirs = peer_left(model, pixels, labels, epsilon=0.02, steps=40, targets=targets)
    assert 0.2 < float(theirs.double().mean()) < 0.8
    assert abs(float(ours.double().mean() - theirs.double().mean())) <= 0.02
