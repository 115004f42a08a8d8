import copy
import subprocess
import sys
import textwrap
from functools import partial

import pytest
import torch
from torch import nn

from alignment.models.load import load_model
from alignment.models.torch_model import TorchModel


class Net(nn.Module):
    def __init__(self, steps=3, slope=0.1):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(slope)
        self.steps = steps
        self.options = {"gain": (1.0, 2.0)}

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


def model(module=None, **settings):
    torch.manual_seed(0)
    return TorchModel(Net() if module is None else module, **{"name": "net", "image_size": (16, 16)} | settings)


def _nudge(module):
    with torch.no_grad():
        module.conv.weight[0, 0, 0, 0] += 1e-6


CHANGES = {
    "weight": _nudge,
    "buffer": lambda module: module.norm.running_var.mul_(2),
    "dtype": lambda module: module.double(),
    "plain attribute": lambda module: setattr(module, "steps", 4),
    "nested attribute": lambda module: module.options.update(gain=(1.0, 3.0)),
    "printed attribute": lambda module: setattr(module.act, "negative_slope", 0.2),
    "unprinted attribute": lambda module: setattr(module, "unregistered", torch.ones(2)),
    "class of a part": lambda module: setattr(module, "act", nn.ELU()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changes_with_what_changes_a_number(change):
    one = model()
    before = one.fingerprint
    change(one.module)
    assert one.fingerprint != before


@pytest.mark.parametrize(
    "setting",
    [
        {"normalise": ((0.0, 0, 0), (1.0, 1, 1))},
        {"image_size": (17, 17)},
        {"visual_degrees": 4.0},
        {"time_unit": "ms"},
        {"classes": list("abcd")},
    ],
)
def test_changes_with_settings(setting):
    assert model(**setting).fingerprint != model().fingerprint


def test_does_not_change_with_name_layers_mode_layout_or_use():
    one = model()
    before = one.fingerprint
    assert model(name="other", layers=["conv"]).fingerprint == before
    one.record(torch.rand(2, 3, 16, 16), ["conv"])
    one.module.train()
    one.module.to(memory_format=torch.channels_last)
    assert one.fingerprint == before
    assert copy.deepcopy(one).fingerprint == before


SOURCE = """
import torch
from torch import nn
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.conv(x) * GAIN
GAIN = 1.0
def mine():
    return Mine()
"""


def test_source_of_a_file_counts_and_its_place_does_not(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "yours.py").write_text(SOURCE)
    load = partial(load_model, cache=tmp_path)
    first = load(f"{tmp_path}/mine.py:mine")
    before = first.fingerprint
    assert (first.name, load(f"{tmp_path}/away/yours.py:mine").name) == ("mine", "yours:mine")
    module = first.module
    assert TorchModel(module, name="x", source=tmp_path / "away" / "yours.py").fingerprint == before
    (tmp_path / "mine.py").write_text(SOURCE.replace("GAIN = 1.0", "GAIN = 2.0"))
    assert first.fingerprint == before
    assert load(f"{tmp_path}/mine.py:mine").fingerprint != before


def test_same_in_another_process(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from alignment.models import load_model
        print(load_model({str(tmp_path / "mine.py:mine")!r}, cache=Path({str(tmp_path)!r})).fingerprint)
        """
    )
    other = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()
    assert load_model(f"{tmp_path}/mine.py:mine", cache=tmp_path).fingerprint == other


def test_a_class_without_a_file_is_known_by_its_code():
    def network(body):
        names = {"nn": nn, "__name__": "typed_in"}
        exec(f"class Typed(nn.Sequential):\n    def forward(self, x):\n        return {body}", names)
        torch.manual_seed(0)
        return model(names["Typed"](nn.Conv2d(3, 4, 3)))

    assert network("self[0](x)").fingerprint == network("self[0](x)").fingerprint
    assert network("self[0](x)").fingerprint != network("self[0](x) * 2").fingerprint
