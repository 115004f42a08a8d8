"""Which images are shown together, and which make templates: no image on both sides."""

import numpy as np
import pytest
import torch
from torch import nn

from alignment.errors import DataError
from alignment.models import TorchModel
from benchmarks.contracts import Unsuited
from benchmarks.datasets.labelled import LabelledImages, labelled
from benchmarks.steering.composed import FOLDS, LEAST, Composed, steerable

CLASSES = ("a", "b", "c", "d")


def images_of(count: int) -> LabelledImages:
    images = {f"i{n:03}": np.full((4, 4, 3), n % 251, np.uint8) for n in range(count)}
    return labelled("some", images, [CLASSES[n % 4] for n in range(count)], classes=CLASSES)


def test_each_image_is_in_one_composite_and_no_template_is_made_of_it() -> None:
    composed = Composed(images_of(120))
    made, targets = composed.triplets, composed.dataset.targets()
    shown = [*made.first, *made.second]
    assert len(set(shown)) == len(shown)
    assert all(len({targets[a], targets[b], targets[c]}) == 3 for a, b, c in zip(*made, strict=True))
    for fold in range(FOLDS):
        of_fold = made.take(slice(fold, None, FOLDS))
        assert not set(composed.for_means(fold)) & {*of_fold.first, *of_fold.second}
        assert set(targets[composed.for_means(fold)]) == {0, 1, 2, 3}
    assert composed.without_mean == ()


def test_blocks_are_of_one_half_and_hold_every_composite_once() -> None:
    composed = Composed(images_of(120))
    every = np.concatenate(composed.blocks)
    assert sorted(every) == list(range(len(composed.triplets.first)))
    for block in composed.blocks:
        assert {int(place) % FOLDS for place in block} == {composed.fold_of(block)}


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match=rf"^few: 12 images make . composites .* give enough for {LEAST}$"):
        Composed(images_of(12)).check("few")
    two = labelled(
        "two", {"i": np.zeros((4, 4, 3), np.uint8), "j": np.zeros((4, 4, 3), np.uint8)}, ["a", "b"], classes=CLASSES
    )
    with pytest.raises(DataError, match=r"^few: composites: images of 2 classes; give images of three or more$"):
        Composed(two).check("few")


def test_a_network_without_feedback_is_refused() -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    model = TorchModel(body, name="plain", image_size=(4, 4), layers=["1"], classes=CLASSES)
    with pytest.raises(
        Unsuited, match=r"^plain has no feedback from its decisions, .* such as toy_lrm or alexnet_lrm1$"
    ):
        steerable(model)
    assert torch.is_tensor(model.logits(torch.zeros(1, 3, 4, 4)))
