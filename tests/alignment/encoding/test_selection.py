"""Screening, interpolation and verification never change what a full evaluation in float64 would choose."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.interpolate import FloaterHormannInterpolator
from torch import Tensor

from alignment.encoding import fit_ridge, selection

Plant = Callable[..., tuple[Tensor, Tensor]]


@pytest.mark.parametrize("kind", ["loo", "kfold"])
@pytest.mark.parametrize(("n", "p", "decay"), [(120, 40, 1.0), (100, 400, 1.0), (100, 400, 0.0)])
@pytest.mark.parametrize("screening", [torch.float32, torch.bfloat16])
def test_dense_grid_equals_float64(
    planted: Plant,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    n: int,
    p: int,
    decay: float,
    screening: torch.dtype,
) -> None:
    """The precision of the screen is forced, so that both ways are tested on any processor."""
    monkeypatch.setattr(selection, "screening_dtype", lambda device, *, dtype: screening)
    x, y = planted(n, p, 300, decay=decay)
    arguments = {"alphas": np.logspace(-4, 4, 99), "selection": kind, "folds": None}
    if kind == "kfold":
        arguments["folds"] = torch.arange(n) % 5
    fast = fit_ridge(x.float(), y.float(), **arguments)
    exact = fit_ridge(x, y, **arguments)
    assert (fast.alphas == exact.alphas).double().mean() >= 0.99
    np.testing.assert_allclose(fast.cv_mse, exact.cv_mse, rtol=2e-5)


def test_irregular_and_unsorted_grids(planted: Plant) -> None:
    x, y = planted(60, 200, 50)
    grid = np.concatenate([np.arange(1, 10) * 10.0**k for k in range(-3, 8)])
    shuffled = np.random.default_rng(0).permutation(grid)
    exact = fit_ridge(x, y, alphas=grid)
    np.testing.assert_array_equal(fit_ridge(x, y, alphas=shuffled).alphas, exact.alphas)
    fast = fit_ridge(x.float(), y.float(), alphas=shuffled)
    assert (fast.alphas == exact.alphas).double().mean() >= 0.98


def test_interpolation_is_that_of_floater_and_hormann() -> None:
    nodes = torch.linspace(-5, 5, 23, dtype=torch.float64)
    points = torch.cat([torch.linspace(-5, 5, 57, dtype=torch.float64), nodes[3:5]])
    values = 1 / (1 + nodes.exp())
    expected = FloaterHormannInterpolator(nodes.numpy(), values.numpy(), d=7)(points.numpy())
    np.testing.assert_allclose(selection._interpolation(nodes, points) @ values, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["loo", "kfold"])
def test_responses_without_noise(planted: Plant, kind: str) -> None:
    """The criterion then falls far below the rounding of float32 sums of squares."""
    x, _ = planted(90, 20, 1)
    y = x @ torch.randn(20, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    folds = torch.arange(90) % 5 if kind == "kfold" else None
    fast = fit_ridge(x, y.float(), alphas=np.logspace(-6, 4, 21), selection=kind, folds=folds)
    assert (fast.alphas == 1e-6).all() and (fast.cv_score > 1 - 1e-6).all() and (fast.cv_mse >= 0).all()


class BadScreen:
    """A criterion whose screened remainder misleads, except in the precision of verification."""

    has_remainder = True

    def __init__(self, values: Tensor, error: Tensor) -> None:
        self.values, self.error = values, error

    def leading(self, alphas: Tensor) -> Tensor:
        return torch.ones(len(alphas), self.values.shape[1])

    def remainder(self, alphas: Tensor, *, neuroids: Tensor | None, dtype: torch.dtype | None) -> Tensor:
        rows = alphas.long() - 1
        values = self.values[rows] if dtype is None else (self.values + self.error)[rows]
        return values if neuroids is None else values[:, neuroids]


def test_a_screen_that_slips_is_seen_and_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "screening_dtype", lambda device, *, dtype: torch.bfloat16)
    g = torch.Generator().manual_seed(0)
    values = 0.1 * torch.rand(6, 500, generator=g)
    error = 0.02 * torch.randn(6, 500, generator=g)
    alphas = torch.arange(1, 7, dtype=torch.float64)
    index, best = selection.choose(
        BadScreen(values, error),
        alphas,
        dtype=torch.float32,
        in_float64=lambda ids: BadScreen(values[:, ids].double(), error[:, ids]),
    )
    assert (index != (values + error).argmin(0)).any()
    torch.testing.assert_close(index, values.argmin(0))
    torch.testing.assert_close(best, 1 + values.amin(0))
