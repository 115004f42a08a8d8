"""Decisions of a network with a clock of its own have its times, in every table of classification."""

import numpy as np
import pytest
import torch

from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.model import CordsNetModel
from alignment.models.cordsnet.network import CordsNet
from benchmarks.choices import Inference
from benchmarks.datasets.labelled import labelled
from benchmarks.robustness.accuracy import Accuracy
from benchmarks.robustness.attacked import Protocol, Robustness

INFERENCE = Inference(n_bootstrap=50)
TIMES = (5.0, 10.0, 15.0)


@pytest.fixture
def model() -> CordsNetModel:
    torch.manual_seed(0)
    network = CordsNet(Layout(2, image_size=(4, 4), n_classes=2), Clock(alpha=0.5, steps=3, blank_steps=2)).eval()
    return CordsNetModel(network, name="small", classes=("a", "b"))


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    images = {f"i{n:02}": rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for n in range(30)}
    return labelled("noise", images, ["a" if n % 2 else "b" for n in range(30)])


def test_accuracy_at_each_step_is_that_of_the_logits_at_its_time(model, dataset, measured) -> None:
    benchmark = Accuracy(name="noise", dataset=dataset, inference=INFERENCE, batch_size=8)
    scored = benchmark.score(measured(benchmark, model))
    with torch.no_grad():
        logits = model.logits(dataset.stimuli.pixels(dataset.stimuli.ids, size=(4, 4)))
    right = (logits.argmax(2).numpy() == dataset.targets()[:, None]).mean(0)
    assert [(row["time_bin"], row["raw"]) for row in scored.surface] == [
        (time, pytest.approx(share)) for time, share in zip(TIMES, right, strict=True)
    ]
    assert scored.time_bin == 15.0 and scored.score.raw.value == pytest.approx(right[-1])


@pytest.mark.parametrize(("moment", "times"), [("each", TIMES), ("last", TIMES[-1:])])
def test_what_attacks_leave_is_at_the_times_of_the_decisions(model, dataset, measured, moment, times) -> None:
    protocol = Protocol(moment=moment, epsilons=(("1/255", 1 / 255),), attack="pgd-plain", steps=2)
    benchmark = Robustness(name="noise", dataset=dataset, protocol=protocol, inference=INFERENCE, batch_size=8)
    scored = benchmark.score(measured(benchmark, model))
    by_layer: dict[str, list[float]] = {}
    for row in scored.surface:
        by_layer.setdefault(row["layer"], []).append(row["time_bin"])
    assert len(by_layer) == 3 and all(found == list(times) for found in by_layer.values())
    assert scored.time_bin == 15.0 and f"left: {scored.surface[-1]['layer']}" in scored.figures
