"""Which image was shown on which trial: three independent routes that must agree.

Files count images and trials from 1; everything returned here counts images (nsdId) and trials from 0, and sessions
from 1. A trial table has one row per trial: `session`, `trial` (within its session), `nsd_id`.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from alignment.errors import DataError
from benchmarks.datasets.nsd.layout import N_SUBJECTS, Layout, subject_name

TRIAL_COLUMNS = ["session", "trial", "nsd_id"]
REPETITIONS = 3
# no count of trials or images comes near it, and it is exact in every type that MATLAB stores
MOST = 2**31


@dataclass(frozen=True)
class Design:
    """The planned experiment.

    Attributes
    ----------
    order : (trial,) int64, position of each trial's image in its subject's list; the same for all subjects
    images : (subject, position) int64, nsdId of each image of each subject's list
    n_shared : the first `n_shared` positions hold the images that all subjects share
    """

    order: np.ndarray
    images: np.ndarray
    n_shared: int

    @property
    def shared(self) -> np.ndarray:
        """The nsdIds of the shared images, ascending."""
        return np.sort(self.images[0, : self.n_shared])


def read_design(path: Path, layout: Layout) -> Design:
    """Read and check `nsd_expdesign.mat`.

    Raises
    ------
    DataError
        The file is missing or unreadable, an id is out of range, an image is twice in a subject's list, or the shared
        images are not the same for all subjects.
    """
    order, images, shared = (_numbered_from_0(path, name) for name in ("masterordering", "subjectim", "sharedix"))
    order, shared = order.ravel(), shared.ravel()
    _check_design(path, layout, order=order, images=images, shared=shared)
    return Design(order, images, shared.size)


def _numbered_from_0(path: Path, variable: str) -> np.ndarray:
    """A variable that MATLAB numbers from 1, int64 from 0."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.exists():
        raise DataError(f"{path}: no such file; download it with the data set")
    try:
        content = loadmat(path, variable_names=[variable])
    except NotImplementedError:
        raise DataError(f"{path}: is of MATLAB v7.3, expected v5 or v7 as published; download it again") from None
    # what its reader raises on damaged files
    except (MatReadError, ValueError, TypeError, LookupError, EOFError, OSError, MemoryError, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a readable MATLAB v5/v7 file ({reason}); download it again") from None
    if variable not in content:
        raise DataError(f"{path}: no variable {variable!r}; download it again")
    stored = content[variable]
    if stored.dtype.kind not in "iuf" or not stored.size:
        raise DataError(f"{path}: {variable} is {stored.dtype} {stored.shape}, expected numbers; download it again")
    # MATLAB's stored widths are unsigned: subtracting 1 from them, or adding, may wrap around
    values = stored.astype(np.float64)
    if not (np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < MOST)).all():
        raise DataError(f"{path}: {variable} holds something else than whole numbers; download it again")
    return values.astype(np.int64) - 1


def _check_design(path: Path, layout: Layout, *, order: np.ndarray, images: np.ndarray, shared: np.ndarray) -> None:
    if images.ndim != 2 or images.shape[0] != N_SUBJECTS:
        raise DataError(f"{path}: subjectim is {images.shape}, expected ({N_SUBJECTS}, images per subject)")
    for name, ids in (("subjectim", images), ("sharedix", shared)):
        if ids.min() < 0 or ids.max() >= layout.images:
            wrong = ids[(ids < 0) | (ids >= layout.images)].ravel()[0]
            raise DataError(
                f"{path}: {name} names nsdId {wrong} (0-based), out of range 0..{layout.images - 1}; download it again"
            )
    if order.min() < 0 or order.max() >= images.shape[1]:
        raise DataError(f"{path}: masterordering names an image outside 1..{images.shape[1]}; download it again")
    for subject, row in enumerate(images, start=1):
        if len(np.unique(row)) != len(row):
            raise DataError(f"{path}: {subject_name(subject)} has an image twice in its list; download it again")
        if not np.array_equal(np.sort(row[: shared.size]), np.sort(shared)):
            raise DataError(f"{path}: the shared images of {subject_name(subject)} differ from sharedix")
    if order.size < max(layout.sessions) * layout.trials_per_session:
        raise DataError(
            f"{path}: {order.size} trials, fewer than {max(layout.sessions)} sessions of {layout.trials_per_session}"
        )


def trials_from_design(design: Design, layout: Layout, *, subject: int, sessions: Sequence[int]) -> pd.DataFrame:
    """Trials of the sessions asked for, by the experimental design.

    Trial t (from 0 over the whole experiment) is trial t % 750 of session t // 750 + 1 and shows
    subjectim[subject, masterordering[t]].

    Returns
    -------
    DataFrame with the trial columns and `shared` (bool), in order of the sessions given
    """
    per_session = layout.trials_per_session
    planned = design.order.size // per_session
    wrong = [session for session in sessions if not 1 <= session <= planned]
    if wrong:
        raise DataError(f"{subject_name(subject)}: session {wrong[0]} is not among the {planned} of the design")
    trial = np.tile(np.arange(per_session), len(sessions))
    session = np.repeat(np.asarray(sessions, dtype=np.int64), per_session)
    position = design.order[(session - 1) * per_session + trial]
    return pd.DataFrame(
        {
            "session": session,
            "trial": trial,
            "nsd_id": design.images[subject - 1, position],
            "shared": position < design.n_shared,
        }
    )


def trials_from_stim_info(path: Path, layout: Layout, *, subject: int) -> pd.DataFrame:
    """All planned trials of a subject, by the repetition columns of `nsd_stim_info_merged.csv`.

    Raises
    ------
    DataError
        The file or a column is missing, an nsdId is out of range or two images claim one trial.
    """
    repetitions = [f"subject{subject}_rep{repetition}" for repetition in range(REPETITIONS)]
    table = _read_table(path, ["nsdId", *repetitions], separator=",")
    _check_ids(path, table["nsdId"].to_numpy(), layout)
    long = table.melt(id_vars="nsdId", value_vars=repetitions, value_name="number")
    long = long[long["number"] > 0].sort_values("number", kind="stable")
    number = long["number"].to_numpy(np.int64) - 1
    if len(np.unique(number)) != len(number):
        twice = number[:-1][np.diff(number) == 0][0] + 1
        raise DataError(f"{path}: two images at trial {twice} of {subject_name(subject)}; download it again")
    session, trial = np.divmod(number, layout.trials_per_session)
    nsd_id = long["nsdId"].to_numpy(np.int64)
    return pd.DataFrame({"session": session + 1, "trial": trial, "nsd_id": nsd_id})


def trials_from_behaviour(path: Path, layout: Layout) -> pd.DataFrame:
    """All performed trials of a subject, by `responses.tsv`.

    Raises
    ------
    DataError
        The file or a column is missing, an nsdId is out of range, a trial is there twice, or a session is not whole.
    """
    table = _read_table(path, ["SESSION", "RUN", "TRIAL", "73KID"], separator="\t")
    place = ["SESSION", "RUN", "TRIAL"]
    twice = table.duplicated(place)
    if twice.any():
        first = table.loc[twice, place].iloc[0]
        raise DataError(
            f"{path}: duplicate trial {first['TRIAL']} of run {first['RUN']}, session {first['SESSION']}; "
            "download it again"
        )
    table = table.sort_values(place, kind="stable")
    nsd_id = table["73KID"].to_numpy(np.int64) - 1
    _check_ids(path, nsd_id, layout)
    lengths = table.groupby("SESSION").size()
    partial = lengths[lengths != layout.trials_per_session]
    if len(partial):
        raise DataError(
            f"{path}: session {partial.index[0]} has {partial.iloc[0]} trials, expected {layout.trials_per_session}"
        )
    trial = table.groupby("SESSION").cumcount().to_numpy()
    return pd.DataFrame({"session": table["SESSION"].to_numpy(np.int64), "trial": trial, "nsd_id": nsd_id})


def repetitions(design: Design, layout: Layout) -> np.ndarray:
    """How often each subject saw each image of its list in the completed sessions, (subject, position) int64."""
    seen = [design.order[: count * layout.trials_per_session] for count in layout.sessions]
    return np.stack([np.bincount(order, minlength=design.images.shape[1]) for order in seen])


def shared_by_all(design: Design, layout: Layout, *, at_least: int = REPETITIONS) -> np.ndarray:
    """Shared images that every subject saw at least so often: 515 (three times), 766 (two), 907 (one) in the real one.

    Returns
    -------
    (image,) int64, nsdIds ascending
    """
    enough = (repetitions(design, layout)[:, : design.n_shared] >= at_least).all(axis=0)
    return np.sort(design.images[0, : design.n_shared][enough])


def experiment_counts(design: Design, layout: Layout) -> dict[str, int]:
    """Totals over the eight subjects' completed sessions (213,000 trials of 70,566 images in the real experiment)."""
    seen = repetitions(design, layout)
    totals = {"trials": int(seen.sum()), "images": len(np.unique(design.images[seen > 0]))}
    return totals | {f"shared_{n}": len(shared_by_all(design, layout, at_least=n)) for n in (1, 2, 3)}


def _read_table(path: Path, columns: list[str], *, separator: str) -> pd.DataFrame:
    if not path.exists():
        raise DataError(f"{path}: no such file; download it with the data set")
    try:
        table = pd.read_csv(path, sep=separator, usecols=columns)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the expected table ({str(error).splitlines()[0]}); download it again") from None
    broken = [name for name in columns if table[name].dtype.kind not in "iu"]
    if broken:
        raise DataError(f"{path}: column {broken[0]} holds something else than whole numbers; download it again")
    return table


def _check_ids(path: Path, ids: np.ndarray, layout: Layout) -> None:
    wrong = ids[(ids < 0) | (ids >= layout.images)]
    if wrong.size:
        raise DataError(
            f"{path}: nsdId {wrong[0]} (0-based) is out of range 0..{layout.images - 1}; download the file again"
        )
