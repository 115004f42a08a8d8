"""What became of a tuning: gains over the teacher, and by how much they exceed those of each control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from alignment.samples import Samples
from alignment.tuning.contrast import Contrast, contrast
from alignment.tuning.controls import STANDARD, WITHOUT_RESPONSES
from benchmarks.packing import unpacked
from benchmarks.results import Record
from benchmarks.tuning.audit import FITTED
from benchmarks.tuning.choices import TUNED

TEACHER = "teacher"
COLUMNS = ("benchmark", "about", "a", "b", "seeds", "raw_a", "raw_b", "difference", "low", "high", "of_seeds")


@dataclass(frozen=True)
class Scores:
    """Scores of one benchmark by condition.

    Attributes
    ----------
    benchmark : its id
    about : what of the study it judges
    teacher : before
    conditions : "lwf" and the controls -> one per seed, in the order of the seeds
    """

    benchmark: str
    about: str
    teacher: Samples
    conditions: Mapping[str, Sequence[Samples]]


def samples_of(record: Record) -> Samples:
    """Of a record."""
    return unpacked(record["samples"])


def table(scores: Sequence[Scores]) -> pd.DataFrame:
    """Every comparison: each condition with the teacher, and tuning with each control.

    Returns
    -------
    DataFrame with the columns `COLUMNS`: `difference` is a - b with its 95 % interval over stimuli and seeds,
    `of_seeds` the share of its variance that is owed to seeds
    """
    rows = []
    for each in scores:
        for name, samples in each.conditions.items():
            rows.append(_row(each, (name, samples), (TEACHER, [each.teacher] * len(samples))))
        tuned = each.conditions.get(TUNED)
        for name, samples in each.conditions.items():
            if tuned is not None and name != TUNED:
                rows.append(_row(each, (TUNED, tuned), (name, samples)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summary(compared: pd.DataFrame) -> pd.DataFrame:
    """The same for people: a row for each condition of a benchmark.

    Returns
    -------
    DataFrame with benchmark, condition, score (mean over seeds), change (from the teacher) and behind (by how much
    tuning exceeds it; empty for tuning itself), the latter two as text with intervals
    """
    rows = []
    for (benchmark, about), group in compared.groupby(["benchmark", "about"], sort=False):
        gains = group[group["b"] == TEACHER]
        title = f"{benchmark} ({about})" if about else benchmark
        rows.append((title, f"{TEACHER} (before)", f"{gains.iloc[0]['raw_b']:.3f}", "", ""))
        for _, gain in gains.iterrows():
            behind = group[(group["b"] == gain["a"]) & (group["a"] == TUNED)]
            excess = interval(behind.iloc[0]) if len(behind) else ""
            rows.append((title, str(gain["a"]), f"{gain['raw_a']:.3f}", interval(gain), excess))
    return pd.DataFrame(rows, columns=["benchmark", "condition", "score", "change", "behind"])


def conclusion(compared: pd.DataFrame) -> str:
    """The verdict on held-out images of the responses that were tuned toward, in one line that the numbers say.

    There is a gain where the interval of the change lies above 0. It is owed to the responses where tuning also lies
    above every control that was run and learned nothing of them.

    Parameters
    ----------
    compared : as `table` gives it; empty where those images were not judged on
    """
    judged = compared[(compared["about"] == FITTED) & (compared["a"] == TUNED)]
    if judged.empty:
        return "verdict: none, since the audit has no held-out images of the responses (benchmark: fitted)"
    rows = judged[judged["benchmark"] == judged.iloc[0]["benchmark"]]
    gain = rows[rows["b"] == TEACHER].iloc[0]
    said = f"{interval(gain)} over {_seeds(gain['seeds'])}"
    nulls = rows[rows["b"].isin(WITHOUT_RESPONSES)]
    if gain["high"] < 0:
        return f"verdict: a loss on held-out images, {said}"
    if not gain["low"] > 0:
        return f"verdict: no gain on held-out images that can be told from none, {said}"
    if nulls.empty:
        return f"verdict: a gain on held-out images, {said}, held against no control; add control=standard"
    matching = ", ".join(f"{each['b']} ({interval(each)})" for _, each in nulls.iterrows() if not each["low"] > 0)
    if matching:
        return f"verdict: a gain on held-out images, {said}, but not apart from {matching}: not owed to responses alone"
    above = ", ".join(f"{each['b']} by {interval(each)}" for _, each in nulls.iterrows())
    missing = [name for name in STANDARD if name not in set(nulls["b"])]
    rest = f"; not held against {', '.join(missing)}" if missing else ""
    return f"verdict: a gain on held-out images, {said}, that exceeds {above}{rest}"


def interval(row: "pd.Series[float]") -> str:
    """A difference with its interval, as text."""
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _row(scores: Scores, a: tuple[str, Sequence[Samples]], b: tuple[str, Sequence[Samples]]) -> tuple[object, ...]:
    found: Contrast = contrast(a[1], b[1])
    means = [sum(each.value for each in samples) / len(samples) for _, samples in (a, b)]
    difference = found.estimate
    return (
        scores.benchmark,
        scores.about,
        a[0],
        b[0],
        found.n_seeds,
        *means,
        difference.value,
        difference.low,
        difference.high,
        found.of_seeds,
    )


def _seeds(count: int) -> str:
    return "1 seed (so the interval knows stimuli only)" if count == 1 else f"{count} seeds"
