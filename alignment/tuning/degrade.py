"""A network made worse on purpose, until it is as accurate as another that forgot something."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from alignment import seeds

HALVINGS = 16
# noise of this many standard deviations of a weight tensor leaves nothing of what it held
LARGEST = 4.0


@torch.no_grad()
def degrade(module: nn.Module, accuracy: Callable[[], float], *, target: float, seed: int) -> float:
    """Add normal noise to every trained weight tensor, just enough to bring accuracy down to a target.

    The noise of a tensor is drawn once and scaled by the sd of the tensor and by one factor for all, which is found by
    bisection: a lesion without direction, for a gain that comes with lost accuracy to be held against.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    accuracy : callable
        Of `module` as it is now, from 0 to 1.
    target : float
        The accuracy wanted. A network that is no better than this stays as it is.
    seed : int
        Of the noise, under the name of each tensor.

    Returns
    -------
    float
        The factor: 0 where nothing was changed.

    Examples
    --------
    >>> net = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.ones_(net.weight)
    >>> degrade(net, lambda: 1.0, target=1.0, seed=0)
    0.0
    """
    before = {name: weight.clone() for name, weight in module.named_parameters()}
    noise = {name: _noise(weight, name=name, seed=seed) for name, weight in before.items()}

    def at(factor: float) -> float:
        for name, weight in module.named_parameters():
            weight.copy_(before[name] + factor * noise[name])
        return accuracy()

    if accuracy() <= target:
        return 0.0
    low, high = 0.0, LARGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) > target else (low, middle)
    at(high)
    return high


def _noise(weight: Tensor, *, name: str, seed: int) -> Tensor:
    """Normal, with the sd of a tensor; of one number there is none, so its size stands for it."""
    drawn = seeds.generator(seed, "degrade", name).standard_normal(tuple(weight.shape))
    sd = weight.std() if weight.numel() > 1 else weight.abs().mean()
    return torch.from_numpy(drawn).to(weight) * sd
