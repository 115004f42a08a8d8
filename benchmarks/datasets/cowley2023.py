"""Macaque V4, Utah array, spike counts in 100 ms to colour photographs (Cowley, Stan, Pillow & Smith 2023).

Any session of the upstream repository by its id, from a folder in the upstream layout (`data_V4_responses/images/
images_<session>.zip`, `responses_repeat_averaged/responses_<session>.npy` and, where it is there, `responses_raw/`) or
fetched from the commit named here. How large the images were in degrees is not stated there.
"""

import difflib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from alignment import fingerprint, seeds
from alignment.errors import DataError, RequestError, unknown
from alignment.fetch import NotUpstreamError, fetch, fetch_recorded
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import DataSettings, Split
from benchmarks.datasets.ceilings import from_trials
from benchmarks.datasets.neuroids import drop_unusable
from benchmarks.datasets.npy_files import read_array
from benchmarks.datasets.options import check_options
from benchmarks.datasets.splits import digest, k_folds
from benchmarks.datasets.zip_images import ZipImages

NAME = "cowley2023"
COMMIT = "f4552ad9d34a466ebc66658f72a08a8e5038f1cf"
SOURCE = f"https://raw.githubusercontent.com/cowleygroup/V4_compact_models/{COMMIT}"
FOLDER = "data_V4_responses"
CITATION = "Cowley, Stan, Pillow, Smith 2023, bioRxiv, doi:10.1101/2023.11.22.568315"
LICENCE = "GPL-3 repository; licence of the photographs not stated"
FOLDS = 5

# Animal of each session, as the table in the upstream readme has it.
SESSIONS: Mapping[str, str] = {
    session: animal
    for animal, sessions in {
        "WE": "190923 190924 190925 190926 190927 190928 190929",
        "PE": "201016 201017 201018 201019 201020 201021 201022 201023 201024 201025 210224 210225 210226 210301 "
        "210302 210303 210304 210305 210308 210309 210310 210312 210315 210316 210322 210323 210324 210325 210326",
        "RA": "210620 210621 211008 211012 211013 211014 211015 211018 211022 211025 211026 211027 211028 211103",
    }.items()
    for session in sessions.split()
}

IMAGES = "images/images_{}.zip"
AVERAGED = "responses_repeat_averaged/responses_{}.npy"
RAW = "responses_raw/responses_{}.npy"

CHECKSUMS: Mapping[str, str] = {
    IMAGES.format("201025"): "3abb63679107665eab7220bdeaf7863832a1df943bf3d7792501f5082a55b2e8",
    IMAGES.format("210325"): "992774eca3508a2ad01accb1a31f5f3e3d90248c49f4eec314f2a915a263e454",
    AVERAGED.format("201025"): "f729f3dc0d29aa38bd380c0da9e39aba916f9e2580949929b65d1714e7217a8a",
    AVERAGED.format("210325"): "555e67037182611969ab90da291dcc39601de4411f651a64ad60e90572cf59d3",
    RAW.format("210325"): "4008dbbf31a47d9b1b8d8da609f4a7a3433c7071f0e45c611c220b217dd75b76",
}


class Cowley2023:
    """Responses of the V4 neurons of one session to its photographs.

    Five folds by stimulus. The ceiling is that of the single trials of all stimuli, where the raw responses are at
    hand; they are sought upstream only when the averaged responses are downloaded.

    Parameters
    ----------
    settings : `folder`, or `root`/cowley2023, or `cache`/cowley2023 holds the files or receives the downloads
    session : id of an upstream session, such as "201025"

    Raises
    ------
    RequestError
        The session is not an upstream one, or an option was given.
    DataError
        A folder was named and is not there. Files are read, and may fail, when something of them is asked for.
    """

    version = 1
    marks: tuple[str, ...] = ()

    def __init__(self, settings: DataSettings, *, session: str) -> None:
        if session not in SESSIONS:
            raise RequestError(f"unknown session of {NAME} {session!r}{_hint(session, settings)}")
        self.session = session
        self.name = f"{NAME}.{session}"
        check_options(settings.options, accepted=(), name=self.name)
        if settings.folder is not None and not settings.folder.is_dir():
            raise DataError(f"{settings.folder}: no such folder; make it, and {NAME} is downloaded into it")
        self.folder = _base(settings)
        self.subjects: tuple[str, ...] = (SESSIONS[session],)

    def fetch(self) -> tuple[Path, ...]:
        """Check the files at hand and download the missing ones, the raw responses where upstream has them.

        Returns
        -------
        Where images, raw responses (if there are any) and averaged responses lie
        """
        images = self._images.path
        raw = self._seek_raw()
        # it may have been found absent before
        vars(self).pop("_raw_path", None)
        return (images, *([raw] if raw else []), self._file(AVERAGED.format(self.session)))

    @cached_property
    def stimuli(self) -> StimulusSet:
        """The photographs of the session, ids as in the zip (`image0001`)."""
        images = self._images
        return StimulusSet(self.name, tuple(images.entries), images.read, sources=(images.path,))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of averaged and single-trial responses, stimulus ids and folds."""
        raw = "none" if self._raw is None else fingerprint.of_array(self._raw)
        parts = [fingerprint.of_array(self._averaged), raw, *self.stimuli.ids]
        return fingerprint.of_parts(str(self.version), digest(self._folds), *parts)

    def responses(self, subject: str) -> xr.DataArray:
        """Mean spike count per 100 ms.

        Parameters
        ----------
        subject : the animal of the session

        Returns
        -------
        DataArray ("stimulus", "neuroid", "time_bin") float32; `repetitions` is 0 where only the mean is at hand
        """
        self._check_subject(subject)
        return self._responses

    def splits(self, subject: str) -> tuple[Split, ...]:
        """The five folds."""
        self._check_subject(subject)
        return self._folds

    def ceiling(self, subject: str) -> xr.Dataset | None:
        """Split-half ceiling over the single trials of all stimuli, for every one is judged on in some fold.

        Returns
        -------
        Dataset with `ceiling`, `split_half`, `spearman_brown` ("neuroid",) and `p_value` (); None where only the mean
        over repetitions is at hand
        """
        self._check_subject(subject)
        return self._ceiling

    def describe(self) -> dict[str, Any]:
        """Subjects, counts, source, citation, licence."""
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "roi": "V4",
            "stimuli": len(self.stimuli),
            "neuroids": self._responses.sizes["neuroid"],
            "dropped neuroids": len(self._responses.attrs["dropped"]),
            "single trials": self._raw is not None,
            "splits": f"{FOLDS} folds by stimulus",
            "folder": str(self.folder),
            "source": SOURCE,
            "citation": CITATION,
            "licence": LICENCE,
        }

    def _check_subject(self, subject: str) -> None:
        if subject not in self.subjects:
            raise unknown(f"subject of {self.name}", subject, self.subjects)

    def _file(self, relative: str) -> Path:
        place = self.folder / relative
        url = f"{SOURCE}/{FOLDER}/{relative}"
        if relative in CHECKSUMS:
            return fetch(url, sha256=CHECKSUMS[relative], folder=place.parent, name=place.name)
        return fetch_recorded(url, folder=place.parent, name=place.name)

    @cached_property
    def _images(self) -> ZipImages:
        return ZipImages(self._file(IMAGES.format(self.session)))

    @cached_property
    def _raw_path(self) -> Path | None:
        relative = RAW.format(self.session)
        if not (self.folder / relative).exists() and (self.folder / AVERAGED.format(self.session)).exists():
            return None
        return self._seek_raw()

    def _seek_raw(self) -> Path | None:
        """Single trials, which only the ceiling needs; None where upstream has none."""
        try:
            return self._file(RAW.format(self.session))
        except NotUpstreamError:
            return None
        except DataError:
            if not (self.folder / AVERAGED.format(self.session)).exists():
                # what is needed first is named first
                self._file(AVERAGED.format(self.session))
            raise

    @cached_property
    def _averaged(self) -> np.ndarray:
        """(neuroid, stimulus) float."""
        # first, for the averaged responses being there says that the raw ones were sought
        self._raw_path  # noqa: B018
        path = self._file(AVERAGED.format(self.session))
        values = read_array(path, dims=("neuron", "image"))
        if values.shape[1] != len(self.stimuli):
            raise DataError(
                f"{path}: shape is {values.shape} (neuron, image) but {self._images.path} holds {len(self.stimuli)} "
                "images; replace the file that is not of this session"
            )
        return values

    @cached_property
    def _raw(self) -> np.ndarray | None:
        """(neuroid, stimulus, repetition) float, NaN-padded, or None."""
        if self._raw_path is None:
            return None
        trials = read_array(self._raw_path, dims=("neuron", "image", "repeat")).astype(float)
        if trials.shape[:2] != self._averaged.shape:
            raise DataError(
                f"{self._raw_path}: shape is {trials.shape} (neuron, image, repeat) but the averaged responses have "
                f"{self._averaged.shape}; replace the file that is not of this session"
            )
        count = np.isfinite(trials).sum(axis=2)
        mean = np.divide(np.nansum(trials, axis=2), count, out=np.full(count.shape, np.nan), where=count > 0)
        if not np.allclose(mean, self._averaged, rtol=1e-5, atol=1e-6, equal_nan=True):
            raise DataError(f"{self._raw_path}: its mean over repeats is not the averaged responses; replace the file")
        return trials

    @cached_property
    def _responses(self) -> xr.DataArray:
        neurons, stimuli = self._averaged.shape
        shown = np.zeros(stimuli, int) if self._raw is None else np.isfinite(self._raw).sum(axis=2).max(axis=0)
        everything = xr.DataArray(
            self._averaged.T[..., None].astype(np.float32),
            dims=("stimulus", "neuroid", "time_bin"),
            coords={
                "stimulus": list(self.stimuli.ids),
                "repetitions": ("stimulus", shown),
                "neuroid": np.arange(neurons),
                "subject": ("neuroid", [self.subjects[0]] * neurons),
                "roi": ("neuroid", ["V4"] * neurons),
                "time_bin": [0.0],
            },
        )
        return drop_unusable(everything)

    @cached_property
    def _ceiling(self) -> xr.Dataset | None:
        if self._raw is None:
            return None
        kept = self._responses["neuroid"].values
        trials = xr.DataArray(
            self._raw[kept].transpose(1, 0, 2),
            dims=("stimulus", "neuroid", "repetition"),
            coords={"stimulus": list(self.stimuli.ids), "neuroid": kept},
        )
        return from_trials(trials, seed=seeds.derive(0, "ceiling", self.name), name=self.name)

    @cached_property
    def _folds(self) -> tuple[Split, ...]:
        return k_folds(self.stimuli.ids, n=FOLDS, name=self.name)


def _base(settings: DataSettings) -> Path:
    """The folder that holds, or will hold, `images` and the responses."""
    folder = settings.folder or (settings.root or settings.cache) / NAME
    return folder if (folder / "images").is_dir() and not (folder / FOLDER).is_dir() else folder / FOLDER


def _hint(session: str, settings: DataSettings) -> str:
    """Ids that look alike differ by a digit: anything farther is better answered by what is there."""
    close = difflib.get_close_matches(session, sorted(SESSIONS), n=3, cutoff=0.8)
    if close:
        return f"; did you mean {', '.join(close)}?"
    here = sessions_at_hand(settings)
    if here:
        return f"; at hand: {', '.join(here[:12])}"
    return f"; sessions are dates from {min(SESSIONS)} to {max(SESSIONS)}, such as 201025"


def build(settings: DataSettings, selection: str | None) -> Cowley2023:
    """The session named after the dot of `cowley2023.<session>`."""
    if selection is None:
        raise RequestError(f"{NAME} needs a session, such as {NAME}.201025")
    return Cowley2023(settings, session=selection)


def sessions_at_hand(settings: DataSettings) -> tuple[str, ...]:
    """Sessions whose averaged responses lie in the folder, sorted; empty where there is no such folder."""
    base = _base(settings)
    return tuple(session for session in sorted(SESSIONS) if (base / AVERAGED.format(session)).exists())
