"""The benchmark: how well layers predict responses in time, the map from model time to ms chosen in training data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from alignment import fingerprint
from alignment.correlation import pearson, weighted_pearson
from alignment.errors import DataError
from alignment.models.base import Model
from alignment.samples import Estimate
from alignment.score import score_samples
from benchmarks.choices import Inference, id_of
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.shuffled import Shuffled
from benchmarks.fingerprint import PixelDigests
from benchmarks.neural.predicting import Predicting
from benchmarks.neural.predictivity import NeuralPredictivity
from benchmarks.neural.regressions import Ridge
from benchmarks.neural.scoring import (
    Evaluated,
    Measured,
    Outcome,
    by_split,
    evaluated,
    median_over_neuroids,
    n_evaluated,
    resample_counts,
    samples_of,
)
from benchmarks.neural.target import Shown
from benchmarks.neural.time_fits import DeclaredMap, fit_over_time
from benchmarks.recordings import Recording

CODE_VERSION = 1
JUDGED = (
    "Pearson r over held-out stimuli per neuroid and time_bin, mean over splits and over time_bins (0 before the first "
    "state), median over neuroids, mean over subjects"
)


class TimeResolved(NeuralPredictivity):
    """Held-out r of a ridge from the states of a layer to responses in each time bin, mean over time bins.

    A mean time course that all stimuli share is worth nothing: r is taken over stimuli, within each time bin. Layer,
    ms per step and the onset of each neuroid are chosen inside the training stimuli of each split.

    Parameters
    ----------
    ridge : from a state of a layer to a time bin of a neuroid
    declared : the maps from model time to ms that are possible
    name, dataset, recording, inference, marks, layers : as of `NeuralPredictivity`
    """

    def __init__(
        self,
        name: str,
        dataset: DataSet,
        *,
        ridge: Ridge,
        declared: DeclaredMap,
        recording: Recording,
        inference: Inference,
        marks: Sequence[str] = (),
        layers: Sequence[str] = (),
    ) -> None:
        super().__init__(
            name,
            dataset,
            strategy=Predicting(ridge),
            recording=recording,
            inference=inference,
            marks=marks,
            layers=layers,
        )
        self.ridge = ridge
        self.declared = declared
        self.summary = f"{dataset.name}: {'-'.join(ridge.words)} to each neuroid in time, held-out Pearson r"

    @property
    def measured_by(self) -> str:
        """`time-resolved`, then the words of the ridge."""
        return id_of(("time-resolved", *self.strategy.words(self.recording)), self.marks)

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters a fit of the ridge, and of the maps that are possible."""
        return fingerprint.of_parts(
            f"time-resolved {CODE_VERSION}",
            super().fit_fingerprint(digests),
            fingerprint.of_settings(self.declared.settings()),
        )

    def memory(self) -> int:
        """Of the largest subject; a model's own aside."""
        shapes = [self._responses(subject).shape for subject in self.dataset.subjects]
        return max(self.ridge.memory(n_stimuli, n_neuroids * n_bins) for n_stimuli, n_neuroids, n_bins in shapes)

    def shuffled(self) -> "TimeResolved":
        """The same measurement on responses permuted over stimuli, each with its whole time course."""
        return TimeResolved(
            self.name,
            Shuffled(self.dataset),
            ridge=self.ridge,
            declared=self.declared,
            recording=self.recording,
            inference=self.inference,
            marks=self.marks,
            layers=self.layers,
        )

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Fit every state of one layer to one subject in every split; see `fit_over_time` for what is kept."""
        target = self._target_of(part.subject)
        shown = Shown(session, self.dataset.stimuli, self.recording, target.ids)
        return fit_over_time(
            shown.layer(model, part.layer),
            target,
            model_times=model.time_bins[part.layer],
            steps=self.declared.steps_of(model, part.layer),
            onsets=self.declared.onsets_of(target.responses["time_bin"].values),
            regression=self.ridge,
            device=shown.device,
        )

    def score(self, measured: Measured) -> Scored:
        """From all layers and subjects to a score with intervals; the surface is layer x time_bin in ms."""
        subjects = {
            name: evaluated(self._responses(name), self.dataset.splits(name))
            for name in dict.fromkeys(part.subject for part in measured)
        }
        counts = resample_counts(
            subjects, name=self.dataset.name, n_resamples=self.inference.n_bootstrap, seed=self.inference.seed
        )
        chosen = {name: _best_layers(measured, name) for name in subjects}
        folds = {name: _pick(measured, name, layers) for name, layers in chosen.items()}
        courses = {name: _course(folds[name], each, counts[name]) for name, each in subjects.items()}
        outcomes = {name: course.whole for name, course in courses.items()}
        raw = samples_of(outcomes, subjects, resampled=self.inference.subjects)
        votes = Counter(layer for layers in chosen.values() for layer in layers)
        modal, count = votes.most_common(1)[0]
        every = [of_fold for of_subject in folds.values() for of_fold in of_subject]
        times = every[0]["time_bin"].values
        best = np.mean([median_over_neuroids(of_fold["cv_by_bin"].values.T) for of_fold in every], axis=0).argmax()
        return Scored(
            score=score_samples(raw, n_neuroids=sum(each.n_neuroids for each in subjects.values())),
            raw=raw,
            by_split=by_split(outcomes, subjects),
            layer=modal,
            time_bin=float(times[best]),
            layer_share=count / votes.total(),
            surface=self._surface(measured, subjects, counts=counts),
            details={"subjects": _details(folds, subjects, chosen=chosen, outcomes=outcomes)},
            figures={
                "r at time_bin": float(np.mean([course.bins[best].value for course in courses.values()])),
                **_figures(folds),
            },
        )

    def resolved(self) -> dict[str, Any]:
        """As of the ridge, with the maps that are possible."""
        return {**super().resolved(), "map": self.declared.settings()}

    def describe(self) -> dict[str, Any]:
        """As of the ridge, with what differs."""
        described, declared = super().describe(), self.declared
        given = (declared.onsets or (), declared.ms_per_step)
        onsets, steps = (", ".join(f"{each:g}" for each in times) for times in given)
        return {
            **described,
            "measure": f"ridge from the states of a layer to each neuroid in each time bin; {JUDGED}",
            "map": "ms = onset + ms per step x model time, a state in force until the next one's time, the last to the "
            f"end; onset of each neuroid (ms): {onsets or 'any time bin from 0 on'}; ms per step of a layer: {steps}; "
            "1 where the model's time is in ms",
            "layer": "layer, ms per step and onsets chosen inside the training stimuli of each split, by the median "
            "over neuroids of 1 - cross-validated squared error / variance, mean over time bins; of equal onsets the "
            "last",
            "time_bin": "the time bin (ms) that training data explain best; the surface is over ms",
            "known failure": f"{described['known failure']}; a bin without signal lowers the mean of every model "
            "alike: compare models on the same bins; no ceiling is estimated of single bins",
        }

    def _responses(self, subject: str) -> xr.DataArray:
        responses = self.dataset.responses(subject)
        if responses.sizes["time_bin"] < 2:
            raise DataError(f"{self.name}: responses are not resolved in time (one time_bin); take the measure ridge")
        return responses

    def _surface(
        self, measured: Measured, subjects: Mapping[str, Evaluated], *, counts: Mapping[str, list[np.ndarray]]
    ) -> list[dict[str, Any]]:
        """Raw and interval of every layer in every time bin of the responses, by the map that the layer chose."""
        rows = []
        for layer in dict.fromkeys(part.layer for part in measured):
            courses = {
                name: _course(_pick(measured, name, [layer] * len(each.ids)), each, counts[name])
                for name, each in subjects.items()
            }
            times = measured[Part(next(iter(subjects)), layer)]["time_bin"].values.tolist()
            for place, time_bin in enumerate(times):
                outcomes = {name: course.bins[place] for name, course in courses.items()}
                estimate = samples_of(outcomes, subjects, resampled=self.inference.subjects).estimate()
                rows.append({"layer": layer, "time_bin": time_bin, **_named(estimate)})
        return rows


class _Course(NamedTuple):
    """Of one subject: the score, and the same of each time bin alone."""

    whole: Outcome
    bins: list[Outcome]


def latencies(folds: Sequence[xr.Dataset]) -> np.ndarray:
    """(neuroid,) ms, the median over folds of the onset that their training stimuli chose."""
    return np.median([of_fold["onset"].values for of_fold in folds], axis=0)


def _best_layers(measured: Measured, subject: str) -> list[str]:
    """The layer of each fold, by the median over neuroids of what it explains within training."""
    layers = [part.layer for part in measured if part.subject == subject]
    scores = [median_over_neuroids(measured[Part(subject, layer)]["cv_score"].values) for layer in layers]
    return [layers[best] for best in np.argmax(scores, axis=0)]


def _pick(measured: Measured, subject: str, layers: Sequence[str]) -> list[xr.Dataset]:
    """What was measured of one subject, fold by fold, each of its own layer and of the stimuli that it held out."""
    picked = []
    for fold, layer in enumerate(layers):
        data = measured[Part(subject, layer)].isel(fold=fold)
        picked.append(data.isel(stimulus=np.flatnonzero(data["held_out_in"].values == fold)))
    return picked


def _course(folds: Sequence[xr.Dataset], judged: Evaluated, counts: Sequence[np.ndarray]) -> _Course:
    """Time bin by time bin, so that no more than the resamples of one are held for each neuroid."""
    n_bins, by_bin = judged.observed[0].shape[2], []
    r, total = [], np.zeros((len(counts[0]), judged.n_neuroids))
    for place in range(n_bins):
        pairs = [
            (of_fold["predicted"].values[..., place], observed[..., place])
            for of_fold, observed in zip(folds, judged.observed, strict=True)
        ]
        here = np.stack([pearson(*pair) for pair in pairs])
        again = np.mean([weighted_pearson(*pair, drawn) for pair, drawn in zip(pairs, counts, strict=True)], axis=0)
        by_bin.append(Outcome(float(np.median(here.mean(axis=0))), np.median(again, axis=1), by_fold=[]))
        r.append(here)
        total += again
    of_folds = np.mean(r, axis=0)
    whole = Outcome(
        value=float(np.median(of_folds.mean(axis=0))),
        resampled=np.median(total / n_bins, axis=1),
        by_fold=[float(np.median(each)) for each in of_folds],
    )
    return _Course(whole, by_bin)


def _figures(folds: Mapping[str, Sequence[xr.Dataset]]) -> dict[str, float]:
    """Of the maps that were chosen, mean over subjects; a layer of one state has no step."""
    latency = [np.median(latencies(of_subject)) for of_subject in folds.values()]
    steps = [each["ms_per_step"].item() for of in folds.values() for each in of if each["n_states"].item() > 1]
    found = {"latency (ms), median over neuroids": float(np.mean(latency))}
    return {**found, "ms per step": float(np.mean(steps))} if steps else found


def _details(
    folds: Mapping[str, Sequence[xr.Dataset]],
    subjects: Mapping[str, Evaluated],
    *,
    chosen: Mapping[str, Sequence[str]],
    outcomes: Mapping[str, Outcome],
) -> dict[str, Any]:
    return {
        name: {
            "raw": outcomes[name].value,
            "n_neuroids": each.n_neuroids,
            "n_stimuli": n_evaluated([each]),
            "dropped_neuroids": each.dropped,
            "chosen": [
                {"layer": layer, "ms_per_step": of_fold["ms_per_step"].item()}
                for layer, of_fold in zip(chosen[name], folds[name], strict=True)
            ],
            "latencies": latencies(folds[name]).tolist(),
        }
        for name, each in subjects.items()
    }


def _named(estimate: Estimate) -> dict[str, float]:
    return {"raw": estimate.value, "raw_low": estimate.low, "raw_high": estimate.high}
