"""RDMs and their comparison against rsatoolbox, in one process, same threads: `python -m tests.performance.rdm`."""

import contextlib
import io
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from rsatoolbox.data import Dataset
from rsatoolbox.inference import eval_dual_bootstrap
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from rsatoolbox.rdm import calc_rdm
from rsatoolbox.rdm import compare as toolbox_compare

from alignment.resampling import stimulus_counts
from alignment.rsa import Comparison, RDMs, compare, rdm, resampled_similarities, to_rsatoolbox
from alignment.samples import Estimate
from alignment.seeds import generator
from benchmarks.similarity.judged import Fold, Group
from benchmarks.similarity.strategies import ByRDM
from benchmarks.similarity.surface import bounds_of, of_fold, samples_of

Row = tuple[str, float, str]
Doubles = npt.NDArray[np.float64]

STIMULI, UNITS = 1000, 100_000
PEOPLE, MODELS = 20, 8
CONDITIONS, SUBJECTS, ENTRANTS = 92, 4, 10
RESAMPLES = 1000
LAYERS, VIEWERS = 10, 8

# features are made where they are read, so that the RDM alone is measured
PEAK = """
import torch
from alignment.rsa import rdm
from benchmarks.provenance import peak_memory

class Made:
    shape = (10_000, 4096)

    def columns(self, start, stop):
        draw = torch.Generator().manual_seed(start)
        return torch.randn(10_000, stop - start, generator=draw)

pairs = rdm(Made(), distance="1-pearson").float()
assert pairs.shape == (49_995_000,)
print(peak_memory())
"""


def measure() -> list[Row]:
    """Every figure with its target."""
    return [*distances(), *ranks(), *bootstraps(), *large(), memory()]


def distances() -> list[Row]:
    """1 - Pearson of float32 features, as a network gives them."""
    x = torch.randn(STIMULI, UNITS, generator=torch.Generator().manual_seed(0))
    data = Dataset(x.numpy())
    ours, here = fastest(lambda: rdm(x), repeats=3)
    theirs, there = fastest(lambda: calc_rdm(data, method="correlation").dissimilarities[0], repeats=1)
    case = f"RDM, 1 - Pearson, {STIMULI} stimuli x {UNITS} units"
    return [
        (f"{case}: seconds", ours, ""),
        (f"{case}: times faster than rsatoolbox", theirs / ours, ">= 6"),
        (f"{case}: largest difference from rsatoolbox's float32", float(np.abs(here.numpy() - there).max()), "<= 1e-5"),
    ]


def ranks() -> list[Row]:
    """Spearman of people's RDMs with models', no ties."""
    pairs = STIMULI * (STIMULI - 1) // 2
    x, y = (generator(0, "rdm", count).random((count, pairs)) for count in (PEOPLE, MODELS))
    names = tuple(map(str, range(STIMULI)))
    a, b = RDMs(x, names), RDMs(y, names)
    their_a, their_b = ToolboxRDMs(x), ToolboxRDMs(y)
    ours, here = fastest(lambda: compare(a, b, comparator="spearman"), repeats=3)
    theirs, there = fastest(lambda: toolbox_compare(their_a, their_b, method="spearman"), repeats=3)
    case = f"Spearman of {PEOPLE} x {MODELS} RDMs of {STIMULI} stimuli"
    return [
        (f"{case}: seconds", ours, ""),
        (f"{case}: times faster than rsatoolbox", theirs / ours, ">= 1"),
        (f"{case}: largest difference from rsatoolbox", float(np.abs(here - there).max()), "<= 1e-6"),
    ]


def bootstraps() -> list[Row]:
    """Two-factor errors of every model and of both bounds: resamples per second.

    rsatoolbox draws stimuli, subjects and both, and evaluates models and bounds on each. Here it is what a table of
    scores is made by: stimuli are drawn for models and bounds, a jackknife over stimuli is added (inside the time),
    and the errors over subjects and both follow in closed form.
    """
    values = generator(0, "bootstraps").random((SUBJECTS + ENTRANTS, CONDITIONS * (CONDITIONS - 1) // 2))
    subjects, models = values[:SUBJECTS], values[SUBJECTS:]
    theirs = to_rsatoolbox(RDMs(subjects, tuple(map(str, range(CONDITIONS)))))
    fixed = [ModelFixed(f"m{index}", row) for index, row in enumerate(models)]
    rows = []
    for comparator, method in (("cosine", "cosine"), ("pearson", "corr"), ("spearman", "spearman")):
        strategy = ByRDM(comparison=Comparison(comparator))
        ours, _ = fastest(lambda: inferred(strategy, models, subjects), repeats=3)  # noqa: B023
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            there, _ = fastest(lambda: eval_dual_bootstrap(fixed, theirs, method=method, N=40), repeats=2)  # noqa: B023
        case = f"two-factor bootstrap, {comparator}, {ENTRANTS} models, {CONDITIONS} conditions x {SUBJECTS} subjects"
        rows.append((f"{case}: times the resamples per second of rsatoolbox", there / 40 / (ours / RESAMPLES), ">= 50"))
    return rows


def inferred(strategy: ByRDM, models: Doubles, subjects: Doubles) -> list[Estimate]:
    """Each model, the lower and the upper bound, with intervals over stimuli and subjects, as benchmarks make them."""
    fold = Fold("all", (Group(tuple(range(SUBJECTS)), tuple(map(str, range(CONDITIONS)))),))
    counts = stimulus_counts(CONDITIONS, "bootstraps", n_resamples=RESAMPLES, seed=0)
    found = of_fold(strategy, fold, models=[models], subjects=[subjects], counts=[counts], n_subjects=SUBJECTS)
    bounds = bounds_of(strategy, [fold], summaries=[subjects], counts=[counts], subjects="resampled")
    rows = [samples_of([found], [row], subjects="resampled", fitted=False) for row in range(ENTRANTS)]
    return [samples.estimate() for samples in (*rows, *bounds)]


def large() -> list[Row]:
    """One more resample of large RDMs, against one comparison of them by rsatoolbox, which is to be done for each."""
    pairs = STIMULI * (STIMULI - 1) // 2
    values = generator(0, "large").standard_normal((LAYERS + VIEWERS, pairs))
    whole = RDMs(values, tuple(map(str, range(STIMULI))))
    models, subjects = whole.take(range(LAYERS)), whole.take(range(LAYERS, LAYERS + VIEWERS))
    counts = stimulus_counts(STIMULI, "large", n_resamples=22, seed=0)
    comparison = Comparison("spearman")
    few, many = (
        fastest(lambda: resampled_similarities(models, subjects, drawn, comparison=comparison), repeats=2)[0]  # noqa: B023
        for drawn in (counts[:2], counts)
    )
    ours = (many - few) / (len(counts) - 2)
    their_models, their_subjects = ToolboxRDMs(values[:LAYERS]), ToolboxRDMs(values[LAYERS:])
    theirs, _ = fastest(lambda: toolbox_compare(their_models, their_subjects, method="spearman"), repeats=2)
    case = f"Spearman of {LAYERS} x {VIEWERS} RDMs of {STIMULI} stimuli, resampled"
    return [
        (f"{case}: seconds per resample", ours, ""),
        (f"{case}: times faster than rsatoolbox compares once", theirs / ours, ">= 10"),
    ]


def memory() -> Row:
    """Peak resident memory of a process that makes one large RDM, the float32 result included."""
    run = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    return ("RDM, 1 - Pearson, 10000 stimuli x 4096 units: peak memory, GB", int(run.stdout) / 1e9, "< 3")


def fastest(call: Callable[[], object], *, repeats: int) -> tuple[float, object]:
    """Shortest wall time in seconds, and what the last call gave."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


if __name__ == "__main__":
    for title, figure, target in measure():
        print(f"{title:<110} {figure:10.4g}  {target}")
