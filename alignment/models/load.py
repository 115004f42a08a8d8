"""A model by its name, its weights and its layers; and what can be said about it before any weight is loaded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from alignment.errors import AlignmentError, RequestError, unknown
from alignment.models.base import Model, with_settings
from alignment.models.baselines import has_weights
from alignment.models.builders import from_function, library_of
from alignment.models.catalogue import MODELS
from alignment.models.checkpoints import check_fit, load_state, read_state, weights_file
from alignment.models.initialise import reinitialise
from alignment.models.repeats import is_stochastic
from alignment.models.torch_model import TorchModel
from alignment.registry import foreign_code


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
        (default (224, 224)), `visual_degrees`, `classes`, `time_unit` ("step" or "ms") and `stochastic` as attributes.
        A module that samples in evaluation mode is found by two passes and made stochastic, declared or not: each
        image is then recorded on its own, with a seed of its own
    cache : folder for what is trained or downloaded here
    weights : "default" (published, or what the function gives), "none" (seeded random initialisation), or the path of
        a checkpoint, loaded strictly
    layers : names or globs; the model's own choice when not given
    data_root : folder with data at hand, such as `weights/`
    seed : for "none", and for a function that takes it

    Returns
    -------
    Model, named by its id: `resnet18`, `resnet18[weights=none]`, `mine`, `mine:other[weights=epoch3]`, `toy[seed=1]`

    Raises
    ------
    RequestError
        No such model, layer or file, the function failed, or its network does not repeat itself.
    DataError
        The weights cannot be downloaded or read, or do not fit.
    """
    library, bare = library_of(name)
    if library is not None:
        model: Model = library.build(bare, weights=weights, seed=seed)
        takes = frozenset({"weights"})
    else:
        offered = {"weights": weights, "data_root": data_root, "cache": cache, "seed": seed}
        model, takes = from_function(name, offered=offered)
        if "weights" not in takes:
            _set_weights(model, weights, seed=seed)
        if isinstance(model, TorchModel):
            model.stochastic |= is_stochastic(model)
    if layers is not None:
        _select(model, layers)
    model.name = _named(model.name, takes, weights=weights, layers=layers, seed=seed)
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
        library, _ = library_of(name)
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
        checks.append(lambda: _structure(name, "default", layers=layers, data_root=data_root, cache=cache))
    for check in checks:
        try:
            check()
        except AlignmentError as error:
            faults.append(error)
    return faults


def describe_model(
    name: str,
    *,
    cache: Path,
    weights: str = "default",
    layers: Sequence[str] | None = None,
    data_root: Path | None = None,
    seed: int = 0,
) -> ModelDescription:
    """Parameters, layers and shapes of a model; published weights are not loaded, and nothing is trained.

    Arguments are those of `load_model`, and so is the name of what is described.

    Raises
    ------
    RequestError
        No such model, layer or file, or weights that this model cannot have.
    DataError
        The checkpoint cannot be read, or does not fit.
    """
    model, takes = _structure(name, weights, layers=layers, data_root=data_root, cache=cache, seed=seed)
    sites = getattr(model, "sites", {})
    # of a user's own `Model`, anything may be wrong
    with foreign_code(f"model {name!r}"):
        return ModelDescription(
            _named(model.name, takes, weights=weights, layers=layers, seed=seed),
            0 if model.module is None else sum(weight.numel() for weight in model.module.parameters()),
            {layer: sites[layer].shapes[-1] if layer in sites else () for layer in model.layers},
            {layer: tuple(model.time_bins[layer]) for layer in model.layers},
            model.image_size,
            len(model.classes or ()),
        )


def _structure(
    name: str, weights: str, *, layers: Sequence[str] | None, data_root: Path | None, cache: Path, seed: int = 0
) -> tuple[Model, frozenset[str]]:
    """The model without published weights, and the keywords its function takes.

    Other weights are looked at, so that they fail here as they would in a run.
    """
    library, bare = library_of(name)
    if library is not None:
        model: Any = library.structure(bare)
        takes = frozenset({"weights"})
        if weights not in ("default", "none"):
            path = weights_file(weights)
            check_fit(model.module, read_state(path), where=str(path))
    else:
        untouched = "none" if weights == "default" else weights
        offered = {"weights": untouched, "data_root": data_root, "cache": cache, "seed": seed}
        model, takes = from_function(name, offered=offered)
        if "weights" not in takes:
            _set_weights(model, weights, seed=seed)
    if layers is not None:
        _select(model, layers)
    return model, takes


def _set_weights(model: Model, weights: str, *, seed: int) -> None:
    """For a function that has no `weights` keyword."""
    if weights == "default":
        return
    if model.module is None or not has_weights(model):
        raise RequestError(f"{model.name} has no weights to set; leave model.weights at default")
    if weights == "none":
        reinitialise(model.module, seed=seed, name=model.name)
    else:
        path = weights_file(weights)
        load_state(model.module, read_state(path), where=str(path))


def _select(model: Model, patterns: Sequence[str]) -> None:
    with foreign_code(f"model {model.name!r}"):
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


def _named(name: str, takes: frozenset[str], *, weights: str, layers: Sequence[str] | None, seed: int) -> str:
    """The id: the name and every setting that counts and is not the default."""
    parts = []
    if weights != "default":
        parts.append(f"weights={weights if weights == 'none' else Path(weights).stem}")
    if seed and (weights == "none" or "seed" in takes):
        parts.append(f"seed={seed}")
    if layers is not None:
        parts.append(f"layers={'+'.join(dict.fromkeys(layers))}")
    return with_settings(name, *parts)
