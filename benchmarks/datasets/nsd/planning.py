"""What is read of one subject, decided and checked by the files' headers before any of it is read."""

from collections.abc import Mapping, Sequence

import numpy as np

from alignment.errors import DataError
from benchmarks.datasets.nsd.betas import READERS
from benchmarks.datasets.nsd.design import Design, trials_from_design
from benchmarks.datasets.nsd.layout import SUFFIXES, Tree, subject_name
from benchmarks.datasets.nsd.options import AUTO, Options
from benchmarks.datasets.nsd.responses import Reading
from benchmarks.datasets.nsd.rois import lacking, meant_by, read_region


def plan_readings(
    tree: Tree, subjects: Sequence[int], *, roi: str, options: Options, design: Design, test: np.ndarray
) -> tuple[dict[str, Reading], dict[str, list[str]]]:
    """What is read of each subject, and who is left out; arguments as for `plan_reading`.

    Returns
    -------
    readings : name of subject -> what is read, for those that have voxels in the region
    lacks : what is lacking -> names of the subjects that lack it

    Raises
    ------
    RequestError, DataError
        As `plan_reading`.
    """
    # whoever was chosen, the name means the same
    region = meant_by(tree, tree.subjects(options.beta), roi)
    readings: dict[str, Reading] = {}
    lacks: dict[str, list[str]] = {}
    for subject in subjects:
        name, lack = subject_name(subject), lacking(tree, subject, region)
        if not lack:
            readings[name] = plan_reading(tree, subject, roi=region, options=options, design=design, test=test)
            lack = "" if len(readings[name].region.voxels) else f"voxel in {roi}"
        if lack:
            readings.pop(name, None)
            lacks.setdefault(lack, []).append(name)
    return readings, lacks


def plan_reading(tree: Tree, subject: int, *, roi: str, options: Options, design: Design, test: np.ndarray) -> Reading:
    """Choose sessions and format of one subject and check the files' headers against the region and the design.

    Parameters
    ----------
    tree, subject : whose files; subjects count from 1
    roi : region, as for `find`
    options : sessions, beta, source and nc_min
    design : the experimental design
    test : (image,) nsdIds that are judged on

    Raises
    ------
    RequestError
        An unknown roi, with near misses.
    DataError
        A session asked for is not there, or a file is missing, damaged or of another shape.
    """
    region = read_region(tree, subject, roi)
    source = options.source if options.source != AUTO else _fuller_source(tree, subject, options.beta)
    completed = range(1, tree.layout.sessions[subject - 1] + 1)
    present = [session for session in tree.sessions(subject, options.beta, source=source) if session in completed]
    sessions = options.sessions or tuple(present)
    absent = [session for session in sessions if session not in present]
    if absent or not sessions:
        path = tree.betas(subject, options.beta, session=(absent or [1])[0], source=source)
        raise DataError(f"{path}: no such file among {len(completed)} completed sessions; download it or choose others")
    missing = () if options.sessions else tuple(session for session in completed if session not in present)
    reading = Reading(
        tree=tree,
        subject=subject,
        beta=options.beta,
        source=source,
        sessions=sessions,
        present=tuple(present),
        missing=missing,
        region=region,
        trials=trials_from_design(design, tree.layout, subject=subject, sessions=sessions),
        test=test,
        nc_min=options.nc_min,
    )
    _check_shapes(reading)
    return reading


def _fuller_source(tree: Tree, subject: int, beta: str) -> str:
    counts: Mapping[str, int] = {source: len(tree.sessions(subject, beta, source=source)) for source in SUFFIXES}
    return max(counts, key=lambda source: counts[source])


def _check_shapes(reading: Reading) -> None:
    expected = (*reading.region.dims, reading.tree.layout.trials_per_session)
    for path in reading.paths:
        shape = READERS[reading.source].shape(path)
        if shape[3] != expected[3]:
            raise DataError(f"{path}: {shape[3]} trials, expected {expected[3]}; download it again")
        if shape[:3] != expected[:3]:
            raise DataError(
                f"{path}: volume is {shape[:3]}, but the regions of {subject_name(reading.subject)} are "
                f"{expected[:3]}; both must come from the same subject and space"
            )
    path = reading.tree.ncsnr(reading.subject, reading.beta)
    if not path.exists():
        raise DataError(f"{path}: no such file; it is needed for the noise ceiling, download it")
