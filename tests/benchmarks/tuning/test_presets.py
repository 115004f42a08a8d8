"""Presets are YAML that says no more than a user could type."""

from pathlib import Path

import pytest

from alignment.errors import DataError, RequestError
from benchmarks.settings import parse
from benchmarks.tuning.audit import WORDS
from benchmarks.tuning.choices import asked
from benchmarks.tuning.presets import load_preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_can_be_used(name: str):
    preset = load_preset(name)
    assert preset.summary and "\n" not in preset.summary
    words = [f"tuning={name}", "tuning.data=x", "tuning.task=y", "tuning.layers=z"]
    assert asked(parse(words)).choices.layers == ("z",)
    assert all(entry["benchmark"] in WORDS or "." in entry["benchmark"] for entry in preset.audit)


def test_a_users_own(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("summary: mine\nepochs: 3\ndistil: [0.1, 1]\nwarm_up: false\naudit:\n  - {benchmark: task}\n")
    preset = load_preset(str(path))
    assert preset.values == {"epochs": "3", "distil": "0.1,1", "warm_up": "false"}
    assert preset.audit == ({"benchmark": "task"},)
    words = [f"tuning={path}", "tuning.data=x", "tuning.task=y", "tuning.layers=z"]
    choices = asked(parse(words)).choices
    assert (choices.epochs, choices.distil, choices.warm_up) == (3, (0.1, 1.0), False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "must map summary"),
        ("epochs: 3", "must map summary"),
        ("summary: x\naudit: task", "list of mappings"),
        ("summary: x\nepochs: {a: 1}", "no text, number or list"),
        ("summary: [", "is no tuning"),
    ],
)
def test_what_is_no_preset_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        load_preset(str(path))


def test_names_that_are_not_there(tmp_path: Path):
    with pytest.raises(RequestError, match="unknown tuning 'smok'; did you mean smoke"):
        load_preset("smok")
    with pytest.raises(RequestError, match="no file"):
        load_preset(str(tmp_path / "none.yaml"))
    path = tmp_path / "smoke.yaml"
    path.write_text("summary: x\n")
    with pytest.raises(RequestError, match="the name of a shipped tuning"):
        load_preset(str(path))
