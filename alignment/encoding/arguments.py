"""What a ridge can be asked for: each check says in one line what is wrong and what to give instead."""

from collections.abc import Sequence

import torch
from torch import Tensor

from alignment.errors import DataError, RequestError

SELECTIONS = ("loo", "gcv", "kfold")


def checked_grid(alphas: Sequence[float] | Tensor) -> Tensor:
    """Alphas as `(alpha,) float64`, finite and above 0."""
    grid = torch.as_tensor(alphas, dtype=torch.float64).flatten()
    if len(grid) == 0 or not bool((torch.isfinite(grid) & (grid > 0)).all()):
        raise RequestError("alphas must be finite and above 0, at least one: for example torch.logspace(-4, 4, 17)")
    return grid


def check_chunks(**chunks: int | None) -> None:
    """Chunk sizes, where given, are at least 1."""
    for name, chunk in chunks.items():
        if chunk is not None and chunk < 1:
            raise RequestError(f"{name} is {chunk}: give at least 1, or leave it out")


def check_responses(y: Tensor, *, n_stimuli: int) -> None:
    """Responses are a finite floating point matrix with one row for each stimulus of the features."""
    if y.ndim != 2 or y.dtype not in (torch.float32, torch.float64):
        raise RequestError(f"y is {tuple(y.shape)} {y.dtype}: give (stimulus, neuroid) float32 or float64")
    if y.shape[0] != n_stimuli:
        raise RequestError(f"x has {n_stimuli} stimuli and y has {y.shape[0]}: give the same stimuli in the same order")
    if y.shape[0] < 3 or y.shape[1] < 1:
        raise RequestError(f"y is {tuple(y.shape)}: a ridge with an intercept needs at least 3 stimuli and 1 neuroid")
    finite = torch.isfinite(y.sum(0))
    if not finite.all():
        first = int((~finite).nonzero()[0, 0])
        raise DataError(
            f"y holds a NaN or an infinity in {int((~finite).sum())} neuroids, neuroid {first} first: drop them first"
        )


def checked_folds(folds: Sequence[int] | Tensor | None, *, selection: str, n_stimuli: int) -> Tensor | None:
    """Fold labels as `(stimulus,)` integers, given if and only if they are to be used."""
    if selection not in SELECTIONS:
        raise RequestError(f"selection={selection!r} is not known: choose one of {', '.join(SELECTIONS)}")
    if (selection == "kfold") != (folds is not None):
        raise RequestError(
            f"selection={selection!r} with folds={'given' if folds is not None else None}: folds go with kfold"
        )
    if folds is None:
        return None
    labels = torch.as_tensor(folds)
    if labels.shape != (n_stimuli,) or labels.is_floating_point():
        raise RequestError(
            f"folds is {tuple(labels.shape)} {labels.dtype}: give one integer label for each of {n_stimuli} stimuli"
        )
    counts = labels.unique(return_counts=True)[1]
    if len(counts) < 2 or n_stimuli - int(counts.max()) < 2:
        raise RequestError(
            f"folds of {counts.tolist()} stimuli: give at least 2 folds, each leaving 2 stimuli to train on"
        )
    return labels
