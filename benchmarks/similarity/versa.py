"""Voxel-reweighted RSA: the RDM of what a ridge predicts of each subject's responses to held-out stimuli."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import xarray as xr

from alignment import fingerprint
from alignment.encoding import TensorFeatures
from alignment.errors import RequestError
from alignment.invariances import said_of
from alignment.models.base import Model
from benchmarks.choices import Inference
from benchmarks.contracts import Part, Session
from benchmarks.datasets.base import DataSet
from benchmarks.fingerprint import PixelDigests
from benchmarks.neural import NeuralPredictivity
from benchmarks.neural.scoring import median_over_neuroids
from benchmarks.recordings import Recording
from benchmarks.similarity.benchmark import Similarity
from benchmarks.similarity.choice import Cell, Choice, chosen_by_fold
from benchmarks.similarity.judged import Fold, Group
from benchmarks.similarity.strategies import ByRDM, Doubles


class VoxelReweighted(Similarity):
    """RSA on predicted responses (Konkle & Alvarez 2022; Khaligh-Razavi & Kriegeskorte 2014).

    Fits and their parts in the store are those of the ridge benchmark: nothing is fitted twice.

    Parameters
    ----------
    ridge : the benchmark whose predictions are compared
    name, dataset, strategy, recording, inference, marks, unshuffled : as of `Similarity`

    Raises
    ------
    RequestError
        The strategy compares single trials.
    """

    fitted = True

    def __init__(
        self,
        name: str,
        dataset: DataSet,
        *,
        ridge: NeuralPredictivity,
        strategy: ByRDM,
        recording: Recording,
        inference: Inference,
        marks: Sequence[str] = (),
        unshuffled: Similarity | None = None,
    ) -> None:
        if strategy.over_repetitions:
            raise RequestError(
                f"{name}: benchmark.distance={strategy.distance} means nothing to versa: what a ridge predicts is in "
                "units of the responses, not of their noise; choose another distance, or benchmark.measure=rsa"
            )
        super().__init__(
            name,
            dataset,
            strategy=strategy,
            recording=recording,
            inference=inference,
            marks=marks,
            unshuffled=unshuffled,
        )
        self.ridge = ridge

    @property
    def measured_by(self) -> str:
        """RDM words of the prediction, then those of the ridge."""
        words = "-".join(word for word in self.strategy.words[1:] if word)
        return f"versa-{words}-{self.ridge.measured_by}"

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """That of the ridge, whose parts these are."""
        return self.ridge.fit_fingerprint(digests)

    def fingerprint(self, digests: PixelDigests) -> str:
        """Hash of the fits, of how predictions are compared, and of the resamples."""
        settings = {"strategy": dict(self.strategy.settings()), "inference": asdict(self.inference)}
        return fingerprint.of_parts("versa", self.ridge.fingerprint(digests), fingerprint.of_settings(settings))

    def check(self) -> None:
        """As for the ridge and for RSA."""
        self.ridge.check()
        super().check()

    def memory(self) -> int:
        """Of the larger step."""
        return max(self.ridge.memory(), super().memory())

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Those of the ridge: every subject with every layer."""
        return self.ridge.parts(model)

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """As for the ridge."""
        return self.ridge.bytes(model, pending, session)

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """A ridge of one layer on one subject."""
        return self.ridge.measure(model, part, session)

    def shuffled(self) -> "VoxelReweighted":
        """The same measurement with responses permuted over stimuli."""
        ridge = self.ridge.shuffled()
        assert isinstance(self.strategy, ByRDM)
        return VoxelReweighted(
            self.name,
            ridge.dataset,
            ridge=ridge,
            strategy=self.strategy,
            recording=self.recording,
            inference=self.inference,
            marks=self.marks,
            unshuffled=self,
        )

    def describe(self) -> dict[str, Any]:
        """As of RSA, with what differs."""
        return {
            **super().describe(),
            "measure": "RDM of the responses that a ridge predicts to held-out stimuli, compared with the RDM of the "
            "measured ones, averaged over splits, mean over subjects",
            "formula": "s(a, b), s the comparator, a the distances of every two predictions X B of a ridge, b those of "
            "the responses",
            "invariances": said_of(self.ridge.strategy.invariances),
            "layer": "chosen inside the training stimuli of each split, by the ridge's cross-validated score",
            "source": "Khaligh-Razavi & Kriegeskorte 2014, PLoS Comput Biol 10:e1003915; Konkle & Alvarez 2022, Nat "
            "Commun 13:491 (veRSA)",
            "known failure": "the ridge shrinks what it cannot predict: noisy neuroids fall out of the predicted RDM, "
            "not of the measured one",
        }

    def _folds(self) -> tuple[Fold, ...]:
        """As of RSA, each subject by itself: each has predictions of its own."""
        return tuple(
            Fold(
                fold.name,
                tuple(Group((subject,), group.judged_on) for group in fold.groups for subject in group.subjects),
            )
            for fold in super()._folds()
        )

    def _cells(self, measured: Mapping[Part, xr.Dataset]) -> list[Cell]:
        first = self.brain.subjects[0]
        return super()._cells({part: data for part, data in measured.items() if part.subject == first})

    def _stacked(self, measured: Mapping[Part, xr.Dataset]) -> list[list[Doubles]]:
        return [
            [self._predicted(measured, number, self.brain.subjects[group.subjects[0]], group) for group in fold.groups]
            for number, fold in enumerate(self._folds())
        ]

    def _predicted(self, measured: Mapping[Part, xr.Dataset], fold: int, subject: str, group: Group) -> Doubles:
        """(cell, entry) of one subject."""
        rows = []
        for part, data in measured.items():
            if part.subject != subject:
                continue
            held = data["predicted"].isel(stimulus=np.flatnonzero(data["held_out_in"].values == fold))
            for predicted in held.sel(stimulus=list(group.judged_on)).values:
                rows.append(self.strategy.summarise(TensorFeatures(torch.from_numpy(predicted)), device="cpu"))
        return np.stack(rows)

    def _choice(
        self, cells: Sequence[Cell], measured: Mapping[Part, xr.Dataset], models: Sequence[Sequence[Doubles]]
    ) -> Choice:
        scores: list[Doubles] = []
        for subject in self.brain.subjects:
            own = [
                median_over_neuroids(data["cv_score"].values).T
                for part, data in measured.items()
                if part.subject == subject
            ]
            scores.append(np.concatenate(own))
        return chosen_by_fold(cells, np.mean(scores, axis=0), n_groups=[len(fold.groups) for fold in self._folds()])
