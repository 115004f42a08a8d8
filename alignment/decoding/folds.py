"""Which stimuli a read-out is fitted on and judged on, and labels dealt to the wrong ones."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alignment import seeds
from alignment.errors import RequestError

Labels = npt.NDArray[np.int64]


def stratified_folds(labels: npt.ArrayLike, ids: Sequence[str], *, n: int, name: str = "") -> Labels:
    """Folds that hold the same share of each label as near as can be, and that only ids, labels and the name fix.

    Parameters
    ----------
    labels : array (stimulus,) or (stimulus, variable) int
        Of several variables, their combinations are spread over the folds.
    ids : sequence of str
    n : int
        Number of folds.
    name : str
        Other names give other folds.

    Returns
    -------
    array (stimulus,) int64, from 0

    Raises
    ------
    RequestError
        When there are fewer stimuli than folds.

    Examples
    --------
    >>> folds = stratified_folds([0] * 6 + [1] * 4, list("abcdefghij"), n=2)
    >>> np.bincount(folds[:6]), np.bincount(folds[6:])
    (array([3, 3]), array([2, 2]))
    """
    known = np.asarray(labels, np.int64).reshape(len(ids), -1)
    if n < 2 or len(ids) < n:
        raise RequestError(f"{n} folds of {len(ids)} stimuli: give 2 folds or more, and a stimulus to each")
    keys = np.array([seeds.derive(0, "folds", name, stimulus) for stimulus in ids])
    order = np.lexsort((keys, *known.T))
    folds = np.empty(len(ids), np.int64)
    folds[order] = np.arange(len(ids)) % n
    return folds


def permuted(labels: npt.ArrayLike, *names: str | int, seed: int = 0) -> Labels:
    """Labels dealt to other stimuli, the rows of several variables together: what is read of them is chance.

    Examples
    --------
    >>> sorted(permuted([1, 1, 2, 3], "mine").tolist())
    [1, 1, 2, 3]
    """
    known = np.asarray(labels, np.int64)
    return known[seeds.generator(seed, "permuted labels", *names).permutation(len(known))]
