"""What a user asked for: `key=value` words, typed and checked by one model that forbids unknown keys.

Each word is split at its first `=`. Values stay text until a field types them; lists are separated by commas.
`model=x` means `model.name=x`, and so for `benchmark`. There is no interpolation and no second language.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from alignment.errors import RequestError, near_misses, unknown

NAMED = ("model", "benchmark")


def _items(value: object) -> object:
    """`a,b` -> ("a", "b"); `none` and an empty text are the empty list."""
    if not isinstance(value, str):
        return value
    return () if value in ("", "none") else tuple(part.strip() for part in value.split(",") if part.strip())


Items = Annotated[tuple[str, ...], BeforeValidator(_items)]


Place = Annotated[Path, AfterValidator(Path.expanduser)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """Which models, and how each is set up."""

    name: Items = ()
    weights: str = Field("default", description="default | none (seeded random) | a file of weights")
    layers: Items = Field((), description="layer names or globs; the family's own choice when not given")


class BenchmarkSettings(_Section):
    """Which benchmark, and what to change of it; every change is named in its id."""

    name: Items = ()
    measure: Items = Field((), description="what is measured (`bench list measures`): ridge, rsa, cka-linear, ...")
    selection: str | None = Field(None, description="how alpha is chosen: loo | gcv | kfold")
    pool: str | None = Field(None, description="average-pool maps to at most n x n; none keeps whole maps")
    projection: str | None = Field(None, description="sparse random projection to this many units")
    precision: str | None = Field(None, description="float32 | bfloat16 | float16")
    viewing: str | None = Field(None, description="whole (resize all of the image) | degrees (keep visual degrees)")
    scale: str | None = Field(None, description="none | floored_sd: how features are scaled before the ridge")
    comparator: str | None = Field(
        None, description="of RDMs: spearman | pearson | rho-a | cosine | ..."
    )
    distance: str | None = Field(
        None, description="of RDMs: 1-pearson | squared-euclidean | 1-cosine | ..."
    )
    pooling: str | None = Field(None, description="of RDMs for ceilings: optimal (for the comparator) | mean")
    components: str | None = Field(None, description="of pls and pcr: number of components")
    units: str | None = Field(None, description="of reverse and matching: at most so many units, drawn by seed")
    against: str | None = Field(None, description="of unique: the model whose share is taken out")
    subjects: str | None = Field(None, description="of intervals: auto (resampled from 8 on) | fixed | resampled")


class DataChoices(BaseModel):
    """Where data lie, and which part of a data set is meant; any other key must be the name of a data set."""

    model_config = ConfigDict(extra="allow", frozen=True)

    root: Place = Path("data")
    subjects: str | None = None
    sessions: str | None = None
    beta: str | None = None
    source: str | None = None
    split: str | None = None
    nc_min: str | None = None
    visual_degrees: str | None = None

    def options(self) -> dict[str, str]:
        """What was asked of the data set itself."""
        fields = set(type(self).model_fields) - {"root"}
        return {key: value for key, value in self.model_dump().items() if key in fields and value is not None}

    def folders(self) -> dict[str, Path]:
        """Folders named for single data sets, `data.nsd=<folder>`."""
        return {key: Path(str(value)).expanduser() for key, value in (self.model_extra or {}).items()}


class Settings(_Section):
    """Everything `bench` can be told."""

    model: ModelSettings = ModelSettings()
    suite: str | None = None
    benchmark: BenchmarkSettings = BenchmarkSettings()
    data: DataChoices = DataChoices()
    results: Place = Path("results")
    device: str = "cpu"
    batch_size: int = Field(32, ge=1)
    block_size: int = Field(256, ge=1)
    threads: int | None = Field(None, ge=1)
    seed: int = 0
    n_bootstrap: int = Field(1000, ge=100)
    nulls: Items | None = Field(None, description="null rows: any of pixels, gabor, untrained, shuffled, or none")


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
            faults.append(f"{word!r} is not key=value{near_misses(key, known_keys())}")
            continue
        faults += _place(tree, f"{key}.name" if key in NAMED else key, value)
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


def known_keys() -> list[str]:
    """Every key that `parse` accepts, data sets' own folders aside."""
    keys: list[str] = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            keys += [name] if name in NAMED else []
            keys += [f"{name}.{inner}" for inner in section.model_fields]
        else:
            keys.append(name)
    return keys


def _place(tree: dict[str, Any], key: str, value: str) -> list[str]:
    *parents, last = key.split(".", 1)
    place = tree
    for parent in parents:
        if parent not in Settings.model_fields or not isinstance(place.setdefault(parent, {}), dict):
            return [str(unknown("key", key, known_keys()))]
        place = place[parent]
    if last in place:
        return [f"{key} is given twice"]
    place[last] = value
    return []


def _fault(entry: Any) -> str:
    where = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        return str(unknown("key", where, known_keys()))
    message = entry["msg"].removeprefix("Value error, ")
    return f"{where}={entry['input']!s}: {message[:1].lower()}{message[1:]}"
