"""The pipeline end to end on digits: kills, labels of both kinds, what each stage changes, faults in one line."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from alignment.errors import DataError, RequestError
from alignment.models.cordsnet.equivalent import fold
from alignment.models.cordsnet.layout import Layout
from alignment.training.cordsnet.pipeline import run_pipeline
from alignment.training.cordsnet.recipe import ANNEAL, CNN, DIRECT, FINE_TUNE, INVERSE, LINEAR, Recipe
from alignment.training.cordsnet.stage import new_networks
from alignment.training.cordsnet.stages import stages_of
from alignment.training.train import Order

NORMALISE = ((0.5,) * 3, (0.5,) * 3)
LAYOUT = Layout(2, image_size=(8, 8), n_classes=10, n_channels=1)
TINY = Recipe(
    steps=4,
    blank_steps=3,
    cnn_epochs=1,
    cnn_batch=32,
    warm_up=2,
    inverse_epochs=1,
    inverse_batch=32,
    linear_epochs=1,
    linear_batch=32,
    anneal_epochs=2,
    anneal_batch=32,
    fine_tune_epochs=1,
    fine_tune_batch=32,
    ramp_steps=2,
    penalty_steps=2,
    epoch_images=50,
    padding=1,
    seed=3,
)
# updates before which it is stopped: some of each stage, also its first
STOPS = (0, 5, 9, 11, 13, 15, 19)


def digits(n=80):
    bunch = load_digits()
    grey = np.rint(bunch.images[:n] * (255 / 16)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3), bunch.target[:n].astype(np.int64)


def run(recipe=TINY, *, targets=None, **asked):
    images, classes = digits()
    return run_pipeline(
        LAYOUT, images, classes if targets is None else targets, recipe=recipe, normalise=NORMALISE, **asked
    )


def states(result):
    return [value for network in result.networks for value in network.state_dict().values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(states(one), states(other), strict=True))


@pytest.fixture(scope="module")
def whole():
    return run()


def test_stages_epochs_and_slopes(whole):
    assert [(row.stage, row.epoch) for row in whole.history] == [
        *((CNN, epoch) for epoch in range(3)),
        (INVERSE, 0),
        (LINEAR, 0),
        (ANNEAL, 0),
        (ANNEAL, 1),
        (FINE_TUNE, 0),
    ]
    slopes = {(row.stage, row.epoch): row.slope for row in whole.history}
    assert slopes[LINEAR, 0] == 1 and slopes[ANNEAL, 0] == 0.5 and slopes[ANNEAL, 1] == slopes[FINE_TUNE, 0] == 0
    assert list(whole.accuracies) == [CNN, INVERSE, LINEAR, ANNEAL, FINE_TUNE] and whole.finished


def test_published_slopes():
    np.testing.assert_allclose(Recipe().slopes, [max(0, 0.95 - 0.05 * epoch) for epoch in range(20)], atol=1e-12)


def test_each_stage_changes_what_it_should(whole):
    folded = fold(whole.networks.cnn)
    for name, value in whole.networks.folded.state_dict().items():
        torch.testing.assert_close(value, folded.state_dict()[name])
    start = new_networks(LAYOUT, TINY)
    for one, other in zip(start.network.parameters(), whole.networks.network.parameters(), strict=True):
        assert not torch.equal(one, other)
    stage = stages_of(start, TINY, n=72)[1]
    stage.begin()
    before = {name: value.clone() for name, value in start.network.state_dict().items()}
    optimiser = stage.optimiser()
    images = torch.randn(4, 1, 8, 8)
    stage.begin_epoch(0)
    stage.outcome(images, torch.zeros(4, dtype=torch.int64)).loss.backward()
    optimiser.step()
    changed = {name for name, value in start.network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"area_conv", "conv_bias"}


def test_learning_rate_of_the_cnn():
    recipe = replace(TINY, cnn_epochs=4, cnn_rate=0.3, warm_up=3)
    stage = stages_of(new_networks(LAYOUT, recipe), recipe, n=64)[0]
    rates = [stage.rate(step) for step in range(24)]
    for phase in range(3):
        peak = 0.3 / 10**phase
        np.testing.assert_allclose(
            rates[8 * phase : 8 * phase + 5], [peak / 3, 5 * peak / 9, 7 * peak / 9, peak, peak], rtol=1e-12
        )


def test_learning_rates_fall_in_a_line_where_they_are_told_to():
    recipe = replace(TINY, decay=0.2, linear_epochs=3, linear_rate=0.5)
    falling = stages_of(new_networks(LAYOUT, recipe), recipe, n=64)[2]
    np.testing.assert_allclose([falling.rate(step) for step in range(6)], 0.5 * np.linspace(1, 0.2, 6))
    for stage in stages_of(new_networks(LAYOUT, TINY), TINY, n=64)[1:]:
        assert stage.rate(0) == stage.rate(1) > 0


@pytest.mark.parametrize("at", STOPS)
def test_stopped_at_any_step_it_goes_on_to_the_bit(tmp_path, whole, at):
    path = tmp_path / "state.pt"
    stopped = run(checkpoint=path, ask=lambda step, _: Order.STOP if step == at else Order.GO)
    assert not stopped.finished
    resumed = run(checkpoint=path)
    assert resumed.finished and resumed.history == whole.history and same(resumed, whole)
    assert same(run(checkpoint=path), whole)


def test_stops_fall_into_every_stage():
    networks = new_networks(LAYOUT, TINY)
    ends = np.cumsum([stage.plan.epochs * stage.plan.per_epoch for stage in stages_of(networks, TINY, n=72)])
    assert set(np.searchsorted(ends, STOPS, side="right")) == {0, 1, 2, 3, 4}


KILLED = """
import sys
from pathlib import Path
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("pipeline_test", sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
import torch
torch.set_num_threads(1)
def ask(step, steps):
    print(step, flush=True)
    return module.Order.SAVE
module.run(checkpoint=Path(sys.argv[2]), ask=ask)
"""


@pytest.mark.parametrize("at", [15, *(pytest.param(at, marks=pytest.mark.slow) for at in (3, 10, 13, 19))])
def test_killed_it_goes_on_to_the_bit(tmp_path, at):
    path = tmp_path / "state.pt"
    command = [sys.executable, "-c", KILLED, __file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == at:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert same(run(checkpoint=path), run())
    finally:
        torch.set_num_threads(threads)


def test_shares_of_classes_are_learned_like_classes(whole):
    _, classes = digits()
    soft = np.eye(10, dtype=np.float32)[classes]
    result = run(targets=soft)
    assert [row[:3] for row in result.history] == [row[:3] for row in whole.history]
    np.testing.assert_allclose([row.loss for row in result.history], [row.loss for row in whole.history], rtol=1e-3)
    mixed = 0.7 * soft + 0.3 * soft[::-1]
    assert all(np.isfinite(row.loss) for row in run(targets=mixed).history)


def test_the_control_has_as_many_updates_and_no_bias_to_begin_with():
    recipe = replace(TINY, direct=True)
    networks = new_networks(LAYOUT, recipe)
    (stage,) = stages_of(networks, recipe, n=72)
    others = stages_of(networks, TINY, n=72)[2:]
    updates = sum(each.plan.epochs * each.plan.per_epoch for each in others)
    assert updates <= stage.plan.epochs * stage.plan.per_epoch < updates + stage.plan.per_epoch
    assert all(not bias.any() for bias in networks.network.conv_bias)
    result = run(recipe)
    assert list(result.accuracies) == [DIRECT] and result.finished


def test_digits_are_learned_and_stay_learned():
    images, classes = digits(450)
    recipe = replace(
        TINY,
        steps=10,
        blank_steps=10,
        cnn_epochs=8,
        cnn_batch=64,
        warm_up=10,
        inverse_epochs=12,
        inverse_rate=2e-3,
        inverse_clip=1.0,
        linear_epochs=4,
        linear_rate=3e-4,
        anneal_epochs=4,
        anneal_rate=3e-4,
        fine_tune_epochs=2,
        fine_tune_rate=1e-4,
        clip=1.0,
        ramp_steps=4,
        epoch_images=None,
        padding=0,
        seed=0,
    )
    result = run_pipeline(LAYOUT, images, classes, recipe=recipe, normalise=NORMALISE)
    found = result.accuracies
    assert found[CNN] > 0.85
    for stage in (LINEAR, ANNEAL, FINE_TUNE):
        assert found[stage] > found[CNN] - 0.1, found


def test_other_data_or_settings_do_not_go_on(tmp_path):
    path = tmp_path / "state.pt"
    run(checkpoint=path, ask=lambda step, _: Order.STOP if step == 2 else Order.GO)
    _, classes = digits()
    with pytest.raises(DataError, match="other recipe and targets"):
        run(replace(TINY, penalty=1.0), targets=classes[::-1].copy(), checkpoint=path)
    path.write_bytes(b"no state")
    with pytest.raises(DataError, match=r"training state.*delete it"):
        run(checkpoint=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"ramp_steps": 5}, "ramp_steps is 5"),
        ({"penalty_steps": 4}, "penalty_steps is 4"),
        ({"linear_rate": 0.0}, "linear_rate"),
        ({"anneal_epochs": 0}, "anneal_epochs"),
        ({"validation": 0.0}, "validation"),
        ({"decay": 0.0}, "decay"),
        ({"epoch_images": 0}, "epoch_images"),
    ],
)
def test_recipes_out_of_range(change, message):
    with pytest.raises(RequestError, match=message):
        replace(TINY, **change)


def test_bad_images_and_targets():
    images, classes = digits()
    for shown, targets, message in (
        (images[:, :7], classes, "images are"),
        (images / 255, classes, "images are"),
        (images, classes + 1, "targets are"),
        (images, np.ones((80, 9), np.float32), "targets are"),
    ):
        with pytest.raises(RequestError, match=message):
            run_pipeline(LAYOUT, shown, targets, recipe=TINY, normalise=NORMALISE)
    with pytest.raises(RequestError, match=r"the loss is (nan|inf).*training.cnn_rate"):
        run(replace(TINY, cnn_rate=1e30))
