"""From what a user typed to the benchmark of perturbed flows; a `builder` of `benchmarks.measures`."""

from collections.abc import Mapping
from typing import Any

from alignment.errors import RequestError
from benchmarks.choices import inference_of, marks_of
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.perturbation.benchmark import HoldsPartners, Perturbation
from benchmarks.settings import Settings


def perturbation(
    name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Mapping[str, Any]
) -> Perturbation:
    """Functional importance of flows for one property.

    Raises
    ------
    RequestError
        The images of the data set have no partners that differ from them in one property.
    """
    if not isinstance(dataset, HoldsPartners):
        raise RequestError(
            f"{name}: its images have no partners that differ in one property; name perturbation.location or another "
            "of its kind"
        )
    return Perturbation(
        name,
        dataset,
        inference=inference_of({}, settings),
        batch_size=settings.batch_size,
        marks=(*dataset.marks, *marks_of(settings)),
    )
