"""The benchmark of steering against the challenge written out one composite at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from alignment.errors import RequestError
from alignment.models import TorchModel
from alignment.models.lrm import LRMModel, Signal, lrm
from alignment.proportions import wilson
from alignment.steering import random_templates
from benchmarks.choices import Inference
from benchmarks.contracts import Session, Unsuited
from benchmarks.datasets.labelled import LabelledImages, labelled
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recordings
from benchmarks.steering.benchmark import Steering
from benchmarks.steering.composed import Composed
from benchmarks.store import Store

CLASSES, EDGE, N = ("a", "b", "c", "d"), 8, 64
STRENGTHS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=16, block_size=50), digests, "cpu")


def net(*, flat: bool = False, **settings) -> LRMModel:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Identity() if flat else nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(8 * EDGE**2 if flat else 128, len(CLASSES)),
    )
    chosen = {"connections": [("4", "0")], "image_size": (EDGE, EDGE), "classes": CLASSES, **settings}
    model = lrm(backbone, **chosen)
    with torch.no_grad():
        # decisions that depend on the image, and feedback strong enough to change them
        model.module.feedforward[4].weight.mul_(20)
        for part in model.module.lrm.values():
            for block in part.values():
                block.modulation.weight.mul_(4)
    return model


def images(n: int = N, classes=CLASSES) -> LabelledImages:
    rng = np.random.default_rng(0)
    pixels = {f"i{place:02}": rng.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8) for place in range(n)}
    return labelled("noise", pixels, [classes[place % len(classes)] for place in range(n)], classes=CLASSES)


def steering(dataset=None, **settings) -> Steering:
    settings = {"inference": Inference(n_bootstrap=200), "batch_size": 7, **settings}
    return Steering(name="noise", dataset=images() if dataset is None else dataset, **settings)


def measured(benchmark, model, session):
    return {part: benchmark.measure(model, part, session) for part in benchmark.parts(model)}


@torch.no_grad()
def said(model, image, cue=None, *, template=None, strength=None) -> int:
    if template is None:
        return int(model.module(image[None])[-1].argmax())
    with model.module.steering(Signal("4", template[cue][None], strength=strength)):
        return int(model.module(image[None])[-1].argmax())


def by_hand(model, dataset) -> dict:
    """(templates, strength) -> (composite, 2): share of cues that are answered, and whether the absent one is."""
    composed, targets = Composed(dataset), dataset.targets()
    x = torch.stack([torch.from_numpy(dataset.stimuli.image(name)) for name in dataset.stimuli.ids])
    x = x.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        outputs = model.module(x)[-1].double().numpy()
    drawn = random_templates(len(CLASSES), (len(CLASSES),), seed=0)
    found: dict = {}
    for place, (first, second, third) in enumerate(zip(*composed.triplets, strict=True)):
        fold = np.arange(len(composed.triplets.first)) % 2 == place % 2
        shown = {*composed.triplets.first[fold], *composed.triplets.second[fold]}
        others = [[n for n in range(N) if targets[n] == each and n not in shown][:10] for each in range(len(CLASSES))]
        means = torch.from_numpy(np.stack([outputs[each].mean(0) for each in others])).float()
        mixed, (a, b, c) = (x[first] + x[second]) / 2, targets[[first, second, third]]
        plain = said(model, mixed)
        found.setdefault(("no cue", None), []).append([((plain == a) + 0.0 + (plain == b)) / 2, plain == c])
        for kind, template in (("one-hot", torch.eye(len(CLASSES))), ("class means", means), ("random", drawn)):
            for strength in STRENGTHS if kind == "one-hot" else STRENGTHS[1:]:
                of = [said(model, mixed, cue, template=template, strength=strength) == cue for cue in (a, b, c)]
                found.setdefault((kind, strength), []).append([(of[0] + 0.0 + of[1]) / 2, of[2]])
    return {cell: np.array(values, dtype=float) for cell, values in found.items()}


def test_the_score_is_what_the_other_half_chose(session) -> None:
    model, benchmark = net(), steering()
    benchmark.check()
    benchmark.check_model(model)
    scored = benchmark.score(measured(benchmark, model, session))
    reference = by_hand(model, benchmark.dataset)
    surface = {row["layer"]: row["raw"] for row in scored.surface}
    for (kind, strength), values in reference.items():
        place = kind if strength is None else f"{kind} @ strength {strength:g}"
        assert surface[place] == pytest.approx(values[:, 0].mean()), place
        assert surface[f"{place}, hallucination"] == pytest.approx(values[:, 1].mean()), place
        assert scored.figures[f"{place}: P(cued)"] == surface[place]
        assert scored.figures[f"{place}: hallucination"] == surface[f"{place}, hallucination"]
    fold = np.arange(len(reference["no cue", None])) % 2
    allowed = {cell: values for cell, values in reference.items() if cell[0] in ("one-hot", "class means")}
    judged = np.empty((len(fold), 2))
    for each in range(2):
        gains = {cell: np.subtract(*values[fold != each].mean(0)) for cell, values in allowed.items()}
        best = max(gains, key=lambda cell: gains[cell])
        judged[fold == each] = allowed[best][fold == each]
        assert scored.details["chosen"][each] == {"templates": best[0], "strength": best[1]}
    # cues do something here, so that all of this can fail
    assert len({round(value, 6) for value in surface.values()}) > 10
    # the blocks of one fold come before those of the other
    assert scored.score.raw == wilson(judged[np.argsort(fold, kind="stable"), 0])
    assert scored.figures["hallucination"] == pytest.approx(judged[:, 1].mean())
    assert scored.clean == wilson(reference["no cue", None][:, 0])
    assert scored.score.status == "ok" and scored.score.n_stimuli == len(fold)


def test_other_shares_are_part_of_the_surface(session) -> None:
    model, benchmark = net(), steering()
    scored = benchmark.score(measured(benchmark, model, session))
    triplets, targets = benchmark.composed.triplets, benchmark.dataset.targets()
    pixels = benchmark.dataset.stimuli.pixels(benchmark.dataset.stimuli.ids)
    right = []
    for first, second in zip(triplets.first, triplets.second, strict=True):
        mixed, cue = 0.8 * pixels[second] + 0.2 * pixels[first], targets[second]
        right.append(said(model, mixed, cue, template=torch.eye(4), strength=2.0) == cue)
    surface = {row["layer"]: row for row in scored.surface}
    found = surface["one-hot @ strength 2, share 0.8"]
    assert (found["raw"], found["raw_low"], found["raw_high"]) == (*vars(wilson(right)).values(),)
    assert "no cue, share 0.2, hallucination" in surface


def test_side_by_side(session) -> None:
    model, benchmark = net(), steering(arrangement="side-by-side")
    benchmark.check_model(model)
    assert {part.subject for part in benchmark.parts(model)} == {"one-hot", "class means", "random"}
    scored = benchmark.score(measured(benchmark, model, session))
    triplets, targets = benchmark.composed.triplets, benchmark.dataset.targets()
    pixels = benchmark.dataset.stimuli.pixels(benchmark.dataset.stimuli.ids)
    absent = []
    for first, second, third in zip(*triplets, strict=True):
        wide, cue = torch.cat([pixels[first], pixels[second]], dim=2), targets[third]
        absent.append(said(model, wide, cue, template=torch.eye(4), strength=5.0) == cue)
    surface = {row["layer"]: row["raw"] for row in scored.surface}
    assert surface["one-hot @ strength 5, hallucination"] == pytest.approx(np.mean(absent))


def test_without_images_to_average_there_are_no_class_means(session) -> None:
    # the only image of d
    rng = np.random.default_rng(1)
    pixels = {f"i{n:02}": rng.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8) for n in range(24)}
    labels = ["abc"[n % 3] for n in range(23)] + ["d"]
    benchmark = steering(labelled("rare", pixels, labels, classes=CLASSES))
    benchmark.check()
    (note,) = benchmark.notes
    assert note == "no class means: no image of d (1 such) is left beside the composites"
    assert {part.subject for part in benchmark.parts(net())} == {"one-hot", "random", "shares"}
    benchmark.score(measured(benchmark, net(), session))
    assert steering().notes == ()


def test_one_who_says_what_he_is_asked_is_flagged(session) -> None:
    model, benchmark = net(), steering()
    parts = measured(benchmark, model, session)
    obedient = {}
    for part, data in parts.items():
        answers = data["class"].expand_dims(strength=data["strength"]).broadcast_like(data["chosen"])
        obedient[part] = data.assign(chosen=answers.transpose(*data["chosen"].dims))
    scored = benchmark.score(obedient)
    assert scored.score.raw.value == 1
    assert scored.flags == ["hallucinates: 100% of cues for an absent class are followed"]
    assert benchmark.score(parts).flags == []


def test_outputs_are_put_out_once(session) -> None:
    model, benchmark = net(), steering()
    parts = benchmark.parts(model)
    assert benchmark.bytes(model, parts, session) > 0
    assert benchmark.bytes(model, [part for part in parts if part.subject == "random"], session) == 0
    first = measured(benchmark, model, session)
    assert benchmark.bytes(model, parts, session) == 0
    again = measured(benchmark, model, session)
    assert all(again[part].equals(data) for part, data in first.items())


def test_the_id_and_the_key_say_what_enters_the_number(session) -> None:
    plain, wide = steering(marks=("subset=9",)), steering(arrangement="side-by-side")
    assert (plain.id, wide.id) == ("noise-cued-overlap[subset=9]", "noise-cued-side-by-side")
    assert plain.fit_fingerprint(session.digests) != wide.fit_fingerprint(session.digests)
    assert set(plain.describe()) >= {"measure", "formula", "cue", "source", "known failure", "data: images"}


def test_what_cannot_be_steered_is_refused_in_one_line() -> None:
    plain = TorchModel(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), name="plain", image_size=(8, 8), layers=["1"], classes=CLASSES
    )
    cases = [
        (plain, Unsuited, r"^plain has no feedback from its decisions, so it cannot be steered; name a network that"),
        (net(passes=1), Unsuited, r"^lrm\[passes=1\] makes one pass, and a cue acts from the second on; give it pass"),
        (net(connections=[("2", "0")]), Unsuited, r"^lrm: no source of feedback has a number for each of 4 classes"),
        (net(classes=("a", "b", "d", "c")), RequestError, r"class 'd' is at another place than in noise"),
    ]
    for model, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            steering().check_model(model)
        assert "\n" not in str(caught.value)
    narrow = net(flat=True)
    steering().check_model(narrow)
    with pytest.raises(RequestError, match=r"lrm on a composite \(side-by-side\)") as caught:
        steering(arrangement="side-by-side").check_model(narrow)
    assert "\n" not in str(caught.value)
