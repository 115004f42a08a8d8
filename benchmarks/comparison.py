"""What the scores of several models say together: tests, paired differences, and how far a ranking can be trusted.

Everything here is a function of records: each holds its score on every resample, the same resamples for all models.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from alignment.samples import Samples
from alignment.score import false_discovery, paired_difference
from benchmarks.nulls import REFERENCES, SHUFFLED, UNTRAINED
from benchmarks.packing import unpacked

Record = Mapping[str, Any]
Named = tuple[str, str, Record]

PAIRED = ("benchmark", "a", "b", "raw_a", "raw_b", "difference", "low", "high", "p_value", "p_adjusted")
RANKED = ("benchmark", "model", "rank", "rank_low", "rank_high", "first")
AGREEING = ("benchmark", "over", "kendall_tau", "models", "rankings")
LEAST_RANKED = 3
# null rows that are a copy of one of the users' models, or a model on altered data
MADE_OF_A_MODEL = (UNTRAINED, SHUFFLED)


def p_values(named: Sequence[Named]) -> pd.DataFrame:
    """Tests of every row of a table, adjusted for false discovery over the rows of its kind in a benchmark.

    The kinds are the users' models, published results, and null rows.

    Parameters
    ----------
    named : (name of the model, id of the benchmark, record)

    Returns
    -------
    DataFrame, a row per entry of `named`: p_zero (raw is 0), p_lower (raw is the lower bound of the ceiling), p_null
    (the largest over the null rows that belong to the model; 1 where it is not above one of them); NaN without a test
    """
    if not named:
        return pd.DataFrame(columns=["p_zero", "p_lower", "p_null"], dtype=float)
    found = pd.DataFrame(
        {
            "benchmark": [benchmark for _, benchmark, _ in named],
            "kind": [_kind(record) for _, _, record in named],
            "p_zero": [record["score"]["p_zero"] for _, _, record in named],
            "p_lower": [record["score"]["p_lower"] for _, _, record in named],
            "p_null": [_against_nulls(each, named) if is_own(each[2]) else None for each in named],
        }
    ).astype({"p_zero": float, "p_lower": float, "p_null": float})
    for column in ("p_zero", "p_lower", "p_null"):
        for _, rows in found.groupby(["benchmark", "kind"]):
            tested = rows[column].dropna()
            if len(tested):
                found.loc[tested.index, column] = false_discovery(tested.tolist())
    return found[["p_zero", "p_lower", "p_null"]]


def paired(named: Iterable[Named], models: Sequence[str]) -> pd.DataFrame:
    """Differences between models, benchmark by benchmark, on the same resamples.

    Parameters
    ----------
    named : (name of the model, id of the benchmark, record)
    models : which; each is compared with those after it

    Returns
    -------
    DataFrame with the columns `PAIRED`; p values are adjusted for false discovery over all its rows
    """
    scored: dict[str, dict[str, Record]] = {}
    for model, benchmark, record in named:
        scored.setdefault(benchmark, {})[model] = record
    rows = []
    for benchmark, records in scored.items():
        for a, b in combinations([model for model in models if model in records], 2):
            first, second = _samples(records[a]), _samples(records[b])
            difference, p_value = paired_difference(first, second)
            shown = [name if is_believed(records[name]) else f"{name} (unreliable)" for name in (a, b)]
            rows.append(
                (
                    benchmark,
                    *shown,
                    first.value,
                    second.value,
                    difference.value,
                    difference.low,
                    difference.high,
                    p_value,
                )
            )
    table = pd.DataFrame(rows, columns=list(PAIRED[:-1]))
    return table.assign(p_adjusted=false_discovery(table["p_value"].tolist()) if len(table) else [])


def ranks(named: Iterable[Named]) -> pd.DataFrame:
    """The rank of each user's model in each benchmark, 1 the best, and where it lies in 95 % of resamples.

    Unreliable scores have no rank.

    Returns
    -------
    DataFrame with the columns `RANKED`; `first` is the share of resamples in which the model is the best. Benchmarks
    with one model, or whose measure is not resampled, are left out
    """
    rows: list[tuple[Any, ...]] = []
    for benchmark, group in _own_by(named, lambda record, benchmark: benchmark).items():
        drawn = [_samples(record).resampled for _, record in group]
        known = [each.mean(axis=0) for each in drawn if each is not None]
        if len(group) < 2 or len(known) < len(group) or len({len(each) for each in known}) > 1:
            continue
        values = np.array([_samples(record).value for _, record in group])
        places, again = stats.rankdata(-values), stats.rankdata(-np.stack(known), axis=0)
        low, high = np.quantile(again, (0.025, 0.975), axis=1, method="nearest")
        first = (again == 1).mean(axis=1)
        rows += [
            (benchmark, model, *cells)
            for (model, _), *cells in sorted(
                zip(group, places, low, high, first, strict=True), key=lambda row: (row[1], row[0][0])
            )
        ]
    return pd.DataFrame(rows, columns=list(RANKED))


def agreement(named: Sequence[Named]) -> pd.DataFrame:
    """Kendall's tau-b between rankings of the users' models: over resamples, over splits, and over measures.

    Returns
    -------
    DataFrame with the columns `AGREEING`: mean tau of the ranking with each of so many other rankings. Fewer than 3
    models have no ranking worth the name
    """
    rows: list[tuple[Any, ...]] = []
    for benchmark, group in _own_by(named, lambda record, benchmark: benchmark).items():
        if len(group) < LEAST_RANKED:
            continue
        values = [_samples(record).value for _, record in group]
        drawn = [_samples(record).resampled for _, record in group]
        known = [each.mean(axis=0) for each in drawn if each is not None]
        if len(known) == len(group) and len({len(each) for each in known}) == 1:
            rows.append((benchmark, "resamples", *_tau(values, np.stack(known).T)))
        splits = [record["by_split"] for _, record in group]
        if len(splits[0]) > 1 and all(each.keys() == splits[0].keys() for each in splits):
            rows.append((benchmark, "splits", *_tau(values, [[each[name] for each in splits] for name in splits[0]])))
    for name, group in _own_by(named, lambda record, _: record["benchmark"]["name"]).items():
        rows += _over_measures(name, [(model, record) for model, record in group])
    return pd.DataFrame(rows, columns=list(AGREEING))


def _over_measures(name: str, group: Sequence[tuple[str, Record]]) -> list[tuple[Any, ...]]:
    by_measure: dict[str, dict[str, float]] = {}
    for model, record in group:
        by_measure.setdefault(record["benchmark"]["measure"], {})[model] = _samples(record).value
    rows = []
    for (first, a), (second, b) in combinations(by_measure.items(), 2):
        both = [model for model in a if model in b]
        if len(both) >= LEAST_RANKED:
            over = f"measures: {first} and {second}"
            rows.append((name, over, *_tau([a[model] for model in both], [[b[model] for model in both]])))
    return rows


def _tau(values: Sequence[float], others: Iterable[Sequence[float]]) -> tuple[float, int, int]:
    """Mean tau-b, how many models, how many other rankings."""
    taus = [stats.kendalltau(values, other).statistic for other in others]
    return float(np.mean(taus)), len(values), len(taus)


def _own_by(named: Iterable[Named], key: Any) -> dict[str, list[tuple[str, Record]]]:
    groups: dict[str, list[tuple[str, Record]]] = {}
    for model, benchmark, record in named:
        if is_own(record) and is_believed(record):
            groups.setdefault(key(record, benchmark), []).append((model, record))
    return groups


def is_own(record: Record) -> bool:
    """Whether a row is a user's model and no null row."""
    return not record["model"]["null"]


def is_believed(record: Record) -> bool:
    """Whether a score may be ranked; one that its own flags call unreliable may not."""
    return record["score"]["status"] != "unreliable"


def _kind(record: Record) -> str:
    null = record["model"]["null"]
    return "own" if not null else null if null == REFERENCES else "null"


def _against_nulls(row: Named, named: Sequence[Named]) -> float | None:
    """The largest p value over null rows of the same data: any of pixels and gabor, and those made of this model."""
    _, _, record = row
    tested = []
    for _, _, other in named:
        model, benchmark = other["model"], other["benchmark"]
        if _kind(other) != "null" or (benchmark["id"], benchmark["of"]) != (
            record["benchmark"]["id"],
            record["benchmark"]["of"],
        ):
            continue
        if model["null"] in MADE_OF_A_MODEL and model["of"] != record["model"]["of"]:
            continue
        if _comparable(record, other):
            difference, p_value = paired_difference(_samples(record), _samples(other))
            tested.append(p_value if difference.value > 0 else 1.0)
    return max(tested) if tested else None


def _comparable(a: Record, b: Record) -> bool:
    """Whether two records are of the same subjects, stimuli and resamples."""
    keys = ("n_stimuli", "subjects")
    shapes = [(record["samples"][name] or {}).get("shape") for name in ("resampled", "deviations") for record in (a, b)]
    return shapes[0] == shapes[1] and shapes[2] == shapes[3] and all(a["samples"][k] == b["samples"][k] for k in keys)


def _samples(record: Record) -> Samples:
    return unpacked(record["samples"])
