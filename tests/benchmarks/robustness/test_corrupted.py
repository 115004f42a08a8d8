"""Accuracy under corruption, against images that are corrupted and classified one by one."""

import numpy as np
import pytest
import torch

from alignment.stimuli.corruptions import corrupt, published_alexnet_errors
from benchmarks.choices import Inference
from benchmarks.datasets.labelled import LabelledImages, labelled
from benchmarks.robustness.corrupted import CommonCorruptions
from benchmarks.robustness.images import blocks


def test_every_kind_and_severity_is_judged(two, measured) -> None:
    images = {
        name: np.kron(two.dataset.stimuli.image(name), np.ones((2, 2, 1), np.uint8))
        for name in two.dataset.stimuli.ids[:40]
    }
    dataset = labelled("big", images, two.dataset.stimuli.labels[:40], classes=("a", "b"))
    model = Halved(two.model)
    benchmark = CommonCorruptions(
        name="big",
        dataset=dataset,
        kinds=("shot_noise", "contrast"),
        severities=(1, 4),
        inference=Inference(n_bootstrap=200),
        batch_size=7,
    )
    scored = benchmark.score(measured(benchmark, model))
    (block,) = blocks(dataset)
    seeds = block.seeds("corruption", root=0)
    targets = torch.tensor(block.targets)
    by_hand = {}
    for kind in benchmark.kinds:
        for severity in benchmark.severities:
            right = []
            for name, seed, target in zip(block.ids, seeds, targets, strict=True):
                pixels = torch.from_numpy(images[name]).permute(2, 0, 1)[None].float() / 255
                shown = corrupt(pixels, kind=kind, severity=severity, seeds=[seed])
                right.append(float(model.logits(shown)[0, 0].argmax() == target))
            by_hand[f"{kind} @ severity {severity}"] = np.mean(right)
    found = {row["layer"]: row["raw"] for row in scored.surface}
    assert found.pop("clean") == scored.clean.value
    assert found == pytest.approx(by_hand)
    assert scored.score.raw.value == pytest.approx(np.mean(list(by_hand.values())))
    assert dict(scored.figures)["mean corruption error"] == pytest.approx(1 - np.mean(list(by_hand.values())))
    assert benchmark.id == "big-corruptions-shot_noise+contrast-severity1+4"


class Halved:
    """A network that sees every second pixel."""

    def __init__(self, model) -> None:
        self.model, self.name, self.classes, self.stochastic, self.module = model, "halved", ("a", "b"), False, None
        self.image_size, self.layers = (8, 8), ()

    def logits(self, pixels, *, seeds=None):
        return self.model.logits(pixels[..., ::2, ::2])


def test_every_decision_of_a_network_with_time_is_in_the_surface(two, measured, reversing) -> None:
    images = {
        name: np.kron(two.dataset.stimuli.image(name), np.ones((2, 2, 1), np.uint8))
        for name in two.dataset.stimuli.ids[:40]
    }
    dataset = labelled("mine", images, two.dataset.stimuli.labels[:40], classes=("a", "b"))
    arguments = {"kinds": ("contrast", "brightness"), "severities": (1, 5), "inference": Inference(n_bootstrap=200)}
    benchmark = CommonCorruptions(name="mine", dataset=dataset, batch_size=16, **arguments)
    alone, both = (benchmark.score(measured(benchmark, model)) for model in (Halved(two.model), Halved(reversing)))
    found = {(row["layer"], row["time_bin"]): row["raw"] for row in both.surface}
    assert len(found) == 2 * len(alone.surface) == 10
    for row in alone.surface:
        assert found[row["layer"], 1.0] == row["raw"]
        assert found[row["layer"], 0.0] == pytest.approx(1 - row["raw"])
    # the last decision is the score
    assert both.score.raw == alone.score.raw and both.clean == alone.clean
    assert (alone.time_bin, both.time_bin) == (0.0, 1.0)


def test_mce_is_made_only_of_imagenet_at_its_size(measured) -> None:
    names = tuple(f"n{number:04}" for number in range(1000))
    images = {f"i{n}": np.full((224, 224, 3), 20 * n, np.uint8) for n in range(4)}
    arguments = {"inference": Inference(n_bootstrap=200), "batch_size": 4}
    mine = labelled("mine", images, names[:4], classes=names)
    imagenet = LabelledImages("imagenet_folder", mine.stimuli, names)
    figures = []
    for dataset, edge in ((mine, 224), (imagenet, 224), (imagenet, 64)):
        benchmark = CommonCorruptions(name="x", dataset=dataset, **arguments)
        (chance,) = benchmark.references()
        chance.image_size = (edge, edge)
        figures.append(dict(benchmark.score(measured(benchmark, chance)).figures))
    assert ["mCE (frost-procedural)" in each for each in figures] == [False, True, False]
    # three of four images are wrong, whatever is done to them
    expected = np.mean([0.75 / error for error in published_alexnet_errors().values()])
    assert figures[1]["mCE (frost-procedural)"] == pytest.approx(expected)
