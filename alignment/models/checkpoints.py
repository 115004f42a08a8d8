"""Weights from files: read without running any code in them, and fitted strictly."""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from alignment.errors import DataError, RequestError

ENTRIES = ("state_dict", "model")
WRAPPER = "module."
# PyTorch before 0.4.1 did not save this count, and evaluation does not use it
OPTIONAL = "num_batches_tracked"
NAMED_AT_MOST = 3
# how torch says that a pickle names a class or a function
UNSUPPORTED = "Unsupported global"


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU.

    A `state_dict` or `model` entry is opened, and `module.`, the prefix of a network trained in parallel, is dropped.

    Parameters
    ----------
    path : file written by `torch.save`

    Raises
    ------
    DataError
        The file is missing, damaged, holds other things than tensors, or holds none.
    """
    state = load_file(path)
    for entry in ENTRIES:
        if isinstance(state, Mapping) and isinstance(state.get(entry), Mapping):
            state = state[entry]
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"weights {path}: expected names with tensors, or a state_dict entry with them")
    if all(name.startswith(WRAPPER) for name in state):
        return {name.removeprefix(WRAPPER): value for name, value in state.items()}
    return dict(state)


def load_file(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU; no code in it is run.

    Raises
    ------
    DataError
        The file is missing or damaged, or holds other things than tensors and plain values.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"weights {path}: {error.strerror or error}; check the path") from None
    with file, warnings.catch_warnings():
        # of pickles by other hands, which are refused in any case
        warnings.simplefilter("ignore", UserWarning)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        # any of these where the file is cut short or damaged
        except (pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
            if UNSUPPORTED in str(error):
                reason = "it holds Python objects, which are not loaded; save network.state_dict() in their place"
            else:
                reason = "no readable state dict (damaged, or not written by torch.save(network.state_dict(), ...))"
            raise DataError(f"weights {path}: {reason}") from None


def load_state(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> nn.Module:
    """Put a state into a network that fits it exactly.

    Parameters
    ----------
    module : changed in place, and returned
    state : what `read_state` gave
    where : what the message calls the state, usually its file

    Raises
    ------
    DataError
        A tensor is missing, is one too many, or has another shape; they are named.
    """
    check_fit(module, state, where=where)
    module.load_state_dict(dict(state), strict=False)
    return module


def check_fit(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Raise what `load_state` would, and change nothing."""
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(OPTIONAL)]
    unexpected = [name for name in state if name not in own]
    misshaped = [
        f"{name} is {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    faults = [_listed("missing", missing), _listed("unexpected", unexpected), _listed("misshaped", misshaped)]
    if any(faults):
        fit = "; ".join(fault for fault in faults if fault)
        raise DataError(f"weights {where} do not fit {type(module).__name__}: {fit}")


def weights_file(weights: str) -> Path:
    """The file that `weights=` names.

    Raises
    ------
    RequestError
        There is none.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise RequestError(f"weights {weights!r}: no such file; give default, none or the path of a checkpoint")
    return path


def _listed(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED_AT_MOST])
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return f"{len(names)} {what} ({shown}{more})" if names else ""
