"""What a layer is compared with: subjects' responses, summarised here, or RDMs as they were published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from scipy.spatial.distance import squareform

from alignment import seeds
from alignment.encoding import TensorFeatures
from alignment.errors import DataError
from alignment.rsa import RDMs
from benchmarks.datasets.base import DataSet, RDMDataSet, Split
from benchmarks.datasets.splits import check_splits, k_folds
from benchmarks.similarity.judged import LEAST_PAIRS, Booleans, Fold, Group
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

    @property
    def measured(self) -> Booleans | None:
        """(pair,) of all stimuli, where the data are RDMs of which some pairs were not measured."""
        ...

    @property
    def card(self) -> Mapping[str, str]:
        """How a layer is chosen on these data, and what else of them an identity card says."""
        ...

    def judged(self, fold: Fold, group: Group) -> Doubles:
        """(subject, entry) of held-out stimuli."""
        ...

    def check(self) -> None:
        """Refuse what cannot be compared."""
        ...

    def memory(self) -> int:
        """Bytes that making and comparing summaries takes."""
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
    measured: Booleans | None = None
    compared: ClassVar[str] = "stimuli"
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

    @property
    def card(self) -> Mapping[str, str]:
        """How a layer is chosen."""
        return {"layer": "chosen inside the training stimuli of each split, by the same measure"}

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
                    where = f"{self.dataset.name}: split {fold.name!r}"
                    raise DataError(f"{where} has {short} {self.compared} to compare; give {least}")
                self.judged(fold, group)

    def memory(self) -> int:
        """A few square matrices of the most stimuli that are compared at once, in float64."""
        return squares_of(max(len(fold.stimuli) for fold in self.folds))

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
        tests = [self._held_out(place, fold) for place in range(len(self.subjects))]
        common = set.intersection(*map(set, tests))
        if len(common) >= LEAST_COMMON:
            return (Group(tuple(range(len(tests))), tuple(sorted(common))),)
        found: dict[tuple[str, ...], list[int]] = {}
        for position, ids in enumerate(tests):
            found.setdefault(tuple(sorted(ids)), []).append(position)
        return tuple(Group(tuple(places), judged_on) for judged_on, places in found.items())

    def _held_out(self, subject: int, fold: int) -> tuple[str, ...]:
        """Those that can be compared."""
        return self._splits[subject][fold].test

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

    @property
    def card(self) -> Mapping[str, str]:
        """How a layer is chosen."""
        return {"layer": "chosen for each pair of stimuli on the stimuli of the folds that neither is in"}

    @cached_property
    def measured(self) -> Booleans | None:
        """(pair,), the same in every RDM; None where every pair was."""
        there = ~np.isnan(self.dataset.rdms().dissimilarities[0])
        return None if there.all() else there

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
        """The RDMs can be read, and enough pairs were measured to choose a layer on.

        The number of layers does not matter: a data set has a score for every model or for none.
        """
        ids, blocks = self.dataset.stimuli.ids, self.blocks
        if self.measured is None:
            return
        square = squareform(self.measured)
        alone = [name for name, there in zip(ids, square.any(axis=0), strict=True) if not there]
        if alone:
            raise DataError(
                f"{self.dataset.name}: no pair with {alone[0]!r} was measured ({len(alone)} such); leave these out"
            )
        for block in blocks:
            rows = np.isin(ids, block.chosen_on)
            if square[np.ix_(rows, rows)].sum() < 2 * LEAST_PAIRS:
                raise DataError(
                    f"{self.dataset.name}: fewer than {LEAST_PAIRS} measured pairs are left to choose a layer on once "
                    f"two of {BLOCK_FOLDS} folds are left out; measure more pairs"
                )

    def memory(self) -> int:
        """As of responses."""
        return squares_of(len(self.dataset.stimuli))

    @cached_property
    def sessions(self) -> dict[str, Doubles]:
        """(session, pair) of each subject with several sessions."""
        given = self.dataset.sessions()
        if given is None:
            return {}
        own = np.array(given.subjects)
        rows = {subject: np.flatnonzero(own == subject) for subject in self.subjects}
        return {subject: given.dissimilarities[row].astype(np.float64) for subject, row in rows.items() if len(row) > 1}

    def sub_rdms(self, vectors: Doubles, ids: Sequence[str]) -> Doubles:
        """Rows of dissimilarities of all stimuli, cut down to some."""
        return RDMs(vectors, self.dataset.stimuli.ids).select(ids).dissimilarities.astype(np.float64)


def squares_of(n_stimuli: int) -> int:
    """Bytes of the few square matrices in float64 that comparing so many stimuli takes."""
    return 6 * 8 * n_stimuli**2


def _some(ids: Sequence[str]) -> tuple[str, ...]:
    """At most `MOST_CHOSEN_ON` of them, by their names alone."""
    if len(ids) <= MOST_CHOSEN_ON:
        return tuple(ids)
    ranked = sorted(ids, key=lambda name: (seeds.derive(0, "chosen on", name), name))
    return tuple(sorted(ranked[:MOST_CHOSEN_ON]))
