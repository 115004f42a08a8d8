"""Perturbed flows: what must be a no-op, what a control keeps, and importance by arithmetic."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from alignment.dynamics.perturbation import functional_importance, permuted_difference, perturb_flows
from alignment.dynamics.replay import replaying
from alignment.errors import RequestError
from alignment.models.thorat_rnn.layout import Layout
from alignment.models.thorat_rnn.model import ThoratModel, thorat
from alignment.seeds import derive

IDS = ("a", "b", "c")


@pytest.fixture(scope="module")
def model() -> ThoratModel:
    made = thorat(Layout(bias=True, lean=True, sweeps=3), name="perturbed", seed=1)
    made.select_layers(["flows.*"])
    return made


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 3, 100, 100, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def targets(model: ThoratModel, images: Tensor) -> np.ndarray:
    """What the network says of two of the images, and another class for the third."""
    with torch.no_grad():
        said = model.logits(images[0])[:, -1].argmax(1).numpy()
    return np.array([said[0], said[1], (said[2] + 1) % 20])


@torch.no_grad()
def test_replaying_own_flows_into_every_layer_at_any_time_changes_nothing(model: ThoratModel, images: Tensor) -> None:
    own, expected = model.record(images[0], model.layers), model.logits(images[0])
    for moment, time_bin in enumerate(model.time_bins["flows.fc.gain"]):
        everywhere = {site: {time_bin: own[site][:, moment]} for site in model.layers}
        assert torch.equal(replaying(model, everywhere)(images[0]), expected)


@torch.no_grad()
def test_clamping_the_other_layers_is_no_op(model: ThoratModel, images: Tensor) -> None:
    own, other = (model.record(each, model.layers) for each in images)
    for layer, group in model.incoming.items():
        given = {site: {1.0: other[site][:, 0]} for site in group}
        clamped = {site: {1.0: own[site][:, 0]} for site in model.layers if site not in group}
        assert torch.equal(replaying(model, given)(images[0]), replaying(model, given | clamped)(images[0])), layer


def test_each_cell_is_one_replay(model: ThoratModel, images: Tensor, targets: np.ndarray) -> None:
    correct = perturb_flows(
        model, images[0], {"other": images[1]}, targets=targets, flows=model.incoming, ids=IDS, seed=5, batch_size=2
    )
    assert correct["original"].values.tolist() == [True, True, False]
    assert dict(correct["perturbed"].sizes) == {"stimulus": 3, "property": 1, "layer": 4, "time_bin": 2}
    assert correct["time_bin"].values.tolist() == [1.0, 2.0]
    for stimulus in range(3):
        one, two = (each[stimulus : stimulus + 1] for each in images)
        with torch.no_grad():
            own, other = (model.record(each, model.layers) for each in (one, two))
            for layer, time_bin in (("conv1", 1.0), ("fc", 2.0)):
                moment, sites = int(time_bin) - 1, model.incoming[layer]
                given = {site: {time_bin: other[site][:, moment]} for site in sites}
                dealt = {}
                for site in sites:
                    seed = derive(5, "permuted flow", IDS[stimulus], "other", site, moment)
                    flow = permuted_difference(own[site][0, moment], other[site][0, moment], seed=seed)
                    dealt[site] = {time_bin: flow[None]}
                place = {"stimulus": IDS[stimulus], "property": "other", "layer": layer, "time_bin": time_bin}
                for kind, outputs in (("perturbed", given), ("control", dealt)):
                    said = int(replaying(model, outputs)(one)[0, -1].argmax())
                    assert bool(correct[kind].sel(place)) == (said == targets[stimulus])


def test_a_partner_that_is_the_image_itself_changes_nothing(
    model: ThoratModel, images: Tensor, targets: np.ndarray
) -> None:
    correct = perturb_flows(
        model, images[0], {"none": images[0]}, targets=targets, flows=model.incoming, ids=IDS, batch_size=3
    )
    for kind in ("perturbed", "control"):
        assert (correct[kind] == correct["original"]).all()
    found = functional_importance(correct, n_bootstrap=50)
    assert all((found[name] == 0).all() for name in ("value", "low", "high"))


def test_a_lateral_layer_of_weight_zero_has_no_importance(images: Tensor) -> None:
    model = thorat(Layout(lean=True, top_down=False), name="lateral", seed=2)
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(model.module.fc1fc1g, name).zero_()
    model.select_layers(["flows.fc.gain"])
    with torch.no_grad():
        targets = model.logits(images[0])[:, -1].argmax(1)
    flows = {"fc": model.incoming["fc"]}
    correct = perturb_flows(model, images[0], {"other": images[1]}, targets=targets, flows=flows, ids=IDS)
    assert correct["original"].all()
    assert (functional_importance(correct, n_bootstrap=20)["value"] == 0).all()


def test_a_control_keeps_all_values_of_the_difference() -> None:
    random = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, 8, 12, 12, generator=random, dtype=torch.float64)
    dealt = permuted_difference(own, other, seed=3) - own
    difference = other - own
    torch.testing.assert_close(dealt.sum(), difference.sum())
    torch.testing.assert_close(dealt.norm(), difference.norm())
    torch.testing.assert_close(dealt.flatten().sort().values, difference.flatten().sort().values)
    assert not torch.allclose(dealt, difference)
    # over all units, so channels are not kept
    assert not torch.allclose(dealt.sum((1, 2)), difference.sum((1, 2)))
    assert not torch.equal(permuted_difference(own, other, seed=4), own + dealt)


def correct_of(original: list[int], perturbed: list[int], control: list[int]) -> xr.Dataset:
    dims = ("stimulus", "property", "layer", "time_bin")
    cells = {
        name: (dims, np.array(values, bool)[:, None, None, None])
        for name, values in (("perturbed", perturbed), ("control", control))
    }
    coords = {"property": ["scale"], "layer": ["conv1"], "time_bin": [1.0]}
    return xr.Dataset({"original": ("stimulus", np.array(original, bool)), **cells}, coords=coords)


def test_importance_is_accuracy_lost_beyond_the_control() -> None:
    rng = np.random.default_rng(0)
    original, perturbed, control = (rng.random(400) < share for share in (0.8, 0.4, 0.7))
    found = functional_importance(correct_of(original, perturbed, control), n_bootstrap=2000).isel(
        property=0, layer=0, time_bin=0
    )
    expected = (control.mean() - perturbed.mean()) / original.mean()
    assert float(found["value"]) == pytest.approx(expected)
    # variance of a ratio of means, by the delta method
    error = np.std((control.astype(float) - perturbed - expected * original) / original.mean()) / np.sqrt(400)
    assert float(found["high"] - found["low"]) == pytest.approx(2 * 1.966 * error, rel=0.1)
    assert found["value"].coords["layer"] == "conv1"


def test_importance_is_undefined_where_nothing_was_right() -> None:
    found = functional_importance(correct_of([0, 0, 0], [0, 1, 0], [1, 1, 0]))
    assert all(np.isnan(found[name]).all() for name in ("value", "low", "high"))


def test_what_does_not_fit_is_named(model: ThoratModel, images: Tensor) -> None:
    known = {"targets": [0, 1, 2], "flows": model.incoming, "ids": IDS}
    with pytest.raises(RequestError, match=r"^other: 2 for 3 images; give one to each$"):
        perturb_flows(model, images[0], {"other": images[1, :2]}, **known)
    with pytest.raises(RequestError, match=r"^ids: 2 for 3 images"):
        perturb_flows(model, images[0], {"other": images[1]}, **{**known, "ids": IDS[:2]})
    with pytest.raises(
        RequestError, match=r"unknown layer of perturbed 'flows\.conv3\.gain'; did you mean flows\.conv"
    ):
        perturb_flows(model, images[0], {}, **{**known, "flows": {"conv3": ["flows.conv3.gain"]}})
    for flows in ({}, {"conv1": []}):
        with pytest.raises(RequestError, match="give each layer flows, all with the same time bins"):
            perturb_flows(model, images[0], {"other": images[1]}, **{**known, "flows": flows})
