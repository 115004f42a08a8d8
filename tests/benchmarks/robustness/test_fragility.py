"""What perturbed images leave of predictivity: closed forms, and a reference that takes one image at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Reference
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds
from alignment.attacks.base import draw_seeds
from alignment.attacks.gradient import random_start
from alignment.attacks.threat import Threat
from alignment.errors import RequestError
from alignment.models import TorchModel
from alignment.models.baselines import gabor, pixels, untrained
from alignment.stimuli import StimulusSet
from benchmarks.contracts import Scored, Session
from benchmarks.datasets.presented import Presented, presented
from benchmarks.measures import build_measure
from benchmarks.neural.target import Shown
from benchmarks.recordings import Recording, Recordings
from benchmarks.robustness.fragility import Fragility
from benchmarks.robustness.moved import Moves, Moving
from benchmarks.settings import parse

IMAGES, EDGE = 60, 8


def pictures(edge: int = EDGE) -> dict[str, np.ndarray]:
    """Far enough from black and white that no small ball is cut."""
    random = np.random.default_rng(0)
    tints = random.integers(-40, 40, size=(IMAGES, 3))
    return {f"i{n:02}": (random.integers(90, 160, (edge, edge, 3)) + tints[n]).astype(np.uint8) for n in range(IMAGES)}


@pytest.fixture
def data() -> Presented:
    """Responses to the colour of an image, each image twice."""
    images = pictures()
    stimulus = [name for name in images for _ in range(2)]
    random = np.random.default_rng(1)
    colours = np.array([images[name].mean((0, 1)) for name in stimulus]) / 20
    responses = colours @ random.normal(size=(3, 4)) + 0.8 * random.normal(size=(len(stimulus), 4))
    return presented("made", images, responses=responses, stimulus=stimulus)


class Recurrent(nn.Module):
    """Two calls of `part`, of which the second sees the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.part = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        draw = torch.Generator().manual_seed(0)
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.3, generator=draw)

    def forward(self, x: Tensor) -> Tensor:
        before = self.part(F.softplus(self.first(x - 0.5)))
        return self.part(F.softplus(before) - 0.5)


def recurrent(**options: Any) -> TorchModel:
    return TorchModel(Recurrent(), name="recurrent", layers=["first", "part"], image_size=(EDGE, EDGE), **options)


def built(data: Presented, *words: str, measure: str = "fragility") -> Any:
    made = build_measure(measure, "made", data, settings=parse(["n_bootstrap=100", *words]), preferred={})
    made.check()
    return made


def scored(benchmark: Any, model: TorchModel, session: Session) -> Scored:
    benchmark.check_model(model)
    return benchmark.score({part: benchmark.measure(model, part, session) for part in benchmark.parts(model)})


def test_one_linear_unit_moves_by_epsilon_times_its_weights_and_r_follows(data: Presented, session: Session) -> None:
    """A ridge on one unit predicts a multiple of it, so that r is that of the unit itself."""
    layer = nn.Linear(3 * EDGE**2, 1)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(2))
    layer.weight.data += 1.0
    model = TorchModel(nn.Sequential(nn.Flatten(), layer), name="unit", image_size=(EDGE, EDGE), layers=["1"])
    made = built(data, "benchmark.epsilon=4/255")
    (part,) = made.parts(model)
    kept = made.measure(model, part, session)
    ids = [str(name) for name in kept["stimulus"].values]
    weight, bias = layer.weight.detach().double().numpy()[0], float(layer.bias.detach())
    clean = data.stimuli.pixels(ids).flatten(1).double().numpy() @ weight + bias
    shown = Shown(session, data.stimuli, made.recording, ids)
    moved = Moves(model, "1", shown=shown, moving=made.moving).at(0.0).features.columns(0, 1)[:, 0].double().numpy()
    reach = 4 / 255 * np.abs(weight).sum()
    np.testing.assert_allclose(np.abs(moved - clean), reach, rtol=1e-3)
    assert 0.2 < (moved > clean).mean() < 0.8
    for name in ("shift", "shift_recorded"):
        np.testing.assert_allclose(kept[name].values[0], reach / np.abs(clean), rtol=1e-3)
    assert (kept["shift_by_chance"].values[0] < reach / np.abs(clean)).all()
    responses = data.responses("subject1").isel(time_bin=0).sel(stimulus=ids).values
    for fold in range(kept.sizes["fold"]):
        inside = kept["held_out_in"].values == fold
        for neuroid in range(4):
            slope = np.sign(np.polyfit(clean[~inside], responses[~inside, neuroid], 1)[0])
            expected = slope * np.corrcoef(moved[inside], responses[inside, neuroid])[0, 1]
            assert kept["r_altered"].values[fold, 0, neuroid] == pytest.approx(expected, abs=1e-3)


def climbed(network: Callable[[Tensor], Tensor], image: Tensor, start: Tensor, threat: Threat, steps: int) -> Tensor:
    """Plain projected ascent on one image."""
    with torch.no_grad():
        there = network(image[None])
    at = start.clone()
    for _ in range(steps):
        leaf = at.clone().requires_grad_()
        (network(leaf[None]) - there).square().sum().backward()
        slope = leaf.grad
        step = 2.5 * threat.epsilon / steps
        at = at + step * (slope.sign() if threat.norm == "linf" else slope / slope.norm())
        if threat.norm == "linf":
            at = torch.minimum(torch.maximum(at, image - threat.epsilon), image + threat.epsilon)
        else:
            away = at - image
            at = image + away * min(1.0, threat.epsilon / float(away.norm()))
        at = at.clamp(0, 1)
    return at.detach()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_time_bin_is_that_of_one_image_at_a_time(norm: Any, session: Session) -> None:
    """Images are cropped to the model's degrees, resized, attacked, recorded and pooled as they are recorded clean."""
    images = pictures(20)
    responses = np.array([image.mean((0, 1)) for image in images.values()]) / 20
    responses += 0.3 * np.random.default_rng(1).normal(size=responses.shape)
    made_data = presented("made", images, responses=responses, stimulus=list(images))
    data = replace(made_data, stimuli=replace(made_data.stimuli, visual_degrees=10.0))
    epsilon, steps = 0.03 if norm == "linf" else 0.3, 5
    model = recurrent(visual_degrees=8.0)
    words = [f"benchmark.norm={norm}", f"benchmark.epsilon={epsilon}", f"benchmark.steps={steps}", "seed=3"]
    made = built(data, *words)
    part = next(part for part in made.parts(model) if part.layer == "part")
    kept = made.measure(model, part, session)
    ids = [str(name) for name in kept["stimulus"].values]
    shown = data.stimuli.pixels(ids, size=(EDGE, EDGE), visual_degrees=8.0)
    named = [seeds.derive(3, "fragility", name) for name in ids]
    starts = random_start(shown, Threat(norm, epsilon), seeds=draw_seeds(named, "representation", "start"))
    y = data.responses("subject1").isel(time_bin=0).sel(stimulus=ids).values.astype(float)
    for time, bin_ in enumerate(model.time_bins["part"]):

        def network(batch: Tensor, bin_: float = bin_) -> Tensor:
            return model.record(batch, ["part"], time_bins=[bin_])["part"][:, 0]

        def pooled(batch: Tensor, network: Callable[[Tensor], Tensor] = network) -> np.ndarray:
            with torch.no_grad():
                return F.adaptive_avg_pool2d(network(batch), 4).flatten(1).double().numpy()

        moved = torch.stack(
            [climbed(network, *each, Threat(norm, epsilon), steps) for each in zip(shown, starts, strict=True)]
        )
        with torch.no_grad():
            maps = [network(each).flatten(1) for each in (moved, shown)]
        expected = (maps[0] - maps[1]).norm(dim=1) / maps[1].norm(dim=1)
        np.testing.assert_allclose(kept["shift"].values[time], expected, rtol=1e-3)
        x, altered = pooled(shown), pooled(moved)
        drift = np.linalg.norm(altered - x, axis=1) / np.linalg.norm(x, axis=1)
        np.testing.assert_allclose(kept["shift_recorded"].values[time], drift, rtol=2e-3)
        products = (altered - x) @ (altered - x).T
        shared = products[~np.eye(len(ids), dtype=bool)].mean() / np.diag(products).mean()
        assert kept["shift_in_common"].values[time] == pytest.approx(shared, abs=2e-3)
        for fold in range(kept.sizes["fold"]):
            inside = kept["held_out_in"].values == fold
            unit = np.square(x[~inside] - x[~inside].mean(0)).sum() / (~inside).sum()
            for neuroid in range(3):
                alpha = kept["alpha"].values[fold, time, neuroid] * unit
                fit = Reference(alpha=alpha).fit(x[~inside], y[~inside, neuroid])
                for source, name in ((x, "r"), (altered, "r_altered")):
                    r = np.corrcoef(fit.predict(source[inside]), y[inside, neuroid])[0, 1]
                    assert kept[name].values[fold, time, neuroid] == pytest.approx(r, abs=2e-3)
    assert np.abs(kept["r"].values - kept["r_altered"].values).max() > 0.02


@pytest.mark.parametrize(
    "words", [[], ["benchmark.selection=gcv", "benchmark.pool=none"], ["benchmark.scale=floored_sd"], ["one split"]]
)
def test_what_is_clean_is_what_the_ridge_scores(words: list[str], data: Presented, session: Session) -> None:
    if words == ["one split"]:
        data, words = replace(data, own_splits=data.splits("subject1")[:1]), []
    model = recurrent()
    ridge = scored(built(data, *words, measure="ridge"), model, session)
    found = scored(built(data, *words, "benchmark.epsilon=32/255", "benchmark.steps=3"), model, session)
    assert found.clean == ridge.score.raw
    assert found.clean_raw is not None
    np.testing.assert_array_equal(found.clean_raw.values, ridge.raw.values)
    np.testing.assert_array_equal(found.clean_raw.resampled, ridge.raw.resampled)
    assert (found.layer, found.time_bin, found.layer_share) == (ridge.layer, ridge.time_bin, ridge.layer_share)
    assert found.score.ceiling == ridge.score.ceiling
    clean = [row for row in found.surface if row["layer"].startswith("clean: ")]
    assert [{**row, "layer": row["layer"].removeprefix("clean: ")} for row in clean] == list(ridge.surface)
    of_subject = found.details["subjects"]["subject1"]
    assert (of_subject["clean"], of_subject["raw"]) == (found.clean.value, found.score.raw.value)
    assert found.score.raw.value < found.clean.value - 0.01
    figures = found.figures
    assert figures["left of clean"] == pytest.approx(found.score.raw.value / found.clean.value)
    assert figures["left of clean, low"] < figures["left of clean"] < figures["left of clean, high"]
    assert figures["relative shift"] > figures["relative shift by chance"] > 0
    assert not found.flags


def test_a_tiny_ball_leaves_everything_of_a_network_with_noise_too(data: Presented, session: Session) -> None:
    class Noisy(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 0.05 * torch.randn_like(x))

    noisy = TorchModel(Noisy(), name="noisy", layers=["part"], image_size=(EDGE, EDGE), stochastic=True)
    for model in (recurrent(), noisy):
        found = scored(built(data, "benchmark.epsilon=1e-6", "benchmark.steps=2"), model, session)
        assert found.clean is not None
        assert found.score.raw.value == pytest.approx(found.clean.value, abs=1e-4)
        assert found.score.raw.value != found.clean.value
        assert found.figures["left of clean"] == pytest.approx(1, abs=1e-3)


def test_a_larger_ball_leaves_less(data: Presented, session: Session) -> None:
    left = [
        scored(built(data, f"benchmark.epsilon={epsilon}", "benchmark.steps=5"), recurrent(), session).score.raw.value
        for epsilon in ("1/255", "4/255", "16/255")
    ]
    assert left[0] > left[1] > left[2]


def test_no_number_depends_on_batch_block_or_order(data: Presented, session: Session) -> None:
    model, moving = recurrent(), Moving(epsilon=("4/255", 4 / 255), steps=3)
    ids = list(data.stimuli.ids)

    def moved(order: list[str], batch_size: int, block_size: int, folder: str) -> np.ndarray:
        store = type(session.recordings.store)(session.recordings.store.root / folder)
        made = Recordings(store, session.digests, device="cpu", batch_size=batch_size, block_size=block_size)
        shown = Shown(replace(session, recordings=made), data.stimuli, Recording(), order)
        found = Moves(model, "part", shown=shown, moving=moving).at(1.0)
        rows = np.argsort(order)
        return np.column_stack([found.features.columns(0, found.features.shape[1]), found.shift])[rows]

    reference = moved(ids, 32, 50, "a")
    np.testing.assert_allclose(moved(ids, 7, 13, "b"), reference, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved(ids[::-1], 5, 50, "c"), reference, rtol=1e-3, atol=1e-4)
    assert np.abs(moved(ids[:20], 32, 50, "d") - reference[:20]).max() < 1e-3


def test_images_of_several_sizes_keep_their_places(session: Session) -> None:
    small, large = pictures(16), pictures(32)
    mixed = {name: (small if number % 3 else large)[name] for number, name in enumerate(small)}
    stimuli = StimulusSet("mixed", tuple(mixed), mixed.__getitem__)
    shown = Shown(session, stimuli, Recording(), list(stimuli.ids))
    model, moving = pixels(), Moving(epsilon=("4/255", 4 / 255), steps=3)
    found = Moves(model, "blocks", shown=shown, moving=moving).at(0.0)
    clean = torch.cat([model.record(stimuli.pixels([name]), ["blocks"])["blocks"][:, 0] for name in stimuli.ids])
    # every pixel of a block moves by epsilon, in one direction
    gaps = (found.features.columns(0, 192) - clean).abs()
    np.testing.assert_allclose(gaps, 4 / 255, atol=1e-5)


def test_subjects_share_what_was_attacked_and_its_size_is_known(session: Session) -> None:
    images = pictures()
    random = np.random.default_rng(0)
    data = presented(
        "made",
        images,
        responses=random.normal(size=(IMAGES, 4)),
        stimulus=list(images),
        subject=["a", "a", "b", "b"],
    )
    made, model = built(data, "benchmark.steps=1"), recurrent()
    parts = made.parts(model)
    units = {"first": 6 * 16, "part": 6 * 16 * 2}
    # once clean and once perturbed
    expected = sum(2 * 4 * IMAGES * number for number in units.values())
    assert made.bytes(model, parts, session) == expected
    entries = []
    for part in parts:
        made.measure(model, part, session)
        entries.append(len(list(session.recordings.store.root.rglob("*.nc"))))
    # two blocks of each layer clean, then of each layer and time_bin perturbed
    assert entries == [4 + 2, 4 + 2 + 4, 10, 10]
    assert made.bytes(model, parts, session) == 0


def test_whatever_enters_the_attack_enters_the_key_and_the_id(data: Presented, session: Session) -> None:
    keys = {}
    for words, name in (
        ([], "linf-1/255-20steps-ridge-loo-avg4x4[n_bootstrap=100]"),
        (["benchmark.epsilon=2/255"], "linf-2/255-20steps-ridge-loo-avg4x4[n_bootstrap=100]"),
        (["benchmark.norm=l2"], "l2-0.5-20steps-ridge-loo-avg4x4[n_bootstrap=100]"),
        (["benchmark.steps=5"], "linf-1/255-5steps-ridge-loo-avg4x4[n_bootstrap=100]"),
        (["seed=1"], "linf-1/255-20steps-ridge-loo-avg4x4[seed=1,n_bootstrap=100]"),
        (["benchmark.selection=gcv"], "linf-1/255-20steps-ridge-gcv-avg4x4[n_bootstrap=100]"),
    ):
        made = built(data, *words)
        assert made.id == f"made-fragility-{name}"
        keys[name] = made.fit_fingerprint(session.digests)
        again = build_measure("fragility", "made", data, settings=parse([*words, "n_bootstrap=200"]), preferred={})
        assert again.fit_fingerprint(session.digests) == keys[name]
        assert again.fingerprint(session.digests) != made.fingerprint(session.digests)
    keys["ridge"] = built(data, measure="ridge").fit_fingerprint(session.digests)
    assert len(set(keys.values())) == len(keys)
    # a radius is its value, however it is written
    assert built(data, "benchmark.epsilon=2/510").fit_fingerprint(session.digests) in keys.values()


def test_null_rows_can_be_attacked(data: Presented, session: Session) -> None:
    made = built(data, "benchmark.steps=2", "benchmark.epsilon=4/255")
    for model in (pixels(), untrained(recurrent(), seed=0)):
        found = scored(made, model, session)
        assert found.figures["relative shift"] > found.figures["relative shift by chance"]
        assert not found.flags
    made.check_model(gabor())
    shown = Shown(session, data.stimuli, Recording(), list(data.stimuli.ids[:3]))
    moved = Moves(gabor(), "energy", shown=shown, moving=made.moving).at(0.0)
    assert (moved.shift > moved.shift_by_chance).all()
    shuffled = scored(made.shuffled(), recurrent(), session)
    assert isinstance(made.shuffled(), Fragility)
    assert shuffled.clean is not None and shuffled.clean.low <= 0
    assert "left of clean" not in shuffled.figures


class Rounded(Recurrent):
    """No slope anywhere, though there is a graph."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 32).round() / 32)


class Rooted(Recurrent):
    """A slope that is no number."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - x).sqrt() + x)


@pytest.mark.parametrize("network", [Rounded, Rooted])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_attack_without_a_gradient_makes_a_score_unreliable(
    network: type[Recurrent], norm: str, data: Presented, session: Session
) -> None:
    model = TorchModel(network(), name="blind", layers=["part"], image_size=(EDGE, EDGE))
    found = scored(built(data, f"benchmark.norm={norm}", "benchmark.epsilon=0.1", "benchmark.steps=3"), model, session)
    assert found.score.status == "unreliable"
    assert len(found.flags) == 1
    assert found.flags[0].startswith("gradient: the attack moves the layer of")
    assert np.isfinite(list(found.figures.values())).all()


def test_a_layer_that_no_gradient_reaches_is_refused_before_anything_is_computed(data: Presented) -> None:
    class Cut(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return super().forward(x)

    class Broken(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                raise ValueError("in-place")
            return super().forward(x)

    made = built(data)
    layers = {"layers": ["first", "part"], "image_size": (EDGE, EDGE)}
    with pytest.raises(RequestError, match=r"^cut: layer 'first' has no gradient in the pixels \(2 of 2 layers\)"):
        made.check_model(TorchModel(Cut(), name="cut", **layers))
    with pytest.raises(RequestError, match=r"^broken on one image: ValueError: in-place$"):
        made.check_model(TorchModel(Broken(), name="broken", **layers))
    model = recurrent()
    made.check_model(model)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.module.parameters())


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("benchmark.epsilon=1/255,2/255", "fragility moves each image once; give one radius, such as 1/255"),
        ("benchmark.epsilon=-1", "give a radius above 0 in pixel units"),
        ("benchmark.steps=none", "benchmark.steps=none: give a whole number above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(word: str, line: str, data: Presented) -> None:
    with pytest.raises(RequestError, match=line):
        built(data, word)
