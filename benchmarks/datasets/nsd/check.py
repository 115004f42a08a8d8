"""Is this copy of the data set whole, and do its parts agree? What `bench data check` prints."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from alignment import ceiling
from alignment.errors import AlignmentError, DataError
from alignment.registry import foreign_code
from benchmarks.datasets.nsd.betas import READERS, check_whole, read_session, read_volume
from benchmarks.datasets.nsd.design import (
    TRIAL_COLUMNS,
    Design,
    experiment_counts,
    read_design,
    trials_from_behaviour,
    trials_from_design,
    trials_from_stim_info,
)
from benchmarks.datasets.nsd.layout import BETAS, SUFFIXES, Tree, subject_name
from benchmarks.datasets.nsd.responses import standardise
from benchmarks.datasets.nsd.rois import FAMILIES, families, names_of, read_region
from benchmarks.datasets.nsd.stimuli import check_brick

NCSNR_TOLERANCE = 1e-5
NCSNR_VOXELS = 200


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what was found.

    Attributes
    ----------
    ok : whether it is as it must be
    incomplete : whether some of it is not there, which is no fault: what is there is scored
    """

    what: str
    found: str
    ok: bool = True
    incomplete: bool = False


def check_nsd(root: Path) -> list[Finding]:
    """Look at every part of a copy of the data set; faults are findings, not exceptions.

    Files, types and shapes; the trial-to-image routes (design, table of images, behaviour) against each other; each
    subject's sessions; the published ncsnr against one computed from the betas (at most 200 voxels, and only where
    every completed session is there).

    Returns
    -------
    list of Finding, faults with `ok` False
    """
    try:
        tree = Tree.at(root)
    except DataError as error:
        return [Finding("folders", str(error), ok=False)]
    findings = [_finding("images", partial(_images, tree))]
    try:
        design = read_design(tree.design, tree.layout)
    except DataError as error:
        return [*findings, Finding("design", str(error), ok=False)]
    counts = ", ".join(f"{name} {count}" for name, count in experiment_counts(design, tree.layout).items())
    findings.append(Finding("design", counts))
    found = sorted({subject for beta in BETAS.values() for subject in tree.subjects(beta)})
    if not found:
        findings.append(Finding("betas", f"{root / 'nsddata_betas/ppdata'}: no betas of any subject", ok=False))
    for subject in found:
        absent = _absent(tree, subject, subjects=found)
        look = partial(_regions, tree, subject, absent=absent)
        findings.append(_finding(f"{subject_name(subject)} regions", look, incomplete=bool(absent)))
        findings += _check_subject(tree, design, subject)
    return findings


def _finding(what: str, look: Callable[[], str], *, incomplete: bool = False) -> Finding:
    """What a look finds; whatever the readers raise is a fault of the files."""
    try:
        with foreign_code(what):
            return Finding(what, look(), incomplete=incomplete)
    except AlignmentError as error:
        return Finding(what, str(error), ok=False)


def _absent(tree: Tree, subject: int, *, subjects: Sequence[int]) -> list[Path]:
    """Label volumes and colour tables that another subject has and this one has not."""
    return [
        place(subject, family)
        for place in (tree.roi, tree.ctab)
        for family in FAMILIES
        if not place(subject, family).exists() and any(place(other, family).exists() for other in subjects)
    ]


def _regions(tree: Tree, subject: int, *, absent: Sequence[Path]) -> str:
    dims, known = _dims(tree, subject), families(tree, subject)
    for family in known:
        region = read_region(tree, subject, family)
        if region.dims != dims:
            raise DataError(f"{tree.roi(subject, family)}: volume is {region.dims}, expected {dims}; download it again")
    missing = f"; missing: {', '.join(map(str, absent))}" if absent else ""
    return f"{len(known)} families, {len(names_of(known))} names{missing}"


def _check_subject(tree: Tree, design: Design, subject: int) -> Iterator[Finding]:
    name = subject_name(subject)
    yield _finding(f"{name} trials", partial(compare_routes, tree, design, subject))
    for beta in BETAS.values():
        whole = []
        for source in SUFFIXES:
            if tree.sessions(subject, beta, source=source):
                look = partial(_sessions, tree, subject, beta=beta, source=source)
                missing = _missing(tree, subject, beta=beta, source=source)
                finding = _finding(f"{name} {beta} {source}", look, incomplete=bool(missing))
                whole += [source] if finding.ok and not missing else []
                yield finding
        if whole:
            yield _finding(f"{name} {beta} ncsnr", partial(_ncsnr, tree, design, subject, beta=beta, source=whole[0]))


def _images(tree: Tree) -> str:
    check_brick(tree.stimuli, tree.layout)
    return f"{tree.layout.images} of {tree.layout.image_size} x {tree.layout.image_size} pixels"


def compare_routes(tree: Tree, design: Design, subject: int) -> str:
    """How many trials the three routes agree on.

    Raises
    ------
    DataError
        A file is missing or broken, or two routes name different images for a trial.
    """
    layout, completed = tree.layout, tree.layout.sessions[subject - 1]
    by_design = trials_from_design(design, layout, subject=subject, sessions=range(1, completed + 1))
    routes = {
        tree.stim_info: trials_from_stim_info(tree.stim_info, layout, subject=subject),
        tree.behaviour(subject): trials_from_behaviour(tree.behaviour(subject), layout),
    }
    for path, table in routes.items():
        _same_trials(path, by_design[TRIAL_COLUMNS], table[table["session"] <= completed], subject=subject)
    return f"{len(by_design)} trials, three routes agree on every one"


def _same_trials(path: Path, expected: pd.DataFrame, table: pd.DataFrame, *, subject: int) -> None:
    if len(table) != len(expected):
        raise DataError(
            f"{path}: {len(table)} trials of {subject_name(subject)} in the completed sessions, the design has "
            f"{len(expected)}"
        )
    differ = (table[TRIAL_COLUMNS].to_numpy() != expected.to_numpy()).any(axis=1)
    if differ.any():
        session, trial, nsd_id = expected[differ].iloc[0]
        raise DataError(
            f"{path}: {differ.sum()} trials of {subject_name(subject)} differ from the design, the first in session "
            f"{session}, trial {trial} (design: nsdId {nsd_id}); download both again"
        )


def _missing(tree: Tree, subject: int, *, beta: str, source: str) -> list[int]:
    present = tree.sessions(subject, beta, source=source)
    return [session for session in range(1, tree.layout.sessions[subject - 1] + 1) if session not in present]


def _dims(tree: Tree, subject: int) -> tuple[int, ...]:
    return read_volume(tree.roi(subject, "nsdgeneral")).shape


def _sessions(tree: Tree, subject: int, *, beta: str, source: str) -> str:
    expected = (*_dims(tree, subject), tree.layout.trials_per_session)
    present = tree.sessions(subject, beta, source=source)
    for session in present:
        path = tree.betas(subject, beta, session=session, source=source)
        shape = READERS[source].shape(path)
        if shape != expected:
            raise DataError(f"{path}: shape {shape}, expected {expected}; download it again")
        if source == "nii":
            check_whole(path)
    missing = _missing(tree, subject, beta=beta, source=source)
    absent = f"; missing: {', '.join(map(str, missing))}" if missing else ""
    return f"{len(present)} sessions of {tree.layout.sessions[subject - 1]}, volume {expected[:3]}{absent}"


def _ncsnr(tree: Tree, design: Design, subject: int, *, beta: str, source: str) -> str:
    path = tree.ncsnr(subject, beta)
    published = read_volume(path)
    if published.shape != _dims(tree, subject):
        raise DataError(f"{path}: volume is {published.shape}, expected {_dims(tree, subject)}; download it again")
    region = np.argwhere(read_volume(tree.roi(subject, "nsdgeneral")) > 0)
    voxels = region[:: max(1, len(region) // NCSNR_VOXELS)][:NCSNR_VOXELS]
    computed = recompute_ncsnr(tree, design, subject, beta=beta, source=source, voxels=voxels)
    stated = published[tuple(voxels.T)]
    gap = np.where(np.isnan(stated) & np.isnan(computed), 0.0, np.abs(stated - computed))
    if not (gap <= NCSNR_TOLERANCE).all():
        x, y, z = voxels[np.argmax(np.nan_to_num(gap, nan=np.inf))]
        raise DataError(
            f"{path}: {(~(gap <= NCSNR_TOLERANCE)).sum()} of {len(voxels)} voxels differ from the betas, the most at "
            f"({x}, {y}, {z}); betas and ncsnr must be of one release"
        )
    return f"equals that of the betas within {gap.max():.1e} at {len(voxels)} voxels"


def recompute_ncsnr(
    tree: Tree, design: Design, subject: int, *, beta: str, source: str, voxels: np.ndarray
) -> np.ndarray:
    """The ncsnr of some voxels from the betas of all completed sessions, by the official recipe.

    Parameters
    ----------
    voxels : (voxel, 3) int, x, y, z

    Returns
    -------
    (voxel,) float64, NaN where a voxel was never measured
    """
    sessions = range(1, tree.layout.sessions[subject - 1] + 1)
    n_trials = tree.layout.trials_per_session
    paths = [tree.betas(subject, beta, session=session, source=source) for session in sessions]
    blocks = [read_session(path, voxels, source=source, n_trials=n_trials) for path in paths]
    trials, _ = standardise(np.concatenate(blocks), n_sessions=len(sessions))
    shown = trials_from_design(design, tree.layout, subject=subject, sessions=sessions)
    return ceiling.ncsnr(trials, shown["nsd_id"].to_numpy())
