"""What is promised of tuning, the fast part: whatever can be shown on a network that is tuned in a second.

What is promised of forgetting, gains and controls takes teachers that were trained on a task, and minutes; it is in
`tests/reliability/test_tuning_gates.py`.
"""

import copy
import io

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from alignment import fingerprint
from alignment.correlation import pearson
from alignment.errors import RequestError
from alignment.models import TorchModel
from alignment.tuning.batches import Batch, batches
from alignment.tuning.controls import targets
from alignment.tuning.loop import Material, Neural, Tuner
from alignment.tuning.losses import NEURAL
from alignment.tuning.recipe import Recipe
from tests.alignment.tuning.small_network import recipe, weights
from tests.reliability.simulated_brain import refit


def test_distillation_is_nothing_before_the_first_step(model, material) -> None:
    tuner = Tuner(model, material, recipe(replay=1.0))
    tuner.begin()
    # the batches in which the teacher was asked
    together = Batch({subject: torch.arange(64) for subject in material.train}, torch.arange(64))
    terms = tuner.terms(together, step=0)
    assert terms["distil"].item() == terms["replay"].item() == 0
    # any others, where sums may be taken in another order
    for batch in batches(material, tuner.recipe, epoch=0):
        terms = tuner.terms(batch, step=0)
        assert abs(terms["distil"].item()) < 1e-6 and abs(terms["replay"].item()) < 1e-6
    assert tuner.trajectory[0].agreement == 1


def test_nothing_asked_for_leaves_every_weight_as_it_was(model, material) -> None:
    tuner = Tuner(model, material, recipe(neural=0.0, distil=0.0))
    tuner.run()
    for name, value in weights(tuner).items():
        assert torch.equal(value, model.module.state_dict()[name])


def test_every_enabled_term_moves_the_backbone(model, material) -> None:
    tuner = Tuner(model, material, recipe(replay=1.0, joint=1.0, anchor=1.0))
    tuner.begin()
    tuner.run_epoch()
    before = weights(tuner)
    norms = tuner.gradient_norms()
    assert set(norms) == {"neural", "distil", "replay", "joint", "anchor"}
    assert min(norms.values()) > 0
    assert all(torch.equal(value, before[name]) for name, value in weights(tuner).items())


@pytest.mark.parametrize("mode", ["freeze", "dual"])
def test_the_chosen_epoch_keeps_the_task_and_is_restored(model, material, mode) -> None:
    changes = {"epochs": 6, "learning_rate": 1e-2, "tolerance": 0.02, "batch_norm": mode}
    tuner = Tuner(model, material, recipe(distil=0.0, replay=1.0, **changes))
    chosen = tuner.run()
    teacher = tuner.trajectory[0].accuracy
    assert chosen.accuracy >= teacher - 0.02
    tuner._note({})
    again = tuner.trajectory[-1]
    assert (again.accuracy, again.agreement, again.predictivity) == (
        chosen.accuracy,
        chosen.agreement,
        chosen.predictivity,
    )


def killed_and_resumed(model: TorchModel, material: Material, settings: Recipe) -> None:
    """A run is written after every step and epoch; from each of these files another goes on, to the same end."""
    whole, files = Tuner(model, material, settings), []

    def keep(tuner: Tuner) -> None:
        file = io.BytesIO()
        torch.save(tuner.state(), file)
        files.append(file)

    chosen = whole.run(after_epoch=keep, after_step=keep)
    # two epochs of four steps, three files of no steps, and what precedes the first
    assert len(files) == 2 * 4 + 2 + 1
    end = weights(whole)
    for file in files:
        resumed = Tuner(model, material, settings)
        file.seek(0)
        resumed.load(torch.load(file, weights_only=True))
        assert resumed.run() == chosen
        assert resumed.trajectory == whole.trajectory
        assert all(torch.equal(value, end[name]) for name, value in weights(resumed).items())


@pytest.mark.parametrize(
    "changes",
    [
        {"replay": 1.0, "jitter": 1 / 16},
        {"replay": 1.0, "batch_norm": "dual"},
        {"replay": 1.0, "batch_norm": "recalibrate"},
        {"batch_norm": "train", "allow_drift": True, "joint": 1.0, "anchor": 0.1},
        {"readout": "gaussian", "accumulate": 3, "precision": "bfloat16"},
    ],
)
def test_a_run_that_is_killed_at_any_step_goes_on_exactly(model, material, changes) -> None:
    killed_and_resumed(model, material, recipe(epochs=2, **changes))


def test_statistics_that_would_drift_are_refused_without_a_word(model, material) -> None:
    with pytest.raises(
        RequestError, match=r"^batch_norm=train: .* by up to [0-9.]+ sd, .*allow_drift=true$"
    ) as refused:
        Tuner(model, material, recipe(batch_norm="train"))
    assert "\n" not in str(refused.value)
    allowed = Tuner(model, material, recipe(batch_norm="train", allow_drift=True))
    # by hand: a pass of the network in training over the same images, seven batches
    net = copy.deepcopy(model.module).train()
    mean, sd = net[1].running_mean.clone(), (net[1].running_var + net[1].eps).sqrt()
    with torch.no_grad():
        for neural in material.train.values():
            for part in np.array_split(neural.pixels.numpy(), -(-len(neural.pixels) // 64)):
                net(torch.from_numpy(part))
    assert allowed.drift == pytest.approx(float(((net[1].running_mean - mean).abs() / sd).max()), rel=1e-5)
    assert allowed.drift > 0.1
    # nothing of it stays
    assert all(torch.equal(value, model.module.state_dict()[name]) for name, value in weights(allowed).items())
    assert Tuner(model, material, recipe()).drift is None


def test_images_that_judge_and_neuroids_held_out_never_reach_training(model, material) -> None:
    """Where they lie in the same arrays, as columns and rows that are not numbers."""
    seen, found = material.train["s1"], {}
    for fill in (0.0, torch.nan):
        pixels, responses = torch.full((400, *seen.pixels.shape[1:]), fill), torch.full((400, 20), fill)
        pixels[:240], responses[:240, :12] = seen.pixels, seen.responses
        train = {"s1": Neural(pixels[:240], responses[:240, :12])}
        validation = {"s1": material.validation["s1"]}
        tuner = Tuner(model, Material(train, validation, material.task_validation, material.task), recipe(replay=1.0))
        tuner.run()
        found[fill] = (weights(tuner), tuner.trajectory)
    (clean, trajectory), (poisoned, same) = found.values()
    assert trajectory == same
    assert all(torch.equal(value, poisoned[name]) for name, value in clean.items())


def test_images_that_choose_train_nothing(model, material) -> None:
    """Other responses and labels of validation images: another choice, after the same steps."""
    others = {
        subject: Neural(neural.pixels, neural.responses.flip(0)) for subject, neural in material.validation.items()
    }
    labels = copy.deepcopy(material.task_validation)
    labels.labels[:] = labels.labels.flip(0)
    tuners = [
        Tuner(model, each, recipe(replay=1.0))
        for each in (material, Material(material.train, others, labels, material.task))
    ]
    for tuner in tuners:
        tuner.begin()
        while tuner.epoch < 3:
            tuner.run_epoch()
    first, second = (weights(tuner) for tuner in tuners)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert tuners[0].trajectory[3].predictivity > 0.2 > tuners[1].trajectory[3].predictivity


def test_the_same_settings_give_the_same_row_and_a_control_is_of_other_data(model, material) -> None:
    def row(control: str, seed: int) -> dict[str, object]:
        """What a table would hold of a run, and the hash of what it was tuned toward."""
        changed = {
            subject: Neural(neural.pixels, torch.from_numpy(targets(control, neural.responses.numpy(), seed=seed)))
            for subject, neural in material.train.items()
        }
        given = Material(changed, material.validation, material.task_validation, material.task)
        tuner = Tuner(model, given, recipe(seed=seed, replay=1.0))
        chosen = vars(tuner.run())
        toward = [fingerprint.of_array(neural.responses.numpy()) for neural in changed.values()]
        return {
            "toward": fingerprint.of_parts(*toward),
            "network": tuner.student.fingerprint,
            "first losses": tuner.trajectory[1].losses,
            **chosen,
        }

    rows = {(control, seed): row(control, seed) for control in ("none", "shuffle", "matched") for seed in (0, 1)}
    assert rows["none", 0] == row("none", 0) and rows["shuffle", 1] == row("shuffle", 1)
    # the responses are the same whatever the seed, and what is drawn for a control is not
    assert rows["none", 0]["toward"] == rows["none", 1]["toward"]
    assert len({each["toward"] for each in rows.values()}) == 5
    assert len({str(each["first losses"]) for each in rows.values()}) == 6


@pytest.mark.parametrize("loss", NEURAL)
def test_every_neural_loss_reaches_the_network(model, material, loss) -> None:
    tuner = Tuner(model, material, recipe(loss=loss))
    tuner.begin()
    assert tuner.gradient_norms()["neural"] > 1e-4


def test_a_unit_that_is_nearly_dead_does_not_spoil_a_score() -> None:
    """Units that one training image moves a little, and one test image four times as much."""
    random = np.random.default_rng(0)
    x = random.standard_normal((2000, 60))
    y = 0.3 * x @ random.standard_normal((60, 40)) / np.sqrt(60) + random.standard_normal((2000, 40))
    dead = np.zeros((2000, 3))
    for unit in range(3):
        dead[random.integers(1600), unit] = 1e-3
        dead[1600 + 100 * unit, unit] = 4e-3
    z = np.hstack([x, dead])

    def plain(features: np.ndarray) -> float:
        """The mean r of a ridge on z-scores."""
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 5, 13), alpha_per_target=True))
        return float(pearson(model.fit(features[:1600], y[:1600]).predict(features[1600:]), y[1600:]).mean())

    def ours(features: np.ndarray):
        whole, responses = torch.from_numpy(features), torch.from_numpy(y)
        return refit(whole[:1600], responses[:1600], whole[1600:], responses[1600:])

    largest = float(abs(StandardScaler().fit(z[:1600]).transform(z[1600:])).max())
    print("r with and without dead units: plain", plain(z), plain(x), "ours", ours(z).r.mean(), ours(x).r.mean())
    print("largest |z|: plain", largest, "ours", ours(z).largest_z)
    assert largest > 150
    assert plain(z) < plain(x) - 0.02
    assert abs(ours(z).r.mean() - ours(x).r.mean()) < 0.001
    assert ours(z).largest_z < 6
