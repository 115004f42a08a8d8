"""Which stimuli subjects are judged on, and how these are resampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import squareform

from alignment.errors import DataError
from alignment.resampling import stimulus_counts

Counts = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
MOST_ATTEMPTS = 100
# of three different stimuli
LEAST_PAIRS = 3


@dataclass(frozen=True)
class Group:
    """Subjects that are judged on the same stimuli in a fold.

    Attributes
    ----------
    subjects : positions in the data set's subjects
    judged_on : held-out stimuli
    """

    subjects: tuple[int, ...]
    judged_on: tuple[str, ...]


@dataclass(frozen=True)
class Fold:
    """One split.

    Attributes
    ----------
    name : of the split
    groups : of subjects; one where all are judged on the same stimuli
    """

    name: str
    groups: tuple[Group, ...]

    @property
    def stimuli(self) -> tuple[str, ...]:
        """Every held-out stimulus of any group, once."""
        return tuple(dict.fromkeys(name for group in self.groups for name in group.judged_on))

    def places(self, group: Group) -> npt.NDArray[np.int64]:
        """Positions of a group's held-out stimuli among those of the fold."""
        place = {name: index for index, name in enumerate(self.stimuli)}
        return np.array([place[name] for name in group.judged_on])


def fold_counts(
    folds: Sequence[Fold],
    *,
    name: str,
    n_resamples: int,
    seed: int,
    least_stimuli: int,
    measured: Booleans | None = None,
) -> list[list[Counts]]:
    """Stimulus counts (resample, stimulus) of each group of each fold; stimuli that groups share are drawn together.

    A resample that leaves a group with fewer than `least_stimuli` different stimuli, or with fewer than `LEAST_PAIRS`
    measured pairs of them, is drawn again.

    Parameters
    ----------
    folds : of the data
    name : of the data set
    n_resamples, seed : of the draws
    least_stimuli : in a resample
    measured : (pair,) of the stimuli of each fold, where not every pair was

    Raises
    ------
    DataError
        There are so few stimuli that usable resamples are too rare.
    """
    return [
        [drawn[:, fold.places(group)] for group in fold.groups]
        for fold in folds
        for drawn in [
            _drawn(fold, name, n_resamples=n_resamples, seed=seed, least_stimuli=least_stimuli, measured=measured)
        ]
    ]


def _drawn(
    fold: Fold, name: str, *, n_resamples: int, seed: int, least_stimuli: int, measured: Booleans | None
) -> Counts:
    places = [fold.places(group) for group in fold.groups]
    counts = np.empty((n_resamples, len(fold.stimuli)), np.int64)
    unusable = np.ones(n_resamples, bool)
    for attempt in range(MOST_ATTEMPTS):
        names = (name, fold.name) if attempt == 0 else (name, fold.name, "again", attempt)
        fresh = stimulus_counts(counts.shape[1], *names, n_resamples=max(2, unusable.sum()), seed=seed)
        counts[unusable] = fresh[: unusable.sum()]
        unusable = np.any([(counts[:, place] > 0).sum(axis=1) < least_stimuli for place in places], axis=0)
        if measured is not None:
            unusable |= _measured_pairs(counts, measured) < LEAST_PAIRS
        if not unusable.any():
            return counts
    raise DataError(f"{name}: too few stimuli in split {fold.name!r} to resample them; give more to each subject")


def _measured_pairs(counts: Counts, measured: Booleans) -> npt.NDArray[np.float64]:
    """(resample,), how many pairs of different stimuli of each resample were measured."""
    there = (counts > 0).astype(np.float64)
    return np.einsum("rs,rs->r", there @ squareform(measured).astype(np.float64), there) / 2
