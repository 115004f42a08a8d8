"""Presets are YAML that says no more than a user could type."""

from pathlib import Path

import pytest

from alignment.errors import DataError, RequestError
from alignment.models import model_names
from alignment.training.recipe import Recipe
from benchmarks.settings import parse
from benchmarks.training.base import TRAININGS
from benchmarks.training.presets import load_preset, own_preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_of_a_kind_and_of_models_that_there_are(name: str):
    preset = load_preset(name)
    assert preset.summary and "\n" not in preset.summary
    assert preset.kind in TRAININGS and set(preset.models) <= set(model_names())
    words = [f"training.{key}={value}" for key, value in preset.values.items()]
    assert parse(["model=toy", *words]).training.changes() == dict(preset.values)


def test_no_model_has_two_trainings_of_its_own():
    named = [model for name in preset_names() for model in load_preset(name).models]
    assert len(named) == len(set(named))
    assert all(own_preset(model).name == "rep_align" for model in named if model.endswith("_cifar10"))
    assert own_preset("cifar_resnet20") is None


def test_the_baseline_of_rep_align_is_the_published_one():
    values = load_preset("rep_align").values
    said = {key: type(getattr(Recipe(), key))(value) for key, value in values.items() if key not in ("data", "images")}
    assert said.pop("flip") and said == {key: getattr(Recipe(), key) for key in said}
    assert (values["data"], values["images"], len(said)) == ("cifar10", "50000", 10)


def test_a_users_own(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("summary: mine\nkind: supervised\ndata: digits\nepochs: 3\nflip: false\nlearning_rate: 1.0e-3\n")
    preset = load_preset(str(path))
    assert (preset.name, preset.kind, preset.models, preset.default_weights) == ("mine", "supervised", (), False)
    assert preset.values == {"data": "digits", "epochs": "3", "flip": "false", "learning_rate": "0.001"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "must map summary"),
        ("summary: x", "kind must name"),
        ("summary: x\nkind: supervised\nmodels: toy", "models must be a list"),
        ("summary: x\nkind: supervised\ndefault_weights: 1", "default_weights must be true or false"),
        ("summary: x\nkind: supervised\nepochs: {a: 1}", "no text, number or list"),
        ("summary: [", "mine.yaml is no training"),
    ],
)
def test_what_is_no_preset_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        load_preset(str(path))
    assert "\n" not in str(caught.value)


def test_names_that_are_not_there(tmp_path: Path):
    with pytest.raises(RequestError, match="unknown training 'digit'; did you mean digits"):
        load_preset("digit")
    with pytest.raises(RequestError, match="no file"):
        load_preset(str(tmp_path / "none.yaml"))
    path = tmp_path / "digits.yaml"
    path.write_text("summary: x\nkind: supervised\n")
    with pytest.raises(RequestError, match="the name of a shipped training"):
        load_preset(str(path))
