"""The loop on a network and a simulated brain small enough to check by hand; what is promised of it is in the gates."""

import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alignment.errors import DataError, RequestError
from alignment.models import TorchModel
from alignment.tuning.batches import batches
from alignment.tuning.loop import Material, Neural, Tuner
from alignment.tuning.recipe import cosine
from tests.alignment.tuning.small_network import CLASSES, EDGE, recipe, weights


def test_the_given_model_stays_as_it_is(model, material) -> None:
    before = model.fingerprint
    Tuner(model, material, recipe(epochs=1)).run()
    assert model.fingerprint == before
    assert all(parameter.requires_grad for parameter in model.module.parameters())


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
    strayed = [
        F.kl_div(each[:, 0].log_softmax(-1), taught[:, 0].log_softmax(-1), log_target=True, reduction="batchmean")
        for each in said
    ]
    assert strayed[1] < 0.5 * strayed[0]


def test_a_checkpoint_is_of_one_recipe_and_one_teacher(model, material) -> None:
    tuner = Tuner(model, material, recipe())
    tuner.begin()
    state = tuner.state()
    with pytest.raises(DataError, match=r"^the checkpoint is of another recipe; remove it, or name another place$"):
        Tuner(model, material, recipe(seed=1)).load(state)
    changed = copy.copy(model)
    changed.module = copy.deepcopy(model.module)
    with torch.no_grad():
        changed.module[0].bias[0] += 1e-3
    with pytest.raises(DataError, match=r"^the checkpoint is of another teacher; remove it, or name another place$"):
        Tuner(changed, material, recipe()).load(state)


def test_statistics_of_batch_normalisation(model, material) -> None:
    of_task = model.module[1].running_mean.clone()
    kept = {}
    for mode in ("freeze", "train", "dual"):
        tuner = Tuner(
            model, material, recipe(batch_norm=mode, allow_drift=True, epochs=1, neural=0.0, distil=0.0, replay=1.0)
        )
        tuner.begin()
        tuner.run_epoch()
        kept[mode] = tuner.student.module[1].running_mean.clone()
    assert torch.equal(kept["freeze"], of_task)
    # with statistics per domain, those of the task are those of a run that never saw the neural images
    alone = copy.deepcopy(model.module)
    tuner = Tuner(model, material, recipe(batch_norm="dual", epochs=1, neural=0.0, distil=0.0, replay=1.0))
    alone.eval()[1].train()
    with torch.no_grad():
        for step in batches(material, tuner.recipe, epoch=0):
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


def test_a_gradient_that_is_no_number_stops_before_any_weight_is_spoilt(model, material) -> None:
    tuner = Tuner(model, material, recipe(replay=1.0, neural=0.0))
    tuner.begin()
    tuner.run_epoch()
    written = copy.deepcopy(tuner.state())

    class Infinite(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * torch.inf

    handle = tuner.student.module[8].register_forward_hook(lambda *passed: Infinite.apply(passed[2]))
    before = weights(tuner)
    line = r"^the gradient of distil and replay is not finite in epoch 2; lower the learning rate$"
    with pytest.raises(DataError, match=line):
        tuner.run_epoch()
    handle.remove()
    assert all(torch.equal(value, before[name]) for name, value in weights(tuner).items())
    # what was written before is sound
    resumed, whole = (Tuner(model, material, tuner.recipe) for _ in range(2))
    resumed.load(written)
    resumed.run()
    whole.run()
    assert resumed.trajectory == whole.trajectory


def test_the_first_bad_term_is_named_and_the_last_state_still_loads(model, material) -> None:
    tuner = Tuner(model, material, recipe(replay=1.0, anchor=1.0))
    tuner.begin()
    written, steps = io.BytesIO(), 0

    def spoil(tuner: Tuner) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            tuner.material.task.pixels[:, :, 0, 0] = torch.nan
        else:
            written.seek(0)
            torch.save(tuner.state(), written)

    material = copy.deepcopy(material)
    tuner.material = tuner._objective.material = material
    with pytest.raises(DataError, match=r"^replay is not finite in epoch 1; lower the learning rate$"):
        tuner.run_epoch(after_step=spoil)
    written.seek(0)
    again = Tuner(model, material, tuner.recipe)
    again.load(torch.load(written, weights_only=True))
    assert all(value.isfinite().all() for value in weights(again).values())
    assert again.step == 2


def test_only_what_is_named_is_trained(model, material) -> None:
    tuner = Tuner(model, material, recipe(trainable="readout", epochs=1))
    tuner.run()
    for name, value in weights(tuner).items():
        assert torch.equal(value, model.module.state_dict()[name])


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


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"loss": "mser"}, "loss 'mser'; did you mean mse"),
        ({"batch_norm": "frozen"}, "batch_norm 'frozen'; did you mean freeze"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; give a number above 0"),
        ({"distil": -1.0}, "distil is -1.0"),
        ({"jitter": 0.5}, "jitter is 0.5; give a share of the width from 0 to 1/16"),
        ({"epochs": 0}, "epochs is 0"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"precision": "bfloat"}, "precision 'bfloat'; did you mean bfloat16"),
        ({"loss": "cka", "batch_size": 32}, "batch_size is 32; loss=cka needs 64 images in a batch"),
        ({"loss": "nce", "accumulate": 2}, "accumulate is 2; loss=nce needs the whole batch at once"),
    ],
)
def test_recipes_are_checked(change, line) -> None:
    with pytest.raises(RequestError, match=line):
        recipe(**change)


@pytest.mark.parametrize("loss", ["mse", "cosine"])
@pytest.mark.parametrize("jitter", [0.0, 1 / 16])
def test_gradients_of_parts_add_up_to_that_of_the_batch(model, material, loss, jitter) -> None:
    settings = recipe(loss=loss, jitter=jitter, replay=0.7, joint=0.3, anchor=0.01, batch_size=50)
    found = []
    for count in (1, 3, 7):
        tuner = Tuner(model, material, replace(settings, accumulate=count))
        tuner.begin()
        with torch.no_grad():
            for parameter in tuner.student.module.parameters():
                parameter.add_(0.03 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
        tuner.optimiser.step = lambda: None
        (batch, *_) = batches(material, settings, epoch=0)
        terms = tuner._descend(batch, step=0)
        found.append((terms, [each.grad.clone() for each in tuner.student.module.parameters()]))
    assert set(found[0][0]) == {"neural", "distil", "replay", "joint", "anchor"}
    for terms, gradients in found[1:]:
        assert terms == pytest.approx(found[0][0], rel=1e-5)
        for one, other in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_half_precision_passes_leave_weights_and_losses_whole(model, material) -> None:
    tuner = Tuner(model, material, recipe(replay=1.0, precision="bfloat16", epochs=2))
    seen = []
    tuner.student.module[3].register_forward_hook(lambda *passed: seen.append(passed[2].dtype))
    tuner.run()
    assert set(seen) == {torch.bfloat16}
    assert {value.dtype for value in weights(tuner).values()} == {torch.float32, torch.int64}
    # the teacher passes alike, so that nothing is to be distilled at first
    whole = Tuner(model, material, recipe(replay=1.0, epochs=2))
    whole.run()
    assert tuner.trajectory[0].agreement == 1
    for half, full in zip(tuner.trajectory, whole.trajectory, strict=True):
        assert half.predictivity == pytest.approx(full.predictivity, abs=0.02)
    assert tuner.trajectory[2].losses != whole.trajectory[2].losses


@pytest.mark.parametrize(
    ("jitter", "passes"),
    [
        # 240, 130, 200 and 200 images in batches of 64: of two subjects, to replay and to validate
        (0.0, 4 + 3 + 4 + 4),
        # five epochs of four steps, each of two subjects; task images are not shifted
        (1 / 16, 5 * 4 * 2 + 4 + 4),
    ],
)
def test_the_teacher_is_asked_once_where_images_stay_the_same(model, material, jitter, passes) -> None:
    tuner, calls = Tuner(model, material, recipe(replay=1.0, jitter=jitter, epochs=5)), []
    tuner.teacher.model.module.register_forward_hook(lambda *passed: calls.append(len(passed[2])))
    tuner.run()
    assert len(calls) == passes


def test_a_network_without_normalisation_cannot_drift(material) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    plain = TorchModel(net, name="net", image_size=(EDGE, EDGE), layers=["1"], classes=tuple("abcd"))
    assert Tuner(plain, material, recipe(layers=("1",), batch_norm="train")).drift == 0


def test_how_far_weights_went(model, material) -> None:
    tuner = Tuner(model, material, recipe(epochs=1))
    tuner.begin()
    assert tuner.weight_change() == 0
    tuner.run_epoch()
    now, then = (
        torch.cat([each.detach().double().flatten() for each in module.parameters()])
        for module in (tuner.student.module, model.module)
    )
    assert tuner.weight_change() == pytest.approx(float((now - then).norm() / then.norm()))
    assert tuner.weight_change() > 1e-3


def test_too_few_images_for_a_loss_are_refused_at_once(model, material) -> None:
    few = Neural(material.train["s2"].pixels[:63], material.train["s2"].responses[:63])
    small = replace(material, train={**material.train, "s2": few})
    with pytest.raises(RequestError, match=r"^train of s2: 63 images, and loss=cka needs 64 in a batch; give more"):
        Tuner(model, small, recipe(loss="cka"))
    # without the neural loss nothing is asked of batches
    Tuner(model, small, recipe(loss="cka", neural=0.0))


@pytest.mark.parametrize("loss", ["corr", "cka", "rsm", "nce"])
def test_every_loss_tunes(model, material, loss) -> None:
    tuner = Tuner(model, material, recipe(loss=loss, epochs=2))
    tuner.run()
    assert tuner.trajectory[2].losses["neural"] < tuner.trajectory[1].losses["neural"]
