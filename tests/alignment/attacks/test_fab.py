"""FAB-T against closed forms of linear classifiers, SciPy's optimisers, and the authors' code where it is installed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from alignment.attacks.fab import FABT, displacement
from alignment.attacks.threat import Moment, Norm, Threat, distances
from alignment.errors import DataError, RequestError
from alignment.models.load import load_model
from alignment.models.toy import Recipe, digits, split

NORMS: tuple[Norm, ...] = ("linf", "l2")


@dataclass
class Linear:
    """Logits W x + b in double precision, image by image, so that no image depends on its batch."""

    weight: Tensor
    bias: Tensor
    scale: float = 1.0

    def __call__(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        rows = [self.weight @ image.flatten().double() + self.bias for image in pixels]
        return torch.stack(rows)[:, None] * self.scale

    def margins(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """(image, class) the label's score above each class."""
        scores = self(pixels)[:, 0] / self.scale
        return scores.gather(1, labels[:, None]) - scores

    def normals(self, labels: Tensor) -> Tensor:
        return self.weight[labels][:, None] - self.weight


def linear(classes: int, edge: int = 5, *, seed: int = 0) -> Linear:
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, 3 * edge**2, generator=draw, dtype=torch.float64)
    return Linear(weight, 0.3 * torch.randn(classes, generator=draw, dtype=torch.float64))


def images(count: int, *, low: float, high: float, edge: int = 5, seed: int = 1) -> Tensor:
    return low + (high - low) * torch.rand(count, 3, edge, edge, generator=torch.Generator().manual_seed(seed))


def smallest_by_scipy(point: np.ndarray, normal: np.ndarray, change: float, norm: Norm) -> float:
    """The norm of the smallest step within [0, 1], by a linear program or by quadratic programming."""
    low, high = -point, 1 - point
    if norm == "linf":
        size = len(point)
        ones = np.ones((size, 1))
        result = optimize.linprog(
            np.r_[np.zeros(size), 1.0],
            A_ub=np.vstack([np.hstack([np.eye(size), -ones]), np.hstack([-np.eye(size), -ones])]),
            b_ub=np.zeros(2 * size),
            A_eq=np.r_[normal, 0.0][None],
            b_eq=[change],
            bounds=[*zip(low, high, strict=True), (0, None)],
        )
        return float(result.fun)
    result = optimize.minimize(
        lambda d: d @ d,
        np.clip(normal * change / (normal @ normal), low, high),
        jac=lambda d: 2 * d,
        bounds=list(zip(low, high, strict=True)),
        constraints=[{"type": "eq", "fun": lambda d: normal @ d - change, "jac": lambda d: normal}],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert result.success
    return float(np.sqrt(result.fun))


@pytest.mark.parametrize("norm", NORMS)
def test_displacement_is_the_smallest_within_the_range(norm: Norm) -> None:
    random = np.random.default_rng(0)
    points = np.clip(random.uniform(-0.3, 1.3, (30, 8)), 0, 1)
    normals = random.standard_normal((30, 8)) * (random.random((30, 8)) > 0.2)
    reachable = np.where(normals > 0, 1 - points, -points)
    furthest = (normals * reachable).sum(1)
    changes = furthest * random.uniform(0.05, 0.95, 30)
    normals[::2], changes[::2] = -normals[::2], -changes[::2]
    steps = displacement(*(torch.from_numpy(each) for each in (points, normals, changes)), norm=norm)
    np.testing.assert_allclose((steps.numpy() * normals).sum(1), changes, atol=1e-9)
    assert (points + steps.numpy() >= -1e-12).all()
    assert (points + steps.numpy() <= 1 + 1e-12).all()
    expected = [
        smallest_by_scipy(point, normal, change, norm)
        for point, normal, change in zip(points, normals, changes, strict=True)
    ]
    found = steps.abs().amax(1) if norm == "linf" else steps.norm(dim=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_out_of_reach_is_the_furthest_corner(norm: Norm) -> None:
    point, normal = torch.tensor([[0.2, 0.7, 0.4]]), torch.tensor([[1.0, -2.0, 0.0]])
    step = displacement(point, normal, torch.tensor([100.0]), norm=norm)
    torch.testing.assert_close(step, torch.tensor([[0.8, -0.7, 0.0]]))
    assert not displacement(point, torch.zeros(1, 3), torch.tensor([1.0]), norm=norm).any()


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e15])
@pytest.mark.parametrize("norm", NORMS)
def test_displacement_does_not_depend_on_the_unit_of_the_scores(norm: Norm, unit: float) -> None:
    points, normals = images(4, low=0.2, high=0.8).flatten(1), torch.randn(4, 75, generator=torch.Generator())
    changes = torch.tensor([1.0, -2.0, 3.0, 0.0])
    torch.testing.assert_close(
        displacement(points, normals * unit, changes * unit, norm=norm),
        displacement(points, normals, changes, norm=norm),
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 5])
def test_linear_classifiers_have_the_minimal_norm_of_the_closed_form(norm: Norm, classes: int) -> None:
    network, pixels = linear(classes), images(20, low=0.35, high=0.65)
    labels = network(pixels)[:, 0].argmax(1)
    # margin / ||w||_1 for Linf, / ||w||_2 for L2, the smallest over classes
    normals = network.normals(labels)
    sizes = normals.abs().sum(2) if norm == "linf" else normals.norm(dim=2)
    closed = (network.margins(pixels, labels) / sizes).nan_to_num(torch.inf).scatter(1, labels[:, None], torch.inf)
    expected = closed.amin(1)
    if norm == "linf":
        assert (expected < 0.35).all()  # else the range of pixels would enter
    moved, found = FABT(steps=20).minimal(network, pixels, labels, norm=norm, seeds=range(20))
    assert (network(moved)[:, 0].argmax(1) != labels).all()
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(distances(moved, pixels, norm=norm), found)


@pytest.mark.parametrize("norm", NORMS)
def test_the_range_of_pixels_is_part_of_the_minimum(norm: Norm) -> None:
    network = linear(2, edge=3)
    pixels = images(12, low=-0.4, high=1.4, edge=3).clamp(0, 1)
    labels = network(pixels)[:, 0].argmax(1)
    normals, margins = network.normals(labels), network.margins(pixels, labels)
    other = 1 - labels
    expected = [
        smallest_by_scipy(
            image.flatten().double().numpy(), -normals[i, other[i]].numpy(), float(margins[i, other[i]]), norm
        )
        for i, image in enumerate(pixels)
    ]
    moved, found = FABT(steps=50).minimal(network, pixels, labels, norm=norm, seeds=range(12))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert torch.equal(moved, moved.clamp(0, 1))
    assert (network(moved)[:, 0].argmax(1) != labels).all()


@pytest.mark.parametrize("norm", NORMS)
def test_perturb_leaves_the_analytic_robust_accuracy(norm: Norm) -> None:
    network, pixels = linear(4), images(30, low=0.4, high=0.6)
    labels = network(pixels)[:, 0].argmax(1)
    normals = network.normals(labels)
    sizes = normals.abs().sum(2) if norm == "linf" else normals.norm(dim=2)
    ratio = (network.margins(pixels, labels) / sizes).nan_to_num(torch.inf).scatter(1, labels[:, None], torch.inf)
    smallest = ratio.amin(1)
    for epsilon in smallest.quantile(torch.tensor([0.15, 0.5, 0.9], dtype=torch.float64)).tolist():
        threat = Threat(norm, epsilon)
        moved = threat.project(FABT(steps=20).perturb(network, pixels, labels, threat, seeds=range(30)), pixels)
        clear = (smallest / epsilon - 1).abs() > 1e-3
        robust = network(moved)[:, 0].argmax(1) == labels
        assert torch.equal(robust[clear], (smallest > epsilon)[clear])


def test_a_saturated_network_is_as_near_as_any() -> None:
    network, pixels = linear(3), images(8, low=0.4, high=0.6)
    labels = network(pixels)[:, 0].argmax(1)
    _, expected = FABT(steps=10).minimal(network, pixels, labels, norm="l2", seeds=range(8))
    for scale in (1e-12, 1e6):
        scaled = Linear(network.weight, network.bias, scale)
        _, found = FABT(steps=10).minimal(scaled, pixels, labels, norm="l2", seeds=range(8))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("moment", "steps"), [("last", [2]), ("mean", [0, 1, 2])])
def test_moments_choose_the_decision(moment: Moment, steps: list[int]) -> None:
    networks, pixels = [linear(2, seed=seed) for seed in range(3)], images(30, low=0.4, high=0.6)

    def in_time(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return torch.cat([network(pixels) for network in networks], 1)

    decisive = Linear(
        torch.stack([networks[step].weight for step in steps]).mean(0),
        torch.stack([networks[step].bias for step in steps]).mean(0),
    )
    labels = decisive(pixels)[:, 0].argmax(1)
    _, expected = FABT(steps=10).minimal(decisive, pixels, labels, norm="linf", seeds=range(30))
    _, found = FABT(steps=10).minimal(in_time, pixels, labels, norm="linf", seeds=range(30), moment=moment)
    torch.testing.assert_close(found, expected)


def test_each_decision_must_be_wrong() -> None:
    networks, pixels = [linear(2, seed=seed) for seed in range(2)], images(40, low=0.3, high=0.7)

    def in_time(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return torch.cat([network(pixels) for network in networks], 1)

    labels = networks[0](pixels)[:, 0].argmax(1)
    moved, found = FABT(steps=60).minimal(in_time, pixels, labels, norm="l2", seeds=range(40), moment="each")
    reached = found.isfinite()
    assert reached.float().mean() > 0.5
    assert (in_time(moved[reached]).argmax(2) != labels[reached, None]).all()


def test_images_that_are_wrong_stay_and_those_out_of_reach_come_back() -> None:
    network, pixels = linear(2), images(6, low=0.4, high=0.6)
    labels = network(pixels)[:, 0].argmax(1)
    labels[:2] = 1 - labels[:2]

    def flat(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return torch.tensor([1.0, 0.0]).expand(len(pixels), 1, 2) + 0 * pixels.sum((1, 2, 3))[:, None, None]

    moved, found = FABT(steps=5).minimal(network, pixels, labels, norm="linf", seeds=range(6))
    assert torch.equal(moved[:2], pixels[:2])
    assert (found[:2] == 0).all()
    assert (found[2:] > 0).all()
    unmoved, nowhere = FABT(steps=3).minimal(flat, pixels, torch.zeros(6, dtype=torch.int64), norm="l2", seeds=range(6))
    assert torch.equal(unmoved, pixels)
    assert torch.isinf(nowhere).all()


@pytest.mark.parametrize("norm", NORMS)
def test_an_image_has_its_own_stream(norm: Norm) -> None:
    pixels = images(5, low=0.1, high=0.9)
    draw = torch.Generator().manual_seed(3)
    hidden, out = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((20, 75), (3, 20)))
    ahead = torch.tensor([8.0, 0.0, 0.0], dtype=torch.float64)  # far boundaries, so that they bend on the way

    def network(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return torch.stack([ahead + out @ torch.sin(hidden @ image.flatten().double()) for image in pixels])[:, None]

    labels, seeds = network(pixels)[:, 0].argmax(1), [11, 12, 13, 14, 15]
    attack = FABT(steps=2, restarts=5)
    together, _ = attack.minimal(network, pixels, labels, norm=norm, seeds=seeds)
    order = torch.tensor([3, 0, 4])
    few, _ = attack.minimal(network, pixels[order], labels[order], norm=norm, seeds=[seeds[i] for i in order])
    assert torch.equal(few, together[order])
    others, _ = attack.minimal(network, pixels, labels, norm=norm, seeds=range(5))
    assert not torch.equal(others, together)
    _, first = FABT(steps=2).minimal(network, pixels, labels, norm=norm, seeds=seeds)
    assert (distances(together, pixels, norm=norm) <= first + 1e-6).all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_trained_network_falls_as_to_the_authors_code(norm: Norm, tmp_path_factory: pytest.TempPathFactory) -> None:
    fab_pt = pytest.importorskip("pyautoattack.fab_pt", reason="the authors' code: pip install pyautoattack")
    model = load_model("toy", cache=Path(tmp_path_factory.getbasetemp()) / "toy")
    assert model.module is not None
    model.module.requires_grad_(False)
    pixels, labels = digits(32)
    chosen = split(Recipe(), len(labels))[1][:12]
    pixels, labels = pixels[chosen], labels[chosen]

    def scores(images: Tensor) -> Tensor:
        return model.logits(images)[:, -1]

    right = scores(pixels).argmax(1) == labels
    pixels, labels = pixels[right], labels[right]
    theirs = fab_pt.FABAttack_PT(
        scores, norm={"linf": "Linf", "l2": "L2"}[norm], n_iter=15, eps=100.0, targeted=True, device="cpu"
    )
    nearest = torch.full((len(labels),), torch.inf)
    for rank in range(2, 6):
        theirs.target_class = rank
        with torch.no_grad():
            moved = theirs.attack_single_run(pixels, labels, use_rand_start=False, is_targeted=True)
        wrong = scores(moved).argmax(1) != labels
        nearest = torch.where(wrong, torch.minimum(nearest, distances(moved, pixels, norm=norm)), nearest)
    moved, found = FABT(steps=15, targets=4).minimal(model.logits, pixels, labels, norm=norm, seeds=range(len(labels)))
    assert (scores(moved).argmax(1) != labels).all()
    assert float((found / nearest).median()) <= 1.0
    assert float((found / nearest).max()) < 1.03


@pytest.mark.parametrize("setting", ["steps", "restarts", "targets"])
def test_counts_start_at_one(setting: str) -> None:
    with pytest.raises(RequestError, match=f"{setting} is 0"):
        FABT(**{setting: 0})


def test_bad_input_is_named() -> None:
    network, pixels = linear(2), images(2, low=0.4, high=0.6)
    labels = torch.tensor([0, 1])
    with pytest.raises(RequestError, match="1 seeds"):
        FABT().minimal(network, pixels, labels, norm="l2", seeds=[0])
    with pytest.raises(DataError, match="pixels range"):
        FABT().minimal(network, pixels + 1, labels, norm="l2", seeds=[0, 1])
