"""Figures of models with time: which are drawn, and that what is drawn is what the tables say."""

import struct

import numpy as np
import pandas as pd
import pytest

from benchmarks import over_time
from benchmarks.over_time import CURVES, MAPS, figures_over_time
from benchmarks.plots import curves_over_time, layer_time_maps
from benchmarks.results import Leaderboard, over_time_folder, save_leaderboard

PNG = b"\x89PNG\r\n\x1a\n"


def cells(model: str, *, benchmark: str = "b", times=(0.0, 1.0, 2.0), layers=("low", "high")) -> list[dict]:
    return [
        {"model": model, "benchmark": benchmark, "layer": layer, "time_bin": time, "raw": 0.1 * place + 0.2 * time}
        for place, layer in enumerate(layers)
        for time in times
    ]


@pytest.fixture
def surface() -> pd.DataFrame:
    rows = [*cells("net"), *cells("net[responses=shuffled]"), *cells("still", times=(0.0,)), *cells("pixels")]
    rows += cells("still", benchmark="other", times=(0.0,))
    frame = pd.DataFrame(rows)
    return frame.assign(raw_low=frame["raw"] - 0.1, raw_high=frame["raw"] + 0.1)


@pytest.fixture
def rows() -> pd.DataFrame:
    table = [
        ("net", "b", ""),
        ("still", "b", ""),
        ("pixels", "b", "pixels"),
        ("net[responses=shuffled]", "b", "shuffled"),
        ("still", "other", ""),
    ]
    return pd.DataFrame(table, columns=["model", "benchmark", "null"])


def width(png: bytes) -> int:
    return struct.unpack(">I", png[16:20])[0]


def test_models_with_time_are_drawn_with_their_own_control(rows, surface, monkeypatch) -> None:
    drawn = {}
    monkeypatch.setattr(over_time, "layer_time_maps", lambda frame, value: drawn.setdefault(MAPS, frame) is None)
    monkeypatch.setattr(over_time, "curves_over_time", lambda frame, value: drawn.setdefault(CURVES, frame) is None)
    assert set(figures_over_time(rows, surface)) == {("b", MAPS), ("b", CURVES)}
    assert set(drawn[MAPS]["model"]) == {"net"} and len(drawn[MAPS]) == 6
    assert drawn[CURVES].groupby("control")["model"].agg(set).to_dict() == {False: {"net"}, True: {"net"}}


def test_figures_are_written_beside_the_leaderboard_where_there_is_time(rows, surface, tmp_path) -> None:
    none = pd.DataFrame()
    board = Leaderboard(rows, surface, means=none, ranks=none, agreement=none, figures=none)
    save_leaderboard(tmp_path, "mine", board)
    folder = over_time_folder(tmp_path, "mine")
    assert sorted(path.name for path in folder.iterdir()) == ["b.curves.png", "b.maps.png"]
    assert all(path.read_bytes().startswith(PNG) for path in folder.iterdir())
    save_leaderboard(tmp_path, "still", Leaderboard(rows[rows["model"] == "still"], surface, none, none, none, none))
    assert not over_time_folder(tmp_path, "still").exists()


def test_a_map_is_the_table_of_layers_and_time_bins(surface, monkeypatch) -> None:
    from matplotlib.axes import Axes

    shown = []
    plain = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda self, data, **kw: (shown.append((data, kw)), plain(self, data, **kw))[1])
    net = surface[surface["model"] == "net"]
    png = layer_time_maps(net, value="r")
    ((data, settings),) = shown
    np.testing.assert_allclose(data, [[0.0, 0.2, 0.4], [0.1, 0.3, 0.5]])
    assert (settings["vmin"], settings["vmax"], settings["origin"]) == (0.0, 0.5, "lower")
    assert png.startswith(PNG)


def test_curves_have_a_panel_for_each_model(surface) -> None:
    frame = surface[surface["model"].isin(["net", "pixels"])].assign(control=False)
    one, two = curves_over_time(frame[frame["model"] == "net"], value="r"), curves_over_time(frame, value="r")
    assert one.startswith(PNG) and width(two) > 1.5 * width(one)


def test_layers_need_not_share_their_time_bins(surface) -> None:
    """Flows arrive from the second sweep on."""
    net = surface[(surface["model"] == "net") & ~((surface["layer"] == "high") & (surface["time_bin"] == 0))]
    assert layer_time_maps(net, value="r").startswith(PNG)
    assert curves_over_time(net.assign(control=False), value="r").startswith(PNG)
