"""Suites whose curves were published, and a suite's own surface laid beside them."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from alignment.errors import RequestError
from benchmarks.nulls import SHUFFLED, SHUFFLED_MARK
from benchmarks.results import Record, leaderboard

# suite -> "module:function" from (data_root, cache) to rows of published curves
PUBLISHED: Mapping[str, str] = {"thorat2021": "benchmarks.published.thorat2021:published_curves"}
COLUMNS = ["figure", "benchmark", "model", "control", "layer", "time_bin", "raw", "raw_low", "raw_high"]


def published_of(suite: str) -> Callable[..., pd.DataFrame]:
    """What reads the published curves of a suite.

    Raises
    ------
    RequestError
        None are known.
    """
    if suite not in PUBLISHED:
        raise RequestError(f"no published curves of suite {suite!r}; there are some of {', '.join(PUBLISHED)}")
    module, _, name = PUBLISHED[suite].partition(":")
    return getattr(importlib.import_module(module), name)


def beside_published(records: Sequence[Record], suite: str, *, data_root: Path | None, cache: Path) -> pd.DataFrame:
    """Published curves, then those of every model at hand on the same benchmarks.

    Parameters
    ----------
    records : at hand
    suite : whose curves were published
    data_root, cache : where published files lie, or are downloaded to

    Returns
    -------
    DataFrame with figure, benchmark, model, control (bool: on permuted labels), layer, time_bin, raw, raw_low, raw_high

    Raises
    ------
    RequestError
        No published curves of this suite, or no record of any of its benchmarks.
    DataError
        The published files are damaged or nowhere to be had.
    """
    published = published_of(suite)(data_root=data_root, cache=cache).assign(control=False)
    compared = published[["figure", "benchmark"]].drop_duplicates().to_numpy().tolist()
    own = [_own(records, benchmark).assign(figure=figure, benchmark=benchmark) for figure, benchmark in compared]
    if all(rows.empty for rows in own):
        raise RequestError(f"no record of suite {suite}; bench run suite={suite} makes them")
    return pd.concat([published, *(rows for rows in own if len(rows))], ignore_index=True)[COLUMNS]


def _own(records: Sequence[Record], benchmark: str) -> pd.DataFrame:
    """The surface of users' models on a benchmark, and of the same models on permuted labels."""
    board = leaderboard(records, [benchmark])
    if board.rows.empty:
        return pd.DataFrame()
    kinds: dict[str, Any] = dict(zip(board.rows["model"], board.rows["null"], strict=True))
    shown = board.surface[board.surface["model"].map(kinds).isin(["", SHUFFLED])]
    control = shown["model"].map(kinds) == SHUFFLED
    return shown.assign(model=shown["model"].map(_without_mark), control=control)


def _without_mark(name: str) -> str:
    """The model that stands behind a row on permuted labels."""
    return name.replace(f"[{SHUFFLED_MARK}]", "").replace(f",{SHUFFLED_MARK}", "")
