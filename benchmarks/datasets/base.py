"""What every data set offers, whoever wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr
from typing_extensions import TypeIs

from alignment.rsa.rdms import RDMs
from alignment.stimuli import StimulusSet


@dataclass(frozen=True)
class Split:
    """Stimulus ids to fit on and to judge on, disjoint and fixed by the data set."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class DataSettings:
    """Where a data set finds its files and which part of it is asked for.

    Attributes
    ----------
    root : folder that holds one sub-folder per data set
    folder : this data set's own folder, where one was named; it wins over `root`
    cache : folder for downloads and caches made from the files
    options : what the user asked of this data set, as typed (`data.subjects=1,2` -> {"subjects": "1,2"})
    """

    root: Path | None = None
    folder: Path | None = None
    cache: Path = Path("data")
    options: Mapping[str, str] = field(default_factory=dict)


class DataSet(Protocol):
    """Stimuli, responses to them, splits and ceilings.

    Attributes
    ----------
    name : id of the data set with its selection, such as "cowley2023.201025" or "nsd.V1"
    version : integer, raised when an unchanged model's score would change
    subjects : ids of the subjects
    stimuli : every stimulus that any split of any subject uses
    marks : the user's choices that change a number and are not the default
    """

    name: str
    version: int
    subjects: tuple[str, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """The user's choices that change a number, each as `key=value`, such as ("beta=b2", "sessions=1-10").

        They mark the benchmark's id; empty where everything is at its default. The name stays the same, so that folds
        and resamples of the same stimuli do as well.
        """
        ...

    @property
    def stimuli(self) -> StimulusSet:
        """Every stimulus that any split of any subject uses."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of responses, their coordinates, splits and ceilings; pixels are the stimulus set's own."""
        ...

    def responses(self, subject: str) -> xr.DataArray:
        """Responses of one subject, averaged over repetitions.

        Returns
        -------
        DataArray ("stimulus", "neuroid", "time_bin") float32, coordinate `repetitions` along stimulus; NaN nowhere:
        neuroids that are constant or not finite are dropped and named in `attrs["dropped"]` (list of text).
        """
        ...

    def splits(self, subject: str) -> tuple[Split, ...]:
        """Train and test ids of one subject, by stimulus, never by presentation."""
        ...

    def ceiling(self, subject: str) -> xr.Dataset | None:
        """Noise ceiling of the test stimuli's mean responses, or None where no repetitions allow one.

        Returns
        -------
        Dataset with `ceiling` ("neuroid",) the largest r a model can reach, and `p_value` () of reliability being 0;
        where it has them, the `trials` or the `ncsnr` and `repetitions` it was made of, so that it can be resampled
        with the stimuli (`ceilings.resampled`)
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What `bench show` prints: subjects, counts, source, citation, licence."""
        ...


@runtime_checkable
class Fetches(Protocol):
    """A data set whose files can be downloaded."""

    def fetch(self) -> tuple[Path, ...]:
        """Check the files at hand and download the missing ones; where they lie."""
        ...


def holds_rdms(dataset: "DataSet | RDMDataSet | LabelledDataSet") -> TypeIs["RDMDataSet"]:
    """Whether a data set is one of RDMs; asks for nothing else, since other attributes may read all its files."""
    return callable(getattr(dataset, "rdms", None))


def holds_labels(dataset: "DataSet | RDMDataSet | LabelledDataSet") -> TypeIs["LabelledDataSet"]:
    """Whether a data set is one of labelled images; asks for nothing else, as `holds_rdms`."""
    return callable(getattr(dataset, "targets", None))


class RDMDataSet(Protocol):
    """Stimuli and the RDMs that were measured of them, where responses are not at hand."""

    @property
    def name(self) -> str:
        """Id of the data set with its selection, such as "kriegeskorte2008.humanIT"."""
        ...

    @property
    def version(self) -> int:
        """Raised when an unchanged model's score would change."""
        ...

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of the subjects."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """As of a `DataSet`."""
        ...

    @property
    def stimuli(self) -> StimulusSet:
        """What the RDMs are of, in their order."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the RDMs, their coordinates and the references; pixels are the stimulus set's own."""
        ...

    def rdms(self) -> RDMs:
        """One per subject, the mean over sessions, stimuli in the order of `stimuli`."""
        ...

    def sessions(self) -> RDMs | None:
        """One per subject and session; None where there is one session each."""
        ...

    def references(self) -> Mapping[str, RDMs]:
        """Published model RDMs of the same stimuli, one row each, which become rows of the table."""
        ...

    def describe(self) -> dict[str, Any]:
        """What `bench show` prints."""
        ...


class LabelledDataSet(Protocol):
    """Images and the class of each, for networks that classify."""

    @property
    def name(self) -> str:
        """Id of the data set, such as "cifar10"."""
        ...

    @property
    def version(self) -> int:
        """Raised when an unchanged model's score would change."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """As of a `DataSet`."""
        ...

    @property
    def stimuli(self) -> StimulusSet:
        """The test images; their `labels` are names of classes."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, in the order of the logits of a network that fits."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of ids, labels and classes; pixels are the stimulus set's own."""
        ...

    def targets(self) -> np.ndarray:
        """Position in `classes` of the label of each image: (image,) int64, in the order of `stimuli`."""
        ...

    def describe(self) -> dict[str, Any]:
        """What `bench show` prints."""
        ...
