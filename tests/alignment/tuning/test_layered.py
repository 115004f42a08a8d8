"""Readouts of several layers against the ridge on all of their units side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from alignment.errors import RequestError
from alignment.tuning.layered import LayeredReadout, initialise_by_ridge, joined, layer_scales
from alignment.tuning.loop import Tuner
from alignment.tuning.readouts import FactorisedReadout, GaussianReadout, LinearReadout
from tests.alignment.tuning.small_network import recipe

SHAPES = ((3, 4, 5), (6,))
NEUROIDS = 4


def two_layers(images: int = 50) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    made = [torch.randn(images, *shape, generator=draw, dtype=torch.float64) for shape in SHAPES]
    return [made[0] + 1, 40 * made[1]]


def test_they_start_from_the_ridge_on_layers_of_equal_variance() -> None:
    x = two_layers()
    flat = [each.flatten(1).numpy() for each in x]
    y = flat[0][:, :NEUROIDS] + flat[1][:, :NEUROIDS] / 40 + 2
    layered = LayeredReadout([LinearReadout(shape, NEUROIDS, seed=0).double() for shape in SHAPES])
    fit = initialise_by_ridge(list(layered.parts), x, torch.from_numpy(y), alphas=[0.3])
    total = [each.var(0).sum() for each in flat]
    features = np.concatenate([flat[0], flat[1] * np.sqrt(total[0] / total[1])], axis=1)
    reference = Ridge(alpha=float(0.3 * fit.alpha_unit)).fit(features, y)
    np.testing.assert_allclose(layered(x).detach().numpy(), reference.predict(features), atol=1e-9)
    # one layer alone misses what the other holds
    assert np.abs(layered.parts[0](x[0]).detach().numpy() - y).mean() > 0.5


def test_layers_of_equal_variance_count_alike() -> None:
    x = [each.flatten(1) for each in two_layers()]
    scaled = joined(x, layer_scales(x))
    halves = [float(each.var(0).sum()) for each in scaled.split([60, 6], dim=1)]
    assert halves[0] == pytest.approx(halves[1], rel=1e-9)
    assert layer_scales([x[0], torch.ones(50, 2)]) == (1.0, 1.0)


def test_one_bias_is_trained() -> None:
    layered = LayeredReadout([FactorisedReadout(SHAPES[0], 2, seed=0), LinearReadout(SHAPES[1], 2, seed=1)])
    layered([each.float() for each in two_layers()]).square().sum().backward()
    assert layered.parts[0].bias.grad is not None
    assert layered.parts[1].bias.grad is None and bool((layered.parts[1].bias == 0).all())


def test_where_no_closed_form_exists_nothing_is_changed() -> None:
    maps = (3, 4, 5)
    layered = LayeredReadout([GaussianReadout(maps, 2, seed=0), LinearReadout(maps, 2, seed=1)])
    before = layered.state_dict()["parts.1.weight"].clone()
    layered.initialise([torch.randn(9, *maps)] * 2, torch.randn(9, 2))
    assert torch.equal(layered.parts[1].weight, before)


def test_readouts_of_other_neuroids_are_refused() -> None:
    with pytest.raises(RequestError, match=r"readouts to \[2, 3\] neuroids"):
        LayeredReadout([LinearReadout((4,), 2, seed=0), LinearReadout((4,), 3, seed=0)])


@pytest.mark.parametrize("judged_by", ["readout", "refit"])
def test_a_network_is_tuned_at_two_layers(model, material, judged_by) -> None:
    both = replace(recipe(epochs=2), layers=("2", "4"), judged_by=judged_by)
    tuner = Tuner(model, material, both)
    tuner.begin()
    predicted = tuner._objective.readouts["s1"](tuner._student.activations(material.train["s1"].pixels))
    start = tuner.trajectory[0].predictivity
    tuner.run_epoch()
    tuner.run_epoch()
    # what either layer says counts
    for part in tuner._objective.readouts["s1"].parts:
        assert part.weight.abs().sum() > 0 and part.weight.grad is not None and part.weight.grad.abs().sum() > 0
    assert predicted.shape == material.train["s1"].responses.shape
    assert tuner.trajectory[-1].losses["neural"] < tuner.trajectory[1].losses["neural"]
    assert np.isfinite(start) and tuner.weight_change() > 0
    assert all(norm > 0 for norm in tuner.gradient_norms().values())


def test_layers_must_be_a_tuple_of_names() -> None:
    for wrong in ("4", (), ("4", "4")):
        with pytest.raises(RequestError, match=r"layers are .* give a tuple of names, each once"):
            recipe(layers=wrong)
