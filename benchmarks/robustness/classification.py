"""What every benchmark of a labelled data set does alike; what it does to the images is a subclass's own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import xarray as xr

from alignment import fingerprint
from alignment.models.base import Model
from alignment.proportions import wilson
from alignment.resampling import stimulus_counts
from alignment.samples import Samples
from alignment.score import Score, Status
from alignment.stimuli import StimulusSet
from benchmarks.choices import Inference, card_of_data, id_of
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.fingerprint import PixelDigests
from benchmarks.nulls import REFERENCES, UNTRAINED
from benchmarks.robustness.chance import chance
from benchmarks.robustness.images import check_logits


class Classification(ABC):
    """Accuracy of a network on labelled images, under what a subclass does to them.

    Parameters
    ----------
    name : as a user types it
    dataset : images with targets
    inference : how models are compared; intervals are Wilson's
    batch_size : images per forward pass, where a subclass makes such passes itself
    marks : further non-default settings to name in the id
    """

    version = 1
    code_version = 1
    null_rows: tuple[str, ...] = (UNTRAINED, REFERENCES)

    def __init__(
        self,
        name: str,
        dataset: LabelledDataSet,
        *,
        inference: Inference,
        batch_size: int = 1,
        marks: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.dataset = dataset
        self.inference = inference
        self.batch_size = batch_size
        self.marks = tuple(marks)

    @property
    @abstractmethod
    def summary(self) -> str:
        """One line."""

    @property
    @abstractmethod
    def words(self) -> tuple[str, ...]:
        """Of the id: everything of the measure that enters the number."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The same, and whatever else enters a part, with values."""

    @abstractmethod
    def card(self) -> dict[str, str]:
        """What it is, its source, and where it fails."""

    @abstractmethod
    def parts(self, model: Model) -> tuple[Part, ...]:
        """The grain of work for this model."""

    @abstractmethod
    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Compute one part."""

    @abstractmethod
    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """From all parts of one model to its score."""

    @property
    def measured_by(self) -> str:
        """The id without the name."""
        return id_of(self.words, self.marks)

    @property
    def id(self) -> str:
        """The name and what it is measured by."""
        return f"{self.name}-{self.measured_by}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is left out."""
        return ()

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """Hash of images, targets, settings, the root of seeds and code version."""
        return fingerprint.of_parts(
            f"{type(self).__name__} {self.code_version} {self.version} {self.dataset.version}",
            digests.whole(self.dataset.stimuli),
            self.dataset.fingerprint,
            fingerprint.of_settings({**self.settings(), "seed": self.inference.seed}),
        )

    def fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters the score."""
        return fingerprint.of_parts(self.fit_fingerprint(digests), fingerprint.of_settings(asdict(self.inference)))

    def check(self) -> None:
        """Targets are there."""
        self.dataset.targets()

    def check_model(self, model: Model) -> None:
        """Its logits are of the data set's classes."""
        check_logits(model, self.dataset)

    def stimuli(self) -> tuple[StimulusSet, ...]:
        """What is shown."""
        return (self.dataset.stimuli,)

    def memory(self) -> int:
        """Next to nothing beside the model's own."""
        return 0

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """Nothing is recorded."""
        return 0

    def references(self) -> tuple[Model, ...]:
        """What the most frequent class scores."""
        return (chance(self.dataset),)

    def shuffled(self) -> "Classification":
        """No row of this table: chance says what there is to say."""
        return self

    def resolved(self) -> dict[str, Any]:
        """Of the measure, the data set and the inference."""
        dataset = {"name": self.dataset.name, "version": self.dataset.version, "marks": list(self.marks)}
        return {**self.settings(), "dataset": dataset, "inference": asdict(self.inference)}

    def describe(self) -> dict[str, Any]:
        """The id, the card, and what the data set says of itself."""
        return {"id": self.id, **self.card(), **card_of_data(self.dataset.describe())}

    def as_score(self, correct: np.ndarray, *, status: Status = "ok", overlap: float = 1.0) -> tuple[Score, Samples]:
        """The mean of the correctness of images (image,) with Wilson's interval, and samples to compare models by.

        Parameters
        ----------
        overlap : factor on the variance, of `alignment.resampling.shared_training`
        """
        counts = stimulus_counts(
            len(correct), self.dataset.name, n_resamples=self.inference.n_bootstrap, seed=self.inference.seed
        )
        mean = np.array([correct.mean(dtype=np.float64)])
        raw = Samples(
            mean,
            (counts @ correct / len(correct))[None],
            n_stimuli=len(correct),
            subjects="fixed",
            overlap=overlap,
        )
        found = Score(
            raw=wilson(correct, overlap=overlap),
            ceiling=None,
            normalised=None,
            lower=None,
            status=status,
            p_value=None,
            p_zero=None,
            p_lower=None,
            n_stimuli=len(correct),
            n_neuroids=None,
            n_subjects=None,
            subjects_resampled=False,
        )
        return found, raw


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """On the processor."""
    return tensor.detach().cpu().numpy()


def surface_row(layer: str, time_bin: float, correct: np.ndarray, *, overlap: float = 1.0) -> dict[str, Any]:
    """Mean correctness of images (image,) with Wilson's interval."""
    found = wilson(correct, overlap=overlap)
    return {"layer": layer, "time_bin": time_bin, "raw": found.value, "raw_low": found.low, "raw_high": found.high}
