"""Responses of one subject's region: read, standardised per session, averaged over repetitions, and kept on disk."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from alignment import ceiling, fingerprint
from alignment.arrays import average_repetitions, responses_array
from alignment.errors import DataError
from benchmarks.datasets.nsd.betas import read_session, read_volume, z_score
from benchmarks.datasets.nsd.layout import Tree, subject_name
from benchmarks.datasets.nsd.rois import Region
from benchmarks.datasets.nsd.stimuli import stimulus_ids
from benchmarks.datasets.partials import partial_file

VERSION = 1
NEUROIDS_AT_ONCE = 512


@dataclass(frozen=True)
class Reading:
    """What is read of one subject; everything in it was checked against the files' headers.

    Attributes
    ----------
    tree, subject, beta, source : which files
    sessions : those that are read, ascending
    present : completed sessions whose betas are on disk
    missing : completed sessions whose betas are not on disk (empty where sessions were chosen by number)
    region : the voxels
    trials : one row per trial in the order read: session, trial, nsd_id, shared
    test : (image,) nsdIds that are judged on
    nc_min : percent of variance, or None
    """

    tree: Tree
    subject: int
    beta: str
    source: str
    sessions: tuple[int, ...]
    present: tuple[int, ...]
    missing: tuple[int, ...]
    region: Region
    trials: pd.DataFrame
    test: np.ndarray
    nc_min: float | None

    @property
    def paths(self) -> list[Path]:
        """The files of betas, one per session."""
        return [
            self.tree.betas(self.subject, self.beta, session=session, source=self.source) for session in self.sessions
        ]


@dataclass(frozen=True)
class Averaged:
    """Responses of one subject, averaged over repetitions, without the neuroids that cannot be scored.

    Attributes
    ----------
    values : (stimulus, neuroid) float32
    stimulus : (stimulus,) text
    repetitions : (stimulus,) presentations of each stimulus
    kept : (neuroid,) which voxels of the region these are
    ncsnr : (neuroid,) as published
    valid : (session, neuroid) bool, whether the neuroid was measured in that session
    dropped : text per neuroid that was left out because it cannot be scored, with the reason
    below_nc_min : how many were left out because of nc_min
    p_value : of the reliability of the test stimuli's responses being 0; NaN where fewer than three were repeated
    """

    values: np.ndarray
    stimulus: np.ndarray
    repetitions: np.ndarray
    kept: np.ndarray
    ncsnr: np.ndarray
    valid: np.ndarray
    dropped: np.ndarray
    below_nc_min: int
    p_value: float


def read_trials(reading: Reading) -> np.ndarray:
    """All trials of all voxels as stored, (trial, voxel) int16, sessions one after the other.

    Raises
    ------
    DataError
        A file is missing, truncated or not of the expected type or shape.
    """
    n_trials = reading.tree.layout.trials_per_session
    stored = np.empty((len(reading.trials), len(reading.region.voxels)), dtype=np.int16)
    for at, path in enumerate(reading.paths):
        stored[at * n_trials : (at + 1) * n_trials] = read_session(
            path, reading.region.voxels, source=reading.source, n_trials=n_trials
        )
    return stored


def standardise(stored: np.ndarray, *, n_sessions: int) -> tuple[np.ndarray, np.ndarray]:
    """z-score each session by itself.

    Returns
    -------
    (trial, voxel) float32 with NaN where a voxel was not measured, and (session, voxel) bool, where it was
    """
    blocks = [z_score(block) for block in np.split(stored, n_sessions)]
    valid = np.stack([np.isfinite(block[0]) for block in blocks])
    return np.concatenate(blocks).astype(np.float32), valid


def presentations(reading: Reading) -> xr.DataArray:
    """Single trials, standardised per session.

    Returns
    -------
    Responses ("presentation", "neuroid", "time_bin") float32, every voxel of the region; NaN where it was not measured
    """
    values, _ = standardise(read_trials(reading), n_sessions=len(reading.sessions))
    return responses_array(
        values,
        stimulus=stimulus_ids(reading.trials["nsd_id"].to_numpy()),
        session=[f"session{session:02d}" for session in reading.trials["session"]],
        neuroid=neuroid_coords(reading, np.arange(values.shape[1]), ncsnr=read_ncsnr(reading)),
    )


def neuroid_coords(reading: Reading, kept: np.ndarray, *, ncsnr: np.ndarray) -> dict[str, np.ndarray]:
    """Coordinates of the voxels `kept` of the region: subject, roi (label), hemisphere, x, y, z, ncsnr."""
    region, (x, y, z) = reading.region, reading.region.voxels[kept].T
    return {
        "subject": np.full(len(kept), subject_name(reading.subject)),
        "roi": region.labels[kept],
        "hemisphere": region.hemisphere[kept],
        "x": x,
        "y": y,
        "z": z,
        "ncsnr": ncsnr,
    }


def read_ncsnr(reading: Reading) -> np.ndarray:
    """The published ncsnr of each voxel of the region, NaN where undefined.

    Raises
    ------
    DataError
        The file is missing, unreadable or of another shape than the region's volume, or a value is below 0.
    """
    path = reading.tree.ncsnr(reading.subject, reading.beta)
    volume = read_volume(path)
    if volume.shape != reading.region.dims:
        raise DataError(f"{path}: volume is {volume.shape}, expected {reading.region.dims}; download it again")
    if volume.dtype.kind not in "fiu" or (volume < 0).any():
        found = "below 0 somewhere" if volume.dtype.kind in "fiu" else str(volume.dtype)
        raise DataError(f"{path}: ncsnr is {found}, expected real numbers of at least 0; download it again")
    return volume[tuple(reading.region.voxels.T)].astype(np.float64)


def average(reading: Reading) -> Averaged:
    """Read, standardise per session and average repetitions; leave out what cannot be scored, and say so.

    Raises
    ------
    DataError
        As `read_trials`, or no neuroid is left.
    """
    stored, published = read_trials(reading), read_ncsnr(reading)
    ids = stimulus_ids(reading.trials["nsd_id"].to_numpy())
    is_test = reading.trials["nsd_id"].isin(reading.test).to_numpy()
    values, valid, kept, tested, reasons, below = [], [], [], [], [], 0
    mean = None
    for columns in _chunks(stored.shape[1]):
        trials, measured = standardise(stored[:, columns], n_sessions=len(reading.sessions))
        mean = average_repetitions(responses_array(trials, stimulus=ids))
        chunk = mean.values[:, :, 0]
        why = _unusable(chunk, measured, published[columns])
        enough = _above_nc_min(trials, reading, why == "")
        reasons += [_name(reading, voxel, text) for voxel, text in zip(columns, why, strict=True) if text]
        below += int(((why == "") & ~enough).sum())
        keep = (why == "") & enough
        values.append(chunk[:, keep])
        valid.append(measured[:, keep])
        kept.append(columns[keep])
        tested.append(trials[is_test][:, keep & measured.all(axis=0)])
    left = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
    if mean is None or not left.size:
        raise DataError(
            f"{reading.paths[0].parent}: none of {stored.shape[1]} neuroids is left "
            f"({len(reasons)} constant or undefined, {below} below nc_min); choose another roi, sessions or nc_min"
        )
    return Averaged(
        values=np.concatenate(values, axis=1),
        stimulus=mean["stimulus"].values.astype(str),
        repetitions=mean["repetitions"].values,
        kept=left,
        ncsnr=published[left],
        valid=np.concatenate(valid, axis=1),
        dropped=np.array(reasons, dtype=str),
        below_nc_min=below,
        p_value=_p_value(np.concatenate(tested, axis=1), reading.trials["nsd_id"].to_numpy()[is_test]),
    )


def _chunks(n_voxels: int) -> Iterator[np.ndarray]:
    for start in range(0, n_voxels, NEUROIDS_AT_ONCE):
        yield np.arange(start, min(start + NEUROIDS_AT_ONCE, n_voxels))


def _unusable(mean: np.ndarray, measured: np.ndarray, ncsnr: np.ndarray) -> np.ndarray:
    """Why each neuroid cannot be scored, or an empty text."""
    return np.select(
        [~measured.any(axis=0), ~np.isfinite(mean).all(axis=0), ~np.isfinite(ncsnr)],
        ["constant in every session", "not measured at every stimulus", "ncsnr undefined"],
        default="",
    )


def _name(reading: Reading, voxel: int, why: str) -> str:
    x, y, z = reading.region.voxels[voxel]
    return f"{subject_name(reading.subject)} voxel ({x}, {y}, {z}): {why}"


def _above_nc_min(trials: np.ndarray, reading: Reading, usable: np.ndarray) -> np.ndarray:
    """Whether the noise ceiling of three repetitions, estimated from training stimuli alone, is high enough."""
    if reading.nc_min is None:
        return np.ones(trials.shape[1], dtype=bool)
    train = ~reading.trials["shared"].to_numpy()
    snr = np.full(trials.shape[1], np.nan)
    snr[usable] = ceiling.ncsnr(trials[train][:, usable], reading.trials["nsd_id"].to_numpy()[train])
    snr = np.nan_to_num(snr)
    return 100 * snr**2 / (snr**2 + 1 / 3) > reading.nc_min


def _p_value(trials: np.ndarray, nsd_id: np.ndarray) -> float:
    """Probability of halves of the test trials as alike as these, were there no reliable response.

    Parameters
    ----------
    trials : (trial, neuroid) float32, trials of test stimuli, neuroids that were measured in every session
    nsd_id : (trial,)
    """
    codes, ids = pd.factorize(nsd_id)
    counts = np.bincount(codes, minlength=len(ids))
    if (counts > 1).sum() < 3 or not trials.shape[1]:
        return float("nan")
    repetition = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    cube = np.full((len(ids), trials.shape[1], counts.max()), np.nan, dtype=np.float32)
    cube[codes, :, repetition] = trials
    return ceiling.split_half_p_value([cube], seed=0)


def load(reading: Reading, *, cache: Path) -> Averaged:
    """As `average`, remembered in `cache` under the size and time of every file, the selection and this code."""
    path = cache / f"{_key(reading)}.npz"
    if path.exists():
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                parts = {name: stored[name] for name in stored.files}
            return Averaged(**parts | {"below_nc_min": int(parts["below_nc_min"]), "p_value": float(parts["p_value"])})
        except (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError):
            path.unlink(missing_ok=True)  # cut short by the disk: it is made again from the files it came from
    made = average(reading)
    _write(path, made)
    return made


def _key(reading: Reading) -> str:
    files = [*reading.paths, reading.tree.ncsnr(reading.subject, reading.beta)]
    stamps = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    region, trials = reading.region, reading.trials
    return fingerprint.of_parts(
        fingerprint.of_settings(
            [VERSION, stamps, reading.subject, reading.beta, reading.source, reading.nc_min, reading.sessions]
        ),
        fingerprint.of_array(region.voxels),
        fingerprint.of_array(region.labels),
        fingerprint.of_array(trials.to_numpy(np.int64)),
        fingerprint.of_array(reading.test),
    )


def _write(path: Path, made: Averaged) -> None:
    with partial_file(path) as making:
        with making.open("wb") as file:
            np.savez(file, **{part.name: getattr(made, part.name) for part in fields(made)})
        making.replace(path)
