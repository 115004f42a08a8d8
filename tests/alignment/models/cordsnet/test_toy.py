"""The small CordsNet: it learns, keeps what its CNN knew, comes back to rest, and is trained once."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from alignment.dynamics.trajectories import return_error
from alignment.errors import DataError
from alignment.models import load_model
from alignment.models.toy import Recipe, digits, split


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(cache):
    return load_model("toy_cordsnet", cache=cache)


@pytest.fixture(scope="module")
def held_out():
    images, labels = digits(8)
    _, places = split(Recipe(), len(labels))
    return images[places], labels[places]


def test_decisions_rise_to_those_of_its_cnn(model, held_out):
    images, labels = held_out
    with torch.no_grad():
        over_time = (model.logits(images).argmax(2) == labels[:, None]).double().mean(0)
        grey = (images[:, :1] - 0.5) / 0.5
        cnn = float((model.folded(grey).argmax(1) == labels).double().mean())
    assert cnn > 0.9 and over_time[-1] > cnn - 0.03
    assert over_time[0] < 0.2 and over_time[-1] > 0.9


def test_it_comes_back_to_rest(model, held_out):
    images, clock = model.prepare(held_out[0][:50]), model.module.clock
    assert return_error(model.module, images, steps=clock.steps, blank_steps=clock.blank_steps).mean() < 0.5
    # of long blanks, before and after, nothing is left: it has one state of rest
    patient = copy.deepcopy(model.module)
    patient.clock = dataclasses.replace(clock, blank_steps=300)
    assert return_error(patient, images, steps=clock.steps, blank_steps=300).max() < 0.01


def test_its_times_are_in_ms(model):
    times = tuple(4.0 * step for step in range(1, 11))
    assert model.name == "toy_cordsnet" and model.time_unit == "ms" and not model.stochastic
    assert model.time_bins == {"rates.0": times, "rates.1": times} and model.decision_times == times


def test_is_trained_once_and_again_when_told(model, cache, tmp_path):
    (path,) = cache.iterdir()
    before = path.stat().st_mtime_ns
    again = load_model("toy_cordsnet", cache=cache)
    assert path.stat().st_mtime_ns == before and again.fingerprint == model.fingerprint
    from_file = load_model("toy_cordsnet", weights=str(path), cache=tmp_path)
    assert from_file.name == f"toy_cordsnet[weights={path.stem}]" and from_file.folded is not None
    (tmp_path / path.name).write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=rf"{path.name}: .*; delete it to train it again"):
        load_model("toy_cordsnet", cache=tmp_path)


def test_untrained_weights_are_those_of_the_seed(tmp_path):
    one, same, other = (load_model("toy_cordsnet", weights="none", cache=tmp_path, seed=seed) for seed in (1, 1, 2))
    assert one.name == "toy_cordsnet[weights=none,seed=1]" and not list(tmp_path.iterdir())
    assert one.fingerprint == same.fingerprint != other.fingerprint
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert np.isfinite(one.logits(pixels).numpy()).all()
