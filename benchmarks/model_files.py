"""Networks that were made here, each a YAML file and its weights beside it: `model=results/tuned/<name>.yaml`.

Every name of a model that a user types goes through here, so that such a file is a model wherever a name is.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from alignment import models
from alignment.errors import AlignmentError, DataError, RequestError
from alignment.models import ModelDescription
from alignment.models.base import Model
from alignment.registry import is_file_reference, split_reference
from benchmarks.store import write_whole

SUFFIX = ".yaml"
# of a name in that of a file: what separates in a word of the command, or needs quotes in a shell
FORBIDDEN = str.maketrans(dict.fromkeys("/:,[] ", "_"))
FIELDS = ("name", "base", "weights", "sha256")


@dataclass(frozen=True)
class ModelFile:
    """What the file of a model says.

    Attributes
    ----------
    name : how tables call it
    base : the model it is a copy of, as a user types it
    weights : file of its weights
    sha256 : of that file
    said : how it was made
    """

    name: str
    base: str
    weights: Path
    sha256: str
    said: Mapping[str, Any]


def is_model_file(name: str) -> bool:
    """Whether a model's name is that of such a file."""
    return name.endswith(SUFFIX)


def file_stem(name: str) -> str:
    """What files of a model are called.

    Examples
    --------
    >>> file_stem("mine:build[seed=1]+lwf")
    'mine_build_seed=1_+lwf'
    """
    return name.translate(FORBIDDEN)


def read_model_file(path: Path) -> ModelFile:
    """What a file says of its model; the weights are not read.

    Raises
    ------
    RequestError
        There is no such file.
    DataError
        It is no file of a model.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise RequestError(f"model {path}: no such file; `bench tune` and `bench train` write such files") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"model {path}: not readable as YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(field), str) for field in FIELDS):
        raise DataError(f"model {path}: it is no file of a model, which says {', '.join(FIELDS)}")
    return ModelFile(
        content["name"],
        base=content["base"],
        weights=path.parent / content["weights"],
        sha256=content["sha256"],
        said={key: value for key, value in content.items() if key not in FIELDS},
    )


def write_model_file(path: Path, module: nn.Module, *, name: str, base: str, said: Mapping[str, Any]) -> Path:
    """Write weights, then the file that names them: where the file is, both are whole.

    Parameters
    ----------
    path : `<folder>/<stem>.yaml`; the weights become `<folder>/<stem>.pt`
    module : whose weights they are, wherever it is
    name : how tables call the model
    base : the model it is a copy of, as a user types it; a file of the user's is noted with its whole path
    said : how it was made: plain values, lists and mappings of them
    """
    state = {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
    written = io.BytesIO()
    torch.save({"state_dict": state}, written)
    weights = write_whole(path.with_suffix(".pt"), written.getbuffer())
    content = {
        "name": name,
        "base": _lasting(base),
        "weights": weights.name,
        "sha256": hashlib.sha256(written.getbuffer()).hexdigest(),
        **said,
    }
    return write_whole(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def load_model(name: str, *, weights: str = "default", **settings: Any) -> Model:
    """A model by any name that a user can type; arguments as of `alignment.models.load_model`.

    Raises
    ------
    RequestError, DataError
        As there; or the weights beside a file are not those it names.
    """
    if not is_model_file(name):
        return models.load_model(name, weights=weights, **settings)
    made = _checked(name, weights)
    model = models.load_model(made.base, weights=str(made.weights), **settings)
    model.name = _called(made.name, settings.get("layers"))
    return model


def check_model(name: str, *, weights: str = "default", **settings: Any) -> list[AlignmentError]:
    """Every fault that can be found before weights are loaded; arguments as of `alignment.models.check_model`."""
    if not is_model_file(name):
        return models.check_model(name, weights=weights, **settings)
    try:
        made = _checked(name, weights)
    except AlignmentError as fault:
        return [fault]
    return models.check_model(made.base, weights=str(made.weights), **settings)


def describe_model(name: str, *, weights: str = "default", **settings: Any) -> ModelDescription:
    """What a model is; arguments as of `alignment.models.describe_model`."""
    if not is_model_file(name):
        return models.describe_model(name, weights=weights, **settings)
    made = _checked(name, weights)
    described = models.describe_model(made.base, weights=str(made.weights), **settings)
    return replace(described, name=_called(made.name, settings.get("layers")))


def display_name(name: str) -> str:
    """What tables call a model."""
    return read_model_file(Path(name).expanduser()).name if is_model_file(name) else models.display_name(name)


def _checked(name: str, weights: str) -> ModelFile:
    made = read_model_file(Path(name).expanduser())
    if weights != "default":
        raise RequestError(f"model {name} has weights of its own; leave model.weights out, or name {made.base}")
    if not made.weights.is_file():
        raise DataError(f"model {name}: its weights {made.weights} are not there; put them back, or make it again")
    with made.weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != made.sha256:
        raise DataError(f"model {name}: {made.weights} has sha256 {found[:12]}..., not {made.sha256[:12]}...")
    return made


def _called(name: str, layers: Sequence[str] | None) -> str:
    return name if layers is None else f"{name}[layers={'+'.join(dict.fromkeys(layers))}]"


def _lasting(base: str) -> str:
    """A name that means the same in any folder."""
    if not is_file_reference(base):
        return base
    path, function = split_reference(base)
    return f"{path.resolve()}:{function}"
