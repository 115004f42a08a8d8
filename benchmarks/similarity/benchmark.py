"""The benchmark: how alike a layer's representation is to the brain's, nothing being fitted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import xarray as xr

from alignment import fingerprint
from alignment.models import check_layers
from alignment.models.base import Model
from alignment.score import score_samples
from alignment.stimuli import StimulusSet
from benchmarks.choices import Inference, card_of_data, check_subjects, id_of, recording_words
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.base import DataSet, RDMDataSet, holds_rdms
from benchmarks.datasets.shuffled import Shuffled, ShuffledRDMs
from benchmarks.fingerprint import PixelDigests
from benchmarks.nulls import NULLS
from benchmarks.recordings import Recording
from benchmarks.similarity.brains import GivenBrain, RespondingBrain
from benchmarks.similarity.ceilings import SAID, Ceiling, ceiling_of, check_bounds, source_of
from benchmarks.similarity.choice import Cell, Choice, chosen_by_block, chosen_by_fold
from benchmarks.similarity.judged import Counts, Fold, fold_counts
from benchmarks.similarity.references import Reference
from benchmarks.similarity.reliability import said_of_sessions
from benchmarks.similarity.repeated import brain_of
from benchmarks.similarity.strategies import Doubles, Strategy
from benchmarks.similarity.surface import OfFold, of_fold, samples_of

CODE_VERSION = 1
EVERYONE = "all"


class Similarity:
    """Similarity of a layer's summary to each subject's, mean over subjects.

    Parameters
    ----------
    name : as a user types it
    dataset : stimuli with responses, or with RDMs
    strategy : how representations are summarised and compared
    recording, inference : what else enters the number
    marks : further non-default settings to name in the id
    unshuffled : where `dataset` is shuffled, the measurement on what it was made of, which has the ceiling
    """

    version = 1
    null_rows = NULLS
    # on the stimuli of the other folds
    fitted = False

    def __init__(
        self,
        name: str,
        dataset: DataSet | RDMDataSet,
        *,
        strategy: Strategy,
        recording: Recording,
        inference: Inference,
        marks: Sequence[str] = (),
        unshuffled: "Similarity | None" = None,
    ) -> None:
        self.name = name
        self.dataset = dataset
        self.unshuffled = unshuffled
        self.strategy = strategy
        self.recording = recording
        self.inference = inference
        self.marks = tuple(marks)
        self.brain: RespondingBrain | GivenBrain = brain_of(dataset, strategy, name=name)
        self._ceiling: Ceiling | None = None
        self.summary = f"{'-'.join(strategy.words)} with {dataset.name}, mean over subjects"

    def check_model(self, model: Model) -> None:
        """It has layers to record."""
        check_layers(model)

    @property
    def measured_by(self) -> str:
        """Summary, comparison, pooling of maps, projection, precision, viewing, and other non-default settings."""
        return id_of((*self.strategy.words, *recording_words(self.recording)), self.marks)

    @property
    def id(self) -> str:
        """The data set's name and what it is measured by."""
        return f"{self.name}-{self.measured_by}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the data was left out."""
        return tuple(getattr(self.dataset, "notes", ()))

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """Hash of stimuli, data, code version and the settings that enter a summary or the choice of a layer."""
        return fingerprint.of_parts(
            f"similarity {CODE_VERSION} {self.version} {self.dataset.version}",
            # folds and resamples are drawn by it
            self.dataset.name,
            digests.whole(self.dataset.stimuli),
            self.dataset.fingerprint,
            fingerprint.of_settings({"strategy": self.strategy.settings(), "recording": asdict(self.recording)}),
        )

    def fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters the score."""
        return fingerprint.of_parts(self.fit_fingerprint(digests), fingerprint.of_settings(asdict(self.inference)))

    def check(self) -> None:
        """The data are there and can be compared, resampled and shuffled."""
        check_subjects(self.inference, self.brain.subjects, name=self.name)
        self.brain.check()
        check_bounds(self.brain, self.strategy, subjects=self.inference.subjects, name=self.name)
        self._drawn()
        if self.brain.measured is not None and self.unshuffled is None:
            # the pairs that were not measured become those of other stimuli
            self.shuffled().check()

    def stimuli(self) -> tuple[StimulusSet, ...]:
        """What is shown."""
        return (self.dataset.stimuli,)

    def memory(self) -> int:
        """Of the summaries of stimuli that are compared at once."""
        return self.brain.memory()

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Every layer: subjects are compared with the same summary."""
        return tuple(Part(EVERYONE, layer) for layer in model.layers)

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """Size of the activations that are still to be recorded."""
        if isinstance(model, Reference):
            return 0
        layers = tuple(dict.fromkeys(part.layer for part in pending))
        return session.recordings.bytes(model, self.dataset.stimuli, layers, self.recording)

    def references(self) -> tuple[Model, ...]:
        """Published RDMs of the same stimuli, as rows of the table."""
        given = self.dataset.references() if holds_rdms(self.dataset) else {}
        return tuple(Reference(name, rdms) for name, rdms in given.items())

    def shuffled(self) -> "Similarity":
        """The same measurement with stimuli permuted."""
        dataset = self.dataset
        return Similarity(
            self.name,
            ShuffledRDMs(dataset) if holds_rdms(dataset) else Shuffled(dataset),
            strategy=self.strategy,
            recording=self.recording,
            inference=self.inference,
            marks=self.marks,
            unshuffled=self,
        )

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Summaries of one layer.

        Returns
        -------
        Dataset
            `summary_<fold>_<group>` (time_bin, entry), of the held-out stimuli of each group of subjects; `choice`
            (fold, subject, time_bin), similarity on the training stimuli, where the data set has such.
        """
        if isinstance(model, Reference):
            return xr.Dataset({_summary_name(0, 0): (("time_bin", "entry"), model.rdms.dissimilarities)}).assign_coords(
                time_bin=[0.0]
            )
        session.recordings.record(model, self.dataset.stimuli, model.layers, self.recording)
        time_bins = model.time_bins[part.layer]
        found: dict[str, Any] = {}
        for fold, group, ids in self._sets():
            rows = [self._summary(model, part.layer, session, time_bin=each, ids=ids) for each in time_bins]
            name = _summary_name(fold, group)
            found[name] = (("time_bin", f"entry_{fold}_{group}"), np.stack(rows))
        if isinstance(self.brain, RespondingBrain):
            shape = (len(self.brain.folds), len(self.brain.subjects), len(time_bins))
            choice = np.empty(shape)
            for fold, place, number in np.ndindex(shape):
                choice[fold, place, number] = self._training(
                    model, part.layer, session, time_bin=time_bins[number], fold=fold, place=place
                )
            found["choice"] = (("fold", "subject", "time_bin"), choice)
        return xr.Dataset(found, coords={"time_bin": list(time_bins)})

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """From all layers to a score with intervals, and the whole layer x time_bin surface."""
        cells, models = self._cells(measured), self._stacked(measured)
        choice = self._choice(cells, measured, models)
        folds = self._of_folds([_with(each, extra) for each, extra in zip(models, choice.composites, strict=True)])
        raw = samples_of(folds, choice.rows, subjects=self.inference.subjects, fitted=self.fitted)
        modal, count = Counter(choice.votes).most_common(1)[0]
        ceiling = self._bounds()
        score = score_samples(
            raw,
            ceiling=ceiling.upper,
            lower=ceiling.lower,
            n_neuroids=self.brain.n_neuroids,
            ceiling_p_value=ceiling.p_value,
        )
        return Scored(
            score=score if self.strategy.chance_is_zero else replace(score, p_zero=None),
            raw=raw,
            by_split={
                fold.name: float(of.values[row].mean())
                for fold, of, row in zip(self._folds(), folds, choice.rows, strict=True)
            }
            if len(folds) > 1
            else {},
            layer=modal.layer,
            time_bin=modal.time_bin,
            layer_share=count / len(choice.votes),
            surface=[self._cell(folds, row, cell) for row, cell in enumerate(cells)],
            details={"subjects": dict(zip(self.brain.subjects, map(float, raw.values), strict=True))},
        )

    def resolved(self) -> dict[str, Any]:
        """Of the strategy, the recording and the data set."""
        dataset = {"name": self.dataset.name, "version": self.dataset.version, "marks": list(self.marks)}
        return {**self.strategy.settings(), "recording": asdict(self.recording), "dataset": dataset}

    def describe(self) -> dict[str, Any]:
        """Id, formula, source, invariances, known failure, and what the data set says of itself."""
        return {
            "id": self.id,
            **self.strategy.card(),
            "ceiling": SAID[source_of(self.brain, self.strategy)],
            **self.brain.card,
            "intervals": f"95 %, {self.inference.n_bootstrap} resamples of stimuli and their jackknife; subjects "
            f"{'resampled from 8 on' if self.inference.subjects == 'auto' else self.inference.subjects}",
            **self._reliability(),
            **card_of_data(self.dataset.describe()),
        }

    def _reliability(self) -> dict[str, str]:
        """How alike sessions are, where the data have them."""
        if not isinstance(self.brain, GivenBrain) or not self.brain.sessions:
            return {}
        counts = self._drawn()[0][0]
        return {"similarity between sessions": said_of_sessions(self.strategy, self.brain.sessions, counts=counts)}

    def _folds(self) -> tuple[Fold, ...]:
        """What is judged."""
        return self.brain.folds

    def _cells(self, measured: Mapping[Part, xr.Dataset]) -> list[Cell]:
        return [Cell(part.layer, each) for part in measured for each in measured[part]["time_bin"].values.tolist()]

    def _sets(self) -> list[tuple[int, int, tuple[str, ...]]]:
        """(fold, group, held-out stimuli)."""
        return [
            (number, index, group.judged_on)
            for number, fold in enumerate(self.brain.folds)
            for index, group in enumerate(fold.groups)
        ]

    def _summary(self, model: Model, layer: str, session: Session, *, time_bin: float, ids: Sequence[str]) -> Doubles:
        features = session.recordings.features(
            model, self.dataset.stimuli, layer, recording=self.recording, time_bin=time_bin, ids=ids
        )
        return self.strategy.summarise(features, device=session.device)

    def _training(self, model: Model, layer: str, session: Session, *, time_bin: float, fold: int, place: int) -> float:
        """Similarity with one subject on the stimuli on which a layer is chosen."""
        assert isinstance(self.brain, RespondingBrain)
        ids = self.brain.chosen_on(fold, place)
        own = self._summary(model, layer, session, time_bin=time_bin, ids=ids)
        return float(
            self.strategy.similarities(own[None], self.brain.training(fold, place)[None], n_stimuli=len(ids))[0, 0]
        )

    def _stacked(self, measured: Mapping[Part, xr.Dataset]) -> list[list[Doubles]]:
        """Per fold and group, summaries (cell, entry), NaN for pairs of which the brain's were not measured."""
        stacked: list[list[Doubles]] = [[] for _ in self.brain.folds]
        for fold, group, _ in self._sets():
            name, known = _summary_name(fold, group), self.brain.measured
            rows = np.concatenate([measured[part][name].values for part in measured])
            stacked[fold].append(rows if known is None else np.where(known, rows, np.nan))
        return stacked

    def _choice(
        self, cells: Sequence[Cell], measured: Mapping[Part, xr.Dataset], models: Sequence[Sequence[Doubles]]
    ) -> Choice:
        if isinstance(self.brain, GivenBrain):
            return chosen_by_block(cells, models[0][0], brain=self.brain, strategy=self.strategy)
        scores = np.concatenate([measured[part]["choice"].values.mean(axis=1).T for part in measured])
        return chosen_by_fold(cells, scores, n_groups=[len(fold.groups) for fold in self.brain.folds])

    def _of_folds(self, models: Sequence[Sequence[Doubles]]) -> list[OfFold]:
        found = []
        for fold, of_models, drawn in zip(self._folds(), models, self._drawn(), strict=True):
            subjects = [self.brain.judged(fold, group) for group in fold.groups]
            found.append(
                of_fold(
                    self.strategy,
                    fold,
                    models=of_models,
                    subjects=subjects,
                    counts=drawn,
                    n_subjects=len(self.brain.subjects),
                )
            )
        return found

    def _drawn(self) -> list[list[Counts]]:
        """The names are those of the data, never of a model, so that all models are compared on the same resamples."""
        return fold_counts(
            self._folds(),
            name=self.dataset.name,
            n_resamples=self.inference.n_bootstrap,
            seed=self.inference.seed,
            least_stimuli=self.strategy.least_stimuli,
            measured=self.brain.measured,
        )

    def _bounds(self) -> Ceiling:
        """The same for every model, so it is computed once; giving data to other stimuli does not change it."""
        if self.unshuffled is not None:
            return self.unshuffled._bounds()
        if self._ceiling is None:
            self._ceiling = ceiling_of(
                self.brain,
                self.strategy,
                name=self.dataset.name,
                counts=self._drawn(),
                seed=self.inference.seed,
                subjects=self.inference.subjects,
            )
        return self._ceiling

    def _cell(self, folds: Sequence[OfFold], row: int, cell: Cell) -> dict[str, Any]:
        rows = [row] * len(folds)
        estimate = samples_of(folds, rows, subjects=self.inference.subjects, fitted=self.fitted).estimate()
        row_of = {"raw": estimate.value, "raw_low": estimate.low, "raw_high": estimate.high}
        return {"layer": cell.layer, "time_bin": cell.time_bin, **row_of}


def _with(models: Sequence[Doubles], composites: Sequence[Doubles]) -> list[Doubles]:
    """Per group, rows of the cells and then the composites, of which there are none or one per group."""
    return [np.concatenate(pair) for pair in zip(models, composites, strict=True)] if composites else list(models)


def _summary_name(fold: int, group: int) -> str:
    return f"summary_{fold}_{group}"
