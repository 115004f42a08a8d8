"""Trajectories against scikit-learn, closed forms, and states kept step by step."""

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.decomposition import PCA

from alignment.dynamics.sequences import Phase, linearisation, run_sequence
from alignment.dynamics.trajectories import (
    Decisions,
    components,
    decisions,
    distances_to_last,
    noise_in_cnn,
    noise_in_network,
    return_error,
    return_to_rest,
    time_to_steady,
)
from alignment.errors import RequestError
from alignment.models.cordsnet.equivalent import EquivalentCNN, fold
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.network import CordsNet

SEEDS = (4, 5, 6)


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = CordsNet(Layout(4, image_size=(16, 16), n_classes=5), Clock(steps=10, blank_steps=30))
    for bias in made.conv_bias:
        torch.nn.init.normal_(bias, std=0.2)
    return made.eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def kept(network, phases, **asked):
    with torch.no_grad():
        return list(run_sequence(network, phases, **asked))


def test_one_image_is_the_forward_pass(network, images):
    states = kept(network, [Phase(images, 10)])
    with torch.no_grad():
        assert torch.equal(states[-1].logits, network(images)[:, -1])
    assert [(state.phase, state.step) for state in states] == [(0, step) for step in range(1, 11)]


def test_a_sequence_goes_on_from_where_it_is(network, images):
    phases = [Phase(images, 4), Phase(None, 3), Phase(images.flip(0), 2)]
    states = kept(network, phases)
    assert [state.phase for state in states] == [0] * 4 + [1] * 3 + [2] * 2
    later = kept(network, phases[1:], rates=states[3].rates)
    for one, other in zip(states[4:], later, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.rates, other.rates, strict=True))
    # a blank is an image of 0
    blank = kept(network, [Phase(torch.zeros_like(images), 3)], rates=states[3].rates)
    torch.testing.assert_close(blank[-1].rates, states[6].rates)


def test_noise_is_fresh_at_each_step_and_repeats_with_its_seed(network, images):
    def run(seed, noise=0.5):
        return kept(network, [Phase(images, 3)], noise=noise, noise_seeds=[seed, seed + 10, seed + 20])

    one, again, other, clean = run(0), run(0), run(1), kept(network, [Phase(images, 3)])
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[-1].logits, other[-1].logits)
    # area 0 of a network without recurrence would have the same error at each step, were the noise the same
    drawn = [torch.Generator().manual_seed(seed) for seed in (0, 10, 20)]
    noisy = [
        images + 0.5 * torch.stack([torch.randn(images.shape[1:], generator=each) for each in drawn]) for _ in range(3)
    ]
    by_hand = kept(network, [Phase(each, 1) for each in noisy])
    torch.testing.assert_close(by_hand[-1].rates, one[-1].rates)
    assert not torch.allclose(clean[-1].logits, one[-1].logits)


def test_faults_of_a_sequence(network, images):
    for phases, asked, message in (
        ([Phase(None, 3)], {}, "an image"),
        ([Phase(images, 1), Phase(images[:1], 1)], {}, r"\[1, 3\]"),
        ([Phase(images, 1)], {"noise": 0.1}, "a seed for each"),
        ([Phase(images, 1)], {"noise": 0.1, "noise_seeds": [1]}, "a seed for each"),
    ):
        with pytest.raises(RequestError, match=message):
            kept(network, phases, **asked)


def test_linearisation_is_the_slope_of_a_step(network, images):
    network = network.double()
    images = images.double()
    state = kept(network, [Phase(images, 5)])[-1].rates
    weights = network.folded()
    drive = network.drive(images, weights)
    slopes = linearisation(network, state, drive, weights)
    push = torch.randn_like(state[1])
    moved = [state[0], state[1] + 1e-7 * push, *state[2:]]
    with torch.no_grad():
        change = (network.step(moved, drive, weights)[1] - network.step(state, drive, weights)[1]) / 1e-7
        through = torch.nn.functional.conv2d(push, weights.recurrent[1], padding=1)
    torch.testing.assert_close(change, 0.8 * push + 0.2 * slopes[1] * through, rtol=0, atol=1e-5)
    assert set(slopes[1].unique().tolist()) == {0.0, 1.0}


def test_components_are_those_of_scikit_learn():
    values = np.random.default_rng(0).standard_normal((4, 6, 9)) * np.linspace(3, 0.1, 9)
    found, reference = components(values, 3), PCA(3).fit(values.reshape(-1, 9))
    np.testing.assert_allclose(found.explained, reference.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(found.axes), np.abs(reference.components_), atol=1e-10)
    scores = reference.transform(values.reshape(-1, 9)).reshape(4, 6, 3)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(scores), atol=1e-10)
    with pytest.raises(RequestError, match="30 components"):
        components(values, 30)


def test_time_to_a_steady_state():
    # an exponential is at 90 % of its way after log(10) time constants
    steps = np.arange(200)
    distance = np.exp(-0.05 * steps) - np.exp(-0.05 * 199)
    assert time_to_steady(distance) == int(np.argmax(distance <= 0.1 * distance[0]))
    assert abs(time_to_steady(distance) - np.log(10) / 0.05) < 2
    # it must stay there
    assert time_to_steady(np.array([1.0, 0.05, 0.4, 0.02, 0.0])) == 3
    assert time_to_steady(np.zeros((2, 4))).tolist() == [0, 0]


def test_distances_and_return_are_those_of_the_states(network, images):
    states = kept(network, [Phase(images, 8), Phase(None, 6)])
    weights = network.folded()
    with torch.no_grad():
        start = network.spontaneous(weights, 3)
    found = distances_to_last(network, images, steps=8)
    assert found.shape == (4, 3, 9) and (found[..., -1] == 0).all()
    expected = (states[2].rates[1] - states[7].rates[1]).flatten(1).norm(dim=1)
    np.testing.assert_allclose(found[1, :, 3], expected, rtol=1e-5)
    error = return_error(network, images, steps=8, blank_steps=6)
    moved, left = ((states[n].rates[3] - start[3]).flatten(1).norm(dim=1) for n in (7, 13))
    np.testing.assert_allclose(error[3], left / moved, rtol=1e-5)
    each, mean_square = return_to_rest(network, images, steps=8, blank_steps=6)
    third = (states[10].rates[3] - start[3]).flatten(1).norm(dim=1)
    assert each.shape == (4, 3, 6)
    np.testing.assert_allclose(each[3, :, 2], third / moved, rtol=1e-5)
    squares = (states[10].rates[3] - start[3]).square().flatten(1).mean(1)
    np.testing.assert_allclose(mean_square[3, :, 2], squares, rtol=1e-5)


def test_a_stable_network_comes_back_and_one_without_drive_has_nothing_to_come_back_from(network, images):
    network.clock = Clock(steps=10, blank_steps=200)
    late = return_error(network, images, steps=20, blank_steps=150)
    soon = return_error(network, images, steps=20, blank_steps=2)
    assert late.max() < 1e-2 < soon.min()
    with torch.no_grad():
        for conv in (network.inp_conv, network.inp_skip):
            conv.parametrizations.weight.original0.zero_()
        for bias in network.conv_bias:
            bias.zero_()
    assert np.isnan(return_error(network, images, steps=5, blank_steps=5)).all()


def test_decisions_over_a_sequence(network, images):
    phases = [Phase(images, 4), Phase(None, 2), Phase(images.flip(0), 4)]
    found = decisions(network, phases)
    assert found.logits.shape == (3, 10, 5)
    labels = found.logits[:, 3].argmax(1)
    assert found.accuracy(labels)[3] == 1
    probabilities = torch.softmax(torch.tensor(found.logits, dtype=torch.float64), -1).numpy()
    np.testing.assert_allclose(found.entropy, scipy.stats.entropy(probabilities, axis=-1), atol=1e-12)


def test_entropy_of_extreme_logits():
    found = Decisions(np.array([[[1000.0, -1000.0], [5.0, 5.0]]])).entropy
    np.testing.assert_allclose(found, [[0, np.log(2)]], atol=1e-12)


def test_noise_grows_with_its_size_and_an_average_over_steps_is_less_noisy(network, images):
    small, large = (noise_in_network(network, images, noise=sd, steps=30, seeds=SEEDS) for sd in (0.1, 1.0))
    assert small.error.shape == (4, 3) and (small.error < large.error).all()
    clean = kept(network, [Phase(images, 30)])[-1]
    noisy = kept(network, [Phase(images, 30)], noise=1.0, noise_seeds=SEEDS)[-1]
    expected = (clean.rates[2] - noisy.rates[2]).square().flatten(1).mean(1)
    np.testing.assert_allclose(large.error[2], expected, rtol=1e-4)
    np.testing.assert_allclose(large.logits, noisy.logits, rtol=1e-5)
    # at alpha = 1 a step has the noise of one step; at 0.2 it averages over about nine
    network.clock = Clock(alpha=1.0, steps=10, blank_steps=30)
    assert (noise_in_network(network, images, noise=1.0, steps=30, seeds=SEEDS).error[0] > 2 * large.error[0]).all()


def test_noise_in_a_cnn(images):
    torch.manual_seed(0)
    folded = fold(EquivalentCNN(Layout(2, image_size=(16, 16), n_classes=5)).eval())
    found = noise_in_cnn(folded, images, noise=0.3, seeds=SEEDS)
    drawn = [torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
    noisy = images + 0.3 * torch.stack(drawn)
    with torch.no_grad():
        clean, moved = folded.activity(images).after[1], folded.activity(noisy).after[1]
    np.testing.assert_allclose(found.error[1], (moved - clean).square().flatten(1).mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.relative[1], found.error[1] / clean.square().flatten(1).mean(1).numpy(), rtol=1e-5)
