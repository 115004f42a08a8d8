"""Settings of a training as a user types them, given their kinds."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from alignment.errors import RequestError, near_misses
from benchmarks.catalogue import short_name
from benchmarks.training.base import TrainingRequest


def typed(choices: type[BaseModel], values: Mapping[str, str]) -> dict[str, Any]:
    """Texts by key, typed.

    Parameters
    ----------
    choices : that forbids unknown keys
    values : by the key below `training.`

    Raises
    ------
    RequestError
        An unknown key (with near misses), or a value of the wrong kind or out of its range; all at once.

    Examples
    --------
    >>> from pydantic import create_model
    >>> typed(create_model("Choices", epochs=(int, 3), flip=(bool, True)), {"epochs": "5"})
    {'epochs': 5, 'flip': True}
    """
    try:
        return choices.model_validate(dict(values)).model_dump()
    except ValidationError as error:
        raise RequestError("; ".join(_fault(entry, choices) for entry in error.errors())) from None


def with_seed(choices: type[BaseModel], values: Mapping[str, str], request: TrainingRequest) -> dict[str, Any]:
    """`typed`, with the seed of the command where none is given."""
    found = typed(choices, values)
    return {**found, "seed": request.settings.seed if found["seed"] is None else found["seed"]}


def changed(choices: type[BaseModel], found: Mapping[str, Any], request: TrainingRequest) -> dict[str, object]:
    """What the user gave and is not as it would have been anyway, as names say it."""
    usual = with_seed(choices, request.preset.values, request)
    changes = {key: found[key] for key in request.changes if found[key] != usual[key]}
    return changes | ({"data": short_name(found["data"])} if "data" in changes else {})


def _fault(entry: Any, choices: type[BaseModel]) -> str:
    key = ".".join(map(str, entry["loc"]))
    if entry["type"] == "extra_forbidden":
        near = near_misses(f"training.{key}", [f"training.{each}" for each in choices.model_fields])
        return f"unknown key 'training.{key}'{near}"
    return f"training.{key}={entry['input']}: {entry['msg'][:1].lower()}{entry['msg'][1:]}"
