"""The loop on a network and a simulated brain small enough to check by hand."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.errors import DataError, RequestError
from alignment.models import TorchModel
from alignment.tuning.loop import Batch, Material, Neural, Task, Tuner
from alignment.tuning.losses import gradient_norms
from alignment.tuning.recipe import Recipe, cosine

EDGE, CLASSES = 12, 4


def images(count: int, *, seed: int) -> Tensor:
    """Smooth textures tinted by one of four colours; the colour is the class."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=draw)
    texture = F.interpolate(coarse, size=(EDGE, EDGE), mode="bilinear", align_corners=False)
    pixels = 0.5 + 0.12 * texture + 0.03 * torch.randn(count, 3, EDGE, EDGE, generator=draw)
    tints = torch.tensor([[0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3], [0.2, 0.2, 0]])
    return (pixels + tints[torch.arange(count) % CLASSES][:, :, None, None]).clamp(0, 1)


@pytest.fixture(scope="module")
def model() -> TorchModel:
    """A network with batch normalisation, trained on the colours in a second."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(48, CLASSES),
    )  # fmt: skip
    pixels, labels = images(400, seed=1), torch.arange(400) % CLASSES
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        F.cross_entropy(net(pixels), labels).backward()
        optimiser.step()
    return TorchModel(net.eval(), name="net", image_size=(EDGE, EDGE), layers=["4"], classes=tuple("abcd"))


def brain(pixels: Tensor, *, seed: int, noise: float = 0.5) -> Tensor:
    """Twelve neuroids that see oriented contrast at places of their own, which the task does not ask for."""
    draw = torch.Generator().manual_seed(7)
    filters = torch.randn(12, 3, 5, 5, generator=draw)
    filters -= filters.mean((2, 3), keepdim=True)
    maps = F.relu(F.conv2d(pixels, filters, stride=3)).flatten(2)
    signal = maps[:, torch.arange(12), torch.arange(12) % maps.shape[2]]
    signal = (signal - signal.mean(0)) / signal.std(0)
    return signal + noise * torch.randn(signal.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def material() -> Material:
    def neural(count: int, seed: int) -> Neural:
        pixels = images(count, seed=seed).flip(0) * 0.7 + 0.1
        return Neural(pixels, brain(pixels, seed=seed))

    labels = torch.arange(200) % CLASSES
    return Material(
        train={"s1": neural(240, 2), "s2": neural(130, 3)},
        validation={"s1": neural(80, 4), "s2": neural(80, 5)},
        task_validation=Task(images(200, seed=6), labels),
        task=Task(images(200, seed=8), labels),
    )


def recipe(**changes) -> Recipe:
    return Recipe(**{"layer": "4", "epochs": 3, "batch_size": 64, "learning_rate": 1e-3, "patience": 9, **changes})


def weights(tuner: Tuner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tuner.student.module.state_dict().items()}


def test_distillation_is_nothing_before_the_first_step(model, material) -> None:
    tuner = Tuner(model, material, recipe(replay=1.0))
    tuner.begin()
    terms = tuner.terms(tuner._steps()[0], step=0)
    assert terms["distil"].item() == terms["replay"].item() == 0
    assert tuner.trajectory[0].agreement == 1


def test_nothing_asked_for_leaves_every_weight_as_it_was(model, material) -> None:
    tuner = Tuner(model, material, recipe(neural=0.0, distil=0.0))
    tuner.run()
    for name, value in weights(tuner).items():
        assert torch.equal(value, model.module.state_dict()[name])


def test_the_given_model_stays_as_it_is(model, material) -> None:
    before = model.fingerprint
    Tuner(model, material, recipe(epochs=1)).run()
    assert model.fingerprint == before
    assert all(parameter.requires_grad for parameter in model.module.parameters())


def test_every_enabled_term_moves_the_backbone(model, material) -> None:
    tuner = Tuner(model, material, recipe(replay=1.0, joint=1.0, anchor=1.0))
    tuner.begin()
    tuner.run_epoch()
    norms = gradient_norms(tuner.terms(tuner._steps()[0], step=9), tuner._backbone().values())
    assert set(norms) == {"neural", "distil", "replay", "joint", "anchor"}
    assert min(norms.values()) > 0


def test_tuning_gains_and_replay_holds_the_task(model, material) -> None:
    changes = {"epochs": 12, "tolerance": 1.0, "learning_rate": 3e-3, "patience": 99}
    free = Tuner(model, material, recipe(distil=0.0, **changes))
    held = Tuner(model, material, recipe(distil=0.3, replay=1.0, **changes))
    for tuner in (free, held):
        tuner.run()
    start = free.trajectory[0]
    gains = [max(each.predictivity for each in tuner.trajectory) - start.predictivity for tuner in (free, held)]
    assert start.accuracy > 0.95
    assert gains[0] > 0.03 and gains[1] > 0.02
    with torch.no_grad():
        taught = model.logits(material.task_validation.pixels)
        said = [tuner.student.logits(material.task_validation.pixels) for tuner in (free, held)]
    strayed = [F.kl_div(each.log_softmax(-1), taught.log_softmax(-1), log_target=True).item() for each in said]
    assert strayed[1] < 0.5 * strayed[0]


@pytest.mark.parametrize("mode", ["freeze", "dual"])
def test_the_chosen_epoch_keeps_the_task_and_is_restored(model, material, mode) -> None:
    changes = {"epochs": 6, "learning_rate": 1e-2, "tolerance": 0.02, "batch_norm": mode}
    tuner = Tuner(model, material, recipe(distil=0.0, replay=1.0, **changes))
    chosen = tuner.run()
    teacher = tuner.trajectory[0].accuracy
    assert chosen.accuracy >= teacher - 0.02
    accuracy, agreement = tuner._on_task()
    assert (accuracy, agreement, tuner._predictivity()) == (chosen.accuracy, chosen.agreement, chosen.predictivity)


@pytest.mark.parametrize("mode", ["freeze", "dual"])
def test_a_run_that_is_stopped_goes_on_exactly(model, material, mode) -> None:
    whole = Tuner(model, material, recipe(replay=1.0, batch_norm=mode, jitter=1 / 12 * 0.7))
    states = []
    whole.run(after_epoch=lambda tuner: states.append(copy.deepcopy(tuner.state())))
    resumed = Tuner(model, material, recipe(replay=1.0, batch_norm=mode, jitter=1 / 12 * 0.7))
    resumed.load(states[1])
    resumed.run()
    assert resumed.trajectory == whole.trajectory
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name])


def test_statistics_of_batch_normalisation(model, material) -> None:
    of_task = model.module[1].running_mean.clone()
    kept = {}
    for mode in ("freeze", "train", "dual"):
        tuner = Tuner(model, material, recipe(batch_norm=mode, epochs=1, neural=0.0, distil=0.0, replay=1.0))
        tuner.begin()
        tuner.run_epoch()
        kept[mode] = tuner.student.module[1].running_mean.clone()
    assert torch.equal(kept["freeze"], of_task)
    # with statistics per domain, those of the task are those of a run that never saw the neural images
    alone = copy.deepcopy(model.module)
    tuner = Tuner(model, material, recipe(batch_norm="dual", epochs=1, neural=0.0, distil=0.0, replay=1.0))
    alone.eval()[1].train()
    with torch.no_grad():
        for step in tuner._steps():
            alone(material.task.pixels[step.task])
    assert not torch.equal(kept["dual"], of_task)
    torch.testing.assert_close(kept["dual"], alone[1].running_mean, atol=5e-3, rtol=0)
    # in the mode train those shown to the brain, which are darker, pull them further
    assert (kept["train"] - alone[1].running_mean).abs().max() > 4 * (kept["dual"] - alone[1].running_mean).abs().max()


def test_a_loss_that_is_no_number_stops_before_any_weight_is_spoilt(model, material) -> None:
    tuner = Tuner(model, material, recipe(learning_rate=1e-3))
    tuner.begin()
    with torch.no_grad():
        next(tuner.readouts.parameters()).fill_(torch.inf)
    before = weights(tuner)
    with pytest.raises(DataError, match=r"^neural is not finite in epoch 1; lower the learning rate$"):
        tuner.run_epoch()
    assert all(torch.equal(value, before[name]) for name, value in weights(tuner).items())


def test_only_what_is_named_is_trained(model, material) -> None:
    tuner = Tuner(model, material, recipe(trainable="readout", epochs=1))
    tuner.run()
    for name, value in weights(tuner).items():
        assert torch.equal(value, model.module.state_dict()[name])


def test_images_are_shifted_and_never_mirrored(model, material) -> None:
    tuner = Tuner(model, material, recipe(jitter=1 / 12 * 0.74))
    assert torch.equal(tuner._jittered(material.train["s1"].pixels[:5], "s1", step=0), material.train["s1"].pixels[:5])
    large = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tuner = Tuner(model, material, recipe(jitter=1 / 16))
    moved = tuner._jittered(large, "s1", step=0)
    shifts = {
        (dy, dx)
        for image, shifted in zip(large, moved, strict=True)
        for dy in range(-2, 3)
        for dx in range(-2, 3)
        if torch.equal(shifted[:, 2:-2, 2:-2], image[:, 2 + dy : 30 + dy, 2 + dx : 30 + dx])
    }
    assert len(shifts) > 10
    assert torch.equal(moved, tuner._jittered(large, "s1", step=0))
    assert not torch.equal(moved, tuner._jittered(large, "s1", step=1))


def test_batches_hold_every_image_once_and_wrap_the_task(model, material) -> None:
    steps = Tuner(model, material, recipe())._steps()
    assert all(isinstance(step, Batch) for step in steps)
    for subject, count in (("s1", 240), ("s2", 130)):
        assert sorted(torch.cat([step.neural[subject] for step in steps]).tolist()) == list(range(count))
    assert {len(step.task) for step in steps} == {64}


def test_the_rate_falls_along_a_cosine_to_a_tenth() -> None:
    rates = [cosine(step, 101, peak=2.0) for step in range(101)]
    assert rates[0] == 2.0 and rates[50] == pytest.approx(1.1) and rates[100] == pytest.approx(0.2)
    assert np.all(np.diff(rates) < 0)


def test_poisoned_material_is_refused(model, material) -> None:
    spoilt = copy.deepcopy(material.train["s1"])
    spoilt.responses[3, 2] = torch.nan
    bad = Material({**material.train, "s1": spoilt}, material.validation, material.task_validation)
    with pytest.raises(DataError, match="train of s1: responses are not all finite"):
        Tuner(model, bad, recipe())
    without = Material(material.train, material.validation, material.task_validation)
    with pytest.raises(RequestError, match="replay need task images"):
        Tuner(model, without, recipe(replay=1.0))
    other = Tuner(model, material, recipe())
    other.begin()
    with pytest.raises(DataError, match="of another recipe or teacher"):
        Tuner(model, material, recipe(seed=1)).load(other.state())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"loss": "mser"}, "loss 'mser'; did you mean mse"),
        ({"batch_norm": "frozen"}, "batch_norm 'frozen'; did you mean freeze"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; give a number above 0"),
        ({"distil": -1.0}, "distil is -1.0"),
        ({"jitter": 0.5}, "jitter is 0.5; give a share of the width from 0 to 1/16"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_recipes_are_checked(change, line) -> None:
    with pytest.raises(RequestError, match=line):
        recipe(**change)
