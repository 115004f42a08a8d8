"""A data set made of presentations: images by id, a response to each showing, and what follows from them.

Means, splits, ceilings and fingerprint are derived here, once, for whoever can say what was shown and measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from alignment import fingerprint, seeds
from alignment.arrays import average_repetitions, check_responses, responses_array
from alignment.ceiling import single_trials
from alignment.errors import DataError, unknown
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import Split
from benchmarks.datasets.ceilings import from_ncsnr, from_trials
from benchmarks.datasets.neuroids import drop_unusable
from benchmarks.datasets.splits import digest, judged_stimuli, k_folds, restrict

FOLDS = 5


@dataclass(frozen=True)
class Presented:
    """Stimuli and the responses to every presentation of them.

    Parameters
    ----------
    name : of the data set
    stimuli : exactly those that were presented
    presentations : ("presentation", "neuroid", "time_bin") float32; `stimulus` and `repetitions` (showings a row is the
        mean of) along presentation, `subject` and perhaps `roi`, `ncsnr` along neuroid; NaN where a neuroid was not
        recorded
    own_splits : the user's; where there are none, 5 fixed folds over what each subject saw
    folds_name : what the fixed folds depend on, beside the ids
    version : raised when an unchanged model's score would change
    said : what `describe` adds
    """

    name: str
    stimuli: StimulusSet
    presentations: xr.DataArray
    own_splits: tuple[Split, ...] | None = None
    folds_name: str = ""
    version: int = 1
    said: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_responses(self.presentations, name=self.name)
        shown = self.presentations["stimulus"].values
        recorded = np.isfinite(self.presentations.values).any(axis=(1, 2))
        missing = sorted(set(shown.tolist()) - set(shown[recorded].tolist()))
        if missing:
            raise DataError(
                f"{self.name}: responses to {missing[0]!r} are NaN for every neuroid ({len(missing)} such stimuli); "
                "leave these stimuli out or give their responses"
            )

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Values of the neuroid coordinate `subject`, sorted."""
        return tuple(sorted({str(subject) for subject in self.presentations["subject"].values}))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the responses of every presentation, their coordinates and the splits."""
        coords = self.presentations.coords
        hashed = [text for key in sorted(map(str, coords)) for text in (key, _hash(coords[key].values))]
        splits = [digest(self.splits(subject)) for subject in self.subjects]
        return fingerprint.of_parts(str(self.version), *splits, _hash(self.presentations.values), *hashed)

    def responses(self, subject: str) -> xr.DataArray:
        """Mean responses of one subject.

        Returns
        -------
        DataArray ("stimulus", "neuroid", "time_bin") float32, stimuli in order of first appearance
        """
        shown = self._shown(subject)
        counts = shown["repetitions"].groupby("stimulus").sum()
        mean = average_repetitions(shown)
        return drop_unusable(mean.assign_coords(repetitions=counts.sel(stimulus=mean["stimulus"])))

    def splits(self, subject: str) -> tuple[Split, ...]:
        """The user's splits, with only what the subject saw, or 5 folds over that."""
        seen = sorted(set(self._shown(subject)["stimulus"].values.tolist()))
        if self.own_splits is None:
            return k_folds(seen, n=FOLDS, name=self.folds_name or self.name)
        return restrict(self.own_splits, seen, name=f"{self.name}, subject {subject}")

    def ceiling(self, subject: str) -> xr.Dataset | None:
        """Ceiling of the stimuli that some split judges on.

        Returns
        -------
        Dataset with `ceiling` ("neuroid",) and `p_value` (), NaN where repetitions do not allow a test; None where
        there is neither `ncsnr` nor a repetition, or where responses are time-resolved
        """
        means, shown = self.responses(subject), self._shown(subject)
        if means.sizes["time_bin"] > 1:
            return None
        judged = judged_stimuli(self.splits(subject))
        kept = shown.sel(neuroid=means["neuroid"])
        trials = single_trials(kept.isel(presentation=np.flatnonzero(kept["stimulus"].isin(judged))))
        seed = seeds.derive(0, "ceiling", self.folds_name or self.name)
        halves = from_trials(trials, seed=seed, name=f"{self.name}, subject {subject}")
        if "ncsnr" not in means.coords:
            return halves
        p_value = float("nan") if halves is None else halves["p_value"].item()
        return from_ncsnr(means.sel(stimulus=list(judged)), p_value=p_value)

    def describe(self) -> dict[str, Any]:
        """Subjects, counts and splits."""
        responses = [self.responses(subject) for subject in self.subjects]
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "stimuli": len(self.stimuli),
            "presentations": self.presentations.sizes["presentation"],
            "neuroids": [each.sizes["neuroid"] for each in responses],
            "dropped neuroids": [len(each.attrs["dropped"]) for each in responses],
            "time bins": self.presentations["time_bin"].values.tolist(),
            "splits": [split.name for split in self.splits(self.subjects[0])],
            **self.said,
        }

    def _shown(self, subject: str) -> xr.DataArray:
        """Responses ("presentation", "neuroid", "time_bin") of one subject to what that subject saw."""
        if subject not in self.subjects:
            raise unknown(f"subject of {self.name}", subject, self.subjects)
        own = self.presentations.isel(neuroid=np.flatnonzero(self.presentations["subject"].values == subject))
        seen = np.isfinite(own.values).any(axis=(1, 2))
        if not seen.any():
            raise DataError(f"{self.name}: every response of subject {subject!r} is NaN; leave its neuroids out")
        return own.isel(presentation=np.flatnonzero(seen))


def presented(
    name: str,
    images: Mapping[str, np.ndarray],
    *,
    responses: np.ndarray,
    stimulus: Sequence[str],
    subject: Sequence[str] | None = None,
    ncsnr: Sequence[float] | None = None,
    splits: Sequence[Split] | None = None,
    visual_degrees: float | None = None,
) -> Presented:
    """A data set from plain arrays.

    Parameters
    ----------
    name : of the data set
    images : id -> (row, column, 3) uint8, every stimulus that was presented
    responses : (presentation, neuroid) or (presentation, neuroid, time_bin); a row per showing
    stimulus : id shown in each presentation
    subject, ncsnr : of each neuroid, where known
    splits : 5 fixed folds by stimulus where there are none
    visual_degrees : width of an image when it was shown

    Raises
    ------
    DataError
        Responses to an image that is not there, or an image without responses.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = {f"image{i}": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(20)}
    >>> presented("mine", images, responses=rng.normal(size=(20, 3)), stimulus=list(images)).subjects
    ('subject1',)
    """
    shown = list(dict.fromkeys(map(str, stimulus)))
    odd = sorted(set(shown) ^ set(images))
    if odd:
        raise DataError(f"{name}: {odd[0]!r} has an image or responses but not both ({len(odd)} such); give both")
    n_neuroids = np.shape(responses)[1]
    neuroid: dict[str, Any] = {"subject": ["subject1"] * n_neuroids if subject is None else list(subject)}
    neuroid |= {"ncsnr": np.asarray(ncsnr)} if ncsnr is not None else {}
    array = responses_array(responses, stimulus=stimulus, neuroid=neuroid)
    array = array.assign_coords(
        neuroid=np.arange(n_neuroids), repetitions=("presentation", np.ones(len(stimulus), dtype=np.int64))
    )
    held = {key: np.asarray(image) for key, image in images.items()}
    stimuli = StimulusSet(name, tuple(sorted(shown)), held.__getitem__, visual_degrees=visual_degrees)
    return Presented(name, stimuli, array, own_splits=None if splits is None else tuple(splits))


def _hash(values: np.ndarray) -> str:
    return fingerprint.of_array(values.astype(str) if values.dtype.kind in "OUS" else values)
