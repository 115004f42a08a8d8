"""What a user asked for: `key=value` words, typed and checked by one model that forbids unknown keys.

Each word is split at its first `=`. Values stay text until a field types them; lists are separated by commas.
`model=x` means `model.name=x`, and so for `benchmark`. There is no interpolation and no second language.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from alignment.errors import RequestError, near_misses, unknown
from benchmarks.keys import (
    BenchmarkSettings,
    DataChoices,
    Items,
    ModelSettings,
    Place,
    Section,
    Text,
    TrainingSettings,
    TuningSettings,
    check_device,
)

NAMED = ("model", "benchmark", "tuning", "training")
NAME = "name"


class Settings(Section):
    """Everything `bench` can be told."""

    model: ModelSettings = ModelSettings()
    suite: Text | None = Field(None, description="of `bench list suites`, or ./mine.yaml")
    benchmark: BenchmarkSettings = BenchmarkSettings()
    tuning: TuningSettings = TuningSettings()
    control: Items = Field(
        (), description="of tune: kd_only, shuffle, matched, pixel (together: standard), ft, gaussian, ... (all)"
    )
    training: TrainingSettings = TrainingSettings()
    data: DataChoices = DataChoices()
    results: Place = Field(Path("results"), description="where everything is kept")
    x: Text | None = Field(None, description="of relate: a benchmark, by name or by the id that tables give")
    y: Text | None = Field(None, description="of relate: another")
    to: Place | None = Field(None, description="of data export: the folder to write in")
    layout: Literal["usual", "rep_align"] = Field(
        "usual", description="of data export: usual (netCDF of responses, HDF5 of RDMs) | rep_align (its data folder)"
    )
    device: Annotated[Text, AfterValidator(check_device)] = Field("cpu", description="cpu | cuda | cuda:<number> | mps")
    batch_size: int = Field(32, ge=1, le=2**16, description="images in a forward pass")
    block_size: int = Field(256, ge=1, le=2**20, description="images in an entry of the store")
    threads: int | None = Field(None, ge=1, le=2**10, description="for the mathematics; as many as torch takes")
    seed: int = Field(0, ge=0, lt=2**63, description="of resamples, random weights and what trains itself")
    n_bootstrap: int = Field(1000, ge=100, le=100_000, description="number of resamples")
    nulls: Items | None = Field(
        None, description="null rows: any of pixels, gabor, untrained, shuffled, references | none; the suite's own"
    )


def parse(words: Sequence[str]) -> Settings:
    """Type the words of a command.

    Parameters
    ----------
    words : `key=value`, keys dotted

    Raises
    ------
    RequestError
        A word without `=`, an unknown key (with near misses) or a repeated one, a value of the wrong kind; all at once.

    Examples
    --------
    >>> parse(["model=toy,resnet18", "suite=smoke", "model.layers=layer*"]).model.name
    ('toy', 'resnet18')
    """
    tree: dict[str, Any] = {}
    faults: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            hint = f"; write {key}=<value>" if key in known_keys() else _near_keys(key)
            faults.append(f"{word!r} is not key=value{hint}")
            continue
        faults += _place(tree, key, value)
    if faults:
        raise RequestError("; ".join(faults))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise RequestError("; ".join(_fault(entry) for entry in error.errors())) from None


def check_data_names(data: DataChoices, known: Sequence[str]) -> None:
    """Every `data.<name>` that is no option must be a data set."""
    for name in data.folders():
        if name not in known:
            raise unknown("key", f"data.{name}", [*known_keys(), *(f"data.{each}" for each in known)])


def check_heeded(words: Sequence[str], heeded: Sequence[str], *, command: str) -> None:
    """Refuse what a command makes no use of, so that no wish is silently ignored.

    Parameters
    ----------
    words : of known keys
    heeded : keys that the command makes use of, or globs of them
    command : what the message calls it

    Raises
    ------
    RequestError
        A key is not among them.

    Examples
    --------
    >>> check_heeded(["suite=smoke", "seed=5"], ["suite", "results"], command="bench leaderboard")
    Traceback (most recent call last):
    ...
    alignment.errors.RequestError: bench leaderboard makes no use of seed; leave it out (it takes suite, results)
    """
    short = {f"{name}.{NAME}": name for name in NAMED}
    keys = [word.partition("=")[0] for word in words]
    ignored = [key for key in keys if not _matches(short.get(key, key), heeded)]
    if ignored:
        raise RequestError(
            f"{command} makes no use of {', '.join(ignored)}; leave it out (it takes {', '.join(heeded)})"
        )


def known_keys() -> list[str]:
    """Every key that `parse` accepts, data sets' own folders aside."""
    keys = [key for key, _ in _fields()]
    return [*keys, *(f"{name}.{NAME}" for name in NAMED)]


def described_keys(heeded: Sequence[str]) -> list[tuple[str, str]]:
    """Keys and what each means, those that a command makes use of.

    Examples
    --------
    >>> described_keys(["results"])
    [('results', 'where everything is kept (default results)')]
    """
    described = {key: _meaning(field) for key, field in _fields() if _matches(key, heeded)}
    any_set = "data.<data set>"
    sets = [any_set] if _matches(any_set, heeded) else [key for key in heeded if key.startswith("data.")]
    own = {key: "folder of one data set, such as data.nsd=/nsd" for key in sets if key not in described}
    return [*described.items(), *own.items()]


def _matches(key: str, heeded: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in heeded)


def _meaning(field: FieldInfo) -> str:
    default, text = field.default, field.description or ""
    says = default not in (None, ()) and not text.startswith(str(default))
    return f"{text} (default {default})" if says else text


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every key and its field; `model` and `benchmark` stand for the names in them."""
    for name, field in Settings.model_fields.items():
        section = _section(name)
        if section is None:
            yield name, field
            continue
        for inner, inner_field in section.model_fields.items():
            yield name if inner == NAME else f"{name}.{inner}", inner_field


def _section(name: str) -> type[BaseModel] | None:
    """The model of the keys below a name, if there are any."""
    field = Settings.model_fields.get(name)
    kind = None if field is None else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _place(tree: dict[str, Any], key: str, value: str) -> list[str]:
    """Put a value where its key says, or say why it has no place."""
    parent, dot, name = key.partition(".")
    section = _section(parent)
    if section is None and key not in Settings.model_fields:
        return [f"unknown key {key!r}{_near_keys(key)}"]
    if section is not None and not dot and parent not in NAMED:
        first = next(iter(section.model_fields))
        return [f"{key}={value}: {key} says nothing alone; write such as {key}.{first}=<value>"]
    place = tree if section is None else tree.setdefault(parent, {})
    name = key if section is None else name if dot else NAME
    if name in place:
        return [f"{key} is given twice"]
    place[name] = value
    return []


def _near_keys(key: str) -> str:
    """Near misses; every key is in small letters."""
    return near_misses(key.lower(), known_keys())


def _fault(entry: Any) -> str:
    where = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        return f"unknown key {where!r}{_near_keys(where)}"
    message = entry["msg"].removeprefix("Value error, ")
    return f"{where}={entry['input']!s}: {message[:1].lower()}{message[1:]}"
