"""Against softmax regression and Adam written out in NumPy, and against a training that nobody interrupted."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from alignment.errors import DataError, RequestError
from alignment.models.thorat_rnn.layout import Layout
from alignment.models.thorat_rnn.network import ThoratRNN
from alignment.stimuli.clutter import Clutter, Objects
from alignment.training.clutter import ClutterRecipe, Series, identity, train_on_clutter
from alignment.training.train import Order

QUICK = ClutterRecipe(iterations=7, batch_size=3, learning_rate=1e-3, validate_every=3, validation_images=5)


def drawn(seed: int) -> Objects:
    random = np.random.default_rng(seed)
    digits, garments = random.integers(0, 256, (2, 20, 28, 28), dtype=np.uint8)
    return Objects(digits, np.arange(20) % 10, garments, np.arange(20) % 10)


@pytest.fixture(scope="module")
def series() -> Series:
    return Series(Clutter(drawn(0), seed=5), Clutter(drawn(1), seed=6))


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(10_000, 20))


def recurrent() -> ThoratRNN:
    torch.manual_seed(0)
    return ThoratRNN(Layout(lean=True, top_down=False, sweeps=2))


def stopper(after: int):
    """Ends a training that has made so many updates."""
    return lambda step, steps: Order.STOP if step == after else Order.GO


def same(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def softmax(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    scores = x @ weight.T + bias
    p = np.exp(scores - scores.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def adam(series: Series, recipe: ClutterRecipe, weight: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    """Kingma & Ba 2015, algorithm 1, on images that no other update sees."""
    parameters = [weight.astype(float), bias.astype(float)]
    first, second = ([np.zeros_like(each) for each in parameters] for _ in range(2))
    n = recipe.batch_size
    for t in range(1, recipe.iterations + 1):
        batch = series.training.batch(range((t - 1) * n, t * n))
        x = batch.images.reshape(n, -1).astype(float)
        p = softmax(x, *parameters)
        p[np.arange(n), batch.variables["category"]] -= 1
        for place, gradient in enumerate((p.T @ x / n, p.mean(0))):
            first[place] = 0.9 * first[place] + 0.1 * gradient
            second[place] = 0.999 * second[place] + 0.001 * gradient**2
            rate = recipe.learning_rate * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            parameters[place] -= rate * first[place] / (np.sqrt(second[place]) + 1e-8 * math.sqrt(1 - 0.999**t))
    return parameters


def test_updates_are_those_of_adam_on_images_of_their_own(series: Series) -> None:
    net = linear()
    start = [each.detach().numpy().copy() for each in net.parameters()]
    trained = train_on_clutter(net, series, recipe=QUICK)
    for own, before, expected in zip(net.parameters(), start, adam(series, QUICK, *start), strict=True):
        np.testing.assert_allclose(own.detach().numpy(), expected, atol=2e-5)
        assert np.abs(expected - before).max() > 3e-3
    assert trained.finished and not net.training


def test_no_image_is_seen_twice_and_none_is_of_the_validation(series: Series) -> None:
    net, seen = linear(), []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    train_on_clutter(net, series, recipe=QUICK)
    images = torch.cat(seen).numpy()
    assert images.shape == (21, 1, 100, 100) and len(np.unique(images.reshape(21, -1), axis=0)) == 21
    np.testing.assert_array_equal(images[:, 0], series.training.batch(range(21)).images)


def test_a_row_for_each_validation_of_the_same_held_out_images(series: Series) -> None:
    net, seen, told = linear(), [], []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if not module.training else None)
    trained = train_on_clutter(net, series, recipe=QUICK, report=told.append)
    assert [row.epoch for row in trained.history] == [0, 1, 2] and [len(rows) for rows in told] == [1, 2, 3]
    assert len(seen) == 3 and all(torch.equal(each, seen[0]) for each in seen)
    held_out = series.validation.batch(range(5))
    np.testing.assert_array_equal(seen[0][:, 0].numpy(), held_out.images)
    targets = held_out.variables["category"]
    weight, bias = (each.detach().numpy().astype(float) for each in net.parameters())
    p, last = softmax(held_out.images.reshape(5, -1).astype(float), weight, bias), trained.history[-1]
    assert last.validation_loss == pytest.approx(log_loss(targets, p, labels=np.arange(20)), rel=1e-4)
    assert last.validation_accuracy == np.mean(p.argmax(1) == targets)


def test_a_row_is_of_the_updates_since_the_last(series: Series) -> None:
    """With a learning rate too small to move anything, losses are those of the first weights."""
    recipe = replace(QUICK, learning_rate=1e-30)
    net = linear()
    weight, bias = (each.detach().numpy().astype(float) for each in net.parameters())
    history = train_on_clutter(net, series, recipe=recipe).history
    for row, images in zip(history, (range(9), range(9, 18), range(18, 21)), strict=True):
        batch = series.training.batch(images)
        p = softmax(batch.images.reshape(len(images), -1).astype(float), weight, bias)
        targets = batch.variables["category"]
        assert row.loss == pytest.approx(log_loss(targets, p, labels=np.arange(20)), rel=1e-4)
        assert row.accuracy == pytest.approx(np.mean(p.argmax(1) == targets))


@pytest.mark.parametrize(("make", "stops"), [(linear, (0,)), (linear, (3,)), (linear, (6,)), (recurrent, (1, 4))])
def test_a_stopped_training_goes_on_to_the_same_bits(series: Series, tmp_path: Path, make, stops) -> None:
    whole, path = make(), tmp_path / "state.pt"
    expected = train_on_clutter(whole, series, recipe=QUICK)
    for stop in stops:
        halted = train_on_clutter(make(), series, recipe=QUICK, checkpoint=path, ask=stopper(stop))
        assert not halted.finished
    resumed = make()
    found = train_on_clutter(resumed, series, recipe=QUICK, checkpoint=path)
    assert found.finished and same(resumed, whole) and found.history == expected.history


def test_what_was_saved_before_a_kill_is_where_it_goes_on(series: Series, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def ask(step: int, _steps: int) -> Order:
        if step == 5:
            raise Killed
        return Order.SAVE if step == 4 else Order.GO

    whole, path, told = linear(), tmp_path / "state.pt", []
    expected = train_on_clutter(whole, series, recipe=QUICK)
    with pytest.raises(Killed):
        train_on_clutter(linear(), series, recipe=QUICK, checkpoint=path, ask=ask)
    assert torch.load(path, weights_only=True)["step"] == 4
    resumed = linear()
    found = train_on_clutter(resumed, series, recipe=QUICK, checkpoint=path, report=told.append)
    assert same(resumed, whole) and found.history == expected.history
    # rows of before are told at once
    assert told[0] == expected.history[:1] and len(told) == 3


def test_a_finished_training_makes_no_further_update(series: Series, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    first = linear()
    train_on_clutter(first, series, recipe=QUICK, checkpoint=path)
    again, seen = linear(), []
    again.register_forward_pre_hook(lambda module, inputs: seen.append(1))
    trained = train_on_clutter(again, series, recipe=QUICK, checkpoint=path)
    assert not seen and trained.finished and same(again, first)


def test_a_checkpoint_of_another_training_is_refused(series: Series, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    train_on_clutter(linear(), series, recipe=QUICK, checkpoint=path, ask=stopper(2))
    other = Series(Clutter(drawn(0), seed=7), series.validation)
    cases = [
        (linear(), other, QUICK, "images"),
        (linear(), Series(series.training, other.training), QUICK, "validation images"),
        (linear(), series, replace(QUICK, learning_rate=2e-3), "recipe"),
        (nn.Sequential(nn.Flatten(), nn.Linear(10_000, 20)), series, QUICK, "starting weights"),
    ]
    before = path.read_bytes()
    for net, images, recipe, named in cases:
        with pytest.raises(DataError, match=rf"state\.pt: it is of other {named}; delete it to start again"):
            train_on_clutter(net, images, recipe=recipe, checkpoint=path)
    assert path.read_bytes() == before
    path.write_bytes(before[:100])
    with pytest.raises(DataError, match="delete it to start again"):
        train_on_clutter(linear(), series, recipe=QUICK, checkpoint=path)


def test_identity_says_all_that_determines_the_weights(series: Series) -> None:
    found = identity(linear(), series, recipe=QUICK)
    assert set(found) == {"version", "starting weights", "recipe", "images", "validation images"}
    assert found == identity(linear(), series, recipe=QUICK)
    assert found["images"] != found["validation images"]
    assert all(isinstance(value, str) and value for value in found.values())


def test_a_diverged_training_says_so(series: Series) -> None:
    net = linear()
    with torch.no_grad():
        net[1].bias[0] = math.nan
    message = r"^training Sequential: the loss is nan at update 0; give a smaller learning_rate$"
    with pytest.raises(RequestError, match=message):
        train_on_clutter(net, series, recipe=QUICK)


def test_weights_that_are_not_finite_never_replace_a_checkpoint(series: Series, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    train_on_clutter(linear(), series, recipe=QUICK, checkpoint=path, ask=stopper(3))
    before, net = path.read_bytes(), linear()

    def spoil(_step: int, _steps: int) -> Order:
        with torch.no_grad():
            net[1].bias[0] = math.inf
        return Order.SAVE

    with pytest.raises(RequestError, match=r"^training Sequential: 1\.bias is not finite at update 3; give a smaller"):
        train_on_clutter(net, series, recipe=QUICK, checkpoint=path, ask=spoil)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": 0}, "training: iterations is 0; give 1 or more"),
        ({"batch_size": -2}, "training: batch_size is -2; give 1 or more"),
        ({"validate_every": 0}, "training: validate_every is 0; give 1 or more"),
        ({"validation_images": 0}, "training: validation_images is 0; give 1 or more"),
        ({"learning_rate": 0.0}, "training: learning_rate is 0.0; give one above 0, at most 1"),
        ({"learning_rate": 1e38}, "training: learning_rate is 1e+38; give one above 0, at most 1"),
        ({"learning_rate": math.nan}, "training: learning_rate is nan; give one above 0, at most 1"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        replace(QUICK, **change)
    assert str(caught.value) == message


def test_defaults_are_those_of_the_paper() -> None:
    recipe = ClutterRecipe()
    assert (recipe.iterations, recipe.batch_size, recipe.learning_rate) == (300_000, 32, 1e-4)
    assert (recipe.validate_every, recipe.validation_images) == (1000, 5000)
