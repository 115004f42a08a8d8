from pathlib import Path

import pytest
import torch

from alignment.errors import DataError, RequestError
from alignment.models import describe_model, load_model

FILE = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
"""


def test_description_needs_no_weights(tmp_path):
    description = describe_model("resnet18", cache=tmp_path)
    assert description.parameters == 11_689_512
    assert description.shapes["layer1.0"] == (64, 56, 56) and description.classes == 1000
    assert describe_model("toy", cache=tmp_path).shapes["pool"] == (64, 1, 1)
    assert not any(Path(tmp_path).iterdir())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet18", {"weights": "none"}),
        ("toy", {"weights": "none", "layers": ["stage*"], "seed": 2}),
        ("FILE", {"weights": "none", "seed": 3}),
        ("pixels", {"weights": "default", "seed": 3}),
        ("FILE", {"weights": "none"}),
        ("FILE", {"weights": "FOLDER/mine.pth", "layers": ["0"]}),
        ("resnet18", {"weights": "FOLDER/r.pth"}),
    ],
)
def test_description_has_the_id_of_the_model(tmp_path, name, settings):
    name, settings = _placed(tmp_path, name, settings)
    described = describe_model(name, cache=tmp_path, **settings)
    loaded = load_model(name, cache=tmp_path, **settings)
    assert described.name == loaded.name and tuple(described.shapes) == loaded.layers


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("pixels", {"weights": "none"}, "no weights to set"),
        ("FILE", {"weights": "absent.pth"}, "no such file"),
        ("resnet18", {"weights": "absent.pth"}, "no such file"),
        ("resnet18", {"weights": "FOLDER/mine.pth"}, "do not fit ResNet"),
        ("FILE", {"weights": "FOLDER/r.pth"}, "do not fit Sequential"),
        ("toy", {"weights": "FOLDER/r.pth"}, "do not fit ToyNetwork"),
    ],
)
def test_description_fails_as_loading_does(tmp_path, name, settings, message):
    name, settings = _placed(tmp_path, name, settings)
    faults = []
    for make in (describe_model, load_model):
        with pytest.raises((RequestError, DataError), match=message) as caught:
            make(name, cache=tmp_path, **settings)
        faults.append(str(caught.value))
    assert faults[0] == faults[1]


def _placed(folder, name, settings):
    """The names of files of this folder put in."""
    (folder / "net.py").write_text(FILE)
    if "FOLDER" in settings["weights"]:
        mine = load_model(f"{folder}/net.py:build", cache=folder)
        torch.save(mine.module.state_dict(), folder / "mine.pth")
        resnet = load_model("resnet18", weights="none", cache=folder)
        torch.save(resnet.module.state_dict(), folder / "r.pth")
    weights = settings["weights"].replace("FOLDER", str(folder))
    return name.replace("FILE", f"{folder}/net.py:build"), {**settings, "weights": weights}
