"""Modes of batch normalisation against networks that are run apart, and moments taken by NumPy."""

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from alignment.errors import RequestError
from alignment.tuning.batchnorm import BatchNorms, drift, prepare, recalibrate


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, momentum=0.3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(64, 5),
        nn.BatchNorm1d(5, momentum=None),
    )
    return net.train()


def images(domain: str, *, seed: int, count: int = 8) -> torch.Tensor:
    pixels = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return 3 * pixels + 1 if domain == "neural" else pixels


def no_dropout(net: nn.Sequential) -> nn.Sequential:
    net[4].p = 0.0
    return net


def copy_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(net.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def alternating() -> Iterator[tuple[str, torch.Tensor]]:
    for step, domain in enumerate(["neural", "task", "task", "neural", "task"]):
        yield domain, images(domain, seed=step)


@pytest.mark.parametrize("domain", ["neural", "task"])
def test_frozen_statistics_are_used_and_kept_in_training(domain: str) -> None:
    net = no_dropout(network())
    net(images("task", seed=9))
    before, expected = copy_of(net), copy.deepcopy(net).eval()(images("neural", seed=0))
    norms = prepare(net, "freeze")
    with norms.on(domain):
        assert net[4].training
        assert torch.equal(net(images("neural", seed=0)), expected)
    assert same(copy_of(net), before)
    assert all(layer.training for layer in net.modules())


def test_frozen_layers_still_learn_scale_and_shift() -> None:
    net = network()
    with prepare(net, "freeze").on("neural"):
        net(images("neural", seed=0)).square().sum().backward()
    assert net[2].weight.grad is not None
    assert net[2].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("mode", ["train", "recalibrate"])
def test_train_is_plain_training(mode: str) -> None:
    net, plain = no_dropout(network()), no_dropout(network())
    norms = prepare(net, mode)
    for domain, pixels in alternating():
        with norms.on(domain):
            assert torch.equal(net(pixels), plain(pixels))
    assert same(copy_of(net), copy_of(plain))
    assert norms.state_dict() == {}


def test_dual_is_two_networks_run_apart() -> None:
    net = no_dropout(network())
    apart = {"neural": copy.deepcopy(net), "task": copy.deepcopy(net)}
    norms = prepare(net, "dual")
    for domain, pixels in alternating():
        with norms.on(domain):
            assert torch.equal(net(pixels), apart[domain](pixels))
    assert same(copy_of(net), copy_of(apart["task"]))
    statistics = {key: value for key, value in copy_of(apart["neural"]).items() if "running" in key or "num_" in key}
    assert same(norms.state_dict(), statistics)
    net.eval()
    for domain, other in apart.items():
        with norms.on(domain):
            assert torch.equal(net(images("neural", seed=7)), other.eval()(images("neural", seed=7)))


def test_gradients_of_both_domains_reach_the_same_weights() -> None:
    net = no_dropout(network())
    norms = prepare(net, "dual")
    losses = []
    for domain, pixels in list(alternating())[:2]:
        with norms.on(domain):
            losses.append(net(pixels).square().mean())
    sum(losses).backward()
    apart = no_dropout(network())
    for _, pixels in list(alternating())[:2]:
        apart(pixels).square().mean().backward()
    for ours, theirs in zip(net.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("mode", ["freeze", "dual"])
def test_an_error_in_a_pass_leaves_the_network_as_it_was(mode: str) -> None:
    net = network()
    before, norms = copy_of(net), prepare(net, mode)
    with pytest.raises(ValueError, match="stop"), norms.on("neural"):
        net(images("neural", seed=0))
        raise ValueError("stop")
    assert same(copy_of(net), before)
    assert all(layer.training for layer in net.modules())


def test_passes_inside_passes() -> None:
    net = network()
    norms, before = prepare(net, "dual"), copy_of(net)
    with norms.on("neural"):
        with norms.on("neural"):
            net(images("neural", seed=0))
        seen = net[0].running_mean.clone()
    assert not torch.equal(seen, before["0.running_mean"])
    assert torch.equal(norms.state_dict()["0.running_mean"], seen)
    assert same(copy_of(net), before)


def test_statistics_of_neural_images_go_on_after_a_restart() -> None:
    def passes(net: nn.Module, norms: BatchNorms, steps: range) -> None:
        for step in steps:
            with norms.on("neural"):
                net(images("neural", seed=step))

    whole = no_dropout(network())
    norms = prepare(whole, "dual")
    passes(whole, norms, range(2))
    kept, kept_net = norms.state_dict(), copy_of(whole)
    passes(whole, norms, range(2, 4))
    again = no_dropout(network())
    again.load_state_dict(kept_net)
    resumed = prepare(again, "dual")
    resumed.load_state_dict(kept)
    passes(again, resumed, range(2, 4))
    assert same(resumed.state_dict(), norms.state_dict())
    assert not same(kept, norms.state_dict())


@pytest.mark.parametrize("state", [{}, {"0.running_mean": torch.zeros(3)}])
def test_statistics_of_another_network_are_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(RequestError, match=r"neural statistics: .* do not fit this network in mode 'dual'"):
        prepare(network(), "dual").load_state_dict(state)
    wrong = prepare(network(), "dual").state_dict() | {"0.running_mean": torch.zeros(4)}
    with pytest.raises(RequestError, match=r"neural statistics: 0.running_mean and 0 others"):
        prepare(network(), "dual").load_state_dict(wrong)


def test_recalibration_measures_all_images_together() -> None:
    net = network()
    batches = [images("task", seed=0, count=8), images("neural", seed=1, count=3)]
    recalibrate(net, iter(batches))
    pixels = torch.cat(batches).double().numpy()
    np.testing.assert_allclose(net[0].running_mean, pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(net[0].running_var, pixels.var((0, 2, 3), ddof=0) * 396 / 395, rtol=1e-6)
    assert net[0].num_batches_tracked == 2
    assert all(layer.training for layer in net.modules())


def test_recalibrated_means_of_equal_batches_are_those_of_torch() -> None:
    net, reference = network(), no_dropout(network())
    batches = [images("task", seed=seed) for seed in range(4)]
    recalibrate(net, batches)
    update_bn(batches, reference)
    for name, value in reference.state_dict().items():
        if name.endswith("running_mean"):
            torch.testing.assert_close(net.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_recalibration_brings_statistics_home() -> None:
    net = no_dropout(network())
    task = [images("task", seed=seed, count=64) for seed in range(3)]
    recalibrate(net, task)
    home = copy_of(net)
    for seed in range(20):
        net(images("neural", seed=seed))
    assert drift(net, home) > 1
    recalibrate(net, task)
    assert drift(net, home) < 1e-6


def test_a_failed_recalibration_changes_nothing() -> None:
    net = network()
    before = copy_of(net)
    with pytest.raises(RequestError, match="no batch of task images"):
        recalibrate(net, [])
    with pytest.raises(RuntimeError):
        recalibrate(net, [images("task", seed=0), torch.zeros(2, 4, 6, 6)])
    assert same(copy_of(net), before)
    assert not any(layer._forward_pre_hooks for layer in net.modules())


def test_drift_is_in_units_of_the_sd_of_before() -> None:
    net = network()
    before = copy_of(net)
    before["2.running_var"] = torch.tensor([4.0, 1.0, 0.25, 1.0])
    assert drift(net, before) == 0
    net[2].running_mean += torch.tensor([3.0, -1.0, -0.7, 0.0])
    assert drift(net, before) == pytest.approx(3 / math.sqrt(4 + 1e-5))
    net[2].running_mean[2] -= 0.3
    assert drift(net, before) == pytest.approx(1 / math.sqrt(0.25 + 1e-5))
    assert drift(nn.Linear(2, 2), {}) == 0
    with pytest.raises(RequestError, match=r"no 0.running_mean of before"):
        drift(net, {})


def test_what_cannot_be_prepared_is_named() -> None:
    with pytest.raises(RequestError, match="unknown batch normalisation mode 'frezee'; did you mean freeze"):
        prepare(network(), "frezee")
    with pytest.raises(RequestError, match="unknown domain 'brain'"), prepare(network(), "train").on("brain"):
        pass
    bare = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))
    with pytest.raises(RequestError, match="batch normalisation '0' keeps no running statistics"):
        prepare(bare, "freeze")
    with prepare(bare, "train").on("neural"):
        bare(images("neural", seed=0))
    recalibrate(bare, [images("task", seed=0)])
    assert bare[0].running_mean is None
