"""Planted regressions with the spectrum of real activations: power-law variances, neuroids of mixed signal to noise."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def plant(n: int, p: int, t: int, *, decay: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features `(stimulus, unit)` with means, and responses `(stimulus, neuroid)`, float64."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, generator=g, dtype=torch.float64) * torch.arange(1, p + 1) ** (-decay / 2)
    signal = x @ torch.randn(p, t, generator=g, dtype=torch.float64)
    share = torch.rand(t, generator=g, dtype=torch.float64) * 0.9
    noise = torch.randn(n, t, generator=g, dtype=torch.float64)
    y = signal / signal.std(0) * share.sqrt() + noise * (1 - share).sqrt()
    return x + 3.0, 5.0 * y + torch.arange(t)


@pytest.fixture
def planted() -> Callable[..., tuple[Tensor, Tensor]]:
    return plant
