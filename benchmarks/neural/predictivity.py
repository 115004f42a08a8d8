"""The benchmark: how well layers and responses predict each other, judged on held-out stimuli."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from alignment import fingerprint
from alignment.errors import DataError, RequestError
from alignment.models import check_layers
from alignment.models.base import Model
from alignment.samples import Samples
from alignment.score import Score, score_samples
from alignment.stimuli import StimulusSet
from benchmarks.choices import Inference, card_of_data, check_subjects, id_of
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.ceilings import repeated_stimuli, resampled
from benchmarks.datasets.shuffled import Shuffled
from benchmarks.datasets.splits import check_splits
from benchmarks.fingerprint import PixelDigests
from benchmarks.neural.fits import part_dataset
from benchmarks.neural.scoring import (
    Cell,
    Evaluated,
    Measured,
    Outcome,
    by_split,
    choose,
    evaluated,
    n_evaluated,
    pick,
    resample_counts,
    samples_of,
    surface,
)
from benchmarks.neural.strategy import Strategy
from benchmarks.neural.target import Shown, Target
from benchmarks.nulls import NULLS
from benchmarks.recordings import Recording

CODE_VERSION = 1


class NeuralPredictivity:
    """How well activations and responses predict each other, per layer and time_bin, on held-out stimuli.

    The layer and time_bin of the score are chosen inside the training stimuli of each split, by the median over
    neuroids (or units) of a cross-validated score.

    Parameters
    ----------
    name : as a user types it
    dataset : stimuli, responses, splits and ceilings
    strategy : how a layer is held against the responses of a subject
    recording : how activations are recorded
    inference : how intervals are made
    marks : further non-default settings to name in the id
    layers : the only ones that are scored, of a model that has any of them; every layer of a model where empty
    """

    version = 1
    null_rows = NULLS

    def __init__(
        self,
        name: str,
        dataset: DataSet,
        *,
        strategy: Strategy,
        recording: Recording,
        inference: Inference,
        marks: Sequence[str] = (),
        layers: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.dataset = dataset
        self.strategy = strategy
        self.recording = recording
        self.inference = inference
        self.marks = tuple(marks)
        self.layers = tuple(layers)
        self._ceilings: dict[str, np.ndarray] = {}
        self._target: Target | None = None
        self.summary = f"{dataset.name}: {strategy.summary}"

    def check_model(self, model: Model) -> None:
        """It has layers to record, and those that were asked for.

        Raises
        ------
        RequestError
            It has not.
        """
        check_layers(model)
        missing = [layer for layer in self.layers if layer not in model.layers]
        if missing:
            known = ", ".join(model.layers)
            raise RequestError(f"{model.name}: benchmark.layers={missing[0]} is none of its layers here ({known})")

    @property
    def measured_by(self) -> str:
        """Strategy, pooling of maps, projection, precision, viewing, and other non-default settings."""
        return id_of(self.strategy.words(self.recording), self.marks)

    @property
    def id(self) -> str:
        """The data set's name and what it is measured by."""
        return f"{self.name}-{self.measured_by}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the data was left out."""
        return tuple(getattr(self.dataset, "notes", ()))

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """Hash of stimuli, responses, splits, ceilings, code version and the settings that enter a fit."""
        return fingerprint.of_parts(
            f"neural predictivity {CODE_VERSION} {self.version} {self.dataset.version}",
            # shuffles and resamples are drawn by it
            self.dataset.name,
            digests.whole(self.dataset.stimuli),
            self.dataset.fingerprint,
            fingerprint.of_settings(
                {self.strategy.name: self.strategy.settings(), "recording": asdict(self.recording)}
            ),
        )

    def fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters the score: the fits, and the resamples of stimuli."""
        return fingerprint.of_parts(self.fit_fingerprint(digests), fingerprint.of_settings(self._settings()))

    def check(self) -> None:
        """Responses, splits and ceilings of every subject are there and fit each other and the strategy.

        Raises
        ------
        RequestError, DataError
            What is wrong, and with what.
        """
        check_subjects(self.inference, self.dataset.subjects, name=self.name)
        for subject in self.dataset.subjects:
            target = self._target_of(subject)
            where = f"{self.name}, subject {subject}"
            check_splits(target.splits, ids=target.ids, name=where)
            self.dataset.ceiling(subject)
            self.strategy.check(target.splits, where=where)

    def stimuli(self) -> tuple[StimulusSet, ...]:
        """What is shown."""
        return (self.dataset.stimuli,)

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Every subject with every layer, or with those asked for; null rows of other networks keep their own."""
        layers = [layer for layer in model.layers if layer in self.layers] or model.layers
        return tuple(Part(subject, layer) for subject in self.dataset.subjects for layer in layers)

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """Size of the activations that are still to be recorded for these parts."""
        layers = tuple(dict.fromkeys(part.layer for part in pending))
        needed = [(model, layers), *((other, other.layers) for other in self.strategy.beside())]
        stimuli = self.dataset.stimuli
        return sum(session.recordings.bytes(each, stimuli, of_each, self.recording) for each, of_each in needed)

    def memory(self) -> int:
        """Of the largest subject; a model's own aside."""
        sizes = [self._responses(subject).shape for subject in self.dataset.subjects]
        return max(self.strategy.memory(n_stimuli, n_neuroids) for n_stimuli, n_neuroids in sizes)

    def references(self) -> tuple[Model, ...]:
        """None are published."""
        return ()

    def shuffled(self) -> "NeuralPredictivity":
        """The same measurement on responses permuted over stimuli."""
        return NeuralPredictivity(
            self.name,
            Shuffled(self.dataset),
            strategy=self.strategy,
            recording=self.recording,
            inference=self.inference,
            marks=self.marks,
            layers=self.layers,
        )

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Hold one layer against one subject in every split; see the strategy and `part_dataset` for what is kept."""
        target = self._target_of(part.subject)
        shown = Shown(session, self.dataset.stimuli, self.recording, target.ids)
        bins = self.strategy.measure(shown.layer(model, part.layer), target, shown=shown)
        return part_dataset(bins, target, time_bins=model.time_bins[part.layer])

    def score(self, measured: Measured) -> Scored:
        """From all layers and subjects to a score with intervals, and the whole layer x time_bin surface."""
        subjects = {
            name: evaluated(self._responses(name), self.dataset.splits(name))
            for name in dict.fromkeys(part.subject for part in measured)
        }
        counts = resample_counts(
            subjects,
            name=self.dataset.name,
            n_resamples=self.inference.n_bootstrap,
            seed=self.inference.seed,
            repeated={name: repeated_stimuli(self.dataset.ceiling(name)) for name in subjects},
        )
        chosen = {name: choose(measured, name) for name in subjects}
        outcomes = {
            name: self.strategy.outcome(pick(measured, name, chosen[name]), each, counts[name])
            for name, each in subjects.items()
        }
        votes = Counter(cell for cells in chosen.values() for cell in cells)
        modal, count = votes.most_common(1)[0]
        raw = samples_of(outcomes, subjects, resampled=self.inference.subjects)
        return Scored(
            score=self._score(raw, subjects, counts=counts),
            raw=raw,
            by_split=by_split(outcomes, subjects),
            layer=modal.layer,
            time_bin=modal.time_bin,
            layer_share=count / votes.total(),
            surface=surface(
                measured,
                subjects,
                outcome=self.strategy.outcome,
                counts=counts,
                resampled=self.inference.subjects,
            ),
            details={"subjects": _details(outcomes, subjects, chosen=chosen)},
            figures=_figures(list(outcomes.values())),
        )

    def resolved(self) -> dict[str, Any]:
        """Of the strategy, the recording and the data set."""
        dataset = {"name": self.dataset.name, "version": self.dataset.version, "marks": list(self.marks)}
        return {self.strategy.name: self._settings(), "recording": asdict(self.recording), "dataset": dataset}

    def describe(self) -> dict[str, Any]:
        """Id, the strategy's card, intervals, and what the data set says of itself."""
        data = card_of_data(self.dataset.describe())
        resamples = f"{self.inference.n_bootstrap} resamples of stimuli, fits and neuroids fixed"
        return {"id": self.id, **self.strategy.card(), "intervals": f"95 %, {resamples}", **data}

    def _settings(self) -> dict[str, object]:
        return {**self.strategy.settings(), **asdict(self.inference)}

    def _target_of(self, subject: str) -> Target:
        """The same object while one subject is being measured."""
        if self._target is None or self._target.subject != subject:
            self._target = Target(subject, self._responses(subject), tuple(self.dataset.splits(subject)))
        return self._target

    def _responses(self, subject: str) -> xr.DataArray:
        responses = self.dataset.responses(subject)
        if responses.sizes["time_bin"] != 1:
            raise DataError(
                f"{self.name}: responses have {responses.sizes['time_bin']} time_bins; take "
                "benchmark.measure=time-resolved, or average them"
            )
        return responses.isel(time_bin=0)

    def _score(
        self, raw: Samples, subjects: Mapping[str, Evaluated], *, counts: Mapping[str, list[np.ndarray]]
    ) -> Score:
        ceilings = [self.dataset.ceiling(name) if self.strategy.has_ceiling else None for name in subjects]
        known = [ceiling for ceiling in ceilings if ceiling is not None]
        upper = None
        if len(known) == len(ceilings):
            highest = np.array([np.median(ceiling["ceiling"].values) for ceiling in known])
            of_subjects = [
                self._resampled_ceiling(name, ceiling, evaluated=subjects[name], counts=counts[name])
                for name, ceiling in zip(subjects, known, strict=True)
            ]
            upper = Samples(highest, np.stack(of_subjects), n_stimuli=raw.n_stimuli, subjects=self.inference.subjects)
        return score_samples(
            raw,
            ceiling=upper,
            n_neuroids=sum(each.n_neuroids for each in subjects.values()),
            ceiling_p_value=_combined([float(ceiling["p_value"]) for ceiling in known]),
        )

    def _resampled_ceiling(
        self, subject: str, ceiling: xr.Dataset, *, evaluated: Evaluated, counts: Sequence[np.ndarray]
    ) -> np.ndarray:
        """The same for every model, so it is computed once."""
        if subject not in self._ceilings:
            ids = [stimulus for fold in evaluated.ids for stimulus in fold]
            self._ceilings[subject] = resampled(ceiling, ids, np.concatenate(counts, axis=1))
        return self._ceilings[subject]


def _combined(p_values: Sequence[float]) -> float | None:
    """Of no subject's responses being reliable (Fisher); None where no subject has repetitions to test it with."""
    tested = [p for p in p_values if not np.isnan(p)]
    return float(stats.combine_pvalues(tested, method="fisher").pvalue) if tested else None


def _figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Mean over subjects of each."""
    return {name: float(np.mean([each.figures[name] for each in outcomes])) for name in outcomes[0].figures}


def _details(
    outcomes: Mapping[str, Outcome], subjects: Mapping[str, Evaluated], *, chosen: Mapping[str, Sequence[Cell]]
) -> dict[str, Any]:
    return {
        name: {
            "raw": of.value,
            "n_neuroids": subjects[name].n_neuroids,
            "n_stimuli": n_evaluated([subjects[name]]),
            "dropped_neuroids": subjects[name].dropped,
            "chosen": [cell._asdict() for cell in chosen[name]],
            **of.details,
        }
        for name, of in outcomes.items()
    }
