"""Vision models. Importing this package imports no network library; its names that need one are loaded on first use."""

import importlib
from typing import TYPE_CHECKING, Any

from alignment.models.catalogue import MODELS, model, model_names, model_summary

if TYPE_CHECKING:
    from alignment.models.base import Model
    from alignment.models.baselines import has_weights, untrained
    from alignment.models.builders import display_name
    from alignment.models.load import ModelDescription, check_model, describe_model, load_model
    from alignment.models.torch_model import TorchModel, check_layers

__all__ = [
    "MODELS",
    "Model",
    "ModelDescription",
    "TorchModel",
    "check_layers",
    "check_model",
    "describe_model",
    "display_name",
    "has_weights",
    "load_model",
    "model",
    "model_names",
    "model_summary",
    "untrained",
]

_HOME = {
    "Model": "base",
    "ModelDescription": "load",
    "TorchModel": "torch_model",
    "check_layers": "torch_model",
    "check_model": "load",
    "describe_model": "load",
    "display_name": "builders",
    "has_weights": "baselines",
    "load_model": "load",
    "untrained": "baselines",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
