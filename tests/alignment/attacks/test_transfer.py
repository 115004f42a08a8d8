"""Perturbations of one linear classifier on another, against what their weights say."""

import pytest
import torch

from alignment.attacks.gradient import FGSM, PGD
from alignment.attacks.threat import Threat
from alignment.attacks.transfer import transfer
from alignment.errors import RequestError


def test_rows_are_sources_and_columns_targets(linear) -> None:
    problem, other = linear(2), linear(2).logits
    pixels, labels = problem.pixels, problem.labels
    other.weight = problem.logits.weight + 1.5 * linear(2, seed=7).logits.weight
    other.bias = -(pixels.flatten(1) @ other.weight.T).mean(0)
    threat = Threat("linf", 0.05)
    models = {"a": problem.logits, "b": other}
    found = transfer(models, FGSM(), pixels=pixels, labels=labels, threat=threat, seeds=problem.seeds, batch_size=17)
    assert found.shape == (3, 2, 60)
    against_b = transfer(
        {"b": other},
        FGSM(),
        targets={"a": problem.logits},
        pixels=pixels,
        labels=labels,
        threat=threat,
        seeds=problem.seeds,
    )
    assert torch.equal(against_b[1, 0], found[2, 0])
    signs = (1 - 2 * labels)[:, None]
    normals = [(model.weight[0] - model.weight[1]).double() for model in models.values()]
    offsets = [(model.bias[0] - model.bias[1]).double() for model in models.values()]
    flat = pixels.flatten(1).double()
    sources = [flat, *(flat - threat.epsilon * signs * normal.sign() for normal in normals)]
    for row, images in enumerate(sources):
        for column in range(2):
            gaps = signs[:, 0] * (images @ normals[column] + offsets[column])
            clear = gaps.abs() > 1e-4
            assert torch.equal(found[row, column][clear] == 1, gaps[clear] > 0)
    left = found.double().mean(2)
    assert left[1, 0] < left[2, 0] < left[0, 0]
    assert left[2, 1] < left[1, 1] < left[0, 1]


def test_bad_requests_are_named(linear) -> None:
    problem = linear(2)
    arguments = {"pixels": problem.pixels, "labels": problem.labels, "seeds": problem.seeds}
    with pytest.raises(RequestError, match="one decision per model"):
        transfer({"a": problem.logits}, PGD(), threat=Threat(moment="each"), **arguments)
    with pytest.raises(RequestError, match="no model"):
        transfer({}, PGD(), threat=Threat(), **arguments)
