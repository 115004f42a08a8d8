"""Before anything is computed: is the request sound, and what of it is still to do?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from alignment import fingerprint
from alignment.errors import AlignmentError, DataError, RequestError
from alignment.models import check_model, load_model, untrained
from alignment.models.base import Model
from benchmarks.catalogue import DATASETS, build_benchmark, cache_folder
from benchmarks.contracts import Benchmark, Part, Session
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recordings
from benchmarks.results import record_path
from benchmarks.settings import Settings, check_data_names
from benchmarks.store import Store
from benchmarks.suites import Suite, check_nulls, load_suite

NULL_MODELS = ("pixels", "gabor")
T = TypeVar("T")


@dataclass(frozen=True)
class Entrant:
    """A model as it enters the table, with the control applied to it.

    Attributes
    ----------
    name, weights, layers : as the user typed them
    untrained : each weight tensor permuted in place
    shuffled : scored against responses permuted over stimuli
    null : what kind of null row this is; empty for the user's own models
    """

    name: str
    weights: str = "default"
    layers: tuple[str, ...] = ()
    untrained: bool = False
    shuffled: bool = False
    null: str = ""


@dataclass(frozen=True)
class Request:
    """A sound request: every name, option and file has been checked.

    Attributes
    ----------
    title : of the leaderboards: the suite, or each benchmark
    entrants : the user's models, then the null rows
    benchmarks : in the order of the report
    """

    settings: Settings
    suite: Suite | None
    entrants: tuple[Entrant, ...]
    benchmarks: tuple[Benchmark, ...]
    store: Store
    digests: PixelDigests

    @property
    def boards(self) -> dict[str, tuple[str, ...]]:
        """Names of leaderboards, each with its benchmarks."""
        names = tuple(benchmark.name for benchmark in self.benchmarks)
        return {self.suite.name: names} if self.suite else {name: (name,) for name in names}

    def session(self, notify: Callable[[str, int, int], None] = lambda *_: None) -> Session:
        """Where benchmarks work."""
        recordings = Recordings(
            self.store,
            self.digests,
            device=self.settings.device,
            batch_size=self.settings.batch_size,
            block_size=self.settings.block_size,
            notify=notify,
        )
        return Session(recordings, self.digests, self.settings.device)


@dataclass(frozen=True)
class Planned:
    """One score: what of it is there, and what is to be computed."""

    entrant: Entrant
    model: Model
    model_name: str
    benchmark: Benchmark
    key: str
    part_keys: dict[Part, str]
    pending: tuple[Part, ...]
    done: bool
    bytes: int


def check(settings: Settings) -> Request:
    """Check names, options and files before a weight is loaded, then that every model loads, before anything is written.

    Raises
    ------
    RequestError, DataError
        All faults in one line; a wrong request outweighs missing data.
    """
    faults: list[AlignmentError] = []

    def attempt(step: Callable[[], T]) -> T | None:
        try:
            return step()
        except AlignmentError as fault:
            faults.append(fault)
            return None

    attempt(lambda: check_data_names(settings.data, DATASETS.names()))
    attempt(lambda: _check_device(settings.device))
    suite = attempt(lambda: _suite(settings))
    names = settings.benchmark.name or (suite.benchmarks if suite else ())
    store = Store(settings.results / "store")
    digests = PixelDigests(store)
    entered = attempt(lambda: entrants(settings, suite)) or ()
    own = list(dict.fromkeys(replace(each, untrained=False, shuffled=False, null="") for each in entered))
    for entrant in own:
        faults += check_model(entrant.name, weights=entrant.weights, layers=entrant.layers or None, **_places(settings))
    benchmarks = [attempt(partial(_sound, name, settings, digests)) for name in names] if not faults else []
    for entrant in own if not faults else ():
        # weights that do not fit, or cannot be fetched, show only when they are loaded
        attempt(partial(build, entrant, settings))
    if faults:
        raise _together(faults)
    return Request(settings, suite, tuple(entered), tuple(each for each in benchmarks if each), store, digests)


def entrants(settings: Settings, suite: Suite | None) -> tuple[Entrant, ...]:
    """The user's models and the null rows that belong beside them.

    Raises
    ------
    RequestError
        No model is named and the suite has none of its own; an unknown null row.
    """
    names = settings.model.name or (suite.models if suite else ())
    if not names:
        raise RequestError("no model; add model=<name>, for example model=resnet18 or model=./net.py:build")
    nulls = check_nulls(settings.nulls if settings.nulls is not None else (suite or _DEFAULT).nulls)
    own = [
        Entrant(name, settings.model.weights, settings.model.layers, null=name if name in NULL_MODELS else "")
        for name in dict.fromkeys(names)
    ]
    trained = [entrant for entrant in own if not entrant.null]
    controls = {
        "pixels": [Entrant("pixels", null="pixels")] if "pixels" not in names else [],
        "gabor": [Entrant("gabor", null="gabor")] if "gabor" not in names else [],
        "untrained": [replace(entrant, untrained=True, null="untrained") for entrant in trained],
        "shuffled": [replace(entrant, shuffled=True, null="shuffled") for entrant in trained],
    }
    return (*own, *(entrant for null in nulls for entrant in controls[null]))


def planned(request: Request) -> Iterator[list[Planned]]:
    """What is to be done, one list per entrant; each model is loaded when its turn comes."""
    session = request.session()
    for entrant in request.entrants:
        model = build(entrant, request.settings)
        yield [
            plan_one(entrant, model, benchmark=each, request=request, session=session) for each in request.benchmarks
        ]


def build(entrant: Entrant, settings: Settings) -> Model:
    """Load the model of an entrant, its control applied."""
    model = load_model(
        entrant.name, weights=entrant.weights, layers=entrant.layers or None, seed=settings.seed, **_places(settings)
    )
    return untrained(model, seed=settings.seed) if entrant.untrained else model


def plan_one(entrant: Entrant, model: Model, *, benchmark: Benchmark, request: Request, session: Session) -> Planned:
    """What of one score is there."""
    benchmark = benchmark.shuffled() if entrant.shuffled else benchmark
    of_benchmark, of_model = benchmark.fingerprint(request.digests), session.recordings.fingerprint(model)
    model_name = f"{model.name}[responses=shuffled]" if entrant.shuffled else model.name
    keys = {part: fingerprint.of_parts("part", of_benchmark, of_model, *part) for part in benchmark.parts(model)}
    key = fingerprint.of_parts("record", of_benchmark, of_model, model_name, benchmark.id, *keys.values())
    done = record_path(request.settings.results, key).is_file()
    pending = () if done else tuple(part for part, part_key in keys.items() if not request.store.has(part_key))
    cost = benchmark.bytes(model, pending, session) if pending else 0
    return Planned(entrant, model, model_name, benchmark, key, keys, pending, done, cost)


_DEFAULT = Suite(name="default", summary="", benchmarks=())


def _suite(settings: Settings) -> Suite | None:
    if (settings.suite is None) == (not settings.benchmark.name):
        raise RequestError("name one of suite=<name> and benchmark=<name>; `bench list suites` shows what there is")
    return load_suite(settings.suite) if settings.suite else None


def _sound(name: str, settings: Settings, digests: PixelDigests) -> Benchmark:
    benchmark = build_benchmark(name, settings)
    benchmark.fingerprint(digests)
    return benchmark


def _places(settings: Settings) -> dict[str, Path]:
    return {"data_root": settings.data.root, "cache": cache_folder(settings)}


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RequestError(
            f"device={device}: {str(error).splitlines()[0]}; use cpu or a device that is there"
        ) from None


def _together(faults: Sequence[AlignmentError]) -> AlignmentError:
    kind = RequestError if any(isinstance(fault, RequestError) for fault in faults) else DataError
    return kind("; ".join(dict.fromkeys(str(fault) for fault in faults)))
