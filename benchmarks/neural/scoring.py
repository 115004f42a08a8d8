"""From measured layers to a score: the choice of layer, resamples of stimuli, the layer x time_bin surface."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from alignment.errors import DataError
from alignment.resampling import VALUES_AT_ONCE, Subjects, shared_training, stimulus_counts
from alignment.samples import Samples
from benchmarks.contracts import Part
from benchmarks.datasets.base import Split

Measured = Mapping[Part, xr.Dataset]
LEAST_STIMULI = 2
LEAST_REPEATED = 3
MOST_ATTEMPTS = 100


class Cell(NamedTuple):
    """One layer at one time_bin."""

    layer: str
    time_bin: float


@dataclass(frozen=True)
class Evaluated:
    """What one subject is judged on, fold by fold; stimuli in the order of the responses."""

    names: list[str]
    ids: list[tuple[str, ...]]
    observed: list[np.ndarray]
    dropped: list[str]

    @property
    def n_neuroids(self) -> int:
        """How many are judged."""
        return self.observed[0].shape[1]


@dataclass(frozen=True)
class Outcome:
    """What the cells of one subject come to, one cell for each fold.

    Attributes
    ----------
    value : the subject's score
    resampled : (resample,), the same in each resample of stimuli
    by_fold : the score of each fold alone
    details : anything else worth keeping in the record
    figures : further numbers that belong to the score, by name, for people to read
    """

    value: float
    resampled: np.ndarray
    by_fold: list[float]
    details: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


# from what was measured of each fold, the responses and the counts (resample, stimulus) of each fold
OutcomeOf = Callable[[Sequence[xr.Dataset], Evaluated, Sequence[np.ndarray]], Outcome]


def evaluated(responses: xr.DataArray, splits: Sequence[Split]) -> Evaluated:
    """The held-out responses ("stimulus", "neuroid") of one subject."""
    ids = [str(name) for name in responses["stimulus"].values]
    position = {name: row for row, name in enumerate(ids)}
    rows = [np.sort([position[name] for name in split.test]) for split in splits]
    return Evaluated(
        names=[split.name for split in splits],
        ids=[tuple(ids[row] for row in each) for each in rows],
        observed=[responses.values[each] for each in rows],
        dropped=list(responses.attrs.get("dropped", [])),
    )


def resample_counts(
    subjects: Mapping[str, Evaluated],
    *,
    name: str,
    n_resamples: int,
    seed: int,
    repeated: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, list[np.ndarray]]:
    """Stimulus counts (resample, stimulus) per subject and fold; stimuli that subjects share are drawn together.

    A resample that leaves a subject with fewer than 2 different stimuli in a fold, or with fewer than 3 of those that
    its ceiling is made of, is drawn again: nothing can be correlated over it.

    Parameters
    ----------
    subjects : what each is judged on
    name : of the data set; with fold and seed it fixes the draws
    repeated : subject -> the stimuli that its split-half ceiling is made of

    Raises
    ------
    DataError
        There are so few stimuli that usable resamples are too rare.
    """
    union: dict[str, dict[str, int]] = {}
    for each in subjects.values():
        for fold, ids in zip(each.names, each.ids, strict=True):
            place = union.setdefault(fold, {})
            for stimulus in ids:
                place.setdefault(stimulus, len(place))
    drawn = {fold: np.empty((n_resamples, len(place)), np.int64) for fold, place in union.items()}
    unusable = np.ones(n_resamples, bool)
    for attempt in range(MOST_ATTEMPTS):
        for fold, counts in drawn.items():
            names = (name, fold) if attempt == 0 else (name, fold, "again", attempt)
            fresh = stimulus_counts(counts.shape[1], *names, n_resamples=max(2, unusable.sum()), seed=seed)
            counts[unusable] = fresh[: unusable.sum()]
        of_subjects = {subject: _columns(each, union, drawn) for subject, each in subjects.items()}
        unusable = np.zeros(n_resamples, bool)
        for subject, each in subjects.items():
            unusable |= _too_few(each, of_subjects[subject], repeated=repeated.get(subject, ()))
        if not unusable.any():
            return of_subjects
    raise DataError(f"{name}: too few test stimuli, or repeated ones, to resample them; give more to each subject")


def _columns(
    each: Evaluated, union: Mapping[str, Mapping[str, int]], drawn: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    return [
        drawn[fold][:, [union[fold][stimulus] for stimulus in ids]]
        for fold, ids in zip(each.names, each.ids, strict=True)
    ]


def _too_few(each: Evaluated, counts: Sequence[np.ndarray], *, repeated: Collection[str]) -> np.ndarray:
    """(resample,) bool."""
    few = np.any([(of_fold > 0).sum(axis=1) < LEAST_STIMULI for of_fold in counts], axis=0)
    if repeated:
        chosen = np.array([stimulus in repeated for ids in each.ids for stimulus in ids])
        few |= (np.concatenate(counts, axis=1)[:, chosen] > 0).sum(axis=1) < LEAST_REPEATED
    return few


def choose(measured: Measured, subject: str) -> list[Cell]:
    """The best layer and time_bin of each fold: highest median over neuroids of the score in its training stimuli."""
    cells: list[Cell] = []
    scores = []
    for part in measured:
        if part.subject == subject:
            data = measured[part]
            cells += [Cell(part.layer, time_bin) for time_bin in data["time_bin"].values.tolist()]
            scores.append(median_over_neuroids(data["cv_score"].values).T)
    return [cells[best] for best in np.argmax(np.concatenate(scores), axis=0)]


def median_over_neuroids(values: np.ndarray) -> np.ndarray:
    """Median over the last axis; a neuroid that is constant within a fold's training stimuli has no score there."""
    judged = np.isfinite(values).any(axis=-1)
    return np.nanmedian(np.where(judged[..., None], values, -np.inf), axis=-1)


def pick(measured: Measured, subject: str, cells: Sequence[Cell]) -> list[xr.Dataset]:
    """What was measured of one subject, fold by fold, each in its own cell and of the stimuli that it held out."""
    picked = []
    for fold, cell in enumerate(cells):
        data = measured[Part(subject, cell.layer)].sel(time_bin=cell.time_bin).isel(fold=fold)
        picked.append(data.isel(stimulus=np.flatnonzero(data["held_out_in"].values == fold)))
    return picked


def resampled_medians_of(
    folds: Sequence[Callable[[np.ndarray], np.ndarray]], counts: Sequence[np.ndarray], *, n_columns: int
) -> np.ndarray:
    """Median over columns of the fold-averaged values, for each resample, in bounded memory.

    Parameters
    ----------
    folds : per fold, from counts (resample, stimulus) to values (resample, column)
    counts : per fold (resample, stimulus), the same number of resamples in each
    n_columns : neuroids or units

    Returns
    -------
    array (resample,) float64

    Examples
    --------
    >>> weigh = [lambda counts: counts @ np.array([[1.0, 5.0], [2.0, 6.0]])]
    >>> resampled_medians_of(weigh, [np.array([[1, 1], [2, 0]])], n_columns=2)
    array([7., 6.])
    """
    block = max(1, VALUES_AT_ONCE // n_columns)
    medians = []
    for start in range(0, len(counts[0]), block):
        values = [of_fold(each[start : start + block]) for of_fold, each in zip(folds, counts, strict=True)]
        medians.append(np.median(np.mean(values, axis=0), axis=1))
    return np.concatenate(medians).astype(np.float64)


def by_split(outcomes: Mapping[str, Outcome], subjects: Mapping[str, Evaluated]) -> dict[str, float]:
    """Score of each split, the mean over the subjects that have it: how far a ranking hangs on the split."""
    found: dict[str, list[float]] = {}
    for subject, of in outcomes.items():
        for name, value in zip(subjects[subject].names, of.by_fold, strict=True):
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def samples_of(
    outcomes: Mapping[str, Outcome], subjects: Mapping[str, Evaluated], *, resampled: Subjects = "auto"
) -> Samples:
    """Scores of subjects, on all stimuli and on resamples of them."""
    values = np.array([of.value for of in outcomes.values()])
    medians = np.stack([of.resampled for of in outcomes.values()])
    n_folds = len(next(iter(subjects.values())).names)
    return Samples(
        values,
        medians,
        n_stimuli=n_evaluated(subjects.values()),
        subjects=resampled,
        overlap=shared_training(n_folds),
    )


def surface(
    measured: Measured,
    subjects: Mapping[str, Evaluated],
    *,
    outcome: OutcomeOf,
    counts: Mapping[str, list[np.ndarray]],
    resampled: Subjects = "auto",
) -> list[dict[str, Any]]:
    """Raw score and interval of every layer at every time_bin, the same layer in all folds and subjects."""
    rows = []
    for cell in _cells(measured):
        outcomes = {
            subject: outcome(pick(measured, subject, [cell] * len(each.ids)), each, counts[subject])
            for subject, each in subjects.items()
        }
        estimate = samples_of(outcomes, subjects, resampled=resampled).estimate()
        row = {"raw": estimate.value, "raw_low": estimate.low, "raw_high": estimate.high}
        rows.append({"layer": cell.layer, "time_bin": cell.time_bin, **row})
    return rows


def n_evaluated(subjects: Iterable[Evaluated]) -> int:
    """How many different stimuli were held out and judged."""
    return len({stimulus for each in subjects for ids in each.ids for stimulus in ids})


def _cells(measured: Measured) -> list[Cell]:
    first = {part.layer: part for part in reversed(list(measured))}
    layers = dict.fromkeys(part.layer for part in measured)
    return [
        Cell(layer, time_bin) for layer in layers for time_bin in measured[first[layer]]["time_bin"].values.tolist()
    ]
