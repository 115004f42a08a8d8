"""Figures of a leaderboard whose models have time: layer x time_bin, benchmark by benchmark."""

from collections.abc import Mapping

import pandas as pd

from alignment.models.base import with_settings
from benchmarks.nulls import SHUFFLED, SHUFFLED_MARK
from benchmarks.plots import curves_over_time, layer_time_maps

MAPS, CURVES = "maps", "curves"
MOST_MODELS = 8


def figures_over_time(rows: pd.DataFrame, surface: pd.DataFrame) -> Mapping[tuple[str, str], bytes]:
    """Maps and curves of the users' models that have several time bins, best first, at most eight a benchmark.

    Parameters
    ----------
    rows, surface : of a `benchmarks.results.Leaderboard`

    Returns
    -------
    (benchmark id, "maps" or "curves") -> PNG; empty where no model has time
    """
    found: dict[tuple[str, str], bytes] = {}
    for benchmark, group in rows.groupby("benchmark", sort=False):
        cells = surface[surface["benchmark"] == benchmark]
        times = cells.groupby("model")["time_bin"].nunique()
        own = [name for name in group[group["null"] == ""]["model"] if times.get(name, 0) > 1][:MOST_MODELS]
        if not own:
            continue
        shuffled = set(group[group["null"] == SHUFFLED]["model"])
        twins = {twin: name for name in own if (twin := with_settings(name, SHUFFLED_MARK)) in shuffled}
        drawn = pd.concat([cells[cells["model"] == name] for name in own])
        controls = cells[cells["model"].isin(twins)].replace({"model": twins})
        found[str(benchmark), MAPS] = layer_time_maps(drawn, value="raw")
        both = pd.concat([drawn.assign(control=False), controls.assign(control=True)])
        found[str(benchmark), CURVES] = curves_over_time(both, value="raw")
    return found
