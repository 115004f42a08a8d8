"""Against softmax regression written out in NumPy, and against a training that nobody interrupted."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from alignment.errors import DataError, RequestError
from alignment.models.toy import Recipe as ToyRecipe
from alignment.models.toy import ToyNetwork, digits
from alignment.models.toy import split as toy_split
from alignment.training.recipe import Recipe, split
from alignment.training.train import Order, evaluate, train

QUICK = Recipe(epochs=3, batch_size=8, learning_rate=0.05, warm_up_epochs=1, padding=1, validation=0.2)
STEPS = 12


def made(n=40, classes=3, edge=6, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    images = rng.integers(0, 156, (n, edge, edge, 3), dtype=np.uint8)
    images[np.arange(n), :, :, targets % 3] += 100
    return images, targets


def network(seed=0):
    """With everything that could differ after an interruption: statistics, dropout, momentum."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 3)
    )


def linear(pixels=12, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes))


def stopper(after):
    """Ends a training that has made so many updates."""
    return lambda step, steps: Order.STOP if step == after else Order.GO


def always_saved(step, steps):
    return Order.SAVE


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def softmax_regression(images, targets, weight, bias, *, rates, momentum, decay):
    """Gradient descent with Nesterov momentum on all images at once."""
    x = images.transpose(0, 3, 1, 2).reshape(len(images), -1) / 255.0
    parameters = [weight.astype(float), bias.astype(float)]
    velocity = [np.zeros_like(each) for each in parameters]
    for rate in rates:
        scores = x @ parameters[0].T + parameters[1]
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(x)), targets] -= 1
        gradients = [p.T @ x / len(x), p.mean(0)]
        for place, gradient in enumerate(gradients):
            step = gradient + decay * parameters[place]
            velocity[place] = momentum * velocity[place] + step
            parameters[place] = parameters[place] - rate * (step + momentum * velocity[place])
    return parameters


@pytest.mark.parametrize("updates", [1, 2, 7])
def test_updates_are_those_of_nesterov_with_the_rate_of_their_own_step(updates):
    images, targets = made(edge=2)
    net = linear()
    start = [each.detach().numpy().copy() for each in net.parameters()]
    recipe = Recipe(
        epochs=7, batch_size=64, learning_rate=0.5, least_learning_rate=0.1, warm_up_epochs=3, padding=0, flip=False,
        validation=0,
    )  # fmt: skip
    trained = train(net, images, targets, recipe=recipe, ask=stopper(updates))
    rates = [0.1, 0.3, 0.5, *(0.1 + 0.2 * (1 + math.cos(math.pi * k / 4)) for k in range(4))][:updates]
    expected = softmax_regression(images, targets, *start, rates=rates, momentum=0.9, decay=0.01)
    for own, reference in zip(net.parameters(), expected, strict=True):
        np.testing.assert_allclose(own.detach().numpy(), reference, atol=2e-6)
    assert [row.learning_rate for row in trained.history] == pytest.approx(rates, rel=1e-12)
    assert trained.finished == (updates == 7)


def test_the_first_update_takes_the_first_rate():
    images, targets = made()
    net = network()
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    train(net, images, targets, recipe=replace(QUICK, least_learning_rate=0.0), ask=stopper(1))
    assert same(before, dict(net.named_parameters()))
    train(net, images, targets, recipe=replace(QUICK, least_learning_rate=0.01), ask=stopper(1))
    assert not same(before, dict(net.named_parameters()))


def test_every_training_image_is_seen_once_in_an_epoch_and_none_of_the_others():
    images, targets = made(edge=2)
    images[:, 0, 0, 0] = np.arange(len(images))
    net, seen = linear(), []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    recipe = replace(QUICK, padding=0, flip=False, epochs=2, batch_size=12)
    train(net, images, targets, recipe=recipe, normalise=((0.5, 0, 0), (0.1, 1, 1)))
    assert [len(batch) for batch in seen] == [12, 12, 8] * 2
    epochs = [torch.cat(seen[:3]), torch.cat(seen[3:])]
    places = [(255 * (0.1 * each[:, 0, 0, 0] + 0.5)).round().int().tolist() for each in epochs]
    training = split(40, validation=0.2).training.tolist()
    assert sorted(places[0]) == sorted(places[1]) == training and places[0] != places[1]


def test_a_training_stopped_before_any_update_goes_on_to_the_same_bits(tmp_path):
    images, targets = made()
    whole = network()
    reference = train(whole, images, targets, recipe=QUICK)
    assert len(reference.history) == 3 and reference.finished
    for after in range(STEPS):
        path = tmp_path / f"{after}.pt"
        first = train(network(), images, targets, recipe=QUICK, checkpoint=path, ask=stopper(after))
        assert not first.finished and len(first.history) == after // 4
        torch.manual_seed(after)
        again = network()
        resumed = train(again, images, targets, recipe=QUICK, checkpoint=path)
        assert same(whole.state_dict(), again.state_dict())
        assert (resumed.history, resumed.selected) == (reference.history, reference.selected)
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"] * STEPS


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import test_train
images, targets = test_train.made()
def ask(step, steps):
    print("asked", flush=True)
    time.sleep(60 if step == 6 else 0)
    return test_train.Order.SAVE
path = Path({path!r})
test_train.train(test_train.network(), images, targets, recipe=test_train.QUICK, checkpoint=path, ask=ask)
"""


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    path = tmp_path / "state.pt"
    script = SCRIPT.format(here=str(Path(__file__).parent), path=str(path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        for _ in range(7):
            assert process.stdout.readline() == "asked\n"
        process.kill()
    assert process.returncode == -9
    assert torch.load(path, weights_only=True)["step"] == 5
    images, targets = made()
    whole, again = network(), network()
    reference = train(whole, images, targets, recipe=QUICK)
    resumed = train(again, images, targets, recipe=QUICK, checkpoint=path)
    assert same(whole.state_dict(), again.state_dict()) and resumed.history == reference.history


def test_a_finished_training_is_not_repeated(tmp_path):
    images, targets = made()
    path, told = tmp_path / "state.pt", []
    one = train(network(), images, targets, recipe=QUICK, checkpoint=path, report=told.append)
    before = path.stat().st_mtime_ns
    two = train(network(), images, targets, recipe=QUICK, checkpoint=path, report=told.append)
    assert path.stat().st_mtime_ns == before and one.history == two.history
    # of each epoch when it was over, and of all of them at once
    assert told == [one.history[:1], one.history[:2], one.history, one.history]
    assert same(one.module.state_dict(), two.module.state_dict()) and not two.module.training


@pytest.mark.parametrize("select", ["accuracy", "loss"])
def test_the_best_epoch_on_held_out_images_is_the_one_returned(select):
    images, targets = made(n=60)
    recipe = replace(QUICK, epochs=8, select=select, learning_rate=0.5)
    trained = train(network(), images, targets, recipe=recipe)
    losses, accuracies = (
        [getattr(row, f"validation_{each}") for row in trained.history] for each in ("loss", "accuracy")
    )
    assert trained.selected == (int(np.argmax(accuracies)) if select == "accuracy" else int(np.argmin(losses)))
    # else the last epoch would do, and nothing was shown
    assert trained.selected < 7
    held_out = split(60, validation=0.2).validation
    found = evaluate(trained.module, images[held_out], targets[held_out])
    assert (found.loss, found.accuracy) == (losses[trained.selected], accuracies[trained.selected])


def test_held_out_images_change_the_choice_alone():
    images, targets = made(n=60)
    held_out = split(60, validation=0.2).validation
    other_images, other_targets = images.copy(), targets.copy()
    other_images[held_out] = 255 - images[held_out]
    other_targets[held_out] = (targets[held_out] + 1) % 3
    histories = [
        train(network(), *data, recipe=replace(QUICK, epochs=5)).history
        for data in ((images, targets), (other_images, other_targets))
    ]
    assert [row[:4] for row in histories[0]] == [row[:4] for row in histories[1]]
    assert [row[4] for row in histories[0]] != [row[4] for row in histories[1]]


def test_without_validation_the_last_epoch_is_returned():
    images, targets = made()
    trained = train(network(), images, targets, recipe=replace(QUICK, validation=0))
    assert trained.selected == 2 and {row.validation_loss for row in trained.history} == {None}


def test_digits_are_learned_and_never_judged_on_what_chose_the_epoch():
    pixels, labels = digits(32)
    images = (255 * pixels).round().byte().permute(0, 2, 3, 1).numpy()
    training, test = (part.numpy() for part in toy_split(ToyRecipe(), len(labels)))
    recipe = Recipe(
        epochs=4, batch_size=32, learning_rate=0.1, warm_up_epochs=1, weight_decay=5e-4, padding=2, flip=False
    )
    targets = labels.numpy()
    torch.manual_seed(0)
    net = ToyNetwork((8, 16, 32))
    normalise = ((0.5,) * 3, (0.5,) * 3)
    trained = train(net, images[training], targets[training], recipe=recipe, normalise=normalise)
    assert evaluate(net, images[test], targets[test], normalise=normalise).accuracy > 0.9
    losses = [row.loss for row in trained.history]
    assert losses == sorted(losses, reverse=True) and trained.history[-1].accuracy > 0.9


def test_evaluation_is_scikit_learns():
    images, targets = made(n=700, edge=2)
    net = linear()
    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
        logits = net.double()((x - 0.4) / 0.3).numpy()
    found = evaluate(net.float(), images, targets, normalise=((0.4,) * 3, (0.3,) * 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found.loss == pytest.approx(log_loss(targets, p), rel=1e-5)
    assert found.accuracy == (logits.argmax(1) == targets).mean()


def test_the_seed_decides_and_nobody_elses_draws_are_touched():
    images, targets = made()
    torch.manual_seed(3)
    expected = torch.rand(1)
    nets = [network(), network(), network()]
    torch.manual_seed(3)
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        train(net, images, targets, recipe=replace(QUICK, seed=seed))
    assert torch.equal(torch.rand(1), expected)
    states = [net.state_dict() for net in nets]
    assert same(states[0], states[1]) and not same(states[0], states[2])


def test_bfloat16_is_close_and_keeps_weights_in_float32():
    images, targets = made()
    exact, rough = network(), network()
    # all images, so that no chance of a few held-out ones chooses different epochs
    recipe = replace(QUICK, learning_rate=0.01, validation=0)
    losses = [
        [row.loss for row in train(net, images, targets, recipe=replace(recipe, precision=precision)).history]
        for net, precision in ((exact, "float32"), (rough, "bfloat16"))
    ]
    # eight bits of a mantissa are 0.4 %
    assert losses[1] == pytest.approx(losses[0], rel=0.01) and losses[1] != losses[0]
    start, moved = network(), dict(exact.named_parameters())
    for name, value in start.named_parameters():
        assert dict(rough.named_parameters())[name].dtype == torch.float32
        # what batch normalisation subtracts again has no gradient, and moves by rounding alone
        if name != "0.bias":
            far = torch.linalg.vector_norm(moved[name] - value)
            assert torch.linalg.vector_norm(dict(rough.named_parameters())[name] - moved[name]) < 0.2 * far


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state_that_was_one(tmp_path):
    images, targets = made()
    path = tmp_path / "state.pt"
    net = network()
    calls = iter(range(100))
    net.register_forward_hook(lambda module, inputs, out: out * float("nan") if next(calls) == 6 else None)
    with pytest.raises(RequestError, match=r"Sequential: the loss is nan in epoch 1 \(update 5\); give a smaller"):
        train(net, images, targets, recipe=QUICK, checkpoint=path)
    # the five passes of the first epoch, one of them to validate, and one more had a loss
    assert torch.load(path, weights_only=True)["step"] == 4
    assert same({name: torch.isfinite(value) for name, value in net.state_dict().items()}, _all_true(net))


def _all_true(net):
    return {name: torch.ones_like(value, dtype=torch.bool) for name, value in net.state_dict().items()}


def test_weights_that_are_no_numbers_are_not_kept(tmp_path):
    images, targets = made()
    net = network()
    net[5].bias.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(RequestError, match=r"5\.bias is not finite"):
        train(net, images, targets, recipe=QUICK, checkpoint=tmp_path / "state.pt", ask=always_saved)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda given: given | {"recipe": replace(QUICK, weight_decay=0.1)}, "recipe"),
        (lambda given: given | {"module": network(seed=1)}, "starting weights"),
        (lambda given: given | {"images": given["images"][::-1].copy()}, "images"),
        (lambda given: given | {"targets": given["targets"][::-1].copy()}, "targets"),
        (lambda given: given | {"normalise": ((0.5,) * 3, (0.5,) * 3)}, "normalisation"),
    ],
)
def test_the_state_of_another_training_is_refused(tmp_path, change, what):
    images, targets = made()
    path = tmp_path / "state.pt"
    train(network(), images, targets, recipe=QUICK, checkpoint=path, ask=stopper(5))
    given = change({"module": network(), "images": images, "targets": targets, "recipe": QUICK})
    with pytest.raises(DataError, match=rf"state.pt: it is of other {what}; delete it to start again") as caught:
        train(given.pop("module"), given.pop("images"), given.pop("targets"), checkpoint=path, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"half", {"step": 3}, None])
def test_a_damaged_state_is_one_line(tmp_path, content):
    images, targets = made()
    path = tmp_path / "state.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    else:
        train(network(), images, targets, recipe=QUICK, checkpoint=path, ask=stopper(5))
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"training state.*delete it to start again") as caught:
        train(network(), images, targets, recipe=QUICK, checkpoint=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((4, 6, 6, 3), np.float32)}, r"images are float32 \(4, 6, 6, 3\)"),
        ({"images": np.zeros((4, 3, 6, 6), np.uint8)}, r"expected uint8 \(image, row, column, 3\)"),
        ({"targets": np.zeros(39, int)}, r"targets are int64 \(39,\)"),
        ({"targets": np.full(40, -1)}, "a class from 0 on to each of 40 images"),
        ({"targets": np.full(40, 3)}, r"gives \(8, 3\) for 8 images, expected logits .* more than 3 classes"),
        ({"recipe": replace(QUICK, batch_size=31)}, "32 images in batches of 31 leave one alone"),
        ({"module": nn.Sequential(nn.Conv2d(3, 3, 3))}, r"gives \(8, 3, 4, 4\)"),
    ],
)
def test_what_does_not_fit_is_one_line(change, message):
    images, targets = made()
    given = {"module": network(), "images": images, "targets": targets, "recipe": QUICK} | change
    with pytest.raises(RequestError, match=message) as caught:
        train(given["module"], given["images"], given["targets"], recipe=given["recipe"])
    assert "\n" not in str(caught.value)
