"""The Natural Scenes Dataset as a data set: one region, own images to fit on, shared images to judge on."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from alignment import ceiling, fingerprint
from alignment.errors import DataError, unknown
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import DataSettings, Split
from benchmarks.datasets.nsd.check import Finding, check_nsd
from benchmarks.datasets.nsd.design import Design, read_design
from benchmarks.datasets.nsd.layout import SPACE, Tree, subject_name
from benchmarks.datasets.nsd.options import SPLIT_SUMMARIES, SPLITS, Options, marks, parse_options, ranges
from benchmarks.datasets.nsd.planning import plan_readings
from benchmarks.datasets.nsd.responses import Averaged, Reading, load, neuroid_coords, presentations
from benchmarks.datasets.nsd.stimuli import check_brick, stimulus_ids, stimulus_set
from benchmarks.datasets.splits import check_splits

CITATION = "Allen, St-Yves, Wu et al. 2022, Nature Neuroscience 25:116-126, doi:10.1038/s41593-021-00962-x"
DEFAULT_ROI = "nsdgeneral"
LICENCE = "NSD terms of use, https://naturalscenesdataset.org"


class NSD:
    """One region of the Natural Scenes Dataset, betas in the 1.8 mm volume.

    Every file's presence, type and shape is checked here, before anything is computed; the betas are read at the first
    call of `responses`, and what was made of them is kept in the cache.

    Parameters
    ----------
    settings : the tree is `settings.folder`, or `nsd` below `settings.root`; options are those of `parse_options`
    roi : family ("nsdgeneral", "floc-faces"), label ("hV4", "FFA-1", "ventral"), union ("V1", "V2", "V3", "V4") or
        "family.label" ("HCP_MMP1.V1")
    prefix : first word of the data set's name

    Raises
    ------
    RequestError
        An unknown roi or option, with near misses.
    DataError
        A file is missing, truncated or of another type or shape; a session asked for is not there; an nsdId is out of
        range; the region's volume does not fit the betas.

    Examples
    --------
    >>> NSD(DataSettings(folder=Path("/nsd"), options={"subjects": "1,2"}), roi="V1")  # doctest: +SKIP
    """

    version = 1

    def __init__(self, settings: DataSettings, *, roi: str = DEFAULT_ROI, prefix: str = "nsd") -> None:
        self.roi = roi
        self.options: Options = parse_options(settings.options, data_set=prefix)
        self.name = f"{prefix}.{roi}"
        self.tree = Tree.at(root_folder(settings))
        self._cache = settings.cache / "nsd"
        self._design = read_design(self.tree.design, self.tree.layout)
        check_brick(self.tree.stimuli, self.tree.layout)
        self._test = SPLITS[self.options.split](self._design, self.tree.layout)
        self._readings = self._plan()
        self.subjects = tuple(self._readings)
        self.marks: tuple[str, ...] = marks(self._effective())
        self._last: tuple[str, Averaged] | None = None

    def _plan(self) -> dict[str, Reading]:
        """What to read of each subject; a subject without the region is left out unless it was asked for."""
        asked, found = self.options.subjects, self.tree.subjects(self.options.beta)
        subjects = asked or found
        absent = ", ".join(subject_name(subject) for subject in subjects if subject not in found)
        if absent or not subjects:
            raise DataError(
                f"{self.tree.root / 'nsddata_betas/ppdata'}: {absent or 'every subject'} lacks "
                f"{SPACE}/{self.options.beta}; download it"
            )
        readings, self._lacks = plan_readings(
            self.tree, subjects, roi=self.roi, options=self.options, design=self._design, test=self._test
        )
        if not readings or (asked and self._lacks):
            lacking = "; ".join(f"{', '.join(names)} has no {what}" for what, names in self._lacks.items())
            raise DataError(f"{self.tree.root}: {lacking}; choose another roi or other subjects")
        return readings

    def _effective(self) -> Options:
        """The options, without a selection of subjects or sessions that is what would be read anyway."""
        options = self.options
        if options.subjects == self.tree.subjects(options.beta):
            options = replace(options, subjects=None)
        if all(reading.sessions == reading.present for reading in self._readings.values()):
            options = replace(options, sessions=None)
        return options

    @property
    def without_roi(self) -> tuple[str, ...]:
        """The subjects that were left out because they have nothing of the region."""
        return tuple(sorted(name for names in self._lacks.values() for name in names))

    @property
    def notes(self) -> tuple[str, ...]:
        """Subjects that were left out, and completed sessions that are not on disk: what a whole copy would add."""
        subjects = [f"without {', '.join(names)} (no {what})" for what, names in self._lacks.items()]
        sessions = [
            f"sessions of {name} that are not on disk: {ranges(reading.missing)}"
            for name, reading in self._readings.items()
            if reading.missing
        ]
        return (*subjects, *sessions)

    @property
    def design(self) -> Design:
        """The experimental design."""
        return self._design

    @property
    def test(self) -> np.ndarray:
        """(image,) nsdIds that are judged on."""
        return self._test

    @cached_property
    def stimuli(self) -> StimulusSet:
        """Shared images, then each subject's own; 8.4 degrees wide."""
        own, shared = [], []
        for reading in self._readings.values():
            trials = reading.trials
            own.append(trials.loc[~trials["shared"], "nsd_id"].unique())
            shared.append(np.intersect1d(trials["nsd_id"], self._test))
        return stimulus_set(self.tree, name=self.name.split(".")[0], shared=np.concatenate(shared), own=own)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of responses, their coordinates, splits and all that the ceilings are made of."""
        parts = [str(self.version), self.name]
        for subject in self.subjects:
            responses, loaded = self.responses(subject), self._load(subject)
            parts += [subject, fingerprint.of_array(responses.values)]
            parts += [
                f"{name}:{fingerprint.of_array(responses[name].values)}" for name in sorted(map(str, responses.coords))
            ]
            parts += [fingerprint.of_array(loaded.valid), repr(loaded.p_value)]
            parts += [
                fingerprint.of_parts(split.name, *split.train, "|", *split.test) for split in self.splits(subject)
            ]
        return fingerprint.of_parts(*parts)

    def responses(self, subject: str) -> xr.DataArray:
        """Responses of one subject, standardised per session and averaged over repetitions.

        Returns
        -------
        DataArray ("stimulus", "neuroid", "time_bin") float32; coordinates `repetitions`, and per neuroid `subject`,
        `roi` (label), `hemisphere`, `x`, `y`, `z`, `ncsnr`. Neuroids that are constant, were not measured at every
        stimulus or have no ncsnr are left out and named in `attrs["dropped"]`.
        """
        loaded, reading = self._load(subject), self._reading(subject)
        coords = neuroid_coords(reading, loaded.kept, ncsnr=loaded.ncsnr)
        return xr.DataArray(
            loaded.values[:, :, None],
            dims=("stimulus", "neuroid", "time_bin"),
            coords={
                "stimulus": loaded.stimulus,
                "repetitions": ("stimulus", loaded.repetitions),
                "time_bin": [0.0],
                **{name: ("neuroid", column) for name, column in coords.items()},
            },
            attrs={"dropped": [str(text) for text in loaded.dropped], "below_nc_min": loaded.below_nc_min},
        )

    def presentations(self, subject: str) -> xr.DataArray:
        """Single trials, standardised per session: Responses ("presentation", "neuroid", "time_bin") float32.

        Every voxel of the region is there, with NaN in the sessions that did not measure it.
        """
        return presentations(self._reading(subject))

    def splits(self, subject: str) -> tuple[Split, ...]:
        """Fit on the images only this subject saw, judge on the shared ones; images not seen are in neither."""
        trials = self._reading(subject).trials
        train = np.unique(trials.loc[~trials["shared"], "nsd_id"])
        test = np.intersect1d(trials["nsd_id"], self._test)
        if not train.size or not test.size:
            raise DataError(
                f"{self.tree.root}: {subject} saw {train.size} own and {test.size} test images in the sessions chosen; "
                "choose more sessions"
            )
        split = Split(self.options.split, tuple(stimulus_ids(train)), tuple(stimulus_ids(test)))
        seen = stimulus_ids(trials["nsd_id"].to_numpy())
        return check_splits([split], ids=tuple(seen), name=f"{self.name}, subject {subject}")

    def ceiling(self, subject: str) -> xr.Dataset:
        """Largest r that a model can reach with the mean responses to the test stimuli.

        From the published ncsnr and the repetitions of the test stimuli: NC = ncsnr^2 / (ncsnr^2 + mean(1 / k)), k the
        repetitions of each test stimulus in sessions that measured the neuroid; the ceiling is sqrt(NC) (Allen et al.
        2022, methods).

        Returns
        -------
        Dataset with `ceiling` ("neuroid",), r, `p_value` () of the test stimuli's reliability being 0, and what a
        resample of stimuli needs: `ncsnr` ("neuroid",) and `repetitions` ("stimulus",)
        """
        loaded, trials = self._load(subject), self._reading(subject).trials
        is_test = trials["nsd_id"].isin(self._test).to_numpy()
        nsd_id, session = trials["nsd_id"].to_numpy()[is_test], trials["session"].to_numpy()[is_test]
        sessions = np.asarray(self._reading(subject).sessions)
        values = np.empty(len(loaded.ncsnr))
        patterns, which = np.unique(loaded.valid, axis=1, return_inverse=True)
        for at, pattern in enumerate(patterns.T):
            measured = np.isin(session, sessions[pattern])
            repetitions = np.unique(nsd_id[measured], return_counts=True)[1]
            chosen = which.ravel() == at
            values[chosen] = ceiling.noise_ceiling_from_ncsnr(loaded.ncsnr[chosen], repetitions)
        (split,) = self.splits(subject)
        judged = self.responses(subject).sel(stimulus=list(split.test))
        return xr.Dataset(
            {
                "ceiling": ("neuroid", values),
                "p_value": loaded.p_value,
                "repetitions": ("stimulus", judged["repetitions"].values),
            },
            coords={**judged["neuroid"].coords, "stimulus": judged["stimulus"]},
        )

    def check(self) -> list[Finding]:
        """What `bench data check` prints of the whole copy, subjects that were not chosen included."""
        return check_nsd(self.tree.root)

    def describe(self) -> dict[str, Any]:
        """What was read, how it was treated, and whose it is."""
        return {
            "name": self.name,
            "version": self.version,
            "marks": list(self.marks),
            "notes": list(self.notes),
            "subjects": list(self.subjects),
            "without_roi": list(self.without_roi),
            "neuroids": {name: len(reading.region.voxels) for name, reading in self._readings.items()},
            "sessions": {name: list(reading.sessions) for name, reading in self._readings.items()},
            "sessions_missing": {name: list(reading.missing) for name, reading in self._readings.items()},
            "source": {name: reading.source for name, reading in self._readings.items()},
            "space": SPACE,
            "beta": self.options.beta,
            "stimuli": len(self.stimuli),
            "split": SPLIT_SUMMARIES[self.options.split],
            "preprocessing": "each voxel z-scored within each session over all of its trials, test trials among them "
            "(no label of any stimulus enters); repetitions averaged",
            "ceiling": "published ncsnr, repetitions of the test stimuli",
            "nc_min": self.options.nc_min,
            "citation": CITATION,
            "licence": LICENCE,
        }

    def _reading(self, subject: str) -> Reading:
        if subject not in self._readings:
            raise unknown(f"subject of {self.name}", subject, self.subjects)
        return self._readings[subject]

    def _load(self, subject: str) -> Averaged:
        if self._last is None or self._last[0] != subject:
            self._last = (subject, load(self._reading(subject), cache=self._cache))
        return self._last[1]


def build(settings: DataSettings, selection: str | None = None) -> NSD:
    """The data set `nsd.<selection>`; the selection is a region, nsdgeneral where none is given."""
    return NSD(settings, roi=selection or DEFAULT_ROI)


def check(settings: DataSettings) -> list[Finding]:
    """A closer look at the files: every finding of `check_nsd`."""
    return check_nsd(root_folder(settings))


def root_folder(settings: DataSettings, *, name: str = "nsd") -> Path:
    """Where the data set lies: the folder named for it, or the one of its name below the root of all data."""
    if settings.folder is not None:
        return settings.folder
    if settings.root is None:
        raise DataError(f"{name}: no folder given; write data.{name}=<folder> or data.root=<folder with {name}/>")
    return settings.root / name
