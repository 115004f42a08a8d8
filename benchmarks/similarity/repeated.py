"""Brains whose geometry is freed of noise: distances cross-validated over repetitions of the judged stimuli."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
import xarray as xr

from alignment.errors import DataError, RequestError
from alignment.rsa import CROSSNOBIS, RDMs, crossnobis, crossnobis_of_trials, noise_precision
from benchmarks.datasets.base import DataSet, RDMDataSet, holds_rdms
from benchmarks.datasets.trials import shown_twice, trials_of
from benchmarks.similarity.brains import Doubles, GivenBrain, RespondingBrain, squares_of
from benchmarks.similarity.judged import Booleans, Fold, Group
from benchmarks.similarity.reliability import HALVINGS, Halves, halved_repetitions
from benchmarks.similarity.strategies import Strategy

# distances are cross-validated within each half
LEAST_HALVED = 4


@dataclass(frozen=True)
class RepeatedBrain(RespondingBrain):
    """Held-out stimuli are compared by their trials, those on which a layer is chosen by their mean responses.

    Held-out stimuli of which a subject has one trial have no distance and are not judged on. The precision of the noise
    is that of all trials of a subject, so that it is the same in every split.
    """

    compared: ClassVar[str] = "stimuli with two trials"

    @property
    def card(self) -> Mapping[str, str]:
        """How a layer is chosen, and how many stimuli are judged on."""
        held_out = {name for splits in self._splits for split in splits for name in split.test}
        judged = {name for fold in self.folds for name in fold.stimuli}
        return {
            "layer": "chosen inside the training stimuli of each split, by the same comparator on squared Euclidean "
            "distances of mean responses, which noise makes larger",
            "trials": f"{len(judged)} of {len(held_out)} held-out stimuli are judged on; of the others a subject has "
            "fewer than two trials",
        }

    def judged(self, fold: Fold, group: Group) -> Doubles:
        """Cross-validated distances of held-out stimuli."""
        return np.concatenate(
            [self._rdms[self.subjects[place]].select(group.judged_on).dissimilarities for place in group.subjects]
        )

    def memory(self) -> int:
        """Also of the noise, and of all stimuli of a subject at once."""
        neuroids = max(trials.sizes["neuroid"] for trials in self._trials.values())
        stimuli = max(trials.sizes["stimulus"] for trials in self._trials.values())
        return super().memory() + squares_of(stimuli) // 2 + 4 * 8 * neuroids**2

    @property
    def can_be_halved(self) -> bool:
        """Whether each half of the repetitions can hold two trials of every stimulus; of one subject."""
        (trials,) = self._trials.values()
        return int(_there(trials).all(axis=0).sum()) >= LEAST_HALVED

    @property
    def doubling(self) -> float:
        """How many times the noise of a dissimilarity shrinks when trials are twice as many; of one subject.

        With n trials and noise that is white, of variance 1 in each of p neuroids, the variance of a dissimilarity d is
        8 / p (d / n + 1 / (n (n - 1))) (Diedrichsen, Provost & Zareamoghaddam 2016, arXiv:1607.01371): when n doubles
        it halves where d is large, and falls to less than a quarter where d is 0.
        """
        (trials,), (rdms,) = self._trials.values(), self._rdms.values()
        count, apart = float(_there(trials).sum(axis=1).mean()), max(0.0, float(rdms.dissimilarities.mean()))
        return (2 * apart + 4 / (count - 2)) / (apart + 1 / (count - 1))

    def halves(self, *, seed: int) -> list[list[Halves]]:
        """Per fold, dissimilarities of either half of the repetitions, whitened alike, for each way to halve them."""
        (trials,) = self._trials.values()
        rows, repetitions = np.nonzero(_there(trials))
        responses = torch.from_numpy(trials.values[rows, :, repetitions])
        shown = trials["stimulus"].values[rows].tolist()
        precision = noise_precision(responses, stimuli=shown)

        def distances(half: Booleans) -> RDMs:
            chosen = np.flatnonzero(half[repetitions])
            return crossnobis(
                responses[chosen],
                stimuli=[shown[place] for place in chosen],
                folds=repetitions[chosen].tolist(),
                precision=precision,
            )

        found: list[list[Halves]] = [[] for _ in self.folds]
        for number in range(HALVINGS):
            first = halved_repetitions(_there(trials), name=self.dataset.name, number=number, seed=seed)
            halves = [distances(half) for half in (first, ~first)]
            for of_fold, fold in zip(found, self.folds, strict=True):
                one, other = (half.select(fold.stimuli).dissimilarities[0] for half in halves)
                of_fold.append((one, other))
        return found

    @cached_property
    def _trials(self) -> dict[str, xr.DataArray]:
        """Of each subject, those of stimuli with two or more."""
        found = {}
        for subject in self.subjects:
            trials = trials_of(self.dataset, subject)
            twice = None if trials is None else shown_twice(trials)
            if trials is None or twice is None or not twice.any():
                raise RequestError(
                    f"{self.dataset.name}, subject {subject}: benchmark.distance={CROSSNOBIS} needs stimuli with "
                    "two trials, and the data set has none; choose another distance"
                )
            found[subject] = trials.isel(stimulus=np.flatnonzero(twice))
        return found

    @cached_property
    def _rdms(self) -> dict[str, RDMs]:
        return {subject: self._rdm(subject, trials) for subject, trials in self._trials.items()}

    def _rdm(self, subject: str, trials: xr.DataArray) -> RDMs:
        where = f"{self.dataset.name}, subject {subject}"
        ids = [str(name) for name in trials["stimulus"].values]
        try:
            rdms = crossnobis_of_trials(trials.values, stimuli=ids, subject=subject)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        absent = np.flatnonzero(np.isnan(rdms.dissimilarities[0]))
        if len(absent):
            first, second = (ids[places[absent[0]]] for places in np.triu_indices(len(ids), k=1))
            raise DataError(
                f"{where}: {first!r} and {second!r} share no two repetitions ({len(absent)} such pairs), so that their "
                f"{CROSSNOBIS} is unknown; number repetitions alike for all stimuli"
            )
        return rdms

    def _held_out(self, subject: int, fold: int) -> tuple[str, ...]:
        there = set(self._trials[self.subjects[subject]]["stimulus"].values.tolist())
        return tuple(name for name in super()._held_out(subject, fold) if name in there)


def brain_of(
    dataset: DataSet | RDMDataSet, strategy: Strategy, *, name: str
) -> RespondingBrain | RepeatedBrain | GivenBrain:
    """What layers are compared with.

    Parameters
    ----------
    dataset : with responses or with RDMs
    strategy : whether its summaries are made of single trials
    name : of the benchmark, for errors

    Raises
    ------
    RequestError
        Single trials are needed of a data set of RDMs.
    """
    if not holds_rdms(dataset):
        return (RepeatedBrain if strategy.over_repetitions else RespondingBrain)(dataset, strategy)
    if strategy.over_repetitions:
        raise RequestError(
            f"{name}: benchmark.distance={CROSSNOBIS} is made of single trials, and the data set holds RDMs, which are "
            "compared as they are; for layers choose squared-euclidean/units"
        )
    return GivenBrain(dataset)


def _there(trials: xr.DataArray) -> Booleans:
    """(stimulus, repetition) bool."""
    return np.isfinite(trials.values).any(axis=1)
