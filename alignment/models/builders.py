"""From a name to a function that builds a network, and from what it returned to a `Model`."""

import importlib
import inspect
import reprlib
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from torch import nn

from alignment.errors import RequestError, unknown
from alignment.models.base import MS, STEP, Model
from alignment.models.catalogue import MODELS
from alignment.models.initialise import seeded
from alignment.models.torch_model import TorchModel
from alignment.registry import files_behind, foreign_code, is_file_reference, split_reference

# what a module may say of itself, as plain attributes: is it sound, and what was expected
ATTRIBUTES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "image_size": (
        lambda value: value is None or (_is_sequence(value) and len(value) == 2 and all(map(_is_edge, value))),
        "(row, column), or None for any size",
    ),
    "visual_degrees": (
        lambda value: isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < 360,
        "the width of the field of view in degrees, such as 8.0",
    ),
    "classes": (
        lambda value: value is None or (_is_sequence(value) and bool(value) and all(isinstance(v, str) for v in value)),
        "their names in the order of the logits, or None where there are no logits",
    ),
    "time_unit": (lambda value: isinstance(value, str) and value in (STEP, MS), f"{STEP!r} or {MS!r}"),
    "stochastic": (lambda value: isinstance(value, bool), "True or False"),
}
# what a function's own `Model` must have
MODEL_ATTRIBUTES = (*Model.__annotations__, "logits", "fingerprint")
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
    own = display_name(name)
    # seeded, so that a network the function only initialises is the same in every process, however its file is named
    with seeded(offered["seed"], "function", own), foreign_code(f"model {name!r}"):
        built = builder(**accepted)
        return _as_model(built, name=own, sources=_sources(name, builder)), takes


def _as_model(built: Any, *, name: str, sources: Sequence[Path]) -> Model:
    if callable(getattr(built, "record", None)):
        # looked up on the class where it is there: a fingerprint takes long to compute
        lacking = [each for each in MODEL_ATTRIBUTES if not (hasattr(type(built), each) or hasattr(built, each))]
        if lacking:
            raise RequestError(f"model {name!r}: it has `record`, as a Model has, and no {', '.join(lacking)}; add it")
        _said(built, name=name)
        return built
    if not isinstance(built, nn.Module):
        raise RequestError(f"model {name!r}: the function returned {type(built).__name__}, not an nn.Module or a Model")
    return TorchModel(built, name=name, sources=sources, **_said(built, name=name))


def _said(built: Any, *, name: str) -> dict[str, Any]:
    """What a module or a model says of itself, if all of it is sound."""
    said = {attribute: getattr(built, attribute) for attribute in ATTRIBUTES if hasattr(built, attribute)}
    faults = [
        f"its {attribute} is {reprlib.repr(value)}; give {ATTRIBUTES[attribute][1]}"
        for attribute, value in said.items()
        if not ATTRIBUTES[attribute][0](value)
    ]
    if faults:
        raise RequestError(f"model {name!r}: {'; '.join(' '.join(fault.split()) for fault in faults)}")
    if said.get("image_size") is not None:
        said["image_size"] = tuple(map(int, said["image_size"]))
    if "visual_degrees" in said:
        said["visual_degrees"] = float(said["visual_degrees"])
    return said


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_edge(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def display_name(name: str) -> str:
    """What tables call a model: `./net.py:net` is `net`, `./net.py:build` is `net:build`, `torchvision/x` is itself."""
    if not is_file_reference(name):
        return name
    path, function = split_reference(name)
    return function if function == path.stem else f"{path.stem}:{function}"


def _sources(name: str, builder: Callable[..., Any]) -> tuple[Path, ...]:
    if is_file_reference(name):
        return files_behind(name)
    file = getattr(inspect.getmodule(builder), "__file__", None)
    return () if file is None else (Path(file),)
