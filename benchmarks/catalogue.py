"""Names: which data sets, benchmarks and suites there are, without importing any of them.

A benchmark's name is a data set's name and what is selected of it, `nsd.V1`, `cowley2023.201025`; or the name of a
registered benchmark; or `./file.py:function`, a user's own.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment.errors import RequestError, unknown
from alignment.registry import Builder, Registry, foreign_code, is_file_reference, split_reference

if TYPE_CHECKING:
    from benchmarks.contracts import Benchmark
    from benchmarks.datasets.base import DataSet, DataSettings
    from benchmarks.datasets.nsd import Finding
    from benchmarks.settings import Settings


@dataclass(frozen=True)
class Entry:
    """A built-in data set as lists show it.

    Attributes
    ----------
    builder : "module:function" taking (settings, selection)
    summary : one line
    selections : what can follow the dot; empty where nothing does
    refuses : for what is made here: "module:function" taking (settings, selection), which refuses what cannot be made
    preferred : benchmark settings that differ from the common defaults on this data set
    checker : "module:function" from (settings) to findings, where files can be checked more closely than by loading
    measures : what is measured where nobody says; the default for what the data set holds where this is empty
    """

    builder: str
    summary: str
    selections: tuple[str, ...] = ()
    refuses: str = ""
    preferred: Mapping[str, Any] = field(default_factory=dict)
    checker: str = ""
    measures: tuple[str, ...] = ()


# of the targets of cluttered images, and of the partners of such images
_VARIABLES = ("category", "location", "scale", "orientation", "domain")
_PROPERTIES = ("location", "orientation", "scale", "category_within", "category_between")
_ROIS = ("V1", "V2", "V3", "V4", "ventral", "lateral", "nsdgeneral", "floc-faces", "floc-places", "floc-bodies")

ENTRIES: dict[str, Entry] = {
    "nsd": Entry(
        "benchmarks.datasets.nsd:build",
        "Natural Scenes Dataset, 7T fMRI of 8 people, from its official tree (data.nsd=<folder>)",
        _ROIS,
        preferred={"selection": "gcv"},
        checker="benchmarks.datasets.nsd:check",
    ),
    "nsd-simulated": Entry(
        "benchmarks.datasets.nsd_simulator:build",
        "a simulated brain in the NSD layout, with known truth",
        ("V1", "V2", "V4", "ventral", "floc-words"),
        refuses="benchmarks.datasets.nsd_simulator.dataset:check",
    ),
    "nsd-smoke": Entry(
        "benchmarks.datasets.nsd_simulator:build_smoke",
        "a small simulated brain in the NSD layout, made in seconds",
        ("V1", "V4", "ventral", "floc-words"),
        refuses="benchmarks.datasets.nsd_simulator.dataset:check_smoke",
    ),
    "cowley2023": Entry(
        "benchmarks.datasets.cowley2023:build",
        "macaque V4, Utah array, photographs; any session of the upstream repository by its id",
        ("201025", "210325"),
    ),
    "kriegeskorte2008": Entry(
        "benchmarks.datasets.kriegeskorte2008:build",
        "RDMs of 92 objects: human IT fMRI, monkey IT, similarity judgements",
        ("humanIT", "humanIT-group", "monkeyIT", "behaviour"),
    ),
    "algonauts2019_78": Entry(
        "benchmarks.datasets.algonauts2019_78:build",
        "fMRI RDMs of 78 photographs; 15 people, who agree at chance",
        ("EVC", "IT"),
    ),
    "digits": Entry(
        "benchmarks.datasets.digits:build",
        "scikit-learn's handwritten digits, those that toy is not trained on; offline",
    ),
    "decoding-digits": Entry(
        "benchmarks.datasets.digits:build",
        "the same digits, read out of each layer at each time_bin; offline",
        preferred={"pool": "2"},
        measures=("decoding",),
    ),
    "dynamics-digits": Entry(
        "benchmarks.datasets.digits:build",
        "the same digits, shown to networks whose rates obey an equation: return to rest, spectra, noise; offline",
        measures=("dynamics",),
    ),
    "steering": Entry(
        "benchmarks.datasets.digits:build",
        "the same digits, two at once: telling either when asked, and not seeing a third; offline",
        measures=("steering",),
    ),
    "orthogonal": Entry(
        "benchmarks.datasets.orthogonal:build",
        "digits and garments in clutter (Thorat et al. 2021): what of the target layers tell, from MNIST's test images",
        _VARIABLES,
        preferred={"pool": "none"},
        measures=("decoding",),
    ),
    "orthogonal-clean": Entry(
        "benchmarks.datasets.orthogonal:build_clean",
        "the same targets without clutter",
        _VARIABLES,
        preferred={"pool": "none"},
        measures=("decoding",),
    ),
    "orthogonal-digits": Entry(
        "benchmarks.datasets.orthogonal:build_digits",
        "scikit-learn's digits in clutter, likewise; offline",
        _VARIABLES,
        preferred={"pool": "2"},
        measures=("decoding",),
    ),
    "perturbation": Entry(
        "benchmarks.datasets.perturbation:build",
        "the same kind of images, and partners that differ in one property: what flows between layers are used for",
        _PROPERTIES,
        measures=("perturbation",),
    ),
    "perturbation-legacy": Entry(
        "benchmarks.datasets.perturbation:build_legacy",
        "likewise, with the partners of the published code: upright, and of medium size",
        _PROPERTIES,
        measures=("perturbation",),
    ),
    "perturbation-digits": Entry(
        "benchmarks.datasets.perturbation:build_digits",
        "scikit-learn's digits in clutter and their partners, likewise; offline",
        _PROPERTIES,
        measures=("perturbation",),
    ),
    "simulated-latencies": Entry(
        "benchmarks.datasets.simulated_latencies:build",
        "simulated neurons that respond in time, with known latencies; offline",
        ("early", "late"),
        measures=("time-resolved",),
    ),
    "cifar10": Entry(
        "benchmarks.datasets.cifar10:build",
        "CIFAR-10, 10,000 test images of 10 classes, downloaded or in data.root",
    ),
    "mnist": Entry(
        "benchmarks.datasets.mnist:build_mnist",
        "MNIST, 10,000 handwritten digits to test on, downloaded or in data.root",
    ),
    "fashion_mnist": Entry(
        "benchmarks.datasets.mnist:build_fashion_mnist",
        "Fashion-MNIST, 10,000 garments to test on, downloaded or in data.root",
    ),
    "clutter": Entry(
        "benchmarks.datasets.clutter:build",
        "a digit or garment among fragments, 20 classes, made from MNIST and Fashion-MNIST",
    ),
    "clutter-clean": Entry(
        "benchmarks.datasets.clutter:build_clean",
        "the same digits and garments in the same places, without the fragments",
    ),
    "imagenet_folder": Entry(
        "benchmarks.datasets.imagenet_folder:build",
        "your copy of ImageNet's validation images, a folder for each class (data.imagenet_folder=<folder>)",
        preferred={"epsilon": {"linf": "4/255", "l2": "3"}},
    ),
    "folder": Entry(
        "benchmarks.datasets.folder:build",
        "your own images and responses, RDMs or labels (data.folder=<folder>)",
    ),
    "rep_align": Entry(
        "benchmarks.datasets.rep_align:build",
        "a data folder of rep_align, all areas or rep_align.V4; train fits, val judges (data.rep_align=<folder>)",
    ),
}

DATASETS = Registry(
    "dataset",
    {name: entry.builder for name, entry in ENTRIES.items()},
    summaries={name: entry.summary for name, entry in ENTRIES.items()},
)
BENCHMARKS = Registry("benchmark", {})


def benchmark(name: str) -> Callable[[Builder], Builder]:
    """Decorator that names a function of no argument returning a `Benchmark`."""
    return BENCHMARKS.register(name)


def dataset(name: str) -> Callable[[Builder], Builder]:
    """Decorator that names a function of (settings, selection) returning a `DataSet`."""
    return DATASETS.register(name)


def benchmark_names() -> list[str]:
    """Every benchmark that can be named without a file, as examples of each data set's selections."""
    named = [f"{name}.{selection}" for name, entry in ENTRIES.items() for selection in entry.selections]
    whole = [name for name in DATASETS.names() if name not in ENTRIES or not ENTRIES[name].selections]
    return sorted({*named, *whole, *BENCHMARKS.names()})


def check_benchmark(name: str, settings: "Settings") -> None:
    """Whether there is such a benchmark and its settings are sound; reads no data.

    Raises
    ------
    RequestError
        No such benchmark or data set, or a setting without such a choice (with near misses).
    """
    from benchmarks.choices import check_choices
    from benchmarks.measures import check_measure

    check_choices(settings)
    for measure in settings.benchmark.measure:
        check_measure(measure)
    if is_file_reference(name) or name in BENCHMARKS:
        BENCHMARKS.find(name)
        return
    dataset_name, _, selection = name.partition(".")
    if dataset_name not in DATASETS:
        raise unknown("benchmark", name, benchmark_names())
    entry = ENTRIES.get(dataset_name)
    if entry is not None and entry.selections and not selection:
        choices = ", ".join(f"{dataset_name}.{each}" for each in entry.selections[:4])
        raise RequestError(f"{dataset_name} needs a selection: {choices}, ...")
    if entry is not None and entry.refuses:
        _function(entry.refuses)(_place(dataset_name, settings), selection)


def build_benchmarks(name: str, settings: "Settings", *, measures: tuple[str, ...] = ()) -> "tuple[Benchmark, ...]":
    """The benchmarks of the name a user typed, one per measure.

    Parameters
    ----------
    measures : those of a suite, where the user asks for none

    Raises
    ------
    RequestError
        No such benchmark, data set, selection or measure (with near misses), a measure that needs what the data set has
        not, or an option that means nothing here.
    """
    check_benchmark(name, settings)
    if is_file_reference(name) or name in BENCHMARKS:
        return _own(name, settings, measures=measures)
    entry = ENTRIES.get(name.partition(".")[0])
    preferred, usual = (entry.preferred, entry.measures) if entry else ({}, ())
    dataset = build_dataset(name, settings)
    return _measured(name, dataset, settings=settings, preferred=preferred, measures=measures or usual)


def _measured(
    name: str, dataset: "DataSet", *, settings: "Settings", preferred: Mapping[str, Any], measures: tuple[str, ...]
) -> "tuple[Benchmark, ...]":
    from benchmarks.measures import build_measure, check_means_something, measures_of

    chosen = measures_of(settings.benchmark.measure or measures, dataset, name=name)
    check_means_something(settings, chosen)
    return tuple(build_measure(each, name, dataset, settings=settings, preferred=preferred) for each in chosen)


def is_made(name: str) -> bool:
    """Whether the data of a benchmark are made here when they are asked for."""
    entry = ENTRIES.get(name.partition(".")[0])
    return entry is not None and bool(entry.refuses)


def short_name(name: str) -> str:
    """What tables call a benchmark: a user's `./mine.py:build` is `mine.build`, `./mine.py:mine` is `mine`."""
    if not is_file_reference(name):
        return name
    path, function = split_reference(name)
    return function if function == path.stem else f"{path.stem}.{function}"


def build_dataset(name: str, settings: "Settings") -> "DataSet":
    """The data set behind a name such as `cowley2023.201025`."""
    if is_file_reference(name):
        with foreign_code(name):
            return DATASETS.from_file(name)(_place(name, settings), None)
    dataset_name, _, selection = name.partition(".")
    if dataset_name not in DATASETS:
        raise unknown("data set", dataset_name, DATASETS.names())
    with foreign_code(name):
        return DATASETS.get(dataset_name)(_place(dataset_name, settings), selection or None)


def check_files(name: str, settings: "Settings") -> "list[Finding]":
    """What a closer look at a data set's files finds; empty where loading it is all there is."""
    dataset_name = name.partition(".")[0]
    entry = ENTRIES.get(dataset_name)
    if entry is None or not entry.checker:
        return []
    return _function(entry.checker)(_place(dataset_name, settings))


def _function(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _place(dataset_name: str, settings: "Settings") -> "DataSettings":
    from benchmarks.datasets.base import DataSettings

    return DataSettings(
        root=settings.data.root,
        folder=settings.data.folders().get(dataset_name),
        cache=cache_folder(settings),
        options=settings.data.options(),
    )


def cache_folder(settings: "Settings") -> Path:
    """Where things that are made once and can be made again lie."""
    return settings.results / "cache"


def _own(name: str, settings: "Settings", *, measures: tuple[str, ...]) -> "tuple[Benchmark, ...]":
    """A user's function: of no argument, it makes a `Benchmark`; of (settings, selection), a `DataSet` to score."""
    builder = BENCHMARKS.find(name)
    short = short_name(name)
    takes_settings = bool(inspect.signature(builder).parameters)
    with foreign_code(name):
        made = builder(_place(short, settings), None) if takes_settings else builder()
    wanted = ("responses", "rdms", "targets") if takes_settings else ("measure",)
    if not any(callable(getattr(made, each, None)) for each in wanted):
        lacking = " or ".join(f"`{each}`" for each in wanted)
        raise RequestError(f"{name}: the function returned {type(made).__name__}, which has no {lacking}")
    if takes_settings:
        return _measured(short, made, settings=settings, preferred={}, measures=measures)
    if settings.benchmark.measure:
        raise RequestError(f"{name} is a benchmark of its own; leave benchmark.measure out")
    return (made,)
