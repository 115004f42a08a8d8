"""What can be measured on a data set, by name, without importing how."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alignment.errors import RequestError, unknown

if TYPE_CHECKING:
    from benchmarks.contracts import Benchmark
    from benchmarks.settings import Settings

RESPONSES, RDMS, LABELS = "responses", "rdms", "labels"
# method of a data set -> what it holds; nothing else is asked for, since other attributes may read all of its files
HOLDS = {"rdms": RDMS, "targets": LABELS}
DEFAULTS = {RESPONSES: "ridge", RDMS: "rsa", LABELS: "accuracy"}


@dataclass(frozen=True)
class Measure:
    """One kind of measurement.

    Attributes
    ----------
    builder : "module:function" taking (name, dataset, settings=..., preferred=...) and giving a `Benchmark`
    summary : one line for a list
    needs : what a data set must hold, any of "responses", "rdms" and "labels"
    settings : keys under `benchmark.` that mean something to it
    """

    builder: str
    summary: str
    needs: tuple[str, ...] = (RESPONSES,)
    settings: tuple[str, ...] = ()


_SHOWN = ("pool", "projection", "precision", "viewing")
_RECORDED = (*_SHOWN, "subjects")
_PREDICTED = ("layers", *_RECORDED)
_RIDGE = ("selection", "scale", *_RECORDED)

MEASURES: Mapping[str, Measure] = {
    "ridge": Measure(
        "benchmarks.neural:ridge_predictivity",
        "ridge to each neuroid, held-out Pearson r",
        settings=("layers", *_RIDGE),
    ),
    "pls": Measure(
        "benchmarks.neural:pls_predictivity",
        "partial least squares, 25 components as in Brain-Score, held-out Pearson r",
        settings=("components", *_PREDICTED),
    ),
    "pcr": Measure(
        "benchmarks.neural:pcr_predictivity",
        "least squares on the first principal components, held-out Pearson r",
        settings=("components", *_PREDICTED),
    ),
    "one-to-one": Measure(
        "benchmarks.neural:one_to_one_matching",
        "each neuroid with a unit of its own, held-out Pearson r",
        settings=("units", *_PREDICTED),
    ),
    "best-unit": Measure(
        "benchmarks.neural:best_unit_matching",
        "each neuroid with its best unit, held-out Pearson r",
        settings=("units", *_PREDICTED),
    ),
    "soft-matching": Measure(
        "benchmarks.neural:soft_matching",
        "optimal transport from units to neuroids, held-out Pearson r",
        settings=("units", *_PREDICTED),
    ),
    "reverse": Measure(
        "benchmarks.neural:reverse_predictivity",
        "ridge from the brain to each unit of a layer, held-out Pearson r",
        settings=("layers", "units", *_RIDGE),
    ),
    "time-resolved": Measure(
        "benchmarks.neural:time_resolved",
        "ridge from the states of a layer to each neuroid in each time bin (ms), the map between the two times chosen",
        settings=("layers", "onsets", "ms_per_step", *_RIDGE),
    ),
    "unique": Measure(
        "benchmarks.neural:unique_variance",
        "explained variance beyond another model's (benchmark.against=<model>)",
        settings=("against", "selection", *_PREDICTED),
    ),
    "fragility": Measure(
        "benchmarks.robustness.fragility:fragility",
        "ridge on images perturbed so that the layer moves away, held-out Pearson r beside the clean one",
        settings=("norm", "epsilon", "steps", *_RIDGE),
    ),
    "rsa": Measure(
        "benchmarks.similarity.builders:rsa",
        "representational similarity: RDM of a layer with that of the brain",
        (RESPONSES, RDMS),
        ("comparator", "distance", "pooling", *_RECORDED),
    ),
    "versa": Measure(
        "benchmarks.similarity.builders:versa",
        "voxel-reweighted RSA: RDM of a ridge's held-out predictions with that of the brain",
        settings=("comparator", "distance", "pooling", *_RIDGE),
    ),
    "cka-linear": Measure(
        "benchmarks.similarity.builders:cka_linear", "linear centred kernel alignment, unbiased", settings=_RECORDED
    ),
    "cka-linear-biased": Measure(
        "benchmarks.similarity.builders:cka_linear_biased",
        "linear centred kernel alignment as first published; depends on the number of stimuli",
        settings=_RECORDED,
    ),
    "cka-rbf": Measure(
        "benchmarks.similarity.builders:cka_rbf",
        "centred kernel alignment, radial kernel, unbiased",
        settings=_RECORDED,
    ),
    "cka-rbf-biased": Measure(
        "benchmarks.similarity.builders:cka_rbf_biased",
        "centred kernel alignment, radial kernel, as first published",
        settings=_RECORDED,
    ),
    "procrustes": Measure(
        "benchmarks.similarity.builders:procrustes", "Procrustes similarity, 1 - d^2 / 2", settings=_RECORDED
    ),
    "accuracy": Measure(
        "benchmarks.robustness.builders:accuracy", "top-1 accuracy on labelled images", (LABELS,), ("moment",)
    ),
    "robust": Measure(
        "benchmarks.robustness.builders:robust",
        "accuracy that attacks leave, with flags where it cannot be believed",
        (LABELS,),
        ("attack", "norm", "epsilon", "steps", "moment"),
    ),
    "transfer": Measure(
        "benchmarks.robustness.builders:transfer",
        "accuracy that an attack on another network leaves (benchmark.against=<model>)",
        (LABELS,),
        ("against", "attack", "norm", "epsilon", "steps", "moment"),
    ),
    "decoding": Measure(
        "benchmarks.decoding.builders:decoding",
        "linear read-out of labels by layer x time_bin, held-out accuracy; permuted labels as a null row",
        (LABELS,),
        ("scale", *_SHOWN),
    ),
    "perturbation": Measure(
        "benchmarks.perturbation.builders:perturbation",
        "what a network loses when its flows carry another image's property; a permuted control beside it",
        (LABELS,),
    ),
    "steering": Measure(
        "benchmarks.steering.builders:steering",
        "composites of two images, asked for either: P(cued) by strength, hallucination beside it",
        (LABELS,),
    ),
    "steering-side-by-side": Measure(
        "benchmarks.steering.builders:side_by_side", "the same with the two images beside each other", (LABELS,)
    ),
    "corruptions": Measure(
        "benchmarks.robustness.builders:corruptions",
        "accuracy under 15 common corruptions at 5 severities",
        (LABELS,),
        ("kinds", "severities"),
    ),
    "dynamics": Measure(
        "benchmarks.dynamics.builders:dynamics",
        "return to rest of a network whose rates obey an equation, with spectra, noise, decisions over time",
        (LABELS,),
    ),
}


def measures_of(asked: tuple[str, ...], dataset: Any, *, name: str) -> tuple[str, ...]:
    """The measures asked for, if the data set has what they need; its own default where none was asked for.

    Raises
    ------
    RequestError
        No such measure (with near misses), or one that needs what the data set has not.
    """
    held = next((kind for method, kind in HOLDS.items() if callable(getattr(dataset, method, None))), RESPONSES)
    for measure in asked:
        check_measure(measure)
        if held not in MEASURES[measure].needs:
            fitting = ", ".join(each for each, entry in MEASURES.items() if held in entry.needs)
            raise RequestError(f"{name} holds {held}, which {measure} cannot use; choose from {fitting}")
    return tuple(dict.fromkeys(asked)) or (DEFAULTS[held],)


def check_measure(name: str) -> None:
    """Whether there is a measure of this name.

    Raises
    ------
    RequestError
        There is none (with near misses).
    """
    if name not in MEASURES:
        raise unknown("measure", name, MEASURES)


def check_means_something(settings: "Settings", measures: tuple[str, ...]) -> None:
    """Refuse settings that none of the measures heeds, so that no wish is silently ignored.

    Raises
    ------
    RequestError
        A setting means nothing to any of them; it says to which it does.
    """
    heeded = {key for measure in measures for key in MEASURES[measure].settings}
    for key, value in settings.benchmark.model_dump().items():
        if value is None or key in ("name", "measure") or key in heeded:
            continue
        fitting = ", ".join(name for name, entry in MEASURES.items() if key in entry.settings)
        raise RequestError(f"benchmark.{key} means nothing to {', '.join(measures)}; it is a setting of {fitting}")


def build_measure(
    measure: str, name: str, dataset: Any, *, settings: "Settings", preferred: Mapping[str, Any]
) -> "Benchmark":
    """The benchmark that takes a measure on a data set.

    Parameters
    ----------
    measure : a key of MEASURES
    name : of the benchmark, as a user types it
    preferred : settings that differ from the common defaults on this data set; what the user asks for wins
    """
    module, _, function = MEASURES[measure].builder.partition(":")
    return getattr(importlib.import_module(module), function)(name, dataset, settings=settings, preferred=preferred)
