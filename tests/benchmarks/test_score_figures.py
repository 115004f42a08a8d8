"""Which single scores are drawn, and how many."""

import pandas as pd

from benchmarks.dynamics.plots import DYNAMICS
from benchmarks.over_time import MOST_MODELS
from benchmarks.score_figures import drawable, figures_of_scores

CONTENT = {
    "time_ms": [2.0, 4.0],
    "accuracy": [0.1, 0.5],
    "entropy": [2.3, 1.0],
    "spectra": {"rates.0": [[0.5, 0.5], [0.1, -0.1]]},
    "trajectories": {"rates.0": [[[0.0, 0.0], [1.0, 0.5], [0.2, 0.1]]]},
}


def test_only_what_can_be_drawn_is_kept() -> None:
    assert drawable({"distance": 3.0}) == {} == drawable({})
    assert drawable({"distance": 3.0, DYNAMICS: CONTENT}) == {DYNAMICS: CONTENT}


def test_the_best_of_the_users_models_are_drawn_and_no_null_row() -> None:
    models = [f"net{place}" for place in range(MOST_MODELS + 2)]
    table = [(model, "b", "") for model in models] + [("null", "b", "untrained"), ("net0", "other", "")]
    rows = pd.DataFrame(table, columns=["model", "benchmark", "null"])
    drawn = {(model, benchmark): {DYNAMICS: CONTENT} for model, benchmark, _ in table}
    drawn["net0", "other"] = {}
    drawn["net1", "b"] = {}
    found = figures_of_scores(rows, drawn)
    kinds = ("spectra", "trajectories", "decisions")
    expected = [model for model in models if model != "net1"][:MOST_MODELS]
    assert set(found) == {("b", model, kind) for model in expected for kind in kinds}
    assert all(png.startswith(b"\x89PNG") for png in found.values())
