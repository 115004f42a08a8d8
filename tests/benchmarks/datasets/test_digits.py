"""The held-out digits: scikit-learn's pixels and labels, none that the toy network was trained on."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from alignment.errors import RequestError
from alignment.models import load_model
from alignment.models.toy import Recipe, digits, split
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.digits import build


def places(ids: tuple[str, ...]) -> list[int]:
    return [int(stimulus.removeprefix("digit")) for stimulus in ids]


def test_pixels_and_labels_are_those_of_scikit_learn() -> None:
    made, bunch = build(DataSettings(), None), load_digits()
    images = np.stack([made.stimuli.image(stimulus) for stimulus in made.stimuli.ids])
    assert images.shape == (360, 8, 8, 3)
    assert (images == images[..., :1]).all()
    own = bunch.images[places(made.stimuli.ids)]
    np.testing.assert_allclose(images[..., 0] / 255, own / 16, rtol=0, atol=0.5 / 255)
    np.testing.assert_array_equal(made.targets(), bunch.target[places(made.stimuli.ids)])
    assert made.classes == tuple("0123456789")
    assert made.marks == ()


def test_none_was_trained_on() -> None:
    training, held_out = split(Recipe(), 1797)
    found = places(build(DataSettings(), None).stimuli.ids)
    assert set(found) == set(held_out.tolist())
    assert not set(found) & set(training.tolist())
    assert found == sorted(found)


def test_the_toy_network_finds_them_as_easy_as_its_own_pixels(tmp_path: Path) -> None:
    made = build(DataSettings(), None)
    model = load_model("toy", cache=tmp_path)
    assert model.classes == made.classes
    own, labels = digits(32)
    found = places(made.stimuli.ids)
    with torch.no_grad():
        ours = model.logits(made.stimuli.pixels(made.stimuli.ids, size=model.image_size))[:, 0].argmax(1).numpy()
        theirs = model.logits(own[found])[:, 0].argmax(1).numpy()
    right = (theirs == labels[found].numpy()).sum()
    assert right > 0.95 * 360
    assert abs((ours == made.targets()).sum() - right) <= 1


def test_a_subset_is_the_first_so_many_and_marked() -> None:
    made, whole = (build(DataSettings(options=options), None) for options in ({"subset": "20"}, {}))
    assert made.marks == ("subset=20",)
    assert made.stimuli.ids == whole.stimuli.ids[:20]
    assert made.fingerprint != whole.fingerprint
    assert build(DataSettings(options={"subset": "360"}), None).marks == ()
    copy = pickle.loads(pickle.dumps(made))
    assert (copy.fingerprint, copy.stimuli.fingerprint) == (made.fingerprint, made.stimuli.fingerprint)


def test_bad_requests() -> None:
    with pytest.raises(RequestError, match=r"^digits\.zero: nothing follows digits; leave \.zero out$"):
        build(DataSettings(), "zero")
    with pytest.raises(RequestError, match=r"^digits takes no data\.subse; did you mean subset\?$"):
        build(DataSettings(options={"subse": "3"}), None)
    with pytest.raises(RequestError, match=r"^data\.subset=361: digits holds 360 images"):
        build(DataSettings(options={"subset": "361"}), None)
