"""Gradients through time, and how an attack fares without them.

A recurrent network can look robust because its gradient through many passes vanishes or explodes. An attack whose
gradient goes through the last pass alone has no such trouble: if it breaks more images than one with the full
gradient, the robust accuracy under the full gradient is not to be believed (`flags.flags_of_truncation`).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from alignment.attacks.threat import Logits
from alignment.errors import RequestError, unknown
from alignment.models.base import Model


@runtime_checkable
class CutsGradients(Protocol):
    """A model that can itself leave all but the last steps out of its gradient."""

    @property
    def fewest_steps(self) -> int:
        """How many steps a gradient needs to get from the logits to the image."""
        ...

    def logits_through(self, steps: int) -> Logits:
        """Logits of the same values whose gradient goes back through the last steps only."""
        ...


def truncated(model: Model, layers: Sequence[str] | None = None) -> Logits:
    """Logits of a model, of the same values, whose gradient leaves out all but the last call of some modules.

    The outputs of the earlier calls count as constants, so that pixels act through the last call alone; in a model
    whose image takes several steps to get to the logits, through as many (`CutsGradients`). Judge a model by these
    logits and by its own with the same attacks, and compare.

    Parameters
    ----------
    model : one with a `module`
    layers : modules that are called once per step; those of the model's layers that have several time bins when not
        given

    Raises
    ------
    RequestError
        The model has no module, no such layer, or no layer with several time bins.

    Examples
    --------
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.Identity()
    ...     def forward(self, x):
    ...         first = self.scale(2 * x)
    ...         return self.scale(first + x).mean((2, 3))
    >>> from alignment.models import TorchModel
    >>> model = TorchModel(Twice(), name="twice", image_size=(2, 2), layers=["scale"], classes=["r", "g", "b"])
    >>> slopes = []
    >>> for logits in (model.logits, truncated(model)):
    ...     pixels = torch.zeros(1, 3, 2, 2, requires_grad=True)
    ...     logits(pixels).sum().backward()
    ...     slopes.append(float(pixels.grad.sum()))
    >>> slopes
    [9.0, 3.0]
    """
    if layers is None and isinstance(model, CutsGradients):
        return model.logits_through(model.fewest_steps)
    module = model.module
    if module is None:
        raise RequestError(f"{model.name} has no module whose calls could be told apart; judge its own logits only")
    names = [name for name in model.layers if len(model.time_bins[name]) > 1] if layers is None else list(layers)
    if not names:
        raise RequestError(
            f"{model.name}: no layer with several time bins; name the modules that are called repeatedly"
        )
    named = dict(module.named_modules(remove_duplicate=False))
    missing = [name for name in names if name not in named]
    if missing:
        raise unknown(f"layer of {model.name}", missing[0], named)
    steps = list({id(named[name]): named[name] for name in names}.values())

    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        with _last_call_only(module, steps):
            return model.logits(pixels, seeds=seeds)

    return logits


@contextmanager
def _last_call_only(module: nn.Module, steps: Sequence[nn.Module]) -> Iterator[None]:
    """Outputs of `steps` pass a gradient back only if no later call of the same forward pass followed them.

    Which call is the last is known when the pass is over, and gradients are asked for after that: hooks on the outputs
    need no count in advance, and a network whose number of steps depends on the image is cut at its own last one.
    """
    counts = {step: [0] for step in steps}

    def start(_module: nn.Module, _inputs: Any) -> None:
        counts.update({step: [0] for step in steps})

    def cut(step: nn.Module, _inputs: Any, output: Any) -> None:
        count = counts[step]
        count[0] += 1
        call = count[0]
        for tensor in _tensors(output):
            if tensor.requires_grad:
                tensor.register_hook(lambda slope: slope if call == count[0] else torch.zeros_like(slope))

    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(start).remove)
        for step in steps:
            stack.callback(step.register_forward_hook(cut).remove)
        yield


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _tensors(part)
