import copy
import dataclasses
import operator
import os
import subprocess
import sys
import textwrap
import threading
import types
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from alignment.errors import RequestError
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
    assert TorchModel(module, name="x", sources=[tmp_path / "away" / "yours.py"]).fingerprint == before
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


class Cfg:
    def __init__(self, k):
        self.k = k
        self.itself = self


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


@dataclasses.dataclass(frozen=True)
class Frozen:
    k: float
    parts: tuple = ()


def scaled(gain, offset=0.0):
    return lambda x: x * gain + offset


def defaulted(gain):
    def act(x, g=gain, *, h=gain):
        return x * g * h

    return act


def linked(k):
    """Two objects that hold each other."""
    one, two = Cfg(1.0), Cfg(k)
    one.other, two.other = two, one
    return one


PAIRS = {
    "object": (lambda: Cfg(1.0), lambda: Cfg(5.0)),
    "type of object": (lambda: Slotted(1.0), lambda: Frozen(1.0)),
    "slots": (lambda: Slotted(1.0), lambda: Slotted(5.0)),
    "dataclass": (lambda: Frozen(1.0, (Cfg(1.0),)), lambda: Frozen(1.0, (Cfg(5.0),))),
    "cycle": (lambda: linked(1.0), lambda: linked(5.0)),
    "namespace": (lambda: types.SimpleNamespace(k=1.0), lambda: types.SimpleNamespace(k=5.0)),
    "tensor in an object": (lambda: Cfg(torch.ones(2)), lambda: Cfg(torch.zeros(2))),
    "array of objects": (lambda: np.array([Cfg(1.0)], dtype=object), lambda: np.array([Cfg(5.0)], dtype=object)),
    "network in a list": (lambda: [nn.Dropout(0.1)], lambda: [nn.Dropout(0.2)]),
    "order of a mapping": (lambda: {"a": 1, "b": 2}, lambda: {"b": 2, "a": 1}),
    "key of a mapping": (lambda: {1: "a"}, lambda: {"1": "a"}),
    "list or tuple": (lambda: [1, 2], lambda: (1, 2)),
    "code of a lambda": (lambda: lambda x: x + 1.0, lambda: lambda x: x - 1.0),
    "constant of a lambda": (lambda: lambda x: x + 1.0, lambda: lambda x: x + 2.0),
    "closure": (lambda: scaled(1.0), lambda: scaled(5.0)),
    "object in a closure": (lambda: scaled(Cfg(1.0)), lambda: scaled(Cfg(5.0))),
    "defaults": (lambda: defaulted(1.0), lambda: defaulted(5.0)),
    "partial": (lambda: partial(torch.add, other=1.0), lambda: partial(torch.add, other=5.0)),
    "bound method": (lambda: Cfg([1.0]).k.count, lambda: Cfg([5.0]).k.count),
    "C function": (lambda: torch.relu, lambda: torch.tanh),
    "weak reference": (lambda: weakref.ref(KEPT[0]), lambda: weakref.ref(KEPT[1])),
    "object that pickles itself": (lambda: operator.attrgetter("a"), lambda: operator.attrgetter("b")),
    "generator": (lambda: np.random.default_rng(1), lambda: np.random.default_rng(2)),
    "path": (lambda: Path("a"), lambda: Path("b")),
}
KEPT = (Cfg(1.0), Cfg(5.0))


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS.keys())
def test_attributes_count_by_content(one, other):
    def fingerprint(value):
        torch.manual_seed(0)
        net = Net()
        net.held = value
        return model(net).fingerprint

    assert fingerprint(one()) == fingerprint(one())
    assert fingerprint(one()) != fingerprint(other())


def test_parts_that_refer_to_the_whole_end():
    net = Net()
    net.__dict__["whole"], net.conv.__dict__["parent"], net.bound = net, net, [net.forward]
    assert model(net).fingerprint == copy.deepcopy(model(net)).fingerprint


def test_what_has_no_content_is_named():
    net = Net()
    net.options["lock"] = threading.Lock()
    with pytest.raises(RequestError, match=r"attribute Net.options holds a lock, whose content cannot be hashed"):
        model(net)


def test_attributes_are_the_same_in_another_process(tmp_path):
    """Sets, addresses and functions differ between processes in every way but content."""
    (tmp_path / "mine.py").write_text(
        SOURCE.replace(
            "self.conv =",
            "self.held = [lambda x: x in {'a', 'b', 'c'}, {'a', 'b', 'c'}, Odd(), math.sin]\n        self.conv =",
        )
        + "import math\nclass Odd:\n    def __init__(self):\n        self.x = self\n"
    )
    script = (
        "from pathlib import Path; from alignment.models import load_model;"
        f"print(load_model({str(tmp_path / 'mine.py:mine')!r}, cache=Path({str(tmp_path)!r})).fingerprint)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_globals_of_typed_code_count():
    def network(gain):
        names = {"nn": nn, "__name__": "typed_in", "GAIN": gain}
        exec("class Typed(nn.Sequential):\n    def forward(self, x):\n        return self[0](x) * GAIN", names)
        torch.manual_seed(0)
        return model(names["Typed"](nn.Conv2d(3, 4, 3)))

    assert network(1.0).fingerprint == network(1.0).fingerprint != network(2.0).fingerprint


def test_a_file_beside_the_network_s_counts(tmp_path):
    (tmp_path / "gains.py").write_text("def gain(x):\n    return x * 2\n")
    (tmp_path / "mine.py").write_text(SOURCE.replace("x) * GAIN", "gain(x))") + "\nfrom gains import gain\n")
    load = partial(load_model, f"{tmp_path}/mine.py:mine", cache=tmp_path)
    before = load()
    (tmp_path / "gains.py").write_text("def gain(x):\n    return x * 3\n")
    after = load()
    assert after.fingerprint != before.fingerprint
    image = torch.rand(1, 3, *after.image_size)
    before.module.load_state_dict(after.module.state_dict())
    torch.testing.assert_close(before.module(image * 1.5), after.module(image))
