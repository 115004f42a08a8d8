"""The benchmark: ridge from a layer's activations to responses, judged on held-out stimuli."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from alignment import fingerprint
from alignment.errors import DataError
from alignment.models.base import Model
from alignment.resampling import resampled_medians
from alignment.samples import Samples
from alignment.score import Score, score_samples
from alignment.stimuli import StimulusSet
from benchmarks.choices import asked_of, id_of, marks_of, recording_of, recording_words
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.ceilings import repeated_stimuli, resampled
from benchmarks.datasets.shuffled import Shuffled
from benchmarks.datasets.splits import check_splits
from benchmarks.fingerprint import PixelDigests
from benchmarks.neural.measure import RidgeMeasure, fit_splits, measured_dataset
from benchmarks.neural.scoring import (
    Cell,
    Evaluated,
    Measured,
    Picked,
    by_split,
    choose,
    evaluated,
    n_evaluated,
    pick,
    resample_counts,
    surface,
)
from benchmarks.recordings import Recording
from benchmarks.settings import Settings

CODE_VERSION = 1


class NeuralPredictivity:
    """Median held-out r over neuroids, per layer and time_bin, of a ridge from activations to responses.

    The layer and time_bin of the score are chosen inside the training stimuli of each split, by the median over
    neuroids of 1 - (cross-validated squared error / variance).

    Parameters
    ----------
    name : as a user types it
    dataset : stimuli, responses, splits and ceilings
    measure, recording : what enters the number
    marks : further non-default settings to name in the id
    """

    version = 1

    def __init__(
        self,
        name: str,
        dataset: DataSet,
        *,
        measure: RidgeMeasure,
        recording: Recording,
        marks: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.dataset = dataset
        self.ridge = measure
        self.recording = recording
        self.marks = tuple(marks)
        self._ceilings: dict[str, np.ndarray] = {}
        self.summary = f"ridge to {dataset.name}: held-out Pearson r, median over neuroids"

    @property
    def measured_by(self) -> str:
        """Regression, alpha rule, scaling, pooling, projection, precision, viewing, and other non-default settings."""
        scale = self.ridge.scale if self.ridge.scale != "none" else ""
        return id_of(("ridge", self.ridge.selection, scale, *recording_words(self.recording)), self.marks)

    @property
    def id(self) -> str:
        """The data set's name and what it is measured by."""
        return f"{self.name}-{self.measured_by}"

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """Hash of stimuli, responses, splits, ceilings, code version and the settings that enter a fit."""
        return fingerprint.of_parts(
            f"neural predictivity {CODE_VERSION} {self.version} {self.dataset.version}",
            # shuffles and resamples are drawn by it
            self.dataset.name,
            digests.whole(self.dataset.stimuli),
            self.dataset.fingerprint,
            fingerprint.of_settings({"ridge": self.ridge.of_fits(), "recording": asdict(self.recording)}),
        )

    def fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters the score: the fits, and the resamples of stimuli."""
        return fingerprint.of_parts(self.fit_fingerprint(digests), fingerprint.of_settings(asdict(self.ridge)))

    def check(self) -> None:
        """Responses, splits and ceilings of every subject are there and fit each other.

        Raises
        ------
        DataError
            What is wrong, and with what.
        """
        for subject in self.dataset.subjects:
            ids = [str(name) for name in self._responses(subject)["stimulus"].values]
            check_splits(self.dataset.splits(subject), ids=ids, name=f"{self.name}, subject {subject}")
            self.dataset.ceiling(subject)

    def stimuli(self) -> tuple[StimulusSet, ...]:
        """What is shown."""
        return (self.dataset.stimuli,)

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Every subject with every layer."""
        return tuple(Part(subject, layer) for subject in self.dataset.subjects for layer in model.layers)

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """Size of the activations that are still to be recorded for these parts."""
        layers = tuple(dict.fromkeys(part.layer for part in pending))
        return session.recordings.bytes(model, self.dataset.stimuli, layers, self.recording)

    def memory(self) -> int:
        """Gram matrix, eigenvectors and the room to find them, in float64; a few copies of the responses."""
        sizes = [self._responses(subject).shape for subject in self.dataset.subjects]
        return max(4 * 8 * n_stimuli**2 + 4 * 4 * n_stimuli * n_neuroids for n_stimuli, n_neuroids in sizes)

    def shuffled(self) -> "NeuralPredictivity":
        """The same measurement on responses permuted over stimuli."""
        dataset = Shuffled(self.dataset)
        return NeuralPredictivity(self.name, dataset, measure=self.ridge, recording=self.recording, marks=self.marks)

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Fit one layer to one subject in every split; see `measured_dataset` for what is kept."""
        stimuli = self.dataset.stimuli
        session.recordings.record(model, stimuli, model.layers, self.recording)
        responses = self._responses(part.subject)
        splits = self.dataset.splits(part.subject)
        ids = [str(name) for name in responses["stimulus"].values]
        fits = []
        for time_bin in model.time_bins[part.layer]:
            features = session.recordings.features(
                model, stimuli, part.layer, recording=self.recording, time_bin=time_bin, ids=ids
            )
            fits.append(fit_splits(features, responses, splits=splits, measure=self.ridge, device=session.device))
        return measured_dataset(fits, responses, splits=splits, time_bins=model.time_bins[part.layer])

    def score(self, measured: Measured) -> Scored:
        """From all layers and subjects to a score with intervals, and the whole layer x time_bin surface."""
        subjects = {
            name: evaluated(self._responses(name), self.dataset.splits(name))
            for name in dict.fromkeys(part.subject for part in measured)
        }
        counts = resample_counts(
            subjects,
            name=self.dataset.name,
            n_resamples=self.ridge.n_bootstrap,
            seed=self.ridge.seed,
            repeated={name: repeated_stimuli(self.dataset.ceiling(name)) for name in subjects},
        )
        chosen = {name: choose(measured, name) for name in subjects}
        picked = {name: pick(measured, name, cells) for name, cells in chosen.items()}
        votes = Counter(cell for cells in chosen.values() for cell in cells)
        modal, count = votes.most_common(1)[0]
        raw, scored = self._score(picked, subjects, counts=counts)
        return Scored(
            score=scored,
            raw=raw,
            by_split=by_split(picked, subjects),
            layer=modal.layer,
            time_bin=modal.time_bin,
            layer_share=count / votes.total(),
            surface=surface(measured, subjects, counts=counts, resampled=self.ridge.subjects),
            details={"subjects": _details(picked, subjects, chosen=chosen)},
        )

    def resolved(self) -> dict[str, Any]:
        """Of the ridge, the recording and the data set."""
        dataset = {"name": self.dataset.name, "version": self.dataset.version, "marks": list(self.marks)}
        return {"ridge": asdict(self.ridge), "recording": asdict(self.recording), "dataset": dataset}

    def describe(self) -> dict[str, Any]:
        """Id, formula, source, known failure, and what the data set says of itself."""
        alphas = self.ridge.alphas
        return {
            "id": self.id,
            "measure": "ridge with an alpha per neuroid; Pearson r per neuroid on held-out stimuli, averaged over "
            "splits, median over neuroids, mean over subjects; normalised = raw / ceiling",
            "alphas": f"{len(alphas)}, {alphas[0]:g} to {alphas[-1]:g} times the mean eigenvalue of the training Gram",
            "layer": "chosen inside the training stimuli of each split",
            "intervals": f"95 %, {self.ridge.n_bootstrap} resamples of stimuli, fits and neuroids fixed",
            "invariances": "rotation, shift and uniform scale of the activations",
            "method": "Schrimpf et al. 2018, bioRxiv 407007 (question); Hoerl & Kennard 1970 (ridge)",
            "known failure": "a wide layer fits well whatever it computes: compare with the untrained row",
            **self.dataset.describe(),
        }

    def _responses(self, subject: str) -> xr.DataArray:
        responses = self.dataset.responses(subject)
        if responses.sizes["time_bin"] != 1:
            raise DataError(
                f"{self.name}: responses have {responses.sizes['time_bin']} time_bins; average them or select one"
            )
        return responses.isel(time_bin=0)

    def _resampled_ceiling(
        self, subject: str, ceiling: xr.Dataset, *, evaluated: Evaluated, counts: Sequence[np.ndarray]
    ) -> np.ndarray:
        """The same for every model, so it is computed once."""
        if subject not in self._ceilings:
            ids = [stimulus for fold in evaluated.ids for stimulus in fold]
            self._ceilings[subject] = resampled(ceiling, ids, np.concatenate(counts, axis=1))
        return self._ceilings[subject]

    def _score(
        self,
        picked: Mapping[str, Picked],
        subjects: Mapping[str, Evaluated],
        *,
        counts: Mapping[str, list[np.ndarray]],
    ) -> tuple[Samples, Score]:
        medians = [
            resampled_medians(of.predicted, subjects[name].observed, counts[name]) for name, of in picked.items()
        ]
        ceilings = [self.dataset.ceiling(name) for name in picked]
        n_stimuli = n_evaluated(subjects.values())
        values = np.array([np.median(of.r) for of in picked.values()])
        raw = Samples(values, np.stack(medians), n_stimuli=n_stimuli, subjects=self.ridge.subjects)
        known = [ceiling for ceiling in ceilings if ceiling is not None]
        upper = None
        if len(known) == len(ceilings):
            highest = np.array([np.median(ceiling["ceiling"].values) for ceiling in known])
            of_subjects = [
                self._resampled_ceiling(name, ceiling, evaluated=subjects[name], counts=counts[name])
                for name, ceiling in zip(picked, known, strict=True)
            ]
            upper = Samples(highest, np.stack(of_subjects), n_stimuli=n_stimuli, subjects=self.ridge.subjects)
        return raw, score_samples(
            raw,
            ceiling=upper,
            n_neuroids=sum(len(of.r) for of in picked.values()),
            ceiling_p_value=_combined([float(ceiling["p_value"]) for ceiling in known]),
        )


def neural_predictivity(
    name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]
) -> NeuralPredictivity:
    """The benchmark of a data set under a user's settings; arguments as for `benchmarks.measures.build_measure`."""
    options = {**preferred, **asked_of(settings)}
    measure = RidgeMeasure(
        selection=options.get("selection", "loo"),
        scale=options.get("scale", "none"),
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        subjects=options.get("subjects", "auto"),
    )
    return NeuralPredictivity(
        name,
        dataset,
        measure=measure,
        recording=recording_of(options),
        marks=(*dataset.marks, *marks_of(settings)),
    )


def _combined(p_values: Sequence[float]) -> float | None:
    """Of no subject's responses being reliable (Fisher); None where no subject has repetitions to test it with."""
    tested = [p for p in p_values if not np.isnan(p)]
    return float(stats.combine_pvalues(tested, method="fisher").pvalue) if tested else None


def _details(
    picked: Mapping[str, Picked], subjects: Mapping[str, Evaluated], *, chosen: Mapping[str, Sequence[Cell]]
) -> dict[str, Any]:
    return {
        name: {
            "raw": float(np.median(of.r)),
            "n_neuroids": len(of.r),
            "n_stimuli": n_evaluated([subjects[name]]),
            "dropped_neuroids": subjects[name].dropped,
            "chosen": [cell._asdict() for cell in chosen[name]],
        }
        for name, of in picked.items()
    }
