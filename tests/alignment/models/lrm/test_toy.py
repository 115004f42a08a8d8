"""The small network that trains itself: what cue training makes of it, and that it is made once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alignment.errors import DataError
from alignment.models import load_model
from alignment.models.lrm import LRM, LRMModel
from alignment.models.lrm.toy import GREY, recipe_of, train, trained_weights
from alignment.models.toy import Recipe as Digits
from alignment.models.toy import digits, split
from alignment.steering import Cueing, Pairs, WithCues, alone, challenge, one_hot, summarised
from alignment.stimuli.composites import triplets

STRENGTHS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
PRINTED = "strength {0.strength:4.1f}: P(cued) {0.cued.value:.3f}, hallucination {0.hallucinated.value:.3f}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(cache) -> LRMModel:
    return load_model("toy_lrm", cache=cache)


def held_out() -> tuple[torch.Tensor, torch.Tensor]:
    pixels, labels = digits(32)
    _, places = split(Digits(), len(labels))
    return pixels[places], labels[places]


def steered(network: LRM) -> tuple[WithCues, ...]:
    """The table of the challenge on held-out digits that lie over each other."""
    pixels, labels = held_out()
    images = (pixels - GREY[0][0]) / GREY[1][0]
    made = triplets(labels.numpy(), seed=0)
    classes = labels[torch.from_numpy(np.stack(made, axis=1))]
    pairs = Pairs(images[made.first], images[made.second], classes)
    cueing = Cueing("classifier", one_hot(10), strengths=STRENGTHS)
    table = summarised(challenge(network, pairs, cueing), alone(network, pairs, cueing))
    print(*map(PRINTED.format, table), sep="\n")
    return table


def test_cue_training_lets_it_be_steered_and_hallucinations_are_counted(model) -> None:
    """P(cued) from below 0.5 to above 0.9, which a network that said whatever it is asked for could also reach."""
    uncued, *rows = steered(model.module)
    at = {row.strength: row for row in rows}
    assert uncued.cued.value < 0.5 and at[0].cued.value < 0.5
    assert at[1].cued.value > 0.9 and at[1].cued.low > uncued.cued.high + 0.2
    assert uncued.hallucinated.value < 0.1
    # the cue for a digit that is not there is followed much less often than one for a digit that is, and yet too often
    assert at[1].hallucinated.value < at[1].cued.value - 0.4
    assert max(row.hallucinated.value for row in rows) > 0.15
    assert at[1].alone_cued.value > 0.95
    assert at[1].logit_gain > 0 and at[1].probability_gain > 0.4


def test_without_cue_training_the_same_cues_do_little() -> None:
    recipe = recipe_of(0)
    untaught = train(replace(recipe, training=replace(recipe.training, cues=None, epochs=4)))
    uncued, *rows = steered(untaught)
    assert uncued.alone_cued.value > 0.85
    assert max(row.cued.value for row in rows) < 0.6


def test_both_passes_know_the_digits(model) -> None:
    pixels, labels = held_out()
    with torch.no_grad():
        correct = model.logits(pixels).argmax(2) == labels[:, None]
    assert correct.shape == (360, 2) and float(correct.float().mean(0).min()) > 0.93
    assert model.time_bins["feedforward.features.1"] == (0.0, 1.0)


def test_it_is_trained_once_and_named_by_its_recipe(model, cache) -> None:
    path = trained_weights(recipe_of(0), cache=cache)
    assert [file.name for file in cache.iterdir()] == [path.name]
    before = path.stat().st_mtime_ns
    assert load_model("toy_lrm", cache=cache).fingerprint == model.fingerprint
    assert path.stat().st_mtime_ns == before
    assert load_model("toy_lrm", weights=str(path), cache=cache).fingerprint == model.fingerprint
    untrained = load_model("toy_lrm", weights="none", cache=cache)
    assert untrained.fingerprint != model.fingerprint and len(list(cache.iterdir())) == 1


def test_weights_cut_short_say_how_to_get_them_again(model, cache, tmp_path) -> None:
    path = trained_weights(recipe_of(0), cache=cache)
    (tmp_path / path.name).write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=rf"{path.name}: no readable state dict .*; delete it to train it again"):
        load_model("toy_lrm", cache=tmp_path)
