"""A model by its name, its weights and its layers; and what can be said about it before any weight is loaded."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from alignment.errors import AlignmentError, RequestError, unknown
from alignment.models.base import Model
from alignment.models.catalogue import MODELS
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import reinitialise, seeded
from alignment.models.torch_model import TorchModel
from alignment.registry import foreign_code, is_file_reference, split_reference

# what a module may say of itself, as plain attributes
ATTRIBUTES = ("image_size", "visual_degrees", "classes")
TORCHVISION = "torchvision"
LIBRARIES = (TORCHVISION, "timm")


@dataclass(frozen=True)
class ModelDescription:
    """What a model is, without its trained weights.

    Attributes
    ----------
    name : its id
    parameters : how many weights
    shapes : layer -> shape of one image's activations at each time_bin
    time_bins : layer -> time bins
    image_size : (row, column); None when any
    classes : how many; 0 without logits
    """

    name: str
    parameters: int
    shapes: Mapping[str, tuple[int, ...]]
    time_bins: Mapping[str, tuple[float, ...]]
    image_size: tuple[int, int] | None
    classes: int


@runtime_checkable
class SelectsLayers(Protocol):
    """A model that can be recorded at more places than its `layers`."""

    def select_layers(self, patterns: Sequence[str]) -> None:
        """Make `layers` what names and globs match."""
        ...


def load_model(
    name: str,
    *,
    cache: Path,
    weights: str = "default",
    layers: Sequence[str] | None = None,
    data_root: Path | None = None,
    seed: int = 0,
) -> Model:
    """A model, ready to record from.

    Parameters
    ----------
    name : of `model_names`, of torchvision (`resnet18`, `torchvision/resnet18`), `timm/<name>`, or
        `./file.py:function` for a function that returns an `nn.Module` or a `Model`. A module may carry `image_size`
        (default (224, 224)), `visual_degrees` and `classes` as attributes
    cache : folder for what is trained or downloaded here
    weights : "default" (published, or what the function gives), "none" (seeded random initialisation), or the path of
        a checkpoint, loaded strictly
    layers : names or globs; the model's own choice when not given
    data_root : folder with data at hand, such as `weights/`
    seed : for "none"

    Returns
    -------
    Model, named by its id: `resnet18`, `resnet18[weights=none]`, `mine`, `mine:other[weights=epoch3]`

    Raises
    ------
    RequestError
        No such model, layer or file, or the function failed.
    DataError
        The weights cannot be downloaded or read, or do not fit.
    """
    offered = {"weights": weights, "data_root": data_root, "cache": cache, "seed": seed}
    library, bare = _library(name)
    if library is not None:
        model: Model = library.build(bare, weights=weights, seed=seed)
    else:
        builder = MODELS.find(name)
        model = _as_model(_call(builder, name, offered), name=_base_name(name), source=_source(name, builder))
        if "weights" not in _keywords(builder):
            _set_weights(model, weights, seed=seed)
    if layers is not None:
        _select(model, layers)
    settings = _settings(weights, layers=layers, seed=seed)
    if settings:
        model.name = f"{model.name}[{settings}]"
    return model


def check_model(
    name: str,
    *,
    cache: Path,
    weights: str = "default",
    layers: Sequence[str] | None = None,
    data_root: Path | None = None,
) -> list[AlignmentError]:
    """Every fault that can be found before a weight is loaded; arguments as for `load_model`.

    Returns
    -------
    The errors, empty when the model, its file of weights and its layers exist. Whether a file fits, and whether a
    download succeeds, shows when it is loaded.
    """
    try:
        library, _ = _library(name)
        if library is None:
            MODELS.find(name)
    except AlignmentError as error:
        return [error]
    faults: list[AlignmentError] = []
    checks: list[Callable[[], object]] = []
    if weights not in ("default", "none"):
        checks.append(lambda: weights_file(weights))
    # a network that only its author's function can make is built for this only when layers were named
    if library is not None or layers is not None:
        checks.append(lambda: _structure(name, layers=layers, data_root=data_root, cache=cache))
    for check in checks:
        try:
            check()
        except AlignmentError as error:
            faults.append(error)
    return faults


def describe_model(
    name: str, *, cache: Path, layers: Sequence[str] | None = None, data_root: Path | None = None
) -> ModelDescription:
    """Parameters, layers and shapes of a model; published weights are not loaded where they need not be.

    Raises
    ------
    RequestError
        No such model or layer.
    """
    model = _structure(name, layers=layers, data_root=data_root, cache=cache)
    sites = getattr(model, "sites", {})
    return ModelDescription(
        model.name,
        0 if model.module is None else sum(weight.numel() for weight in model.module.parameters()),
        {layer: sites[layer].shapes[-1] if layer in sites else () for layer in model.layers},
        {layer: tuple(model.time_bins[layer]) for layer in model.layers},
        model.image_size,
        len(model.classes or ()),
    )


def _structure(name: str, *, layers: Sequence[str] | None, data_root: Path | None, cache: Path) -> Model:
    library, bare = _library(name)
    if library is not None:
        model: Model = library.structure(bare)
    else:
        builder = MODELS.find(name)
        offered = {"weights": "none", "data_root": data_root, "cache": cache, "seed": 0}
        model = _as_model(_call(builder, name, offered), name=_base_name(name), source=_source(name, builder))
    if layers is not None:
        _select(model, layers)
    return model


def _library(name: str) -> tuple[Any, str]:
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


def _keywords(builder: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(builder).parameters)


def _call(builder: Callable[..., Any], name: str, offered: Mapping[str, Any]) -> Any:
    accepted = {keyword: value for keyword, value in offered.items() if keyword in _keywords(builder)}
    # seeded, so that a network the function only initialises is the same in every process
    with seeded(offered["seed"], "weights", name), foreign_code(f"model {name!r}"):
        return builder(**accepted)


def _as_model(result: Any, *, name: str, source: Path | None) -> Model:
    if callable(getattr(result, "record", None)):
        return result
    if isinstance(result, nn.Module):
        said = {attribute: getattr(result, attribute) for attribute in ATTRIBUTES if hasattr(result, attribute)}
        return TorchModel(result, name=name, source=source, **said)
    raise RequestError(f"model {name!r}: the function returned {type(result).__name__}, not an nn.Module or a Model")


def _base_name(name: str) -> str:
    if not is_file_reference(name):
        return name
    path, function = split_reference(name)
    return function if function == path.stem else f"{path.stem}:{function}"


def _source(name: str, builder: Callable[..., Any]) -> Path | None:
    if is_file_reference(name):
        return split_reference(name)[0]
    file = getattr(inspect.getmodule(builder), "__file__", None)
    return None if file is None else Path(file)


def _set_weights(model: Model, weights: str, *, seed: int) -> None:
    """For a function that has no `weights` keyword."""
    if weights == "default":
        return
    if model.module is None or next(model.module.parameters(), None) is None:
        raise RequestError(f"{model.name} has no weights to set; leave model.weights at default")
    if weights == "none":
        reinitialise(model.module, seed=seed, name=model.name)
    else:
        path = weights_file(weights)
        load_state(model.module, read_state(path), where=str(path))


def _select(model: Model, patterns: Sequence[str]) -> None:
    if isinstance(model, SelectsLayers):
        model.select_layers(patterns)
        return
    chosen = [layer for pattern in patterns for layer in _matching(model, pattern)]
    model.layers = tuple(dict.fromkeys(chosen))
    model.time_bins = {layer: model.time_bins[layer] for layer in model.layers}


def _matching(model: Model, pattern: str) -> list[str]:
    hits = [layer for layer in model.layers if fnmatchcase(layer, pattern)]
    if not hits:
        raise unknown(f"layer of {model.name}", pattern, model.layers)
    return hits


def _settings(weights: str, *, layers: Sequence[str] | None, seed: int) -> str:
    parts = []
    if weights != "default":
        parts.append(f"weights={weights if weights == 'none' else Path(weights).stem}")
    if weights == "none" and seed:
        parts.append(f"seed={seed}")
    if layers is not None:
        parts.append(f"layers={'+'.join(layers)}")
    return ",".join(parts)
