"""Jackknife: the error of a measure from its values with stimuli left out, for measures whose value depends on n."""

import numpy as np
import numpy.typing as npt

from alignment.errors import RequestError
from alignment.seeds import generator


def deletion_groups(n_stimuli: int, *names: str | int, n_groups: int, seed: int) -> npt.NDArray[np.int64]:
    """The group each stimulus is left out with: random groups whose sizes differ by one at most.

    As many groups as stimuli, or more, is the ordinary jackknife: each stimulus alone, in order.

    Parameters
    ----------
    n_stimuli : int
    *names : str or int
        What the groups are for; with `seed` they fix them. The names should be those of the benchmark, never of the
        model, so that differences of models can be taken group by group.
    n_groups, seed : int

    Returns
    -------
    array (stimulus,) int64
        Labels from 0.

    Raises
    ------
    RequestError
        Fewer than 2 groups or stimuli.

    Examples
    --------
    >>> np.bincount(deletion_groups(7, "nsd", n_groups=3, seed=0))
    array([3, 2, 2])
    >>> deletion_groups(4, "nsd", n_groups=50, seed=0)
    array([0, 1, 2, 3])
    """
    if n_stimuli < 2 or n_groups < 2:
        raise RequestError(f"{n_stimuli} stimuli in {n_groups} groups: a jackknife needs 2 of each at least")
    if n_groups >= n_stimuli:
        return np.arange(n_stimuli)
    labels = np.arange(n_stimuli) % n_groups
    return generator(seed, "deletion groups", *names).permutation(labels)


def jackknife_error(values: npt.ArrayLike) -> tuple[float, int]:
    """Standard error of a measure, and its degrees of freedom.

    sqrt((g - 1) / g sum_i (v_i - mean(v))^2) over g groups (Tukey 1958; delete-a-group: Shao & Tu 1995, The Jackknife
    and Bootstrap, section 2.3). Only differences between values enter: that each of them is a measure of fewer stimuli,
    and so off by the same bias, cancels. An interval is the value on all stimuli +- t x error; resamples with repeated
    stimuli would shift such a measure instead, since a stimulus is most similar to itself.

    Parameters
    ----------
    values : array (group,) float
        The measure (or the difference of two, or a mean over subjects) without each group of stimuli.

    Returns
    -------
    error : float
    degrees_of_freedom : int
        Groups - 1.

    Raises
    ------
    RequestError
        Fewer than two values, or one that is not finite.

    Examples
    --------
    >>> sample = np.array([1.0, 2.0, 4.0, 9.0])
    >>> means = [np.delete(sample, i).mean() for i in range(4)]
    >>> error, freedom = jackknife_error(means)
    >>> bool(np.isclose(error, sample.std(ddof=1) / 2)), freedom
    (True, 3)
    """
    left_out = np.asarray(values, np.float64)
    if left_out.ndim != 1 or len(left_out) < 2 or not np.isfinite(left_out).all():
        raise RequestError(f"jackknife values: shape {left_out.shape}; give 2 or more finite ones, one per group")
    n_groups = len(left_out)
    return float(np.sqrt((n_groups - 1) * left_out.var())), n_groups - 1
