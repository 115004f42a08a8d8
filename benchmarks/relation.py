"""How one benchmark's scores go with another's over the models that have both, from records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from alignment.errors import RequestError, unknown
from alignment.relation import KINDS, LEAST_MODELS, Kind, Relation, Scores, relation
from alignment.samples import Samples
from benchmarks.comparison import Named, is_believed, is_own
from benchmarks.packing import unpacked

Record = Mapping[str, Any]
RELATION = ("x", "y", "statistic", "given", "value", "low", "high", "p_value", "n_models")


@dataclass(frozen=True)
class Related:
    """What `bench relate` shows.

    Attributes
    ----------
    points : DataFrame, a row per model: model, and of x and y the score with its interval (`x`, `x_low`, `x_high`, ...)
    table : DataFrame with the columns `RELATION`
    """

    points: pd.DataFrame
    table: pd.DataFrame


def relate(named: Sequence[Named], x: str, y: str, *, seed: int = 0) -> Related:
    """Correlate two benchmarks over the users' models; null rows, published results and unreliable scores are left out.

    Where one of the two has a clean accuracy beside its score, the correlations are also given with that held fixed.

    Parameters
    ----------
    named : (name of the model, id of the benchmark, record)
    x, y : benchmarks, by id, or by name where only one measure was taken on them

    Raises
    ------
    RequestError
        No such benchmark in the table (with near misses), a name that several measures share, or too few models that
        have both scores.
    """
    own = [each for each in named if is_own(each[2]) and is_believed(each[2])]
    by_model = [_of(own, key, which) for key, which in ((x, "x"), (y, "y"))]
    models = [model for model in by_model[0] if model in by_model[1]]
    if len(models) < LEAST_MODELS:
        raise RequestError(
            f"{len(models)} models have both {x} and {y}; score {LEAST_MODELS} or more on them with bench run"
        )
    records = [[scored[model] for model in models] for scored in by_model]
    scores = [_scores([each["samples"] for each in of_benchmark]) for of_benchmark in records]
    clean = _clean(records)
    ids = [of_benchmark[0]["benchmark"]["id"] for of_benchmark in records]
    rows = [_row(ids, relation(*scores, kind=kind, seed=seed), given="") for kind in KINDS]
    if clean is not None and len(models) > LEAST_MODELS:
        left = [kind for kind in KINDS if not any(_follows(each, clean, kind) for each in scores)]
        rows += [_row(ids, relation(*scores, given=clean, kind=kind, seed=seed), given="clean") for kind in left]
    points = pd.DataFrame({"model": models, **_columns("x", records[0]), **_columns("y", records[1])})
    return Related(points, pd.DataFrame(rows, columns=list(RELATION)))


def _of(named: Sequence[Named], key: str, which: str) -> dict[str, Record]:
    """Model -> its record of the one benchmark that is meant."""
    ids = {benchmark: record["benchmark"]["name"] for _, benchmark, record in named}
    meant = [benchmark for benchmark, name in ids.items() if key in (benchmark, name)]
    if not meant:
        raise unknown(f"benchmark in the table ({which}=)", key, sorted({*ids, *ids.values()}))
    if len(meant) > 1:
        raise RequestError(f"{which}={key}: several measures were taken on it; name one of {', '.join(sorted(meant))}")
    return {model: record for model, benchmark, record in named if benchmark == meant[0]}


def _scores(packed: Sequence[Mapping[str, Any]]) -> Scores:
    samples = [unpacked(each) for each in packed]
    return Scores(np.array([each.value for each in samples]), _resampled(samples))


def _resampled(samples: Sequence[Samples]) -> np.ndarray | None:
    """(model, resample), mean over subjects; None where some model has none, or other ones."""
    drawn = [each.resampled.mean(axis=0) for each in samples if each.resampled is not None]
    same = len(drawn) == len(samples) and len({len(each) for each in drawn}) == 1
    return np.stack(drawn) if same else None


def _clean(records: Sequence[Sequence[Record]]) -> Scores | None:
    """Clean accuracy of the models, of y before x."""
    for of_benchmark in reversed(records):
        of_labels = all(each["score"]["n_subjects"] is None for each in of_benchmark)
        if of_labels and all(each["clean_samples"] is not None for each in of_benchmark):
            found = _scores([each["clean_samples"] for each in of_benchmark])
            # it says nothing where it is the same for all
            return found if np.ptp(found.values) > 0 else None
    return None


def _follows(scores: Scores, clean: Scores, kind: Kind) -> bool:
    """Whether scores are a function of clean accuracy, of which nothing is left once that is held fixed."""
    a, b = (stats.rankdata(each.values) if kind == "spearman" else each.values for each in (scores, clean))
    return bool(np.corrcoef(a, b)[0, 1] ** 2 > 1 - 1e-9)


def _columns(name: str, records: Sequence[Record]) -> dict[str, list[float]]:
    raw = [each["score"]["raw"] for each in records]
    return {
        name: [each["value"] for each in raw],
        f"{name}_low": [each["low"] for each in raw],
        f"{name}_high": [each["high"] for each in raw],
    }


def _row(ids: Sequence[str], found: Relation, *, given: str) -> tuple[Any, ...]:
    return (*ids, found.kind, given, found.value, found.low, found.high, found.p_value, found.n_models)
