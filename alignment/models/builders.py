"""From a name to a function that builds a network, and from what it returned to a `Model`."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from alignment.errors import RequestError, unknown
from alignment.models.base import MS, STEP, Model
from alignment.models.catalogue import MODELS
from alignment.models.initialise import seeded
from alignment.models.torch_model import TorchModel
from alignment.registry import files_behind, foreign_code, is_file_reference, split_reference

# what a module may say of itself, as plain attributes
ATTRIBUTES = ("image_size", "visual_degrees", "classes", "time_unit", "stochastic")
TORCHVISION = "torchvision"
LIBRARIES = (TORCHVISION, "timm")


def library_of(name: str) -> tuple[Any, str]:
    """The library a name belongs to, and its name there; None for a registered name or a file."""
    prefix, slash, bare = name.partition("/")
    if slash and prefix in LIBRARIES:
        return _adapter(prefix), bare
    if is_file_reference(name) or name in MODELS:
        return None, name
    names = _adapter(TORCHVISION).torchvision_names()
    if name not in names:
        raise unknown("model", name, (*MODELS.names(), *names))
    return _adapter(TORCHVISION), name


def _adapter(library: str) -> Any:
    """Imported only when a name needs it: torchvision alone takes a second or two."""
    return importlib.import_module(f"alignment.models.{library}")


def from_function(name: str, *, offered: Mapping[str, Any]) -> tuple[Model, frozenset[str]]:
    """What the function that a name stands for builds, and the keywords it takes.

    Parameters
    ----------
    name : registered, or `./file.py:function`
    offered : keyword -> value, passed where the function takes it; with at least `seed`

    Raises
    ------
    RequestError
        No such function, it failed, or it returned no model.
    """
    builder = MODELS.find(name)
    takes = frozenset(inspect.signature(builder).parameters)
    accepted = {keyword: value for keyword, value in offered.items() if keyword in takes}
    own = _base_name(name)
    # seeded, so that a network the function only initialises is the same in every process, however its file is named
    with seeded(offered["seed"], "function", own), foreign_code(f"model {name!r}"):
        built = builder(**accepted)
    return _as_model(built, name=own, sources=_sources(name, builder)), takes


def _as_model(built: Any, *, name: str, sources: Sequence[Path]) -> Model:
    if callable(getattr(built, "record", None)):
        return built
    if not isinstance(built, nn.Module):
        raise RequestError(f"model {name!r}: the function returned {type(built).__name__}, not an nn.Module or a Model")
    said = {attribute: getattr(built, attribute) for attribute in ATTRIBUTES if hasattr(built, attribute)}
    if said.get("time_unit", STEP) not in (STEP, MS):
        raise RequestError(f"model {name!r}: its time_unit is {said['time_unit']!r}; give {STEP!r} or {MS!r}")
    if not isinstance(said.get("stochastic", False), bool):
        kind = type(said["stochastic"]).__name__
        raise RequestError(f"model {name!r}: its attribute stochastic is a {kind}; give True or False")
    return TorchModel(built, name=name, sources=sources, **said)


def _base_name(name: str) -> str:
    if not is_file_reference(name):
        return name
    path, function = split_reference(name)
    return function if function == path.stem else f"{path.stem}:{function}"


def _sources(name: str, builder: Callable[..., Any]) -> tuple[Path, ...]:
    if is_file_reference(name):
        return files_behind(name)
    file = getattr(inspect.getmodule(builder), "__file__", None)
    return () if file is None else (Path(file),)
