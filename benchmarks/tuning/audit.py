"""What teacher and tuned networks are scored on, before and after: benchmarks as every other model is scored on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from alignment.errors import RequestError, near_misses
from benchmarks.catalogue import ENTRIES, build_benchmarks
from benchmarks.contracts import Benchmark
from benchmarks.fingerprint import PixelDigests
from benchmarks.keys import BenchmarkSettings
from benchmarks.measures import build_measure, check_means_something, measures_of
from benchmarks.nulls import NULLS
from benchmarks.plan import Entrant, Faults, Request, entrants, planned
from benchmarks.results import Record, load_records
from benchmarks.run import Notify, Outcome, run
from benchmarks.store import Store
from benchmarks.suites import Suite, load_suite
from benchmarks.tuning.material import Sources
from benchmarks.tuning.study import Study

# what an entry of a preset's audit can name beside benchmarks
FITTED, NEUROIDS, SUBJECTS, TASK = "fitted", "held-out-neuroids", "held-out-subjects", "task"
_JUDGED: Mapping[str, Callable[[Sources], Any]] = {
    FITTED: lambda sources: sources.fitted,
    NEUROIDS: lambda sources: sources.held_out_neuroids,
    SUBJECTS: lambda sources: sources.held_out_subjects,
    TASK: lambda sources: sources.task_test,
}
WORDS = tuple(_JUDGED)
NAME, MEASURE, LAYERS = "benchmark", "measure", "layers"
# stands for the layers that are read out
TUNED_LAYER = "tuned"
# stands for the teacher where networks go by their files
TEACHER_FILE = ""
USUAL: Sequence[Mapping[str, str]] = (
    {NAME: FITTED, LAYERS: TUNED_LAYER},
    {NAME: NEUROIDS, LAYERS: TUNED_LAYER},
    {NAME: SUBJECTS, LAYERS: TUNED_LAYER},
    {NAME: FITTED},
    {NAME: FITTED, MEASURE: "rsa"},
    {NAME: TASK, MEASURE: "accuracy"},
    {NAME: TASK, MEASURE: "robust", "attack": "pgd"},
    {NAME: TASK, MEASURE: "corruptions"},
)


@dataclass(frozen=True)
class Audit:
    """The benchmarks of a study, and what they are about.

    Attributes
    ----------
    benchmarks : in the order of the report
    about : id of a benchmark -> "fitted", "held-out-neuroids", "held-out-subjects", "task", or "" for another
    """

    benchmarks: tuple[Benchmark, ...]
    about: Mapping[str, str]


def audit_of(study: Study) -> Audit:
    """Build and check everything that will be scored; reads the data.

    Raises
    ------
    RequestError, DataError
        All faults in one line.
    """
    faults, about = Faults(), dict[str, str]()
    found: dict[str, Benchmark] = {}
    for entry in _entries(study):
        for benchmark in faults.of(partial(_built, entry, study)) or ():
            faults.of(benchmark.check)
            faults.of(partial(benchmark.check_model, study.teacher))
            found.setdefault(benchmark.id, benchmark)
            about.setdefault(benchmark.id, entry[NAME] if entry[NAME] in WORDS else "")
    faults.stop()
    return Audit(tuple(found.values()), about)


def scored(study: Study, audit: Audit, files: Sequence[str], *, notify: Notify) -> Outcome:
    """Score the teacher, its null rows and every network that was made; what is there already is not scored again.

    Parameters
    ----------
    files : the networks, as a user names them
    """
    return run(_request(study, audit, files), notify=notify)


def records_of(study: Study, audit: Audit, files: Sequence[str]) -> dict[tuple[str, str], Record]:
    """Record of each (file of a network, or "" for the teacher; id of a benchmark), where it was scored."""
    request = _request(study, audit, files)
    keys = {
        unit.key: (TEACHER_FILE if unit.entrant.name == study.base else unit.entrant.name, unit.benchmark.id)
        for units in planned(replace(request, entrants=tuple(each for each in request.entrants if each.asked)))
        for unit in units
        if not unit.entrant.null
    }
    return {keys[record["key"]]: record for record in load_records(study.settings.results) if record["key"] in keys}


def _request(study: Study, audit: Audit, files: Sequence[str]) -> Request:
    names = tuple(dict.fromkeys(benchmark.name for benchmark in audit.benchmarks))
    nulls = NULLS if study.settings.nulls is None else study.settings.nulls
    suite = Suite(study.name, summary=study.asked.preset.summary, benchmarks=names, nulls=nulls)
    own = study.settings.model
    further = [each for each in study.asked.choices.layers if each not in study.teacher.layers]
    if not own.layers and further:
        own = own.model_copy(update={"layers": (*study.teacher.layers, *further)})
    teacher = own.model_copy(update={"name": (study.base,)})
    of_teacher = study.settings.model_copy(update={"model": teacher})
    tuned = tuple(Entrant(name, layers=own.layers, asked=True) for name in files)
    store = Store(study.settings.results / "store")
    return Request(
        study.settings,
        suite,
        entrants=(*entrants(of_teacher, suite), *tuned),
        benchmarks=audit.benchmarks,
        store=store,
        digests=PixelDigests(store),
    )


def _entries(study: Study) -> list[Mapping[str, str]]:
    """Of the preset, or the usual ones, less those that mean nothing here; then the user's own."""
    own = study.settings.benchmark
    preset = study.asked.preset.audit or USUAL
    if study.asked.choices.audit == "none":
        preset = ()
    found = [entry for entry in preset if entry[NAME] not in WORDS or _JUDGED[entry[NAME]](study.sources) is not None]
    asked = {
        key: value for key, value in own.model_dump().items() if value is not None and key not in ("name", "measure")
    }
    names = own.name or (load_suite(study.settings.suite).benchmarks if study.settings.suite else ())
    measure = {MEASURE: ",".join(own.measure)} if own.measure else {}
    return [*found, *({NAME: name, **measure, **asked} for name in names)]


def _built(entry: Mapping[str, str], study: Study) -> Sequence[Benchmark]:
    known = {NAME, *BenchmarkSettings.model_fields} - {"name"}
    for key in entry:
        if key not in known:
            raise RequestError(f"audit of {study.asked.preset.name}: unknown key {key!r}{near_misses(key, known)}")
    name = entry[NAME]
    options = {key: value for key, value in entry.items() if key != NAME}
    if options.get(LAYERS) == TUNED_LAYER:
        options[LAYERS] = ",".join(study.asked.choices.layers)
    settings = study.settings.model_copy(update={"benchmark": BenchmarkSettings.model_validate(options)})
    if name not in WORDS:
        return build_benchmarks(name, settings)
    dataset = _JUDGED[name](study.sources)
    typed = study.asked.choices.task if name == TASK else study.asked.choices.data
    chosen = measures_of(settings.benchmark.measure, dataset, name=typed)
    check_means_something(settings, chosen)
    known_entry = ENTRIES.get(typed.partition(".")[0])
    preferred = known_entry.preferred if known_entry else {}
    return [build_measure(each, typed, dataset, settings=settings, preferred=preferred) for each in chosen]
