"""What is measured, on which data, and what is kept. The decorators `benchmark` and `dataset` name your own."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.catalogue import benchmark, dataset

__all__ = ["benchmark", "dataset"]


def __getattr__(name: str) -> Any:
    # on demand, so that `bench --help` imports nothing it does not need
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("benchmarks.catalogue"), name)
