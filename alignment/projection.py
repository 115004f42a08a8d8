"""Seeded very sparse random projection: fewer units, distances kept (Li, Hastie & Church 2006, KDD, section 2)."""

import functools
import math
import warnings

import numpy as np
import torch
from torch import Tensor

from alignment import seeds


def sparse_projection(units: int, components: int, *, seed: int) -> Tensor:
    """The matrix R of x -> R x, in sparse rows, never dense.

    Its entries are +-sqrt(s / k) with probability 1 / 2s each and else 0, with s = sqrt(p): p is `units`, k is
    `components`. The expected squared length of R x is that of x.

    Parameters
    ----------
    units : p
    components : k
    seed : fixes every entry

    Returns
    -------
    (component, unit) float32, compressed sparse rows

    Examples
    --------
    >>> tuple(sparse_projection(10_000, 50, seed=0).shape)
    (50, 10000)
    """
    random = seeds.generator(seed, "sparse projection", units, components)
    density = 1 / math.sqrt(units)
    counts = random.binomial(units, density, size=components)
    columns = [np.sort(random.choice(units, size=count, replace=False, shuffle=False)) for count in counts]
    signs = random.integers(0, 2, size=counts.sum()) * 2 - 1
    values = (signs / math.sqrt(density * components)).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows, inside, entries = map(torch.from_numpy, (starts, np.concatenate(columns).astype(np.int64), values))
    with warnings.catch_warnings():
        # torch calls sparse rows a beta feature, once a process; the product with a dense matrix is tested here
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(rows, inside, entries, size=(components, units), check_invariants=False)


# blocks of stimuli follow one another with the same few layers; the matrix is a pure function of its arguments
@functools.lru_cache(maxsize=32)
def _cached(units: int, components: int, seed: int, device: str) -> Tensor:
    return sparse_projection(units, components, seed=seed).to(device)


def project(activations: Tensor, components: int, *, seed: int) -> Tensor:
    """(batch, unit) to (batch, component) float32; returned as they are when there are not more units than that."""
    units = activations.shape[1]
    if units <= components:
        return activations
    matrix = _cached(units, components, seed, str(activations.device))
    # sparse products exist in float32 only, whatever precision the pass has
    with torch.autocast(activations.device.type, enabled=False):
        return (matrix @ activations.float().T).T
