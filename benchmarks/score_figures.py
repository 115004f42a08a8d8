"""Figures of single scores, from what the details of their records hold."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from benchmarks.dynamics import plots
from benchmarks.over_time import MOST_MODELS

# entry of the details -> what draws it
DRAWERS: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, bytes]]] = {plots.DYNAMICS: plots.figures}


def drawable(details: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a record's details that can be drawn."""
    return {entry: details[entry] for entry in DRAWERS if entry in details}


def figures_of_scores(
    rows: pd.DataFrame, drawn: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Mapping[tuple[str, str, str], bytes]:
    """Figures of the users' models, best first, at most eight a benchmark.

    Parameters
    ----------
    rows : of a `benchmarks.results.Leaderboard`
    drawn : (model, benchmark id) -> of `drawable`

    Returns
    -------
    (benchmark id, model, what is shown) -> PNG
    """
    found: dict[tuple[str, str, str], bytes] = {}
    for benchmark, group in rows[rows["null"] == ""].groupby("benchmark", sort=False):
        own = [model for model in group["model"] if drawn.get((model, str(benchmark)))]
        for model in own[:MOST_MODELS]:
            for entry, content in drawn[model, str(benchmark)].items():
                found |= {(str(benchmark), model, shown): png for shown, png in DRAWERS[entry](content).items()}
    return found
