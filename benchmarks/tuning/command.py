"""`bench tune`: make every network of a study, score them, and say what became of it."""

from collections.abc import Sequence

import pandas as pd
import torch
from rich.console import Console

from alignment.errors import AlignmentError
from alignment.samples import Samples
from alignment.tuning.selection import pareto
from benchmarks import report
from benchmarks.model_files import read_model_file
from benchmarks.plots import front, gains, trajectories
from benchmarks.results import table_bytes
from benchmarks.settings import Settings
from benchmarks.store import write_whole
from benchmarks.tuning.audit import TEACHER_FILE, Audit, audit_of, records_of, scored
from benchmarks.tuning.runs import complete, place_of, trajectory
from benchmarks.tuning.study import Run, Study, studies
from benchmarks.tuning.verdict import Scores, conclusion, samples_of, summary, table

SOME_UNIT_FAILED = 1
FOLDER = "tuning"


def tune_command(settings: Settings) -> int:
    """`bench tune`: returns the exit code."""
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    found = [(study, audit_of(study)) for study in studies(settings)]
    return max(_tune(study, audit) for study, audit in found)


def _tune(study: Study, audit: Audit) -> int:
    output = report.console()
    runs, failures, fresh = [], [], 0
    with report.progress(output) as notify:
        for each in study.runs():
            try:
                _, is_new = complete(each, study, notify=notify)
            except AlignmentError as fault:
                failures.append(f"{each.name}: {fault}")
                continue
            runs.append(each)
            fresh += is_new
        files = [str(place_of(each, study)) for each in runs]
        outcome = scored(study, audit, files, notify=notify) if audit.benchmarks and runs else None
    for failure in (*failures, *(outcome.failures if outcome else ())):
        output.print(f"failed: {failure}", style="red", soft_wrap=True)
    if runs:
        _report(study, audit, runs, output=output)
    output.print(f"{fresh} networks made, {len(runs) - fresh} were there, {len(failures)} failed")
    return SOME_UNIT_FAILED if failures or (outcome and outcome.failures) else 0


def _report(study: Study, audit: Audit, runs: Sequence[Run], *, output: Console) -> None:
    """Write tables and plots of a study, and print what they come to."""
    folder = study.settings.results / FOLDER / study.stem
    standings = pd.concat([_standings(each, study) for each in runs], ignore_index=True)
    chosen = standings[standings["chosen"]].reset_index(drop=True)
    on_front = pareto(list(chosen[["accuracy", "predictivity"]].itertuples(index=False, name=None)))
    chosen["front"] = [place in on_front for place in range(len(chosen))]
    files = {
        "trajectories.csv": table_bytes(standings),
        "front.csv": table_bytes(chosen),
        "trajectories.png": trajectories(standings),
        "front.png": front(chosen),
    }
    compared = table(_scores(study, audit, runs))
    if len(compared):
        verdict = conclusion(compared)
        output.print(report.verdict_table(study.name, summary(compared)))
        output.print(verdict, soft_wrap=True, highlight=False)
        files["verdict.csv"] = table_bytes(compared)
        files["verdict.txt"] = f"{verdict}\n".encode()
        files["gains.png"] = gains(compared)
        output.print(str(study.settings.results / "leaderboards" / f"{study.name}.csv"), soft_wrap=True)
    for name, content in files.items():
        write_whole(folder / name, content)
    output.print(f"{folder}: {', '.join(files)}", soft_wrap=True)


def _standings(run: Run, study: Study) -> pd.DataFrame:
    """Trajectory of a run, which run it is, and which epoch was kept."""
    kept = read_model_file(place_of(run, study)).said["epoch"]
    found = trajectory(run, study)
    found = found.assign(model=run.name, condition=run.condition, distil=run.distil, seed=run.seed)
    return found.assign(chosen=found["epoch"] == kept)


def _scores(study: Study, audit: Audit, runs: Sequence[Run]) -> list[Scores]:
    """Of the seeds that every condition has, so that differences are between the same ones."""
    files = {str(place_of(each, study)): each for each in runs if each.distil == study.distil}
    records = records_of(study, audit, [str(place_of(each, study)) for each in runs])
    found = []
    for benchmark in audit.benchmarks:
        before = records.get((TEACHER_FILE, benchmark.id))
        scored_runs = {
            each: records[file, benchmark.id] for file, each in files.items() if (file, benchmark.id) in records
        }
        if before is None or not scored_runs:
            continue
        of_conditions: dict[str, dict[int, Samples]] = {}
        for each, record in scored_runs.items():
            of_conditions.setdefault(each.condition, {})[each.seed] = samples_of(record)
        shared = sorted(set.intersection(*(set(of_seeds) for of_seeds in of_conditions.values())))
        conditions = {name: [of_seeds[seed] for seed in shared] for name, of_seeds in of_conditions.items() if shared}
        found.append(Scores(benchmark.id, audit.about[benchmark.id], samples_of(before), conditions))
    return found
