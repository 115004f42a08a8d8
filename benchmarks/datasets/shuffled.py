"""The same data set with responses dealt to the wrong stimuli: whatever scores above 0 on it is an artefact."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from alignment import fingerprint, seeds
from alignment.rsa.rdms import RDMs
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import DataSet, RDMDataSet, Split
from benchmarks.datasets.trials import shown_twice, trials_of


class Shuffled:
    """A data set whose responses are permuted over stimuli, all neuroids together, by a fixed seed per subject."""

    def __init__(self, dataset: DataSet) -> None:
        self.dataset = dataset
        self.name = dataset.name
        self.version = dataset.version
        self.subjects = dataset.subjects
        self.marks: tuple[str, ...] = getattr(dataset, "marks", ())

    @property
    def stimuli(self) -> StimulusSet:
        """As in the data set."""
        return self.dataset.stimuli

    @property
    def fingerprint(self) -> str:
        """Differs from the data set's own."""
        return fingerprint.of_parts("shuffled", self.dataset.fingerprint)

    def responses(self, subject: str) -> xr.DataArray:
        """Responses of a subject, each given to another stimulus."""
        responses = self.dataset.responses(subject)
        order = seeds.generator(0, "shuffled responses", self.name, subject).permutation(responses.sizes["stimulus"])
        return responses.copy(data=responses.values[order])

    def trials(self, subject: str) -> xr.DataArray | None:
        """Single trials, those of each stimulus with two or more given to another such stimulus, all together."""
        trials = trials_of(self.dataset, subject)
        if trials is None:
            return None
        order, dealt = np.arange(trials.sizes["stimulus"]), np.flatnonzero(shown_twice(trials))
        order[dealt] = seeds.generator(0, "shuffled trials", self.name, subject).permutation(dealt)
        return trials.copy(data=trials.values[order])

    def splits(self, subject: str) -> tuple[Split, ...]:
        """As in the data set."""
        return self.dataset.splits(subject)

    def ceiling(self, subject: str) -> xr.Dataset | None:
        """As in the data set."""
        return self.dataset.ceiling(subject)

    def describe(self) -> dict[str, Any]:
        """As in the data set, said to be shuffled."""
        return {**self.dataset.describe(), "responses": "shuffled over stimuli"}


class ShuffledRDMs:
    """A data set of RDMs whose stimuli are permuted, alike for all subjects, so that they agree as before."""

    def __init__(self, dataset: RDMDataSet) -> None:
        self.dataset = dataset
        self.name = dataset.name
        self.version = dataset.version
        self.subjects = dataset.subjects
        self.marks = dataset.marks

    @property
    def stimuli(self) -> StimulusSet:
        """As in the data set."""
        return self.dataset.stimuli

    @property
    def fingerprint(self) -> str:
        """Differs from the data set's own."""
        return fingerprint.of_parts("shuffled", self.dataset.fingerprint)

    def rdms(self) -> RDMs:
        """Each stimulus has the dissimilarities of another."""
        return self._permuted(self.dataset.rdms())

    def sessions(self) -> RDMs | None:
        """Permuted likewise."""
        given = self.dataset.sessions()
        return None if given is None else self._permuted(given)

    def references(self) -> Mapping[str, RDMs]:
        """None: they are no row of this data set."""
        return {}

    def describe(self) -> dict[str, Any]:
        """As in the data set, said to be shuffled."""
        return {**self.dataset.describe(), "RDMs": "shuffled over stimuli"}

    def _permuted(self, rdms: RDMs) -> RDMs:
        ids = self.stimuli.ids
        order = seeds.generator(0, "shuffled rdms", self.name).permutation(len(ids))
        return replace(rdms.select([ids[place] for place in order]), stimuli=ids)
