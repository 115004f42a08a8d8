"""What a layer is compared with: subjects' responses, summarised here, or RDMs as they were published."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from alignment import seeds
from alignment.encoding import TensorFeatures
from alignment.errors import DataError
from alignment.rsa import RDMs
from benchmarks.datasets.base import DataSet, RDMDataSet, Split
from benchmarks.datasets.splits import check_splits, k_folds
from benchmarks.similarity.judged import Fold, Group
from benchmarks.similarity.strategies import Strategy

Doubles = npt.NDArray[np.float64]

# a layer is chosen on at most so many training stimuli: pairs grow with their square
MOST_CHOSEN_ON = 1000
# fewer stimuli that all subjects saw are no basis for comparing the subjects
LEAST_COMMON = 10
BLOCK_FOLDS = 5


@dataclass(frozen=True)
class Block:
    """Pairs of stimuli, and the stimuli that neither of a pair is among, on which their layer is chosen."""

    chosen_on: tuple[str, ...]
    pairs: npt.NDArray[np.int64]


class Brain(Protocol):
    """Subjects and the summaries of their representations."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """Of the data set."""
        ...

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Splits, with subjects grouped by the stimuli they are judged on."""
        ...

    @property
    def n_neuroids(self) -> int | None:
        """Over all subjects; None where the data are RDMs."""
        ...

    def judged(self, fold: Fold, group: Group) -> Doubles:
        """(subject, entry) of held-out stimuli."""
        ...

    def check(self) -> None:
        """Refuse what cannot be compared."""
        ...


@dataclass(frozen=True)
class RespondingBrain:
    """Neuroids are units of the brain's representation.

    Parameters
    ----------
    dataset : stimuli, responses, splits
    strategy : how responses are summarised
    """

    dataset: DataSet
    strategy: Strategy
    _kept: dict[tuple[str, tuple[str, ...]], Doubles] = field(default_factory=dict, repr=False, compare=False)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Of the data set."""
        return self.dataset.subjects

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Where subjects share enough held-out stimuli, they are judged on those alone: then they can be compared."""
        names = [[split.name for split in splits] for splits in self._splits]
        if any(each != names[0] for each in names):
            raise DataError(f"{self.dataset.name}: subjects have other splits; give the same splits to all")
        return tuple(Fold(name, self._groups(number)) for number, name in enumerate(names[0]))

    @cached_property
    def n_neuroids(self) -> int:
        """Over all subjects."""
        return sum(self._responses(subject).shape[1] for subject in self.subjects)

    def judged(self, fold: Fold, group: Group) -> Doubles:
        """Summaries of the responses to held-out stimuli."""
        return np.stack([self._summary(self.subjects[place], group.judged_on) for place in group.subjects])

    def chosen_on(self, fold: int, subject: int) -> tuple[str, ...]:
        """Training stimuli on which a layer is chosen: all, or `MOST_CHOSEN_ON` of them."""
        return _some(self._splits[subject][fold].train)

    def training(self, fold: int, subject: int) -> Doubles:
        """(entry,) of the stimuli on which a layer is chosen."""
        return self._summary(self.subjects[subject], self.chosen_on(fold, subject))

    def check(self) -> None:
        """Responses are there, splits fit them, and every fold has enough stimuli."""
        for subject in self.subjects:
            ids = [str(name) for name in self._responses(subject)["stimulus"].values]
            check_splits(self.dataset.splits(subject), ids=ids, name=f"{self.dataset.name}, subject {subject}")
        least = self.strategy.least_stimuli + 1
        for number, fold in enumerate(self.folds):
            for group in fold.groups:
                chosen_on = [self.chosen_on(number, subject) for subject in group.subjects]
                short = min(map(len, (group.judged_on, *chosen_on)))
                if short < least:
                    raise DataError(
                        f"{self.dataset.name}: split {fold.name!r} has {short} stimuli to compare; give {least}"
                    )
                self.judged(fold, group)

    def trials(self, fold: Fold) -> xr.DataArray | None:
        """Single trials ("stimulus", "neuroid", "repetition") of the only subject; None where there are none."""
        ceiling = self.dataset.ceiling(self.subjects[0]) if len(self.subjects) == 1 else None
        if ceiling is None or "trials" not in ceiling:
            return None
        return ceiling["trials"].sel(stimulus=list(fold.stimuli))

    @cached_property
    def _splits(self) -> list[tuple[Split, ...]]:
        return [self.dataset.splits(subject) for subject in self.subjects]

    def _groups(self, fold: int) -> tuple[Group, ...]:
        """One group on common stimuli, or one for each set of stimuli."""
        tests = [splits[fold].test for splits in self._splits]
        common = set.intersection(*map(set, tests))
        if len(common) >= LEAST_COMMON:
            return (Group(tuple(range(len(tests))), tuple(sorted(common))),)
        found: dict[tuple[str, ...], list[int]] = {}
        for position, ids in enumerate(tests):
            found.setdefault(tuple(sorted(ids)), []).append(position)
        return tuple(Group(tuple(places), judged_on) for judged_on, places in found.items())

    def _summary(self, subject: str, ids: tuple[str, ...]) -> Doubles:
        key = (subject, ids)
        if key not in self._kept:
            values = torch.from_numpy(self._responses(subject).sel(stimulus=list(ids)).values)
            try:
                self._kept[key] = self.strategy.summarise(TensorFeatures(values), device="cpu")
            except DataError as error:
                raise DataError(f"{self.dataset.name}, subject {subject}: {error}") from None
        return self._kept[key]

    def _responses(self, subject: str) -> xr.DataArray:
        responses = self.dataset.responses(subject)
        if responses.sizes["time_bin"] != 1:
            raise DataError(
                f"{self.dataset.name}: responses have {responses.sizes['time_bin']} time_bins; average or select one"
            )
        return responses.isel(time_bin=0)


@dataclass(frozen=True)
class GivenBrain:
    """RDMs as they were measured; nothing is held out by the data set, so that all stimuli are judged on.

    Where a layer must be chosen, each pair of stimuli is judged by the layer that is best on the stimuli of the folds
    that neither of the pair is in: no dissimilarity with either enters its choice.
    """

    dataset: RDMDataSet

    @property
    def subjects(self) -> tuple[str, ...]:
        """Of the data set."""
        return self.dataset.subjects

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """One, of all stimuli and all subjects."""
        everyone = tuple(range(len(self.subjects)))
        return (Fold("all", (Group(everyone, self.dataset.stimuli.ids),)),)

    n_neuroids: int | None = None

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Pairs within a fold and between two folds, each with all other stimuli to choose on."""
        ids = self.dataset.stimuli.ids
        parts = [split.test for split in k_folds(ids, n=BLOCK_FOLDS, name=self.dataset.name)]
        fold_of = {name: number for number, part in enumerate(parts) for name in part}
        numbers = np.array([fold_of[name] for name in ids])
        rows, columns = np.triu_indices(len(ids), k=1)
        low, high = np.minimum(numbers[rows], numbers[columns]), np.maximum(numbers[rows], numbers[columns])
        blocks = []
        for first in range(BLOCK_FOLDS):
            for second in range(first, BLOCK_FOLDS):
                kept = tuple(name for name in ids if fold_of[name] not in (first, second))
                blocks.append(Block(kept, np.flatnonzero((low == first) & (high == second))))
        return tuple(blocks)

    def judged(self, fold: Fold, group: Group) -> Doubles:
        """The RDMs themselves."""
        return self.dataset.rdms().select(group.judged_on).dissimilarities.astype(np.float64)

    def check(self) -> None:
        """The RDMs can be read."""
        self.judged(self.folds[0], self.folds[0].groups[0])

    def session_reliability(self, strategy: Strategy) -> dict[str, float]:
        """Mean similarity of the RDMs of a subject's sessions; subjects with one session are left out."""
        sessions = self.dataset.sessions()
        if sessions is None:
            return {}
        found = {}
        for subject in self.subjects:
            own = sessions.take([row for row, name in enumerate(sessions.subjects) if name == subject])
            if len(own) > 1:
                vectors = own.dissimilarities.astype(np.float64)
                alike = strategy.similarities(vectors, vectors, n_stimuli=len(own.stimuli))
                found[subject] = float(alike[np.triu_indices(len(own), k=1)].mean())
        return found

    def sub_rdms(self, vectors: Doubles, ids: Sequence[str]) -> Doubles:
        """Rows of dissimilarities of all stimuli, cut down to some."""
        return RDMs(vectors, self.dataset.stimuli.ids).select(ids).dissimilarities.astype(np.float64)


def _some(ids: Sequence[str]) -> tuple[str, ...]:
    """At most `MOST_CHOSEN_ON` of them, by their names alone."""
    if len(ids) <= MOST_CHOSEN_ON:
        return tuple(ids)
    ranked = sorted(ids, key=lambda name: (seeds.derive(0, "chosen on", name), name))
    return tuple(sorted(ranked[:MOST_CHOSEN_ON]))
