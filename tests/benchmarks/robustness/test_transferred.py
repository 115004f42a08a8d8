"""Accuracy after an attack on another network, against what two linear networks must show."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alignment.errors import RequestError
from alignment.models import load_model
from alignment.proportions import wilson
from benchmarks.catalogue import build_benchmarks
from benchmarks.choices import Inference
from benchmarks.neural.other import Other
from benchmarks.robustness.attacked import Protocol
from benchmarks.robustness.transferred import Transfer
from benchmarks.settings import parse

FILES = """
import torch
from torch import nn

def made(seed):
    readout = nn.Linear(48, 2)
    weight = torch.randn(48, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        readout.weight.copy_(torch.stack([weight, -weight]))
        readout.bias.copy_(-0.5 * readout.weight.sum(1))
    net = nn.Sequential(nn.Flatten(), readout)
    net.image_size, net.classes = (4, 4), ("a", "b")
    return net

def one():
    return made(1)

def large():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), *made(1))
    net.image_size, net.classes = (8, 8), ("a", "b")
    return net
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(FILES)
    return tmp_path / "nets.py"


def transferred(dataset, nets: Path, name: str = "one") -> Transfer:
    protocol = Protocol(attack="fgsm", epsilons=(("0.1", 0.1),))
    source = Other(f"{nets}:{name}", cache=nets.parent, data_root=None, seed=0)
    arguments = {"inference": Inference(n_bootstrap=200), "batch_size": 32}
    return Transfer(name="two", dataset=dataset, protocol=protocol, source=source, **arguments)


def test_images_move_along_the_source_and_are_judged_by_the_target(two, nets, measured) -> None:
    benchmark = transferred(two.dataset, nets)
    benchmark.check()
    benchmark.check_model(two.model)
    scored = benchmark.score(measured(benchmark, two.model))
    source = load_model(f"{nets}:one", cache=nets.parent).module[1].weight[0].detach().numpy()
    target = two.model.module[1].weight[0].detach().numpy()
    # away from each label along the signs of the source's weights
    change = -0.1 * float(np.sign(source) @ target) / np.abs(target).sum()
    expected = two.margins + change > 0
    assert scored.clean == wilson(two.margins > 0)
    assert scored.score.raw.value == pytest.approx(expected.mean(), abs=0.01)
    assert benchmark.id == "two-transfer-from-nets:one-linf-0.1-fgsm"


def test_an_attack_transfers_to_its_own_source(two, nets, measured) -> None:
    benchmark = transferred(two.dataset, nets)
    source = load_model(f"{nets}:one", cache=nets.parent)
    pixels = torch.from_numpy(np.stack([two.dataset.stimuli.image(name) for name in two.dataset.stimuli.ids]))
    with torch.no_grad():
        logits = source.logits(pixels.permute(0, 3, 1, 2).float() / 255)[:, 0]
    gaps = (logits[:, 0] - logits[:, 1]).numpy() * np.where(two.dataset.targets() == 0, 1, -1) / 2
    margins = gaps / source.module[1].weight[0].abs().sum().item()
    assert benchmark.score(measured(benchmark, source)).score.raw.value == pytest.approx((margins > 0.1).mean())


def test_every_decision_of_a_network_with_time_is_in_the_surface(two, nets, measured, reversing) -> None:
    benchmark = transferred(two.dataset, nets)
    alone, both = (benchmark.score(measured(benchmark, model)) for model in (two.model, reversing))
    found = {(row["layer"], row["time_bin"]): row["raw"] for row in both.surface}
    assert len(found) == 2 * len(alone.surface) == 4
    for row in alone.surface:
        assert found[row["layer"], 1.0] == row["raw"]
        assert found[row["layer"], 0.0] == pytest.approx(1 - row["raw"])
    assert both.score.raw == alone.score.raw and (alone.time_bin, both.time_bin) == (0.0, 1.0)
    mean = replace(benchmark.protocol, moment="mean")
    of_mean = Transfer(
        name="two", dataset=two.dataset, protocol=mean, source=benchmark.source, inference=Inference(n_bootstrap=200)
    )
    # the two decisions cancel, so that the first class is always said
    said = of_mean.score(measured(of_mean, reversing))
    assert said.score.raw.value == pytest.approx((two.dataset.targets() == 0).mean())


def test_sizes_must_be_alike(two, nets) -> None:
    with pytest.raises(RequestError, match=r"large takes images of 8x8, linear of 4x4; perturbed pixels transfer"):
        transferred(two.dataset, nets, "large").check_model(two.model)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "name the model that is attacked"),
        (["benchmark.against=toy", "benchmark.attack=standard"], "moves each image once"),
        (["benchmark.against=toy", "benchmark.epsilon=1/255,2/255"], "moves each image once"),
        (["benchmark.against=toyy"], "benchmark.against=toyy"),
    ],
)
def test_slips_are_named(words: list[str], line: str) -> None:
    with pytest.raises(RequestError, match=line):
        build_benchmarks("digits", parse(["benchmark=digits", "benchmark.measure=transfer", *words]))
