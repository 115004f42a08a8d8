"""From what a user typed to a neural benchmark."""

from collections.abc import Mapping
from typing import Any

from alignment.errors import RequestError, unknown
from alignment.record import PRECISIONS
from benchmarks.datasets.base import DataSet
from benchmarks.neural.measure import RidgeMeasure
from benchmarks.neural.predictivity import NeuralPredictivity
from benchmarks.recordings import Recording
from benchmarks.settings import Settings

CHOICES = {
    "selection": ("loo", "gcv", "kfold"),
    "scale": ("none", "floored_sd"),
    "precision": tuple(PRECISIONS),
    "viewing": ("degrees", "whole"),
}


def neural_predictivity(
    name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]
) -> NeuralPredictivity:
    """The benchmark of a data set under a user's settings.

    Parameters
    ----------
    preferred : settings that differ from the common defaults on this data set; what the user asks for wins

    Raises
    ------
    RequestError
        A setting has no such choice (with near misses).
    """
    check_settings(settings)
    options = {**preferred, **_asked(settings)}
    measure = RidgeMeasure(
        selection=options.get("selection", "loo"),
        scale=options.get("scale", "none"),
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
    )
    recording = Recording(
        pool=_whole_number("pool", options.get("pool", "4")),
        projection=_whole_number("projection", options.get("projection", "none")),
        precision=options.get("precision", "float32"),
        viewing=options.get("viewing", "degrees"),
    )
    return NeuralPredictivity(
        name, dataset, measure=measure, recording=recording, marks=(*dataset.marks, *_marks(settings))
    )


def check_settings(settings: Settings) -> None:
    """Refuse a choice that does not exist, or that means nothing here.

    Raises
    ------
    RequestError
        A setting has no such choice (with near misses).
    """
    asked = _asked(settings)
    for key, choices in CHOICES.items():
        if key in asked and asked[key] not in choices:
            raise unknown(f"benchmark.{key}", asked[key], choices)
    for key in ("pool", "projection"):
        _whole_number(key, asked.get(key, "none"))
    if asked.get("precision") == "tf32" and not settings.device.startswith("cuda"):
        raise RequestError(f"benchmark.precision=tf32 means nothing on {settings.device}; use device=cuda or float32")


def _asked(settings: Settings) -> dict[str, str]:
    given = settings.benchmark.model_dump().items()
    return {key: value for key, value in given if value is not None and key != "name"}


def _whole_number(key: str, text: str) -> int | None:
    if text == "none":
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise RequestError(f"benchmark.{key}={text}: give a whole number above 0, or none")
    return int(text)


def _marks(settings: Settings) -> list[str]:
    """Non-default settings that enter the number and are not part of the measure's own name."""
    defaults = Settings()
    marks = {
        key: getattr(settings, key)
        for key in ("seed", "n_bootstrap")
        if getattr(settings, key) != getattr(defaults, key)
    }
    return [f"{key}={value}" for key, value in marks.items()]
