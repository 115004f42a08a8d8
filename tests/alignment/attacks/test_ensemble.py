"""The two ensembles against closed forms: the distance from a hyperplane, and the normal distribution."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import Tensor

from alignment.attacks.base import Attack
from alignment.attacks.ensemble import ENSEMBLES, rand, standard
from alignment.attacks.judge import curve, judge
from alignment.attacks.threat import Norm, Threat
from alignment.errors import RequestError


def test_members_in_the_published_order() -> None:
    members = standard(10)
    assert [attack.name for attack in members] == ["apgd-ce", "apgd-t-dlr", "fab-t", "square"]
    assert all(isinstance(attack, Attack) for attack in members)
    assert members[0].settings() | {"loss": "ce", "targets": 0} == members[0].settings()
    assert [attack.settings()["steps"] for attack in members[:3]] == [100, 100, 100]
    assert [attack.settings()["targets"] for attack in members[1:3]] == [9, 9]
    assert members[3].settings()["queries"] == 5000
    assert all(attack.settings()["samples"] == 20 for attack in rand(10))


@pytest.mark.parametrize(
    ("classes", "name", "targets"), [(2, "apgd-t-ce", 1), (3, "apgd-t-ce", 2), (5, "apgd-t-dlr", 4)]
)
def test_few_classes_say_so(classes: int, name: str, targets: int) -> None:
    assert standard(classes)[1].name == name
    assert standard(classes)[1].settings()["targets"] == targets
    assert rand(classes)[1].name == ("apgd-margin" if classes == 2 else "apgd-dlr")


@pytest.mark.parametrize("name", ENSEMBLES)
def test_one_class_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="1 class"):
        ENSEMBLES[name](1)


@pytest.mark.parametrize(("classes", "norm"), [(2, "linf"), (2, "l2"), (3, "linf")])
def test_standard_leaves_what_no_attack_can_reach(linear, classes: int, norm: Norm) -> None:
    problem = linear(classes, n_images=10)
    logits, pixels, labels, seeds = problem
    margins = logits.distances(pixels, labels, norm)
    epsilons = [(1.0 if norm == "linf" else 5.0) * value for value in (0.02, 0.05)]
    for verdict in curve(logits, standard(classes), pixels, labels, Threat(norm), epsilons=epsilons, seeds=seeds):
        clear = (margins - verdict.threat.epsilon).abs() >= 1e-6
        assert torch.equal(verdict.robust[clear, 0] > 0, margins[clear] > verdict.threat.epsilon)
        assert not verdict.rejected.any()


SD = 3.0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_rand_meets_the_analytic_expected_accuracy(linear, norm: Norm) -> None:
    """Of logits +-s with normal noise, the best attack lowers s by epsilon times the norm of the gradient."""
    problem = linear(2, n_images=30, seed=2)
    weight = problem.logits.weight[0] - problem.logits.weight[1]

    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        assert seeds is not None
        noise = torch.cat([torch.randn(1, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        return problem.logits(pixels) + SD * torch.stack([noise, -noise], dim=1)[:, None] / 2

    threat = Threat(norm, 0.05 if norm == "linf" else 0.3)
    pixels, labels = problem.pixels, problem.labels
    verdict = judge(logits, rand(2), pixels, labels, threat, seeds=problem.seeds, stochastic=True)
    size = weight.abs().sum() if norm == "linf" else weight.norm()
    signs = 1.0 - 2 * labels
    gaps = signs * (pixels.flatten(1) @ weight + problem.logits.bias[0] - problem.logits.bias[1])
    for found, lowered in ((verdict.clean, 0.0), (verdict.robust, threat.epsilon * float(size))):
        chances = ndtr((gaps - lowered).double().numpy() / SD)
        error = np.sqrt((chances * (1 - chances) / 20).sum()) / len(chances)
        assert abs(float(found.double().mean()) - chances.mean()) < 2.6 * error
    assert float(verdict.clean.mean() - verdict.robust.mean()) > 10 * error
    assert float(verdict.robust.mean()) > 0.1
