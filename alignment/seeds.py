"""A seed for every purpose, derived from one root: order, resume and worker count cannot change a number."""

import hashlib

import numpy as np


def derive(root: int, *names: str | int) -> int:
    """A 63-bit seed that depends on the root and every name, and on nothing else.

    Examples
    --------
    >>> derive(0, "bootstrap", "fold0") == derive(0, "bootstrap", "fold0")
    True
    >>> derive(0, "a") == derive(1, "a")
    False
    """
    digest = hashlib.sha256(repr((int(root), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(root: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator seeded by `derive`."""
    return np.random.default_rng(derive(root, *names))
