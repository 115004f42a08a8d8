"""The challenge against one call of the network for each composite, cue and strength, written out."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from alignment.errors import RequestError
from alignment.models.lrm import LRM, Signal
from alignment.models.lrm.toy import CONNECTIONS, ToyBackbone
from alignment.steering import Cueing, Pairs, alone, challenge, source_of_decisions, sweep_shares
from alignment.stimuli.composites import side_by_side

N_CLASSES, N = 5, 13


class Scene(NamedTuple):
    """A network, pairs of images and cues."""

    network: LRM
    pairs: Pairs
    cueing: Cueing


def network_of(passes: int = 2) -> LRM:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(32, N_CLASSES),
    )
    network = LRM(backbone, [("7", "2"), ("7", "0"), ("3", "0")], passes=passes, image_size=(8, 8))
    with torch.no_grad():
        for part in network.lrm.values():
            for block in part.values():
                block.modulation.weight.mul_(8)
    return network


@pytest.fixture(scope="module")
def scene() -> Scene:
    draws = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, N, 3, 8, 8, generator=draws)
    classes = torch.stack([torch.randperm(N_CLASSES, generator=draws)[:3] for _ in range(N)])
    templates = torch.randn(N_CLASSES, N_CLASSES, generator=draws)
    return Scene(network_of(), Pairs(first, second, classes), Cueing("7", templates, strengths=(0.0, 1.0, 4.0)))


@torch.no_grad()
def one_by_one(network, image, cues, cueing) -> dict[str, list]:
    """Both passes made anew for each cue and strength, one image at a time, in evaluation mode."""
    network.eval()
    found: dict[str, list] = {"chosen": [], "logit": [], "probability": []}
    for strength in (None, *cueing.strengths):
        for values in found.values():
            values.append([])
        for cue in cues:
            if strength is None:
                logits = network(image[None])[-1][0]
            else:
                with network.steering(Signal(cueing.source, cueing.templates[cue][None], strength=strength)):
                    logits = network(image[None])[-1][0]
            found["chosen"][-1].append(int(logits.argmax()))
            found["logit"][-1].append(float(logits[cue]))
            found["probability"][-1].append(math.exp(logits[cue] - logits.logsumexp(0)))
    return found


def check(found, reference, **place) -> None:
    for name, values in reference.items():
        np.testing.assert_allclose(found[name].isel(**place).values, values, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("passes", [2, 3])
@pytest.mark.parametrize("batch_size", [4, 100])
def test_every_answer_is_that_of_a_call_of_its_own(scene, passes, batch_size) -> None:
    network, pairs, cueing = network_of(passes).train(), scene.pairs, scene.cueing
    found = challenge(network, pairs, cueing, share=0.3, batch_size=batch_size)
    assert network.training
    assert found["chosen"].dims == ("strength", "cue", "composite") and found.sizes["composite"] == N
    assert np.isnan(found["strength"].values[0]) and found["strength"].values[1:].tolist() == [0, 1, 4]
    assert np.array_equal(found["class"].values, pairs.classes.T.numpy())
    for place in range(N):
        mixed = 0.3 * pairs.first[place] + 0.7 * pairs.second[place]
        reference = one_by_one(network, mixed, pairs.classes[place].tolist(), cueing)
        check(found, reference, composite=place)
        with torch.no_grad():
            ranked = network(mixed[None])[-1][0].argsort(descending=True)
        assert found["top2"].values[:, place].tolist() == ranked[:2].tolist()
    # cues do something, so that the comparison can fail
    assert (found["chosen"].values[0] != found["chosen"].values[-1]).any()


def test_images_alone(scene) -> None:
    network, pairs, cueing = scene
    found = alone(network, pairs, cueing, batch_size=5)
    assert found["chosen"].dims == ("strength", "image", "asked", "composite")
    for place in range(N):
        one, two, other = pairs.classes[place].tolist()
        for image, pixels, own in ((0, pairs.first[place], one), (1, pairs.second[place], two)):
            check(found, one_by_one(network, pixels, (own, other), cueing), image=image, composite=place)
            assert found["class"].values[image, :, place].tolist() == [own, other]


def test_side_by_side(scene) -> None:
    network, pairs, cueing = scene
    found = challenge(network, pairs, cueing, arrange=side_by_side)
    for place in range(N):
        wide = torch.cat([pairs.first[place], pairs.second[place]], dim=2)
        check(found, one_by_one(network, wide, pairs.classes[place].tolist(), cueing), composite=place)


def test_shares_are_swept(scene) -> None:
    network, pairs, cueing = scene
    found = sweep_shares(network, pairs, cueing, shares=(0.1, 0.5))
    assert found["share"].values.tolist() == [0.1, 0.5]
    for place, share in enumerate((0.1, 0.5)):
        expected = challenge(network, pairs, cueing, share=share)
        assert found.isel(share=place).drop_vars("share").equals(expected)


def test_the_network_is_left_as_it_was(scene) -> None:
    network, pairs, cueing = scene
    network.eval()
    with torch.no_grad():
        before = network(pairs.first)[-1]
        challenge(network, pairs, cueing)
        assert torch.equal(network(pairs.first)[-1], before)


def test_the_source_of_decisions() -> None:
    assert source_of_decisions(network_of(), 5) == "7"
    with pytest.raises(RequestError, match=r"^no source of feedback has a number for each of 6 classes \(7 \(5,\), 3"):
        source_of_decisions(network_of(), 6)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(36, 5), nn.Linear(5, 5))
    twice = LRM(backbone, [("2", "0"), ("3", "0")], image_size=(8, 8))
    with pytest.raises(RequestError, match=r"^more than one source of feedback has a number for each of 5 classes"):
        source_of_decisions(twice, 5)
    toy = LRM(ToyBackbone((4, 4, 4)), CONNECTIONS, image_size=(32, 32))
    assert source_of_decisions(toy, 10) == "classifier"


def with_classes(pairs: Pairs, **changes) -> Pairs:
    return pairs._replace(classes=pairs.classes.clone(), **changes)


def test_what_does_not_fit_is_one_line(scene) -> None:
    network, pairs, cueing = scene
    alike, strange = with_classes(pairs), with_classes(pairs)
    alike.classes[3, 2] = alike.classes[3, 0]
    strange.classes[0, 2] = 9
    cases = [
        (lambda: challenge(network, alike, cueing), r"classes \[\d, \d, \d\] of composite 3 are not three; give two"),
        (lambda: challenge(network, strange, cueing), r"classes 0 to 9, and there are 5 templates"),
        (lambda: challenge(network, with_classes(pairs, second=pairs.second[:2]), cueing), r"13 and 2 images"),
        (lambda: alone(network, Pairs(*(each[:0] for each in pairs)), cueing), r"0 and 0 images with classes"),
        (lambda: challenge(network_of(1), pairs, cueing), r"one pass, and a cue acts from the second on; give it pass"),
        (lambda: challenge(network, pairs, Cueing("7", torch.eye(7))), r"7 templates for 5 logits"),
        (lambda: challenge(network, pairs, Cueing("seven", torch.eye(5))), r"unknown source of feedback 'seven'"),
        (lambda: sweep_shares(network, pairs, cueing, shares=(0.7,)), r"shares \(0.7,\); give some of 0 to 0.5"),
        (lambda: Cueing("7", torch.eye(5), strengths=(1, 1)), r"strengths \(1, 1\); give finite numbers, each once"),
        (lambda: Cueing("7", torch.eye(5), strengths=(math.inf,)), r"strengths \(inf,\)"),
        (lambda: Cueing("7", torch.eye(5), strengths=()), r"strengths \(\)"),
    ]
    for call, message in cases:
        with pytest.raises(RequestError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
