"""A file that names a network and its weights is a model wherever a name is."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from alignment.errors import DataError, RequestError
from benchmarks.model_files import check_model, describe_model, display_name, load_model, read_model_file
from benchmarks.model_files import write_model_file as write

NETWORK = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A copy of `toy` whose weights were changed."""
    module = load_model("toy", weights="none", cache=tmp_path).module
    assert module is not None
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2)
    return write(tmp_path / "tuned" / "mine.yaml", module, name="toy+mine", base="toy", said={"seed": 1})


def test_weights_and_name_come_back(made: Path, tmp_path: Path):
    model = load_model(str(made), cache=tmp_path)
    plain = load_model("toy", weights="none", cache=tmp_path)
    assert model.name == "toy+mine" == display_name(str(made))
    assert model.module is not None and plain.module is not None
    for weight, other in zip(model.module.parameters(), plain.module.parameters(), strict=True):
        assert torch.equal(weight, 2 * other)
    assert model.fingerprint != plain.fingerprint
    assert read_model_file(made).said == {"seed": 1}
    assert load_model(str(made), cache=tmp_path, layers=["stage*"]).name == "toy+mine[layers=stage*]"
    described = describe_model(str(made), cache=tmp_path)
    assert described.name == "toy+mine"
    assert described.parameters == sum(weight.numel() for weight in plain.module.parameters())
    assert check_model(str(made), cache=tmp_path) == []


def test_a_users_own_file_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "nets.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path / "there")
    module = load_model("./nets.py:net", cache=tmp_path).module
    assert isinstance(module, nn.Module)
    path = write(tmp_path / "mine.yaml", module, name="net+mine", base="./nets.py:net", said={})
    monkeypatch.chdir(tmp_path)
    again = load_model(str(path), cache=tmp_path).module
    assert again is not None
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


def test_other_weights_are_refused(made: Path, tmp_path: Path):
    weights = made.with_suffix(".pt")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"mine\.pt has sha256 .*, not "):
        load_model(str(made), cache=tmp_path)
    assert [type(fault) for fault in check_model(str(made), cache=tmp_path)] == [DataError]
    weights.unlink()
    with pytest.raises(DataError, match="are not there"):
        load_model(str(made), cache=tmp_path)


def test_what_is_no_such_file_is_said_in_one_line(made: Path, tmp_path: Path):
    with pytest.raises(RequestError, match="no such file"):
        load_model(str(tmp_path / "other.yaml"), cache=tmp_path)
    with pytest.raises(RequestError, match=r"leave model\.weights out"):
        load_model(str(made), weights="none", cache=tmp_path)
    for text, said in (("a: [", "not readable as YAML"), ("- 1", "no file of a model"), ("name: x", "no file of a")):
        made.write_text(text)
        with pytest.raises(DataError, match=said):
            load_model(str(made), cache=tmp_path)


def test_yaml_tags_are_not_obeyed(made: Path, tmp_path: Path):
    content = yaml.safe_load(made.read_text())
    made.write_text(yaml.safe_dump(content) + "said: !!python/object/apply:os.system ['touch harm']\n")
    with pytest.raises(DataError, match="not readable as YAML"):
        read_model_file(made)
