"""From a user's settings to a benchmark: one builder for each measure of predictivity."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite, nan
from typing import Any, Protocol

from alignment.encoding.latent import PLS_COMPONENTS
from alignment.errors import RequestError
from benchmarks.choices import asked_of, inference_of, listed, marks_of, recording_of, whole_number
from benchmarks.datasets.base import DataSet
from benchmarks.neural.matched import best_unit, one_to_one
from benchmarks.neural.other import Other
from benchmarks.neural.predicting import Predicting
from benchmarks.neural.predictivity import NeuralPredictivity
from benchmarks.neural.regressions import Ridge, pcr, pls
from benchmarks.neural.reverse import Reverse
from benchmarks.neural.soft import SoftMatching
from benchmarks.neural.strategy import Strategy
from benchmarks.neural.time_fits import DeclaredMap
from benchmarks.neural.time_resolved import TimeResolved
from benchmarks.neural.unique import Unique
from benchmarks.settings import Settings

DRAWN_UNITS = "1000"
# what the user asked of the benchmark, over what the data set prefers
Options = Mapping[str, Any]


class Build(Protocol):
    """Makes a benchmark of a data set, as `benchmarks.measures.build_measure` wants it."""

    def __call__(self, name: str, dataset: DataSet, *, settings: Settings, preferred: Options) -> NeuralPredictivity:
        """The benchmark under a user's settings."""
        ...


def _builder(strategy_of: Callable[[Options, Settings], Strategy]) -> Build:
    """The builder of benchmarks by one strategy, made from what was asked."""

    @functools.wraps(strategy_of)
    def build(name: str, dataset: DataSet, *, settings: Settings, preferred: Options) -> NeuralPredictivity:
        options = {**preferred, **asked_of(settings)}
        layers = listed(options.get("layers", ""))
        return NeuralPredictivity(
            name,
            dataset,
            strategy=strategy_of(options, settings),
            recording=recording_of(options),
            inference=inference_of(options, settings),
            marks=(*dataset.marks, *(f"layer={layer}" for layer in layers), *marks_of(settings)),
            layers=layers,
        )

    return build


@_builder
def ridge_predictivity(options: Options, settings: Settings) -> Strategy:
    """Ridge to each neuroid."""
    return Predicting(_ridge(options))


@_builder
def pls_predictivity(options: Options, settings: Settings) -> Strategy:
    """Partial least squares to all neuroids of a subject."""
    return Predicting(pls(_components(options)))


@_builder
def pcr_predictivity(options: Options, settings: Settings) -> Strategy:
    """Least squares on principal components to each neuroid."""
    return Predicting(pcr(_components(options)))


@_builder
def one_to_one_matching(options: Options, settings: Settings) -> Strategy:
    """A unit of its own for each neuroid."""
    return Predicting(one_to_one(whole_number("units", options.get("units", "none"))))


@_builder
def best_unit_matching(options: Options, settings: Settings) -> Strategy:
    """The best unit for each neuroid."""
    return Predicting(best_unit(whole_number("units", options.get("units", "none"))))


@_builder
def soft_matching(options: Options, settings: Settings) -> Strategy:
    """Optimal transport from units to neuroids."""
    return SoftMatching(whole_number("units", options.get("units", DRAWN_UNITS)))


@_builder
def reverse_predictivity(options: Options, settings: Settings) -> Strategy:
    """Ridge from all neuroids to each unit."""
    return Reverse(_ridge(options), whole_number("units", options.get("units", DRAWN_UNITS)))


@_builder
def unique_variance(options: Options, settings: Settings) -> Strategy:
    """What a model explains beyond another.

    Raises
    ------
    RequestError, DataError
        The other model is not named, or there is none of this name.
    """
    if "against" not in options:
        raise RequestError(
            "benchmark.measure=unique: name the model whose share is taken out, for example benchmark.against=pixels"
        )
    cache = settings.results / "cache"
    other = Other(options["against"], cache=cache, data_root=settings.data.root, seed=settings.seed)
    other.check_name()
    return Unique(Ridge(selection=options.get("selection", "loo")), other)


def time_resolved(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> TimeResolved:
    """Ridge to each neuroid in each time bin.

    Raises
    ------
    RequestError
        Times that are no numbers, or steps that take no time.
    """
    options = {**preferred, **asked_of(settings)}
    declared = DeclaredMap()
    if "onsets" in options:
        declared = replace(declared, onsets=times("onsets", options["onsets"]))
    if "ms_per_step" in options:
        declared = replace(declared, ms_per_step=times("ms_per_step", options["ms_per_step"]))
    if min(declared.ms_per_step) <= 0:
        raise RequestError(f"benchmark.ms_per_step={options['ms_per_step']}: a step takes more than 0 ms")
    layers = listed(options.get("layers", ""))
    chosen = tuple(f"{key}={options[key]}" for key in ("onsets", "ms_per_step") if key in options)
    return TimeResolved(
        name,
        dataset,
        ridge=_ridge(options),
        declared=declared,
        recording=recording_of(options),
        inference=inference_of(options, settings),
        marks=(*dataset.marks, *chosen, *(f"layer={layer}" for layer in layers), *marks_of(settings)),
        layers=layers,
    )


def times(key: str, text: str) -> tuple[float, ...]:
    """Times in ms, increasing, each once.

    Raises
    ------
    RequestError
        One is no number.

    Examples
    --------
    >>> times("onsets", "60, 40,60")
    (40.0, 60.0)
    """
    try:
        found = sorted({float(word) for word in text.split(",")})
    except ValueError:
        found = [nan]
    if not all(map(isfinite, found)):
        raise RequestError(f"benchmark.{key}={text}: give ms, several by comma, such as 20,40")
    return tuple(found)


def _ridge(options: Options) -> Ridge:
    return Ridge(selection=options.get("selection", "loo"), scale=options.get("scale", "none"))


def _components(options: Options) -> int:
    components = whole_number("components", options.get("components", str(PLS_COMPONENTS)))
    if components is None:
        raise RequestError("benchmark.components=none: give a whole number above 0")
    return components
