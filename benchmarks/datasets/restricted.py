"""A part of a data set: one of its splits, some of its subjects, some of its neuroids, some of its labelled images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from alignment import fingerprint
from alignment.errors import RequestError, unknown
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import DataSet, LabelledDataSet, Split
from benchmarks.datasets.ceilings import from_ncsnr, from_trials
from benchmarks.datasets.labelled import LabelledImages
from benchmarks.datasets.trials import trials_of


class Restricted:
    """A data set of responses with less in it; its marks say so, so that ids of benchmarks do.

    Parameters
    ----------
    dataset : the whole
    split : the only one that is judged on; None: all
    subjects : those that are kept, in the order of the data set; None: all
    neuroids : subject -> (neuroid,) bool, which of its neuroids are kept; None: all
    marks : what an id says of it

    Raises
    ------
    RequestError
        There is no such split or subject, or no neuroid is left of a subject.
    """

    def __init__(
        self,
        dataset: DataSet,
        *,
        split: str | None = None,
        subjects: Sequence[str] | None = None,
        neuroids: Mapping[str, np.ndarray] | None = None,
        marks: Sequence[str] = (),
    ) -> None:
        for subject in subjects or ():
            if subject not in dataset.subjects:
                raise unknown(f"subject of {dataset.name}", subject, dataset.subjects)
        self.dataset, self.split, self.kept = dataset, split, neuroids
        self.name, self.version = dataset.name, dataset.version
        self.subjects = tuple(each for each in dataset.subjects if subjects is None or each in subjects)
        self.marks = (*getattr(dataset, "marks", ()), *marks)
        for subject in self.subjects:
            self.splits(subject)
            if neuroids is not None and not neuroids[subject].any():
                raise RequestError(f"{self.name}: no neuroid of subject {subject} is left; take a larger share")

    @property
    def stimuli(self) -> StimulusSet:
        """As in the data set."""
        return self.dataset.stimuli

    @property
    def fingerprint(self) -> str:
        """Of the data set and of what is kept."""
        kept = None if self.kept is None else {name: mask.tolist() for name, mask in self.kept.items()}
        return fingerprint.of_parts(
            "restricted", self.dataset.fingerprint, fingerprint.of_settings([self.split, self.subjects, kept])
        )

    def responses(self, subject: str) -> xr.DataArray:
        """Of the kept neuroids."""
        return self._of_kept(self.dataset.responses(subject), subject)

    def trials(self, subject: str) -> xr.DataArray | None:
        """Single trials of the kept neuroids and of the stimuli that are judged on, where the data set has any."""
        trials = trials_of(self.dataset, subject)
        if trials is None:
            return None
        judged = {name for split in self.splits(subject) for name in split.test}
        inside = [str(name) in judged for name in trials["stimulus"].values]
        return self._of_kept(trials.isel(stimulus=np.flatnonzero(inside)), subject)

    def splits(self, subject: str) -> tuple[Split, ...]:
        """The kept split, or all."""
        splits = self.dataset.splits(subject)
        if self.split is None:
            return splits
        if self.split not in {each.name for each in splits}:
            raise unknown(f"split of {self.name}", self.split, [each.name for each in splits])
        return tuple(each for each in splits if each.name == self.split)

    def ceiling(self, subject: str) -> xr.Dataset | None:
        """Of the stimuli that the kept split judges on."""
        ceiling = self.dataset.ceiling(subject)
        if ceiling is None:
            return None
        judged = {name for split in self.splits(subject) for name in split.test}
        if self.split is not None and "stimulus" in ceiling.coords:
            inside = [str(name) in judged for name in ceiling["stimulus"].values]
            if not all(inside):
                return self._of_part(ceiling, subject, np.array(inside))
        return self._of_kept(ceiling, subject)

    def describe(self) -> dict[str, Any]:
        """As in the data set, and what is kept of it."""
        return {**self.dataset.describe(), "restricted to": ", ".join(self.marks) or "all of it"}

    def _of_part(self, ceiling: xr.Dataset, subject: str, inside: np.ndarray) -> xr.Dataset | None:
        if "trials" in ceiling:
            trials = self._of_kept(ceiling["trials"], subject).isel(stimulus=inside)
            return from_trials(trials, seed=int(ceiling.attrs["seed"]), name=self.name)
        names = ceiling["stimulus"].values[inside]
        return from_ncsnr(self.responses(subject).sel(stimulus=names), p_value=float(ceiling["p_value"]))

    def _of_kept(self, values: Any, subject: str) -> Any:
        return values if self.kept is None else values.isel(neuroid=np.flatnonzero(self.kept[subject]))


def restricted_labels(dataset: LabelledDataSet, ids: Sequence[str], *, mark: str) -> LabelledImages:
    """Some of the images of a labelled data set.

    Parameters
    ----------
    ids : which, in any order; the order of the data set is kept
    mark : what an id says of them

    Examples
    --------
    >>> from benchmarks.datasets.labelled import labelled
    >>> images = {name: np.zeros((8, 8, 3), np.uint8) for name in "abc"}
    >>> part = restricted_labels(labelled("mine", images, ["x", "y", "x"]), ["c", "b"], mark="images=2")
    >>> part.stimuli.ids, part.targets().tolist(), part.marks
    (('b', 'c'), [1, 0], ('images=2',))
    """
    wanted = set(ids)
    return LabelledImages(
        dataset.name,
        dataset.stimuli.select([name for name in dataset.stimuli.ids if name in wanted]),
        tuple(dataset.classes),
        version=dataset.version,
        marks=(*dataset.marks, mark),
        said=dataset.describe(),
    )
