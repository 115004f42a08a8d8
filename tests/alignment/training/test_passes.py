"""Training over passes and with cues: the loss and the gradient written out, and what comes of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alignment.errors import RequestError
from alignment.models.lrm import LRM, Signal
from alignment.training.augmentation import Draws
from alignment.training.passes import Cues, PassesRecipe, _rate, _Updates, loss_over_passes, train_over_passes
from alignment.training.updates import on_device

QUICK = PassesRecipe(epochs=2, batch_size=10, learning_rate=0.05, warm_up_epochs=1, flip=False)
N, N_CLASSES, EDGE = 40, 4, 8


def network(*, norm: bool = False, seed: int = 0) -> LRM:
    torch.manual_seed(seed)
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6) if norm else nn.Identity(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(96, N_CLASSES),
    )
    return LRM(backbone, [("5", "0"), ("2", "0")], image_size=(EDGE, EDGE))


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = np.arange(N) % N_CLASSES
    centres = rng.integers(0, 200, (N_CLASSES, EDGE, EDGE, 3))
    return (centres[targets] + rng.integers(0, 56, (N, EDGE, EDGE, 3))).astype(np.uint8), targets


def test_the_loss_is_the_mean_over_passes_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    x, targets = torch.randn(6, 3, EDGE, EDGE), torch.tensor([0, 1, 2, 3, 0, 1])
    logits = [torch.randn(6, N_CLASSES) for _ in range(3)]
    by_hand = [float((one.logsumexp(1) - one[torch.arange(6), targets]).mean()) for one in logits]
    assert float(loss_over_passes(logits, targets)) == pytest.approx(np.mean(by_hand), rel=1e-6)
    both = network()
    loss_over_passes(both(x), targets).backward()
    alone = [network(), network()]
    for place, one in enumerate(alone):
        F.cross_entropy(one(x)[place], targets).backward()
    for (name, weight), *others in zip(
        both.named_parameters(), *(one.named_parameters() for one in alone), strict=True
    ):
        first, second = (torch.zeros_like(weight) if each.grad is None else each.grad for _, each in others)
        torch.testing.assert_close(weight.grad, (first + second) / 2, msg=name)
        # the first pass knows nothing of feedback; the second uses all of it
        if name.startswith("lrm"):
            assert not first.any() and second.any(), name


def test_one_update_is_that_of_the_formula() -> None:
    """Without momentum: the rate times the gradient of both losses and of the decay, which normalisation is spared."""
    images, targets = made()
    cues = Cues("5", weight=0.5, absent=0.5, strength=2.0)
    recipe = replace(QUICK, epochs=1, batch_size=N, momentum=0.0, weight_decay=0.1, label_smoothing=0.2, cues=cues)
    trained, reference = network(norm=True), network(norm=True).train()
    run = _Updates(
        trained.train(), on_device(images, targets, normalise=None, device=torch.device("cpu")), recipe=recipe
    )
    for group in run.optimiser.param_groups:
        group["lr"] = 0.3
    batch, still = torch.arange(N), Draws(torch.zeros(N, 2, dtype=torch.int64), torch.zeros(N, dtype=torch.bool))
    found = run._update(batch, still, np.random.default_rng(7))
    pixels, labels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255, torch.from_numpy(targets)
    smooth = F.one_hot(labels, N_CLASSES) * 0.8 + 0.2 / N_CLASSES
    logits = reference(pixels)
    passes = torch.stack([-(smooth * one.log_softmax(1)).sum(1).mean() for one in logits]).mean()
    blends, template, wanted = blended(pixels, targets, cues)
    with reference.steering(Signal("5", template, strength=2.0)):
        cued = -(wanted * reference(blends)[-1].log_softmax(1)).sum(1).mean()
    assert found.passes == pytest.approx(passes.item(), rel=1e-5) and found.cued == pytest.approx(cued.item(), rel=1e-5)
    (passes + 0.5 * cued).backward()
    for (name, after), before in zip(trained.named_parameters(), reference.parameters(), strict=True):
        decay = 0.0 if "feedforward.1" in name else 0.1
        torch.testing.assert_close(after, before - 0.3 * (before.grad + decay * before), msg=name)


def blended(pixels, targets, cues) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same draws, one image at a time."""
    draws = np.random.default_rng(7)
    n, height = len(targets), draws.random((len(targets), len(targets)))
    partner = [max((j for j in range(n) if targets[j] != targets[i]), key=lambda j: height[i, j]) for i in range(n)]
    other = draws.random((n, N_CLASSES))
    neither = [
        max((c for c in range(N_CLASSES) if c not in (targets[i], targets[partner[i]])), key=lambda c: other[i, c])
        for i in range(n)
    ]
    absent = draws.random(n) < cues.absent
    assert 5 < absent.sum() < n - 5
    eye = torch.eye(N_CLASSES)
    template = torch.stack([eye[neither[i] if absent[i] else targets[i]] for i in range(n)])
    wanted = torch.stack(
        [(eye[targets[i]] + eye[targets[partner[i]]]) / 2 if absent[i] else eye[targets[i]] for i in range(n)]
    )
    return (pixels + pixels[partner]) / 2, template, wanted


def test_the_learning_rate_is_made_of_two_lines() -> None:
    recipe = PassesRecipe()
    assert _rate(0, recipe) == pytest.approx(0.5e-4) and _rate(2, recipe) == 0.5 and _rate(30, recipe) == 0
    assert _rate(1, recipe) == pytest.approx((0.5 + 0.5e-4) / 2) and _rate(16, recipe) == pytest.approx(0.25)
    assert _rate(0, replace(recipe, warm_up_epochs=0)) == 0.5


def test_training_learns_and_depends_on_nothing_but_the_recipe() -> None:
    images, targets = made()
    recipe = replace(QUICK, epochs=12, learning_rate=0.3)
    one, two = network(), network()
    history = train_over_passes(one, images, targets, recipe=recipe)
    torch.rand(3)
    train_over_passes(two, images, targets, recipe=recipe)
    assert len(history) == 12 and history[-1].passes < 0.5 < 1 < history[0].passes and math.isnan(history[0].cued)
    assert all(torch.equal(one.state_dict()[name], value) for name, value in two.state_dict().items())
    assert not one.training
    with torch.no_grad():
        found = one(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    assert all((logits.argmax(1).numpy() == targets).mean() > 0.9 for logits in found)
    other = network()
    train_over_passes(other, images, targets, recipe=replace(recipe, seed=1))
    assert not torch.equal(other.state_dict()["feedforward.0.weight"], one.state_dict()["feedforward.0.weight"])


def test_the_callers_random_state_is_left_alone() -> None:
    images, targets = made()
    given = network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_over_passes(given, images, targets, recipe=replace(QUICK, epochs=1, cues=Cues("5")))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.arange(N) % 5}, r"^training: the network gives 4 logits, and there are 5 classes$"),
        ({"images": made()[0].astype(float)}, r"^training: images are float64"),
        ({"cues": Cues("6")}, r"^unknown source of feedback '6'; known: 2, 5$"),
        ({"cues": Cues("2")}, r"^training: 2 puts out \(6, 8, 8\) for an image and there are 4 classes; cue a source"),
        ({"cues": Cues("5"), "targets": np.arange(N) % 2}, r"^training: cues need images of three classes or more"),
        ({"learning_rate": 1e30}, r"^training: the loss is \S+; give a smaller learning_rate or a longer warm-up$"),
    ],
)
def test_what_does_not_fit_is_one_line(change, message) -> None:
    images, targets = made()
    given = {"images": images, "targets": targets} | {k: v for k, v in change.items() if k in ("images", "targets")}
    recipe = replace(QUICK, **{k: v for k, v in change.items() if k not in given})
    with pytest.raises(RequestError, match=message) as caught:
        train_over_passes(network(), given["images"], given["targets"], recipe=recipe)
    assert "\n" not in str(caught.value)


def test_a_source_wider_than_the_decisions_cannot_be_cued() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 9), nn.Linear(9, N_CLASSES))
    wide = LRM(backbone, [("2", "0")], image_size=(EDGE, EDGE))
    with pytest.raises(RequestError, match=r"^training: 2 puts out 9 numbers and the network gives 4 logits; cue a"):
        train_over_passes(wide, *made(), recipe=replace(QUICK, cues=Cues("2")))
    with pytest.raises(RequestError, match=r"leave one alone, of which batch normalisation has no statistics"):
        train_over_passes(network(norm=True), *made(), recipe=replace(QUICK, batch_size=39))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, r"^training: epochs is 0; give 1 or more$"),
        ({"learning_rate": math.nan}, r"^training: learning_rate is nan; give above 0$"),
        ({"warm_up_epochs": 31}, r"^training: warm_up_epochs is 31; give 0 to epochs$"),
        ({"momentum": 1.0}, r"^training: momentum is 1.0; give 0 to below 1$"),
        ({"label_smoothing": -0.1}, r"^training: label_smoothing is -0.1"),
    ],
)
def test_a_recipe_out_of_range_is_one_line(settings, message) -> None:
    with pytest.raises(RequestError, match=message):
        PassesRecipe(**settings)
    with pytest.raises(RequestError, match=r"^cues: absent is 1.5; give a share of 0 to 1$"):
        Cues("5", absent=1.5)
