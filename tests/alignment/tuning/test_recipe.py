"""Optimisers, rates and what judges an epoch, held against formulas and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from torch.nn import functional as F

from alignment.models import TorchModel
from alignment.tuning.batches import batches
from alignment.tuning.loop import Material, Tuner
from alignment.tuning.recipe import Recipe


def test_adam_adds_decay_to_the_gradient_of_every_trained_weight(model: TorchModel, material: Material):
    """The first update against Kingma & Ba 2015 by hand: m and v are corrected for their start at 0."""
    recipe = Recipe(("4",), optimiser="adam", schedule="constant", weight_decay=0.3, learning_rate=1e-3, warm_up=False)
    tuner = Tuner(model, material, replace(recipe, batch_size=10_000, epochs=1))
    weights = {name: each.detach().clone() for name, each in tuner.student.module.named_parameters()}
    terms = tuner.terms(batches(material, tuner.recipe, epoch=0)[0], step=0)
    total = sum(tuner.recipe.settings()[name] * term for name, term in terms.items())
    gradients = torch.autograd.grad(total, list(tuner.student.module.parameters()), allow_unused=True)
    tuner.begin()
    tuner.run_epoch()
    for (name, now), gradient in zip(tuner.student.module.named_parameters(), gradients, strict=True):
        slope = (0 if gradient is None else gradient) + 0.3 * weights[name]
        if gradient is not None:
            expected = weights[name] - 1e-3 * slope / (slope.abs() + 1e-8)
            torch.testing.assert_close(now, expected, atol=2e-6, rtol=0)


def test_the_rate_is_constant_or_falls():
    constant, falling = Recipe(("4",), schedule="constant"), Recipe(("4",))
    assert [constant.rate(step, steps=4) for step in (0, 3)] == [3e-4, 3e-4]
    assert [falling.rate(step, steps=4) for step in (0, 3)] == pytest.approx([3e-4, 3e-5])


def test_a_fresh_ridge_judges_what_a_readout_that_overfits_does_not(model: TorchModel, material: Material):
    """Against scikit-learn on the teacher's activations, alpha by alpha as leave-one-out chooses."""

    def judged(subject: str) -> float:
        parts = (material.train[subject], material.validation[subject])
        with torch.no_grad():
            maps = (model.record(each.pixels, ["4"])["4"][:, 0] for each in parts)
            x, held_out = (F.adaptive_avg_pool2d(each, 4).flatten(1).double().numpy() for each in maps)
        alphas = np.logspace(-4, 4, 17) * ((x - x.mean(0)) ** 2).sum() / len(x)
        found = []
        for y, observed in zip(*(each.responses.double().numpy().T for each in parts), strict=True):
            predicted = RidgeCV(alphas=alphas).fit(x, y).predict(held_out)
            found.append(np.corrcoef(predicted, observed)[0, 1])
        return float(np.mean(found))

    tuner = Tuner(model, material, Recipe(("4",), judged_by="refit", epochs=1))
    tuner.begin()
    assert tuner.trajectory[0].predictivity == pytest.approx(
        np.mean([judged(each) for each in material.train]), abs=1e-3
    )
