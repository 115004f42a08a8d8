"""From what a user typed to the benchmark of steering; each function is a `builder` of `benchmarks.measures`."""

from collections.abc import Mapping
from typing import Any

from benchmarks.choices import inference_of, marks_of
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.settings import Settings
from benchmarks.steering.benchmark import Steering


def steering(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Steering:
    """Two images over each other."""
    return _arranged("overlap", name, dataset, settings=settings)


def side_by_side(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Steering:
    """Two images beside each other, for networks that take any width."""
    return _arranged("side-by-side", name, dataset, settings=settings)


def _arranged(arrangement: str, name: str, dataset: LabelledDataSet, *, settings: Settings) -> Steering:
    return Steering(
        name,
        dataset,
        arrangement=arrangement,
        inference=inference_of({}, settings),
        batch_size=settings.batch_size,
        marks=(*dataset.marks, *marks_of(settings)),
    )
