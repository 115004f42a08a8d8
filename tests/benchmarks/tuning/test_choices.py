"""What a user types of a tuning is typed, and every fault is said at once."""

from dataclasses import fields

import pytest

from alignment.errors import RequestError
from alignment.tuning.controls import CONTROLS, STANDARD
from alignment.tuning.recipe import Recipe
from benchmarks.keys import TuningSettings
from benchmarks.settings import parse
from benchmarks.tuning.choices import Choices, adapted, asked

NEEDED = ("tuning.data=x", "tuning.task=y", "tuning.layers=z")


def test_values_are_typed_over_the_preset():
    found = asked(parse(["tuning=smoke", "tuning.held_out_neuroids=1/4", "tuning.distil=0.1,1,10", "tuning.epochs=3"]))
    choices = found.choices
    assert (choices.held_out_neuroids, choices.distil, choices.epochs) == (0.25, (0.1, 1.0, 10.0), 3)
    assert choices.data == "nsd-smoke.V4" and choices.learning_rate == 1e-3
    assert found.changed == {"held_out_neuroids": "1/4", "distil": "0.1,1,10", "epochs": "3"}
    assert asked(parse(["tuning=smoke", "tuning.epochs=6"])).changed == {}, "what the preset says is no change"
    recipe = choices.recipe(distil=0.1, seed=5)
    assert (recipe.distil, recipe.seed, recipe.layers, recipe.replay) == (0.1, 5, ("stage3",), 1.0)


def test_every_key_of_the_command_is_a_choice_and_the_other_way_round():
    assert set(TuningSettings.model_fields) - {"name"} == set(Choices.model_fields)


def test_seeds_are_counted_or_named():
    def seeds(word: str) -> tuple[int, ...]:
        return asked(parse([f"tuning.seeds={word}", *NEEDED])).choices.seeds

    assert (seeds("3"), seeds("4-6"), seeds("7-7")) == ((0, 1, 2), (4, 5, 6), (7,))
    for word in ("6-4", "0", "many", "1-200"):
        with pytest.raises(RequestError, match=f"tuning.seeds={word}"):
            seeds(word)


def test_controls_are_named_alone_or_together():
    def controls(word: str) -> tuple[str, ...]:
        return asked(parse([f"control={word}", *NEEDED])).controls

    assert controls("standard") == STANDARD
    assert controls("ft,standard,ft") == ("ft", *STANDARD)
    assert set(controls("all")) == set(CONTROLS) - {"none"}
    assert controls("none") == ()


def test_all_faults_come_together():
    with pytest.raises(RequestError) as raised:
        asked(parse(["tuning.epochs=many", "tuning.layers=z", "control=shufle"]))
    text = str(raised.value)
    assert "tuning.epochs=many" in text and "did you mean shuffle" in text
    assert "tuning.data is missing" in text and "tuning.task is missing" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("tuning.loss=mess", "unknown loss 'mess'.*mse"),
        ("tuning.batch_norm=freez", "did you mean freeze"),
        ("tuning.held_out_neuroids=1", "tuning.held_out_neuroids=1:"),
        ("tuning.distil=", "tuning.distil"),
        ("tuning.distil=,", "tuning.distil"),
        ("tuning.seeds=0", "tuning.seeds=0"),
        ("tuning.layers=,", r"^tuning\.layers=,: name the layer that is read out, or several by comma, each once$"),
        ("tuning.layers=a,a", r"^tuning\.layers=a,a: name the layer that is read out, or several by comma, each once$"),
        ("tuning.jitter=0.5", "jitter is 0.5"),
        ("tuning.learning_rate=-1", "learning_rate is -1"),
    ],
)
def test_values_that_cannot_be(word: str, said: str):
    with pytest.raises(RequestError, match=said):
        asked(parse([*(each for each in NEEDED if each.partition("=")[0] != word.partition("=")[0]), word]))


def test_several_layers_are_one_run_whatever_blanks_stand_between():
    plain, spaced = (asked(parse([*NEEDED[:2], f"tuning.layers={text}"])) for text in ("a,b", "a, b"))
    assert plain.choices.layers == ("a", "b") and plain.choices.recipe(distil=1.0, seed=0).layers == ("a", "b")
    assert spaced == plain


def test_unknown_keys_have_near_misses():
    with pytest.raises(RequestError, match=r"did you mean .*tuning\.epochs"):
        parse(["tuning.epoch=3"])


def test_a_control_leaves_out_what_it_says():
    recipe = Recipe(("z",), distil=0.5, replay=2.0, anchor=0.1)
    assert adapted(recipe, "ft").settings() | {"neural": 1.0} == {
        **recipe.settings(), "distil": 0.0, "replay": 0.0, "joint": 0.0, "anchor": 0.0
    }  # fmt: skip
    assert adapted(recipe, "kd_only").neural == 0
    assert adapted(recipe, "shuffle") == recipe
    assert adapted(recipe, "head_only").trainable == "readout"
    assert adapted(recipe, "joint").joint == 1.0
    adversarial = adapted(recipe, "adv")
    assert (adversarial.neural, adversarial.distil, adversarial.replay, adversarial.joint) == (0, 0, 0, 1.0)


def test_no_field_of_a_recipe_is_forgotten():
    assert {field.name for field in fields(Recipe)} - {"seed"} <= set(Choices.model_fields)
