"""What a user may set of a supervised training, typed: the preset's values, and over them the user's own."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from alignment.errors import RequestError, near_misses
from alignment.training.recipe import Recipe
from benchmarks.catalogue import short_name
from benchmarks.training.base import TrainingRequest

WARM_UP = "warm_up_epochs"

_OF_RECIPE: dict[str, Any] = {field.name: (field.type, field.default) for field in fields(Recipe)}
_BESIDE: dict[str, Any] = {
    "seed": (int | None, Field(None, ge=0)),
    "data": (str | None, None),
    "images": (int | None, Field(None, ge=1)),
}
Choices: type[BaseModel] = create_model(
    "Choices", __config__=ConfigDict(extra="forbid", frozen=True), **(_OF_RECIPE | _BESIDE)
)


def asked(request: TrainingRequest) -> dict[str, Any]:
    """Preset and changes, typed; every field of a `Recipe`, and `data` and `images`.

    Where the user gives epochs and no warm-up, the learning rate rises for the preset's share of them. The seed is that
    of the command where none is given.

    Raises
    ------
    RequestError
        An unknown key (with near misses), a value of the wrong kind or out of its range, or no data.
    """
    found = typed({**request.preset.values, **request.changes})
    if found["data"] is None:
        raise RequestError("training.data is missing; name labelled images to train on, such as digits or cifar10")
    if WARM_UP not in request.changes:
        own = typed(request.preset.values if WARM_UP in request.preset.values else {})
        found[WARM_UP] = round(found["epochs"] * own[WARM_UP] / own["epochs"])
    if found["seed"] is None:
        found["seed"] = request.settings.seed
    recipe_of(found)
    return found


def recipe_of(found: Mapping[str, Any]) -> Recipe:
    """The recipe in what was asked for."""
    return Recipe(**{key: found[key] for key in _OF_RECIPE})


def changed(found: Mapping[str, Any], request: TrainingRequest) -> dict[str, object]:
    """What the user gave and is not as it would have been anyway, as names say it."""
    usual = typed(request.preset.values)
    if usual["seed"] is None:
        usual["seed"] = request.settings.seed
    changes = {key: found[key] for key in request.changes if found[key] != usual[key]}
    return changes | ({"data": short_name(found["data"])} if "data" in changes else {})


def typed(values: Mapping[str, str]) -> dict[str, Any]:
    """Texts by key, typed.

    Raises
    ------
    RequestError
        An unknown key (with near misses), or a value of the wrong kind; all at once.
    """
    try:
        return Choices.model_validate(dict(values)).model_dump()
    except ValidationError as error:
        raise RequestError("; ".join(map(_fault, error.errors()))) from None


def _fault(entry: Any) -> str:
    key = ".".join(map(str, entry["loc"]))
    if entry["type"] == "extra_forbidden":
        near = near_misses(f"training.{key}", [f"training.{each}" for each in Choices.model_fields])
        return f"unknown key 'training.{key}'{near}"
    return f"training.{key}={entry['input']}: {entry['msg'][:1].lower()}{entry['msg'][1:]}"
