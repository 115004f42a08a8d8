"""What a benchmark offers, whoever wrote it, and what it is given to work with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import xarray as xr

from alignment.errors import RequestError
from alignment.models.base import Model
from alignment.samples import Estimate, Samples
from alignment.score import Score
from alignment.stimuli import StimulusSet
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recordings


class Unsuited(RequestError):
    """A model is of no kind that a benchmark judges: a wrong request where that is all there is, in a suite no row."""


class Part(NamedTuple):
    """The grain of work: what is computed, stored and resumed as one."""

    subject: str
    layer: str

    def __str__(self) -> str:
        return f"{self.subject}/{self.layer}"


@dataclass(frozen=True)
class Session:
    """What a benchmark needs of the place it runs in.

    Attributes
    ----------
    recordings : activations by layer, recorded once and read from the store
    digests : hashes of stimuli
    device : where the mathematics runs
    """

    recordings: Recordings
    digests: PixelDigests
    device: str


@dataclass(frozen=True)
class Scored:
    """What becomes of the parts of one model.

    Attributes
    ----------
    score : raw, ceiling and normalised, with intervals
    raw : raw by subject and resample, by which models are compared
    by_split : raw in each split, where there are several
    layer, time_bin, layer_share : the modal choice, and the share of subjects x folds that made it
    surface : one mapping per layer and time_bin: layer, time_bin, raw, raw_low, raw_high; an attack with its epsilon
        or a corruption with its severity stands in the place of a layer
    details : anything else worth keeping in the record
    clean, clean_raw : what stands beside a score under attack or corruption: that without it, and by resample
    flags : reasons why the score is unreliable
    figures : further numbers that belong to the score, by name, for people to read below the table
    """

    score: Score
    raw: Samples
    by_split: Mapping[str, float]
    layer: str
    time_bin: float
    layer_share: float
    surface: Sequence[Mapping[str, Any]]
    details: Mapping[str, Any] = field(default_factory=dict)
    clean: Estimate | None = None
    clean_raw: Samples | None = None
    flags: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


class Benchmark(Protocol):
    """A measurement on a data set.

    Attributes
    ----------
    name : as a user types it
    id : the name and every setting that enters the number
    version : integer, raised when an unchanged model's score would change
    null_rows : kinds of null rows that mean something here, of `benchmarks.suites.NULLS`
    """

    name: str
    version: int
    null_rows: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line."""
        ...

    @property
    def id(self) -> str:
        """The name and every setting that enters the number."""
        ...

    def check(self) -> None:
        """Read the data and refuse what cannot be scored, before anything is computed."""
        ...

    def check_model(self, model: Model) -> None:
        """Refuse a model that cannot be scored here, before anything is computed.

        Raises
        ------
        Unsuited
            It is of another kind than those that are judged here, so that a suite goes on without it.
        RequestError
            It cannot be scored for another reason.
        """
        ...

    @property
    def measured_by(self) -> str:
        """The id without the name: what rows of one table must share to be averaged."""
        ...

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters a part: stimuli, responses, splits, settings of the fit, code version."""
        ...

    def fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters the score."""
        ...

    def stimuli(self) -> Sequence[StimulusSet]:
        """What is shown."""
        ...

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """Size of what the pending parts add to the store."""
        ...

    def memory(self) -> int:
        """Bytes of memory that measuring a part needs at once, roughly; the model's own aside."""
        ...

    def parts(self, model: Model) -> Sequence[Part]:
        """The grain of work for this model."""
        ...

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Compute one part; a pure function of its key."""
        ...

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """From all parts of one model to its score."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What of the data was left out, a line each; a run prints them."""
        ...

    def references(self) -> Sequence[Model]:
        """Published results on the same data, which become rows of the table; mostly none."""
        ...

    def shuffled(self) -> "Benchmark":
        """The same measurement with responses permuted over stimuli: the row that must score 0."""
        ...

    def resolved(self) -> Mapping[str, Any]:
        """Every setting that enters the number, with its value, defaults included."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What `bench show` prints."""
        ...
