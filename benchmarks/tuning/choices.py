"""What a user may set of a tuning, typed: the preset's values, and over them the user's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from alignment.errors import RequestError, near_misses
from alignment.tuning.controls import CONTROLS, STANDARD
from alignment.tuning.recipe import Recipe
from benchmarks.settings import Settings
from benchmarks.tuning.presets import Preset, load_preset

DEFAULT = "lwf"
TUNED = "lwf"
CONTROL_SETS: Mapping[str, tuple[str, ...]] = {"standard": STANDARD, "all": tuple(CONTROLS)}
RANGE = re.compile(r"(?:([0-9]{1,9})-)?([0-9]{1,9})")
MOST_SEEDS = 100
FRACTION = re.compile(r"\s*([0-9.]+)\s*/\s*([0-9.]+)\s*")


def _by_comma(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _fraction(value: object) -> object:
    found = FRACTION.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) / float(found[2]) if found and float(found[2]) else value


def _seeds(value: object) -> object:
    """`5` is five seeds, from the seed of the command on; `1-5` is these."""
    found = RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    first, last = int(found[1] or 0), int(found[2]) if found[1] else int(found[2]) - 1
    if not first <= last < first + MOST_SEEDS:
        raise ValueError(f"give how many, 1 to {MOST_SEEDS}, or the first and the last, such as 1-5")
    return tuple(range(first, last + 1))


def _layers(value: object) -> object:
    """Names by comma, each once."""
    found = _by_comma(value)
    if isinstance(found, list) and len(set(found)) < max(len(found), 1):
        raise ValueError("name the layer that is read out, or several by comma, each once")
    return found


Numbers = Annotated[tuple[float, ...], BeforeValidator(_by_comma), Field(min_length=1)]
Share = Annotated[float, BeforeValidator(_fraction)]


class Choices(BaseModel):
    """Settings of a tuning; those that are also fields of `alignment.tuning.recipe.Recipe` have its meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    task: str
    layers: Annotated[tuple[str, ...], BeforeValidator(_layers)]
    split: str = "first"
    subjects: Annotated[tuple[str, ...], BeforeValidator(_by_comma)] = ()
    held_out_neuroids: Share = Field(0.0, ge=0, lt=1)
    validation: Share = Field(0.2, gt=0, lt=1)
    task_split: Literal["first", "spread"] = "spread"
    viewing: Literal["degrees", "whole"] = "degrees"
    noise_ceiling: float | None = Field(None, gt=0, le=1)
    pixel_features: Literal["gabor", "pixels"] = "gabor"
    other_data: str | None = None
    other_model: str | None = None
    adversarial: Share = Field(8 / 255, gt=0, le=1)
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds), Field(min_length=1, max_length=MOST_SEEDS)] = (0,)
    audit: Literal["preset", "none"] = "preset"

    time_bins: Annotated[tuple[float, ...] | None, BeforeValidator(_by_comma)] = None
    readout: str = "linear"
    loss: str = "mse"
    neural: float = 1.0
    distil: Numbers = (1.0,)
    replay: float = 1.0
    joint: float = 0.0
    anchor: float = 0.0
    temperature: float = 2.0
    batch_norm: str = "freeze"
    allow_drift: bool = False
    trainable: str = "all"
    learning_rate: float = 3e-4
    schedule: str = "cosine"
    weight_decay: float = 0.01
    optimiser: str = "adamw"
    epochs: int = Field(15, le=100_000)
    batch_size: int = Field(128, le=100_000)
    accumulate: int = 1
    precision: str = "float32"
    jitter: Share = 0.0
    warm_up: bool = True
    judged_by: str = "refit"
    patience: int = 3
    tolerance: float = 0.01

    def recipe(self, *, distil: float, seed: int) -> Recipe:
        """The recipe of tuning itself, with one weight of distillation.

        Raises
        ------
        RequestError
            A value that a recipe cannot have.
        """
        given = {field.name: getattr(self, field.name) for field in fields(Recipe) if hasattr(self, field.name)}
        return Recipe(**{**given, "distil": distil, "seed": seed})


@dataclass(frozen=True)
class Asked:
    """What was asked for, all of it known and typed.

    Attributes
    ----------
    preset : where it starts from
    changed : what the user said over it, as typed, for names
    choices : both together
    controls : in the order in which they were asked for, each once
    """

    preset: Preset
    changed: Mapping[str, str]
    choices: Choices
    controls: tuple[str, ...]


def asked(settings: Settings) -> Asked:
    """Type what a user said of a tuning.

    Raises
    ------
    RequestError
        An unknown preset, setting or control (with near misses), a value of the wrong kind, or something missing; all
        at once.
    """
    preset = load_preset(settings.tuning.name or DEFAULT)
    given = settings.tuning.model_dump().items()
    # blanks around commas make no other run
    said = {
        key: ",".join(part.strip() for part in value.split(","))
        for key, value in given
        if value is not None and key != "name"
    }
    changed = {key: value for key, value in said.items() if preset.values.get(key) != value}
    faults = []
    for name in settings.control:
        if name not in CONTROLS and name not in CONTROL_SETS:
            known = (*CONTROLS, *CONTROL_SETS)
            faults.append(f"unknown control {name!r}{near_misses(name, known) or '; known: ' + ', '.join(known)}")
    try:
        choices = Choices.model_validate({**preset.values, **said})
        choices.recipe(distil=choices.distil[0], seed=settings.seed)
    except ValidationError as error:
        faults += [_fault(entry) for entry in error.errors()]
    except RequestError as error:
        faults.append(f"tuning.{error}")
    if faults:
        raise RequestError("; ".join(faults))
    names = [each for name in settings.control for each in CONTROL_SETS.get(name, (name,))]
    # the teacher is always there beside what was made of it
    controls = tuple(dict.fromkeys(each for each in names if each != "none"))
    return Asked(preset, changed, choices, controls)


def adapted(recipe: Recipe, control: str) -> Recipe:
    """The recipe of a control: that of tuning, less what the control leaves out.

    Parameters
    ----------
    recipe : of tuning
    control : of `alignment.tuning.controls.CONTROLS`

    Examples
    --------
    >>> adapted(Recipe(("layer4",)), "kd_only").neural
    0.0
    """
    chosen = CONTROLS[control]
    changes: dict[str, Any] = dict.fromkeys(chosen.without, 0.0)
    if chosen.trainable is not None:
        changes["trainable"] = chosen.trainable
    if "labels" in chosen.needs:
        changes["joint"] = recipe.joint or 1.0
    return replace(recipe, **changes)


def _fault(entry: Any) -> str:
    key = ".".join(str(part) for part in entry["loc"])
    known = list(Choices.model_fields)
    if entry["type"] == "extra_forbidden":
        return f"unknown key 'tuning.{key}'{near_misses(key, known)}"
    if entry["type"] == "missing":
        return f"tuning.{key} is missing; {_MISSING[key]}"
    message = entry["msg"].removeprefix("Value error, ")
    return f"tuning.{key}={entry['input']!s}: {message[:1].lower()}{message[1:]}"


_MISSING = {
    "data": "name the responses, such as tuning.data=cowley2023.201025",
    "task": "name the images of the network's task, such as tuning.task=cifar10",
    "layers": "name the layer that is read out (`bench show model=<model>` lists them), or several by comma",
}
