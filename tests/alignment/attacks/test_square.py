"""Square against closed forms of linear classifiers, its published definition, and the authors' own code."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from alignment.attacks.square import Square, _proposal, _two_bumps
from alignment.attacks.threat import Norm, Threat, distances
from alignment.errors import RequestError
from alignment.models.load import load_model
from alignment.models.toy import Recipe, digits, split

NORMS: tuple[Norm, ...] = ("linf", "l2")


class Linear:
    """Two classes, the first by w x + b above the other; image by image, so that no image depends on its batch."""

    def __init__(self, weight: Tensor, threshold: float) -> None:
        self.weight, self.threshold, self.seen = weight.double(), threshold, 0

    def __call__(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        self.seen += len(pixels)
        score = torch.stack([(self.weight * image.double()).sum() - self.threshold for image in pixels])
        return torch.stack([score, torch.zeros_like(score)], 1)[:, None]


def images(count: int, edge: int = 8, *, low: float = 0.3, high: float = 0.7) -> Tensor:
    return low + (high - low) * torch.rand(count, 3, edge, edge, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("edges", [(8, 8), (9, 6), (3, 4)])
def test_what_is_found_lies_in_the_ball_and_the_range(norm: Norm, edges: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 3, *edges, generator=draw)
    network = Linear(torch.randn(3, *edges, generator=draw), -1e3)  # never wrong: every query is made
    threat = Threat(norm, 0.3)
    moved = Square(queries=80).perturb(network, pixels, torch.zeros(6, dtype=torch.int64), threat, seeds=range(6))
    assert torch.equal(moved, moved.clamp(0, 1))
    assert float(distances(moved, pixels, norm=norm).max()) <= 0.3 + 1e-6
    assert float(distances(moved, pixels, norm=norm).min()) > 0.1
    assert network.seen == 6 * 81
    assert (network(moved)[:, 0, 0] < network(pixels)[:, 0, 0]).all()


def test_linf_comes_to_the_analytic_margin() -> None:
    # the most the score can fall is epsilon ||w||_1
    weight, pixels, epsilon = torch.ones(3, 8, 8), images(6), 0.05
    totals = pixels.double().sum((1, 2, 3))
    lost = epsilon * 192
    for share, falls in ((0.9, True), (1.001, False)):
        moved = []
        for index, total in enumerate(totals.tolist()):
            network = Linear(weight, total - share * lost)
            image, label = pixels[index : index + 1], torch.tensor([0])
            found = Square(queries=1000).perturb(network, image, label, Threat("linf", epsilon), seeds=[index])
            moved.append(bool(network(found)[0, 0, 0] < 0))
        assert all(moved) if falls else not any(moved)


def test_l2_uses_the_whole_radius_and_gains_on_its_start() -> None:
    weight = torch.randn(3, 10, 10, generator=torch.Generator().manual_seed(2))
    pixels, threat = images(6, 10), Threat("l2", 0.4)
    network, labels = Linear(weight, -1e3), torch.zeros(6, dtype=torch.int64)
    reach = 0.4 * float(weight.norm())  # the most a step of that length can lower w x
    gains = []
    for queries in (1, 100, 1000):
        moved = Square(queries=queries).perturb(network, pixels, labels, threat, seeds=range(6))
        torch.testing.assert_close(distances(moved, pixels, norm="l2"), torch.full((6,), 0.4))
        gains.append((network(pixels) - network(moved))[:, 0, 0].double() / reach)
    assert (gains[1] > gains[0]).all()
    assert (gains[2] > gains[1]).all()
    assert (gains[2] > 0.3).all()
    assert (gains[2] <= 1 + 1e-6).all()


def test_linf_starts_from_stripes_and_moves_one_window_by_two_epsilon() -> None:
    pixels, threat = torch.full((3, 3, 12, 12), 0.5), Threat("linf", 0.1)
    network, labels = Linear(torch.ones(3, 12, 12), -1e3), torch.zeros(3, dtype=torch.int64)
    start = Square(queries=1).perturb(network, pixels, labels, threat, seeds=range(3))
    torch.testing.assert_close((start - 0.5).abs(), torch.full_like(start, 0.1))
    assert torch.equal(start, start[:, :, :1].expand_as(start))
    assert not torch.equal(start, start[:, :, :, :1].expand_as(start))
    draws = torch.tensor([[0.0, 0.99, 0, 0, 0, 0.1, 0.9, 0.1]] * 3, dtype=torch.float64)
    tried = _proposal(pixels, start, threat, draws=draws, share=25 / 144)
    expected = start.clone()
    for channel, sign in enumerate((-1, 1, -1)):
        expected[:, channel, :5, 7:] = 0.5 + sign * 0.1
    torch.testing.assert_close(tried, expected)


def test_the_l2_pattern_is_two_bumps_of_the_published_heights() -> None:
    for side in (3, 5, 8, 13):
        naive = torch.zeros(side, side, dtype=torch.float64)
        for first, last, sign in ((0, side // 2, 1.0), (side // 2, side, -1.0)):
            height = last - first
            bump = torch.zeros(height, side, dtype=torch.float64)
            for k in range(max(height // 2, side // 2) + 1):
                rows = range(max(0, height // 2 - k), min(height, height // 2 + k + 1))
                columns = range(max(0, side // 2 - k), min(side, side // 2 + k + 1))
                for row in rows:
                    for column in columns:
                        bump[row, column] += 1 / (k + 1) ** 2
            naive[first:last] = sign * bump / bump.norm()
        torch.testing.assert_close(_two_bumps(side), naive / naive.norm())


def test_a_query_in_l2_moves_what_a_window_held() -> None:
    draw = torch.Generator().manual_seed(4)
    pixels, threat = torch.full((2, 3, 16, 16), 0.5), Threat("l2", 0.5)
    delta = torch.randn(2, 3, 16, 16, generator=draw)
    best = pixels + 0.5 * delta / delta.flatten(1).norm(dim=1)[:, None, None, None]
    draws = torch.tensor([[0.0, 0.0, 0.999, 0.999, 0.2, 0.1, 0.9, 0.9]] * 2, dtype=torch.float64)
    tried = _proposal(pixels, best, threat, draws=draws, share=25 / 256)
    change = tried - pixels
    assert not change[:, :, 11:, 11:].any()
    elsewhere = torch.ones(16, 16, dtype=torch.bool)
    elsewhere[:5, :5] = elsewhere[11:, 11:] = False
    torch.testing.assert_close(tried[:, :, elsewhere], best[:, :, elsewhere])
    held = (best - pixels).square()
    torch.testing.assert_close(
        change[:, :, :5, :5].square().sum((2, 3)),
        held[:, :, :5, :5].sum((2, 3)) + held[:, :, 11:, 11:].sum((2, 3)),
    )
    torch.testing.assert_close(change.flatten(1).norm(dim=1), torch.full((2,), 0.5))


def test_windows_shrink_as_published() -> None:
    attack = Square(queries=10_000, p_init=0.8)
    shrunk = [query for query in range(10_000) if query == 0 or attack.share(query) < attack.share(query - 1)]
    assert shrunk == [0, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001]
    assert attack.share(9_999) == 0.8 / 2**9
    # a tenth of the queries, a tenth of the way
    assert Square(queries=1000).share(6) == 0.8 / 4


@pytest.mark.parametrize("norm", NORMS)
def test_an_image_has_its_own_stream(norm: Norm) -> None:
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(5))
    pixels, threat = images(7), Threat(norm, 0.08 if norm == "linf" else 0.8)
    network, labels = Linear(weight, float((weight * 0.5).sum()) - 3.0), torch.zeros(7, dtype=torch.int64)
    assert (network(pixels)[:, 0, 0] > 0).any()
    attack, seeds = Square(queries=200), [31, 32, 33, 34, 35, 36, 37]
    together = attack.perturb(network, pixels, labels, threat, seeds=seeds)
    order = torch.tensor([5, 2, 0])
    few = attack.perturb(network, pixels[order], labels[order], threat, seeds=[seeds[index] for index in order])
    assert torch.equal(few, together[order])
    assert not torch.equal(attack.perturb(network, pixels, labels, threat, seeds=range(7)), together)


def test_an_image_is_left_alone_once_it_is_wrong() -> None:
    weight, pixels, labels = torch.ones(3, 8, 8), images(4), torch.tensor([0, 1, 0, 0])
    pixels[2] -= 0.1
    network = Linear(weight, float(pixels[2].double().sum()) - 1e-3)  # all are of the first class, image 2 barely
    moved = Square(queries=50).perturb(network, pixels, labels, Threat("linf", 0.02), seeds=range(4))
    assert network.seen < 4 + 3 * 50
    assert torch.equal(moved[1], pixels[1])
    assert float(network(moved)[2, 0, 0]) < 0


def test_each_decision_must_be_wrong() -> None:
    channels = torch.eye(3)[:2, :, None, None].expand(2, 3, 8, 8)
    first, second = (Linear(weight, 32 - 1.5) for weight in channels)  # 64 pixels of 0.5, which 0.1 can lower by 6.4
    pixels, labels = torch.full((6, 3, 8, 8), 0.5), torch.zeros(6, dtype=torch.int64)

    def in_time(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return torch.cat([first(pixels), second(pixels)], 1)

    wrong = {
        moment: in_time(
            Square(queries=300).perturb(in_time, pixels, labels, Threat("linf", 0.1, moment), seeds=range(6))
        )[:, :, 0]
        < 0
        for moment in ("last", "each")
    }
    assert wrong["each"].all()
    assert wrong["last"][:, 1].all()
    assert not wrong["last"][:, 0].all()


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 1.5)])
def test_a_trained_network_falls_as_to_the_authors_code(
    norm: Norm, epsilon: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    theirs = pytest.importorskip("pyautoattack.square", reason="the authors' code: pip install pyautoattack")
    model = load_model("toy", cache=Path(tmp_path_factory.getbasetemp()) / "toy")
    pixels, labels = digits(32)
    chosen = split(Recipe(), len(labels))[1][:80]
    pixels, labels = pixels[chosen], labels[chosen]
    threat = Threat(norm, epsilon)

    def scores(images: Tensor) -> Tensor:
        return model.logits(images)[:, -1]

    with torch.no_grad():
        ours = threat.project(
            Square(queries=150).perturb(model.logits, pixels, labels, threat, seeds=range(80)), pixels
        )
        name = {"linf": "Linf", "l2": "L2"}[norm]
        peer = theirs.SquareAttack(scores, norm=name, eps=epsilon, n_queries=150, device="cpu")
        robust = [(scores(moved).argmax(1) == labels).float().mean() for moved in (ours, peer.perturb(pixels, labels))]
        clean = (scores(pixels).argmax(1) == labels).float().mean()
    assert float(robust[0]) < float(clean) - 0.05
    # two random searches of 80 images: the sd of a difference of two shares is at most 0.08
    assert abs(float(robust[0] - robust[1])) < 0.16


@pytest.mark.parametrize(
    ("settings", "message"), [({"queries": 0}, "queries is 0"), ({"p_init": 1.5}, "p_init is 1.5")]
)
def test_bad_settings_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Square(**settings)
