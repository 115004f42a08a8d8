"""What a network is, as a hash: weights, buffers, structure with hyper-parameters, and the code that defines it."""

import functools
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alignment import fingerprint
from alignment.errors import DataError

_PLAIN = (str, int, float, bool, complex, bytes, type(None), torch.dtype, torch.device, torch.Size)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def of_tensor(tensor: Tensor) -> str:
    """Hash of a tensor's type, shape and values, wherever it lies and however it is strided."""
    values = tensor.detach().cpu().contiguous()
    data = values.reshape(-1).view(torch.uint8).numpy().tobytes()
    return fingerprint.of_parts(str(tensor.dtype), repr(tuple(tensor.shape)), data)


def of_module(module: nn.Module) -> str:
    """Hash of weights, buffers and structure: classes, printed and plain attributes, of every part by its name.

    The train or eval mode does not enter; neither does anything a forward hook added.
    """
    parts: list[str] = []
    for name, child in module.named_modules(remove_duplicate=False):
        parts += [name, type(child).__qualname__, child.extra_repr(), _attributes(child)]
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        parts += [name, of_tensor(tensor)]
    return fingerprint.of_parts(*parts)


def of_sources(module: nn.Module, source: Path | None) -> str:
    """Hash of the files that define the network's classes, and of the file that builds it.

    torch's own layers are left out. A class typed into a notebook has no file: its compiled methods stand for it.

    Raises
    ------
    DataError
        `source` cannot be read.
    """
    classes = {base for child in module.modules() for base in type(child).__mro__}
    foreign = [cls for cls in classes if cls.__module__.partition(".")[0] not in ("torch", "builtins", "typing", "abc")]
    texts = {_source(cls) for cls in foreign}
    if source is not None:
        try:
            texts.add(fingerprint.of_file(source))
        except OSError as error:
            raise DataError(f"cannot read {source} ({error.strerror}), which defines the model") from None
    return fingerprint.of_parts(*sorted(texts))


def _attributes(module: nn.Module) -> str:
    own = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}
    return repr(sorted((name, _described(value)) for name, value in own.items()))


def _described(value: Any) -> str:
    """A text that is the same in every process (no address in memory) and differs when a plain value does."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, Tensor):
        return of_tensor(value)
    if isinstance(value, np.ndarray | np.generic):
        return fingerprint.of_array(np.asarray(value))
    if isinstance(value, Mapping):
        return repr(sorted((str(key), _described(item)) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return repr(sorted(_described(item) for item in value))
    if isinstance(value, Sequence):
        return repr([_described(item) for item in value])
    if isinstance(value, functools.partial):
        return repr([_described(value.func), _described(value.args), _described(value.keywords)])
    if inspect.isroutine(value) or inspect.isclass(value):
        return str(getattr(value, "__qualname__", ""))
    return type(value).__qualname__


def _source(cls: type) -> str:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is not None and file.endswith(".py") and Path(file).is_file():
        return fingerprint.of_file(Path(file))
    codes = [value.__code__ for value in vars(cls).values() if inspect.isfunction(value)]
    return fingerprint.of_parts(cls.__qualname__, *[text for code in codes for text in _code(code)])


def _code(code: Any) -> list[str | bytes]:
    inner = [item for item in code.co_consts if inspect.iscode(item)]
    constants = [item for item in code.co_consts if not inspect.iscode(item)]
    nested = [text for item in inner for text in _code(item)]
    return [code.co_name, code.co_code, repr(constants), repr(code.co_names), *nested]
