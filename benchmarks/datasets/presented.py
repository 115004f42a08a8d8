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
from benchmarks.datasets.ceilings import check_repetitions, from_ncsnr, from_trials
from benchmarks.datasets.neuroids import drop_unusable
from benchmarks.datasets.splits import check_splits, digest, judged_stimuli, k_folds, restrict

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
    own_splits : the user's; where there are none, 5 fixed folds over all stimuli, the same for every subject
    folds_name : what the fixed folds depend on, beside the ids
    version : raised when an unchanged model's score would change
    marks : the user's choices that change a number, as `key=value`
    said : what `describe` adds

    Raises
    ------
    DataError
        A stimulus or a subject has no response; splits overlap or are too small for a subject; some neuroids of a
        subject have repetitions enough for a ceiling and others have not; a ncsnr is below 0.
    """

    name: str
    stimuli: StimulusSet
    presentations: xr.DataArray
    own_splits: tuple[Split, ...] | None = None
    folds_name: str = ""
    version: int = 1
    marks: tuple[str, ...] = ()
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
        if "ncsnr" in self.presentations.coords and (self.presentations["ncsnr"].values < 0).any():
            raise DataError(f"{self.name}: a neuroid's ncsnr is below 0; give 0 where there is no signal")
        if self.own_splits is not None:
            check_splits(self.own_splits, ids=self.stimuli.ids, name=self.name)
        for subject in self.subjects:
            check_splits(self.splits(subject), ids=self._seen(subject), name=f"{self.name}, subject {subject}")
            means = self.responses(subject)
            if means.sizes["time_bin"] == 1:
                check_repetitions(self._judged_trials(subject, means), name=f"{self.name}, subject {subject}")

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
        """The user's splits or 5 folds over all stimuli, with only what the subject saw.

        A stimulus is judged on in the same split for every subject who saw it.
        """
        return restrict(self._splits, self._seen(subject), name=f"{self.name}, subject {subject}")

    def ceiling(self, subject: str) -> xr.Dataset | None:
        """Ceiling of the stimuli that some split judges on.

        Returns
        -------
        Dataset with `ceiling` ("neuroid",) and `p_value` (), NaN where repetitions do not allow a test; None where
        there is neither `ncsnr` nor a repetition, or where responses are time-resolved
        """
        means = self.responses(subject)
        if means.sizes["time_bin"] > 1:
            return None
        seed = seeds.derive(0, "ceiling", self.folds_name or self.name)
        halves = from_trials(self._judged_trials(subject, means), seed=seed, name=f"{self.name}, subject {subject}")
        if "ncsnr" not in means.coords:
            return halves
        p_value = float("nan") if halves is None else halves["p_value"].item()
        return from_ncsnr(means.sel(stimulus=list(judged_stimuli(self.splits(subject)))), p_value=p_value)

    def trials(self, subject: str) -> xr.DataArray | None:
        """Every showing of the stimuli that some split judges on.

        Returns
        -------
        DataArray ("stimulus", "neuroid", "repetition") float32, NaN where there is no trial; None where responses are
        time-resolved
        """
        means = self.responses(subject)
        return None if means.sizes["time_bin"] > 1 else self._judged_trials(subject, means)

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

    @cached_property
    def _splits(self) -> tuple[Split, ...]:
        if self.own_splits is not None:
            return self.own_splits
        return k_folds(self.stimuli.ids, n=FOLDS, name=self.folds_name or self.name)

    def _seen(self, subject: str) -> list[str]:
        return sorted(set(self._shown(subject)["stimulus"].values.tolist()))

    def _judged_trials(self, subject: str, means: xr.DataArray) -> xr.DataArray:
        """("stimulus", "neuroid", "repetition") of the neuroids of `means`, stimuli that some split judges on."""
        kept = self._shown(subject).sel(neuroid=means["neuroid"])
        judged = judged_stimuli(self.splits(subject))
        return single_trials(kept.isel(presentation=np.flatnonzero(kept["stimulus"].isin(judged))))

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
    time_bins: Sequence[float] = (0.0,),
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
    time_bins : ms after stimulus onset, one per time bin of `responses`; (0.0,) when unresolved

    Raises
    ------
    DataError
        Responses to an image that is not there, or an image without responses; arguments whose lengths do not fit; or
        as `Presented`.

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
    n_neuroids = _check_lengths(
        name, np.shape(responses), stimulus=stimulus, subject=subject, ncsnr=ncsnr, time_bins=time_bins
    )
    neuroid: dict[str, Any] = {"subject": ["subject1"] * n_neuroids if subject is None else list(subject)}
    neuroid |= {"ncsnr": np.asarray(ncsnr)} if ncsnr is not None else {}
    array = responses_array(responses, stimulus=stimulus, neuroid=neuroid, time_bins=time_bins)
    array = array.assign_coords(
        neuroid=np.arange(n_neuroids), repetitions=("presentation", np.ones(len(stimulus), dtype=np.int64))
    )
    held = {key: np.asarray(image) for key, image in images.items()}
    stimuli = StimulusSet(name, tuple(sorted(shown)), held.__getitem__, visual_degrees=visual_degrees)
    return Presented(name, stimuli, array, own_splits=None if splits is None else tuple(splits))


def _check_lengths(name: str, shape: tuple[int, ...], **given: Sequence[Any] | None) -> int:
    """How many neuroids there are, where everything that was given has the length of its axis."""
    if len(shape) not in (2, 3):
        raise DataError(f"{name}: responses are {shape}, expected (presentation, neuroid) or with time_bin as well")
    presentations, neuroids, bins = (*shape, 1)[:3]
    expected = {"stimulus": presentations, "subject": neuroids, "ncsnr": neuroids, "time_bins": bins}
    for argument, values in given.items():
        if values is not None and len(values) != expected[argument]:
            raise DataError(
                f"{name}: {len(values)} {argument} given, but responses are {shape}; give {expected[argument]}"
            )
    bin_starts = given["time_bins"] or ()
    if len(set(bin_starts)) != len(bin_starts):
        raise DataError(f"{name}: time_bins repeat; give each bin its own time in ms")
    return neuroids


def _hash(values: np.ndarray) -> str:
    return fingerprint.of_array(values.astype(str) if values.dtype.kind in "OUS" else values)
