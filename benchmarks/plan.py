"""Before anything is computed: is the request sound, and what of it is still to do?"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from alignment import fingerprint
from alignment.errors import AlignmentError, DataError, RequestError
from alignment.models import has_weights, untrained
from alignment.models.base import Model, with_settings
from alignment.registry import foreign_code, is_file_reference
from benchmarks.catalogue import benchmark_names, build_benchmarks, cache_folder, check_benchmark, is_made, short_name
from benchmarks.contracts import Benchmark, Part, Session, Unsuited
from benchmarks.fingerprint import PixelDigests
from benchmarks.model_files import check_model, load_model
from benchmarks.nulls import GABOR, PIXELS, REFERENCES, SHUFFLED, SHUFFLED_MARK, UNTRAINED
from benchmarks.provenance import available_memory
from benchmarks.recordings import Recordings
from benchmarks.results import load_records, record_path
from benchmarks.settings import Settings
from benchmarks.store import Store
from benchmarks.suites import Suite, check_nulls, load_suite, suite_names

NULL_MODELS = (PIXELS, GABOR)
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
    asked : whether the user named it, as `model=pixels` does
    """

    name: str
    weights: str = "default"
    layers: tuple[str, ...] = ()
    untrained: bool = False
    shuffled: bool = False
    null: str = ""
    asked: bool = False

    def belongs_to(self, benchmark: Benchmark) -> bool:
        """Whether it is a row there: a null row is where it means something, what the user named everywhere."""
        return self.asked or self.null in benchmark.null_rows

    @property
    def label(self) -> str:
        """What messages call it."""
        controls = [word for word in ("untrained", "shuffled") if getattr(self, word)]
        return with_settings(self.name, *controls)


class Built(NamedTuple):
    """A loaded model, and the fingerprint of the user's own model that it is or was made of."""

    model: Model
    of: str


@dataclass(frozen=True)
class Request:
    """A sound request: every name, option and file has been checked.

    Attributes
    ----------
    settings : as they were asked for
    suite : whose leaderboard it is; None where each benchmark has its own
    entrants : the user's models, then the null rows
    benchmarks : in the order of the report, their data read
    store, digests : where results are kept, and the hashes of the stimuli
    with_references : whether published results become rows
    unsuited : of a suite, the user's models that some of its benchmarks do not judge, by benchmark id, with the reason
    """

    settings: Settings
    suite: Suite | None
    entrants: tuple[Entrant, ...]
    benchmarks: tuple[Benchmark, ...]
    store: Store
    digests: PixelDigests
    with_references: bool = True
    unsuited: Mapping[tuple[Entrant, str], str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the data is left out, and which models have no row where, a line each."""
        of_data = [f"{benchmark.name}: {note}" for benchmark in self.benchmarks for note in benchmark.notes]
        of_models = [f"{identity}: no row of {each.label}: {why}" for (each, identity), why in self.unsuited.items()]
        return (*of_data, *of_models)

    def rows_of(self, entrant: Entrant) -> tuple[Benchmark, ...]:
        """The benchmarks in which an entrant is a row."""
        return tuple(
            benchmark
            for benchmark in self.benchmarks
            if entrant.belongs_to(benchmark) and (_base(entrant), benchmark.id) not in self.unsuited
        )

    @property
    def boards(self) -> dict[str, tuple[str, ...]]:
        """Names of leaderboards, each with its benchmarks."""
        names = tuple(dict.fromkeys(benchmark.name for benchmark in self.benchmarks))
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
    """One score: what of it is there, and what is to be computed.

    `of_model` and `of_data` are fingerprints of the user's model and the data as they are, which a null row alters.
    """

    entrant: Entrant
    model: Model
    model_name: str
    of_model: str
    benchmark: Benchmark
    of_data: str
    key: str
    part_keys: dict[Part, str]
    pending: tuple[Part, ...]
    done: bool
    bytes: int


def check(settings: Settings) -> Request:
    """Check a request in three stages, each reporting all its faults: names and options; models; data.

    Names need no file and no weight; then every data set that lies in files is read; then every model is loaded once,
    so that weights that do not fit are found, and what is made here is made. A score is written only after all three.

    Raises
    ------
    RequestError, DataError
        All faults of a stage in one line; a wrong request outweighs missing data.
    """
    faults = Faults()
    suite = faults.of(lambda: _suite(settings))
    names = settings.benchmark.name or (suite.benchmarks if suite else ())
    # without its suite, nobody knows whether a model is missing
    entered = (faults.of(lambda: entrants(settings, suite)) if names or settings.model.name else None) or ()
    faults.of(lambda: load_records(settings.results))
    own = tuple(dict.fromkeys(_base(each) for each in entered))
    faults.of(lambda: check_places(settings))
    for name in names:
        faults.of(partial(check_benchmark, name, settings))
        if is_file_reference(name) and short_name(name) in (*suite_names(), *benchmark_names()):
            faults.found.append(
                RequestError(f"{name} would be called {short_name(name)} as another; rename the function")
            )
    for each in own:
        faults.found += check_model(each.name, weights=each.weights, layers=each.layers or None, **_places(settings))
    faults.stop()
    digests = PixelDigests(Store(settings.results / "store"))
    measures = suite.measures if suite else ()
    look = partial(_sound, settings=settings, digests=digests, measures=measures)
    sound = {name: faults.of(partial(look, name)) for name in names if not is_made(name)}
    faults.stop()
    loaded = {each: faults.of(partial(build, each, settings)) for each in own}
    faults.stop()
    weighty = {each for each, built in loaded.items() if built is not None and has_weights(built.model)}
    entered = tuple(each for each in entered if not each.untrained or _base(each) in weighty)
    sound |= {name: faults.of(partial(look, name)) for name in names if is_made(name)}
    faults.stop()
    benchmarks = tuple(benchmark for name in names for benchmark in sound[name] or ())
    asked = {_base(each) for each in entered if each.asked}
    models = {each: built.model for each, built in loaded.items() if each in asked and built is not None}
    unsuited = _unsuited(models, benchmarks, in_suite=suite is not None, faults=faults)
    faults.stop()
    with_references = REFERENCES in null_rows(settings, suite)
    return Request(settings, suite, entered, benchmarks, digests.store, digests, with_references, unsuited)


def _unsuited(
    models: Mapping[Entrant, Model], benchmarks: Sequence[Benchmark], *, in_suite: bool, faults: "Faults"
) -> dict[tuple[Entrant, str], str]:
    """Let every benchmark look at every model of the user's; who is no row where, of a suite, and why.

    Elsewhere, and where no benchmark of a suite judges a model, that is a fault as any other.
    """
    found: dict[tuple[Entrant, str], str] = {}
    for entrant, model in models.items():
        reasons: dict[str, Unsuited] = {}
        for benchmark in benchmarks:
            try:
                benchmark.check_model(model)
            except Unsuited as reason:
                reasons[benchmark.id] = reason
            except AlignmentError as fault:
                faults.found.append(fault)
        if not in_suite or len(reasons) == len(benchmarks):
            faults.found += reasons.values()
        else:
            found |= {(entrant, identity): str(reason) for identity, reason in reasons.items()}
    return found


class Faults:
    """Faults are gathered, so that a user mends them all at once."""

    def __init__(self) -> None:
        self.found: list[AlignmentError] = []

    def of(self, step: Callable[[], T]) -> T | None:
        """What a step gives, or None and its fault kept."""
        try:
            return step()
        except AlignmentError as fault:
            self.found.append(fault)
            return None

    def stop(self) -> None:
        """Raise what was found, in one line."""
        if self.found:
            kind = RequestError if any(isinstance(fault, RequestError) for fault in self.found) else DataError
            raise kind("; ".join(dict.fromkeys(str(fault) for fault in self.found)))


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
    nulls = null_rows(settings, suite)
    own = [
        Entrant(
            name, settings.model.weights, settings.model.layers, null=name if name in NULL_MODELS else "", asked=True
        )
        for name in dict.fromkeys(names)
    ]
    trained = [entrant for entrant in own if not entrant.null]
    controls = {
        PIXELS: [Entrant(PIXELS, null=PIXELS)] if PIXELS not in names else [],
        GABOR: [Entrant(GABOR, null=GABOR)] if GABOR not in names else [],
        UNTRAINED: [replace(entrant, untrained=True, null=UNTRAINED, asked=False) for entrant in trained],
        SHUFFLED: [replace(entrant, shuffled=True, null=SHUFFLED, asked=False) for entrant in trained],
        # they belong to single benchmarks, which name them
        REFERENCES: [],
    }
    return (*own, *(entrant for null in nulls for entrant in controls[null]))


def null_rows(settings: Settings, suite: Suite | None) -> tuple[str, ...]:
    """Those the user asked for, or else the suite's."""
    return check_nulls(settings.nulls if settings.nulls is not None else (suite or _DEFAULT).nulls)


def planned(request: Request) -> Iterator[list[Planned]]:
    """What is to be done, one list per entrant; each model is loaded when its turn comes."""
    session = request.session()
    for entrant in request.entrants:
        built = build(entrant, request.settings)
        yield [
            plan_one(entrant, built, benchmark=each, request=request, session=session)
            for each in request.rows_of(entrant)
        ]
    for entrant, built, benchmark in references(request):
        yield [plan_one(entrant, built, benchmark=benchmark, request=request, session=session)]


def references(request: Request) -> Iterator[tuple[Entrant, Built, Benchmark]]:
    """Published results that benchmarks set beside models, unless the null rows asked for leave them out."""
    if request.with_references:
        for benchmark in request.benchmarks:
            for model in benchmark.references():
                yield Entrant(model.name, null=REFERENCES), Built(model, model.fingerprint), benchmark


def build(entrant: Entrant, settings: Settings) -> Built:
    """Load the model of an entrant, its control applied."""
    places = _places(settings)
    with foreign_code(f"model {entrant.name!r}"):
        model = load_model(
            entrant.name, weights=entrant.weights, layers=entrant.layers or None, seed=settings.seed, **places
        )
        of = model.fingerprint
        return Built(untrained(model, seed=settings.seed) if entrant.untrained else model, of)


def plan_one(entrant: Entrant, built: Built, *, benchmark: Benchmark, request: Request, session: Session) -> Planned:
    """What of one score is there."""
    model, of_data = built.model, benchmark.fingerprint(request.digests)
    benchmark = benchmark.shuffled() if entrant.shuffled else benchmark
    of_benchmark, of_model = benchmark.fingerprint(request.digests), session.recordings.fingerprint(model)
    model_name = with_settings(model.name, SHUFFLED_MARK) if entrant.shuffled else model.name
    of_fits = benchmark.fit_fingerprint(request.digests)
    keys = {part: fingerprint.of_parts("part", of_fits, of_model, *part) for part in benchmark.parts(model)}
    key = fingerprint.of_parts("record", of_benchmark, of_model, model_name, benchmark.id, *keys.values())
    done = record_path(request.settings.results, key).is_file()
    pending = () if done else tuple(part for part, part_key in keys.items() if not request.store.has(part_key))
    with foreign_code(f"{model_name} on one image"):
        cost = benchmark.bytes(model, pending, session) if pending else 0
    return Planned(
        entrant,
        model=model,
        model_name=model_name,
        of_model=built.of,
        benchmark=benchmark,
        of_data=of_data,
        key=key,
        part_keys=keys,
        pending=pending,
        done=done,
        bytes=cost,
    )


_DEFAULT = Suite(name="default", summary="", benchmarks=())


def _suite(settings: Settings) -> Suite | None:
    if settings.suite is not None and settings.benchmark.name:
        raise RequestError(f"suite={settings.suite} and benchmark={settings.benchmark.name[0]}: give one, not both")
    if settings.suite is None and not settings.benchmark.name:
        raise RequestError("name one of suite=<name> and benchmark=<name>; `bench list suites` shows what there is")
    return load_suite(settings.suite) if settings.suite else None


def _sound(name: str, *, settings: Settings, digests: PixelDigests, measures: tuple[str, ...]) -> tuple[Benchmark, ...]:
    """Built, their data read and checked."""
    with foreign_code(f"benchmark {name!r}"):
        benchmarks = build_benchmarks(name, settings, measures=measures)
        for benchmark in benchmarks:
            benchmark.check()
            benchmark.fingerprint(digests)
    needed, there = max(benchmark.memory() for benchmark in benchmarks), available_memory()
    if needed > there:
        raise DataError(
            f"{name}: about {needed / 1e9:.0f} GB of memory are needed, {there / 1e9:.0f} GB are free; "
            "choose fewer stimuli or neuroids, or a larger machine"
        )
    return benchmarks


def _places(settings: Settings) -> dict[str, Path]:
    return {"data_root": settings.data.root, "cache": cache_folder(settings)}


def _base(entrant: Entrant) -> Entrant:
    return replace(entrant, untrained=False, shuffled=False, null="", asked=False)


def check_places(settings: Settings) -> None:
    """Whether the device is there, and results can be written.

    Raises
    ------
    RequestError
        One of them is not so.
    """
    import torch

    kind, _, number = settings.device.partition(":")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= there:
        raise RequestError(
            f"device={settings.device}: this machine has {there} of this kind; use cpu or a device that is there"
        )
    place = settings.results.absolute()
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"results={settings.results}: nothing can be written in {place} ({reason})") from None
