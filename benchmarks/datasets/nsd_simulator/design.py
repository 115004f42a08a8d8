"""The simulated experiment's tables: design, table of images, behaviour; ids in files count from 1, as published."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alignment import seeds
from benchmarks.datasets.nsd.design import Design
from benchmarks.datasets.nsd.layout import N_SUBJECTS
from benchmarks.datasets.nsd_simulator.settings import N_IMAGES, REPETITIONS, SimulatedNSD

BEHAVIOUR_COLUMNS = (
    *("SUBJECT", "SESSION", "RUN", "TRIAL", "73KID", "10KID", "TIME", "ISOLD", "ISCORRECT", "RT", "CHANGEMIND"),
    *("MEMORYRECENT", "MEMORYFIRST", "ISOLDCURRENT", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2", "BUTTON", "MISSINGDATA"),
)
FIRST_ID = 2_950
BLANK_SLOTS = 12


def make_design(settings: SimulatedNSD, *, seed: int) -> Design:
    """Every image thrice in random order; shared images first in each subject's list, own images all different.

    The images of the simulated subjects have neighbouring nsdIds in random order, so that an id off by one is a wrong
    picture rather than a missing one.
    """
    rng = seeds.generator(seed, "design")
    n_list = settings.shared + settings.own
    n_seen = settings.shared + len(settings.sessions) * settings.own
    seen = FIRST_ID + rng.permutation(n_seen)
    rest = np.setdiff1d(np.arange(N_IMAGES), seen)
    n_rest = (N_SUBJECTS - len(settings.sessions)) * settings.own
    ids = np.concatenate([seen, rng.choice(rest, n_rest, replace=False)]).astype(np.int64)
    shared, own = np.sort(ids[: settings.shared]), ids[settings.shared :].reshape(N_SUBJECTS, settings.own)
    images = np.concatenate([np.tile(shared, (N_SUBJECTS, 1)), own], axis=1)
    order = rng.permutation(np.repeat(np.arange(n_list), REPETITIONS))
    return Design(order, images, settings.shared)


def write_expdesign(path: Path, design: Design, settings: SimulatedNSD) -> None:
    """`nsd_expdesign.mat` with MATLAB's stored widths."""
    import scipy.io

    runs = settings.trials_per_run
    pattern = np.zeros((settings.planned_sessions, len(runs), max(runs) + BLANK_SLOTS), dtype=np.uint8)
    for run, count in enumerate(runs):
        pattern[:, run, 3 : 3 + count] = 1
    per_session = design.order.reshape(settings.planned_sessions, -1)
    seen = np.cumsum([np.bincount(each, minlength=design.images.shape[1]) for each in per_session], axis=0)
    scipy.io.savemat(
        path,
        {
            "masterordering": (design.order + 1).astype(np.uint16)[None],
            "subjectim": (design.images + 1).astype(np.uint32),
            "sharedix": (design.shared + 1).astype(np.uint32)[None],
            "stimpattern": pattern,
            "basiccnt": np.stack([(seen >= n).sum(axis=1) for n in range(1, REPETITIONS + 1)]).astype(np.uint16),
        },
        do_compression=True,
    )


def write_stim_info(path: Path, design: Design) -> None:
    """`nsd_stim_info_merged.csv`: all 73,000 images and their planned trials (from 1; 0 = never)."""
    planned = np.zeros((N_IMAGES, N_SUBJECTS, REPETITIONS), dtype=np.int64)
    trials = np.argsort(design.order, kind="stable").reshape(-1, REPETITIONS) + 1
    for subject in range(N_SUBJECTS):
        planned[design.images[subject], subject] = trials
    shown = planned.max(axis=2) > 0
    shared = np.isin(np.arange(N_IMAGES), design.shared)
    subjects = range(1, N_SUBJECTS + 1)
    header = ["", "cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000", "shared1000"]
    header += [f"subject{subject}" for subject in subjects]
    header += [f"subject{subject}_rep{repetition}" for subject in subjects for repetition in range(REPETITIONS)]
    never = ",".join(["0"] * N_SUBJECTS * (1 + REPETITIONS))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(header) + "\n")
        for nsd_id in range(N_IMAGES):
            numbers = never
            if shown[nsd_id].any():
                numbers = ",".join(map(str, [*shown[nsd_id].astype(int), *planned[nsd_id].ravel()]))
            crop = '"(0.0, 0.0, 0.125, 0.125)"'
            file.write(f"{nsd_id},{nsd_id + 1},train2017,{crop},0.0,{nsd_id},False,False,{shared[nsd_id]},{numbers}\n")


def write_behaviour(path: Path, design: Design, settings: SimulatedNSD, *, subject: int) -> None:
    """`responses.tsv`: one row per performed trial; the answers are all right and unhurried."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(BEHAVIOUR_COLUMNS) + "\n")
        for row in _behaviour_rows(design, settings, subject=subject):
            file.write("\t".join(map(str, row)) + "\n")


def _behaviour_rows(design: Design, settings: SimulatedNSD, *, subject: int) -> Iterator[tuple[object, ...]]:
    place = [(run, trial) for run, count in enumerate(settings.trials_per_run, 1) for trial in range(1, count + 1)]
    last: dict[int, int] = {}
    first: dict[int, int] = {}
    for number in range(settings.sessions[subject - 1] * len(place)):
        session, within = divmod(number, len(place))
        run, trial = place[within]
        position = int(design.order[number])
        old = int(position in last)
        current = int(old and last[position] // len(place) == session)
        recent = number - last[position] if old else "NaN"
        since = number - first[position] if old else "NaN"
        nsd_id = design.images[subject - 1, position] + 1
        time = round(739000 + session + within * 4 / 86400, 6)
        yield (
            *(subject, session + 1, run, trial, nsd_id, position + 1, time, old, 1, 800.0, 0),
            *(recent, since, current, 1, int(not old), old, 1 + old, 0),
        )
        last[position] = number
        first.setdefault(position, number)
