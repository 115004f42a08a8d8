"""From what a user typed to a benchmark of read-outs; each function is a `builder` of `benchmarks.measures`."""

from collections.abc import Mapping
from typing import Any

from alignment.decoding import PUBLISHED, STANDARDISED
from benchmarks.choices import asked_of, inference_of, marks_of, recording_of
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.decoding.benchmark import Decoding
from benchmarks.settings import Settings

DECODERS = {"none": PUBLISHED, "floored_sd": STANDARDISED}


def decoding(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Decoding:
    """A support vector machine on features as they are, or scaled where that was asked for."""
    options = {**preferred, **asked_of(settings)}
    return Decoding(
        name,
        dataset,
        decoder=DECODERS[options.get("scale", "none")],
        recording=recording_of(options),
        inference=inference_of({}, settings),
        marks=(*dataset.marks, *marks_of(settings)),
    )
