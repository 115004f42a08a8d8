"""Images that are read when needed: the same tuning as with all of them in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alignment.stimuli import StimulusSet
from alignment.tuning.images import ReadImages, images_of, in_batches
from alignment.tuning.loop import Tuner
from tests.alignment.tuning.small_network import EDGE, images, recipe, weights


def read_images(count: int, *, seed: int) -> ReadImages:
    """Quantised, as images in files are."""
    pixels = (images(count, seed=seed).permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    ids = tuple(f"i{place}" for place in range(count))
    return ReadImages(StimulusSet("made", ids, lambda name: pixels[int(name[1:])]), ids[::-1], size=(EDGE, EDGE))


def test_they_stay_where_they_are_when_memory_would_be_short() -> None:
    read = read_images(10, seed=0)
    needed = 10 * 3 * EDGE * EDGE * 4
    held = images_of(read, most_bytes=needed)
    assert isinstance(held, torch.Tensor)
    assert images_of(read, most_bytes=needed - 1) is read
    # rows are those of the ids, which run backwards here
    np.testing.assert_array_equal(
        held[torch.tensor([0])][0], torch.from_numpy(read.stimuli.image("i9") / 255.0).permute(2, 0, 1).float()
    )
    for part, again in zip(in_batches(read, 4), in_batches(held, 4), strict=True):
        assert torch.equal(part, again)


@pytest.mark.parametrize(
    "changes", [{"jitter": 1 / 16, "replay": 1.0}, {"batch_norm": "recalibrate"}], ids=["shifted", "recalibrated"]
)
def test_tuning_is_the_same_bit_for_bit(model, material, changes) -> None:
    neural, task = read_images(240, seed=2), read_images(200, seed=8)

    def tuned(shown, replayed) -> Tuner:
        of_one = {name: {"s1": getattr(material, name)["s1"]} for name in ("train", "validation")}
        of_one["train"] = {"s1": replace(of_one["train"]["s1"], pixels=shown)}
        given = replace(material, **of_one, task=replace(material.task, pixels=replayed))
        tuner = Tuner(model, given, recipe(epochs=1, judged_by="refit", **changes))
        tuner.run()
        return tuner

    held = tuned(*(images_of(each, most_bytes=10**9) for each in (neural, task)))
    read = tuned(neural, task)
    assert held.trajectory == read.trajectory
    for name, value in weights(held).items():
        assert torch.equal(value, weights(read)[name])
