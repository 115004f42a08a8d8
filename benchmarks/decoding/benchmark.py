"""The benchmark: how well a linear read-out of each layer at each time_bin tells labels of images it has not seen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from alignment.decoding import Decoder, read_out, stratified_folds
from alignment.errors import DataError
from alignment.models import check_layers
from alignment.models.base import Model
from alignment.resampling import shared_training
from benchmarks.choices import Inference, recording_words
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.decoding.variables import PermutedLabels, variables_of
from benchmarks.nulls import NULLS
from benchmarks.recordings import Recording
from benchmarks.robustness.chance import Chance
from benchmarks.robustness.classification import Classification, surface_row

FOLDS, INNER_FOLDS = 5, 2
EVERYONE = "all"
NO_LAYER = "-"


class Cell(NamedTuple):
    """One layer at one time_bin."""

    layer: str
    time_bin: float


class Decoding(Classification):
    """Accuracy of a linear read-out, each image by a fit on the other folds, mean over the variables that are read.

    Layer and time_bin of the score are chosen within the training images of each fold; null rows are models without
    training, chance, and the same read-out of labels that were dealt to other images.

    Parameters
    ----------
    decoder : how labels are read
    recording : how activations are recorded
    name, dataset, inference, marks : as of `Classification`
    """

    null_rows = NULLS

    def __init__(
        self,
        name: str,
        dataset: LabelledDataSet,
        *,
        decoder: Decoder,
        recording: Recording,
        inference: Inference,
        marks: Sequence[str] = (),
    ) -> None:
        super().__init__(name, dataset, inference=inference, marks=marks)
        self.decoder = decoder
        self.recording = recording

    @property
    def summary(self) -> str:
        """One line."""
        return f"linear read-out of the labels of {self.dataset.name}, by layer and time_bin"

    @property
    def words(self) -> tuple[str, ...]:
        """`svm`, the scaling where there is one, and the recording."""
        scale = self.decoder.scale
        return ("svm", scale if scale != "none" else "", *recording_words(self.recording))

    def settings(self) -> dict[str, Any]:
        """Decoder, folds and recording."""
        decoder = {"decoder": asdict(self.decoder), "folds": FOLDS, "inner_folds": INNER_FOLDS}
        return {**decoder, "recording": asdict(self.recording)}

    def check(self) -> None:
        """There are two labels or more, and images of each for every fold.

        Raises
        ------
        DataError
            There are not.
        """
        names, labels = variables_of(self.dataset)
        for name, column in zip(names, labels.T, strict=True):
            counts = Counter(column.tolist())
            if len(counts) < 2:
                raise DataError(f"{self.name}: every image has the same {name}; give images of two or more")
            rare, count = min(counts.items(), key=lambda each: each[1])
            if count < FOLDS:
                said = self.dataset.classes[rare] if len(names) == 1 else str(rare)
                raise DataError(
                    f"{self.name}: {name} {said!r} has {count} images; a read-out over {FOLDS} folds needs {FOLDS} of "
                    "each that occurs"
                )

    def check_model(self, model: Model) -> None:
        """It has layers to record."""
        check_layers(model)

    def memory(self) -> int:
        """Inner products of images, their eigenvectors and the room to find them, in float64."""
        return 4 * 8 * len(self.dataset.stimuli) ** 2

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """Size of the activations that are still to be recorded."""
        if isinstance(model, Chance):
            return 0
        layers = tuple(dict.fromkeys(part.layer for part in pending))
        return session.recordings.bytes(model, self.dataset.stimuli, layers, self.recording)

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Every layer."""
        return tuple(Part(EVERYONE, layer) for layer in model.layers or (NO_LAYER,))

    def shuffled(self) -> "Decoding":
        """The same read-out of labels dealt to other images."""
        return Decoding(
            self.name,
            PermutedLabels(self.dataset),
            decoder=self.decoder,
            recording=self.recording,
            inference=self.inference,
            marks=self.marks,
        )

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Read every variable from one layer at each of its time_bins.

        Returns
        -------
        Dataset
            `correct` (time_bin, variable, stimulus) bool; `choice` (time_bin, variable, fold), accuracy within the
            training images, NaN where there is one cell; `stopped` (time_bin, variable), fits that ended at their limit
            of iterations.
        """
        names, labels = variables_of(self.dataset)
        if isinstance(model, Chance):
            return _dataset([_most_frequent(labels, self._folds)], names, time_bins=[0.0])
        stimuli, recordings = self.dataset.stimuli, session.recordings
        recordings.record(model, stimuli, model.layers, self.recording)
        time_bins, found = model.time_bins[part.layer], []
        # a model of one layer and time_bin leaves nothing to choose
        inner = self._inner if sum(len(model.time_bins[layer]) for layer in model.layers) > 1 else None
        for time_bin in time_bins:
            features = recordings.features(
                model, stimuli, part.layer, recording=self.recording, time_bin=time_bin, ids=stimuli.ids
            )
            read = read_out(features, labels, folds=self._folds, inner=inner, decoder=self.decoder)
            found.append(_Read(read.predicted == labels, read.choice, read.n_stopped))
        return _dataset(found, names, time_bins=time_bins)

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """The chosen cell of each fold, judged on the images that the fold held out; the surface has every cell."""
        cells = [Cell(part.layer, each) for part in measured for each in measured[part]["time_bin"].values.tolist()]
        correct, choice, stopped = (
            np.concatenate([measured[part][name].values for part in measured]).astype(np.float64)
            for name in ("correct", "choice", "stopped")
        )
        chosen = np.argmax(choice.mean(axis=1), axis=0)
        # (variable, stimulus), each stimulus in the cell that the other folds chose
        right = correct[chosen[self._folds], :, np.arange(correct.shape[2])].T
        overlap = shared_training(FOLDS)
        score, raw = self.as_score(right.mean(axis=0), overlap=overlap)
        modal, votes = Counter(chosen.tolist()).most_common(1)[0]
        names = variables_of(self.dataset).names
        return Scored(
            score,
            raw,
            by_split={f"fold {fold}": float(right[:, self._folds == fold].mean()) for fold in range(FOLDS)},
            layer=cells[modal].layer,
            time_bin=cells[modal].time_bin,
            layer_share=votes / FOLDS,
            surface=[
                surface_row(*cell, of_cell.mean(axis=0), overlap=overlap)
                for cell, of_cell in zip(cells, correct, strict=True)
            ],
            details={
                "chosen": [cells[place]._asdict() for place in chosen],
                "variables": dict(zip(names, right.mean(axis=1).tolist(), strict=True)),
            },
            figures={
                "chance": self.chance,
                **(dict(zip(names, right.mean(axis=1).tolist(), strict=True)) if len(names) > 1 else {}),
                "share of fits that ended at their limit of iterations": float(stopped.mean() / FOLDS),
            },
        )

    @property
    def chance(self) -> float:
        """Share of the most frequent label, mean over variables."""
        labels = variables_of(self.dataset).labels
        return float(np.mean([np.bincount(column).max() / len(column) for column in labels.T]))

    def card(self) -> dict[str, str]:
        """What it is, and where it fails."""
        decoder = self.decoder
        scaled = {
            "none": "features as they are",
            "floored_sd": "units centred and divided by their sd over training images, floored at a tenth of the "
            "layer's root mean square sd",
        }
        return {
            "measure": "accuracy of a linear read-out of each layer at each time_bin: a support vector machine, one "
            f"class against the rest, {FOLDS} folds of images; mean over {', '.join(variables_of(self.dataset).names)}",
            "formula": "mean over images of [argmax_k w_k (x, 1) = label], w_k the minimum of |w|^2 / 2 + C sum_i "
            f"max(0, 1 - y_i w (x_i, 1))^2 on the other folds, C = {decoder.c:g}, at most {decoder.iterations} "
            f"iterations; {scaled[decoder.scale]}",
            "layer": f"chosen inside the training images of each fold, by accuracy over {INNER_FOLDS} folds of them, "
            "the earliest of equals",
            "chance": f"{self.chance:.3f}, the share of the most frequent label; the row with shuffled labels is the "
            "control at every layer and time_bin",
            "source": "Thorat, Aldegheri & Kietzmann 2021, SVRHM (protocol); intervals: Wilson 1927, n divided by "
            f"{shared_training(FOLDS):g} for folds that share training images (Nadeau & Bengio 2003)",
            "known failure": "what a read-out finds need not be used by the network; on features as they are, a layer "
            "of large activations is regularised less (compare with benchmark.scale=floored_sd)",
        }

    @cached_property
    def _folds(self) -> np.ndarray:
        """(stimulus,), where each is held out."""
        return stratified_folds(
            variables_of(self.dataset).labels, self.dataset.stimuli.ids, n=FOLDS, name=self.dataset.name
        )

    @cached_property
    def _inner(self) -> np.ndarray:
        """(fold, stimulus), the folds within the training images of each; -1 where a stimulus is held out."""
        labels, ids = variables_of(self.dataset).labels, np.array(self.dataset.stimuli.ids)
        inner = np.full((FOLDS, len(ids)), -1)
        for fold in range(FOLDS):
            train = self._folds != fold
            name = f"{self.dataset.name}, inner {fold}"
            inner[fold, train] = stratified_folds(labels[train], ids[train].tolist(), n=INNER_FOLDS, name=name)
        return inner


class _Read(NamedTuple):
    """Of one cell: correct (stimulus, variable), choice (fold, variable), stopped (variable,)."""

    correct: np.ndarray
    choice: np.ndarray
    stopped: np.ndarray


def _dataset(found: Sequence[_Read], names: Sequence[str], *, time_bins: Sequence[float]) -> xr.Dataset:
    return xr.Dataset(
        {
            "correct": (("time_bin", "variable", "stimulus"), np.stack([each.correct.T for each in found])),
            "choice": (("time_bin", "variable", "fold"), np.stack([each.choice.T for each in found])),
            "stopped": (("time_bin", "variable"), np.stack([each.stopped for each in found])),
        },
        coords={"time_bin": list(time_bins), "variable": list(names)},
    )


def _most_frequent(labels: np.ndarray, folds: np.ndarray) -> _Read:
    """What saying the most frequent label of the other folds gives."""
    correct = np.empty(labels.shape, dtype=bool)
    for fold in range(FOLDS):
        held_out = folds == fold
        usual = [np.bincount(column[~held_out]).argmax() for column in labels.T]
        correct[held_out] = labels[held_out] == usual
    return _Read(correct, np.zeros((FOLDS, labels.shape[1])), np.zeros(labels.shape[1], np.int64))
