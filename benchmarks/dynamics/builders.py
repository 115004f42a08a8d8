"""From what a user typed to the benchmark of dynamics; a `builder` of `benchmarks.measures`."""

from collections.abc import Mapping
from typing import Any

from benchmarks.choices import inference_of, marks_of
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.dynamics.benchmark import Dynamics
from benchmarks.settings import Settings


def dynamics(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Dynamics:
    """Return to rest, spectra, stability, time to a steady state, noise, decisions over time."""
    return Dynamics(
        name,
        dataset,
        inference=inference_of({}, settings),
        batch_size=settings.batch_size,
        marks=(*dataset.marks, *marks_of(settings)),
    )
