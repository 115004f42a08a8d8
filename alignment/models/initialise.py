"""Weights nobody trained: seeded random initialisation, and trained weights with their values permuted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from alignment import seeds
from alignment.errors import RequestError


@contextmanager
def seeded(seed: int, *names: str) -> Iterator[None]:
    """Torch's own generator seeded for a purpose, then as it was: initialisers draw from no other."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, *names))
        yield


@contextmanager
def without_weights() -> Iterator[None]:
    """Networks made inside have parameters on the meta device: no memory, no time to initialise.

    Narrower than `torch.device("meta")`, under which networks that compute their widths with tensors cannot be made.
    """

    # torch takes what such a hook returns, though its stub says None
    def empty(_module: nn.Module, _name: str, weight: nn.Parameter | None) -> Any:
        return None if weight is None else nn.Parameter(weight.to("meta"), requires_grad=weight.requires_grad)

    handle = register_module_parameter_registration_hook(empty)
    try:
        yield
    finally:
        handle.remove()


def reinitialise(module: nn.Module, *, seed: int, name: str) -> nn.Module:
    """Draw every weight anew, as each layer does when it is made.

    Raises
    ------
    RequestError
        A part has weights of its own and no `reset_parameters`, so only its author knows how to draw them.
    """
    for path, child in module.named_modules():
        if next(child.parameters(recurse=False), None) is not None and not hasattr(child, "reset_parameters"):
            raise RequestError(
                f"{name}: weights=none cannot initialise {path or 'the network'} ({type(child).__name__} has no "
                "reset_parameters); give the function that builds it a `weights` keyword"
            )
    with seeded(seed, "weights", name):
        for child in module.modules():
            reset = getattr(child, "reset_parameters", None)
            if callable(reset):
                reset()
    return module


def permute_weights(module: nn.Module, *, seed: int, name: str) -> nn.Module:
    """Permute the values inside each weight tensor, so that its distribution stays and its structure goes.

    Raises
    ------
    RequestError
        The network has no weights.
    """
    weights: list[tuple[str, Tensor]] = list(module.named_parameters())
    if not weights:
        raise RequestError(f"{name} has no trained weights, so there is no untrained copy of it")
    for path, weight in weights:
        order = torch.from_numpy(seeds.generator(seed, "untrained", path).permutation(weight.numel()))
        flat = weight.detach().reshape(-1)
        weight.data = flat[order.to(flat.device)].reshape(weight.shape)
    return module
