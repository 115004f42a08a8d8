"""What a user may set of a supervised training, typed: the preset's values, and over them the user's own."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from alignment.errors import RequestError
from alignment.training.recipe import Recipe
from benchmarks.training.base import TrainingRequest
from benchmarks.training.typed import typed, with_seed

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
    found = with_seed(Choices, {**request.preset.values, **request.changes}, request)
    if found["data"] is None:
        raise RequestError("training.data is missing; name labelled images to train on, such as digits or cifar10")
    if WARM_UP not in request.changes:
        own = typed(Choices, request.preset.values if WARM_UP in request.preset.values else {})
        found[WARM_UP] = round(found["epochs"] * own[WARM_UP] / own["epochs"])
    recipe_of(found)
    return found


def recipe_of(found: Mapping[str, Any]) -> Recipe:
    """The recipe in what was asked for."""
    return Recipe(**{key: found[key] for key in _OF_RECIPE})
