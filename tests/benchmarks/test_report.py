"""Tables on screens of several widths: no number is ever cut."""

import io
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from benchmarks import report

IDS = ("nsd-simulated.floc-words-ridge-gcv-avg4x4[sessions=1-10,seed=12]", "nsd.V1-rsa-spearman-1-pearson")
LONG = "net:build[weights=epoch_0042,layers=layer1.0.conv1+layer2.1.conv2+layer3.*]"


def board(*, bounded: bool, time_bin: float = 120.0) -> SimpleNamespace:
    """Two benchmarks, two models, one null row, one incomplete; numbers below 0, which are the widest."""
    rows = [
        {
            "benchmark": benchmark,
            "model": model,
            "layer": "features.denseblock4.denselayer16",
            "time_bin": time_bin,
            **dict(zip(("raw", "raw_low", "raw_high"), (-0.123 - shift, -0.456, -0.012), strict=True)),
            **dict(zip(("normalised", "normalised_low", "normalised_high"), (-0.234, -0.567, -0.034), strict=True)),
            "clean": float("nan"),
            "flags": "",
            "ceiling": 0.789,
            "ceiling_lower": 0.345 if bounded else float("nan"),
            "n_stimuli": 73_000,
            "n_neuroids": 15_724,
            "n_subjects": 8,
            "status": "undefined",
            "p_value": 0.0312,
            "p_lower": 0.0123,
            "subjects_resampled": True,
            "null": null,
        }
        for shift, benchmark in enumerate(IDS)
        for model, null in ((LONG, ""), ("pixels", "pixels"))
    ]
    missing = {**rows[0], "model": "other", **dict.fromkeys(("layer", "time_bin", "raw", "normalised"), float("nan"))}
    return SimpleNamespace(rows=pd.DataFrame([*rows, {**missing, "status": "incomplete"}]))


def lines(*tables: object, width: int) -> list[str]:
    screen = Console(width=width, file=io.StringIO(), markup=False, highlight=False)
    for table in tables:
        screen.print(table)
    return screen.file.getvalue().splitlines()


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("width", [80, 100, 149, 150, 200])
def test_every_number_of_a_leaderboard_is_whole(width, bounded):
    shown = lines(report.leaderboard_table("title", board(bounded=bounded), width=width), width=width)
    text = "\n".join(shown)
    assert max(map(len, shown)) <= width
    assert "…" not in text
    for number, times in (("-0.123", 2), ("-1.123", 2), ("[-0.456, -0.012]", 4), ("-0.234", 4), ("0.789", 5)):
        assert len(re.findall(rf"(?<![\d.]){re.escape(number)}(?!\d)", text)) == times
    assert text.count("0.345") == (4 if bounded else 0)


def test_counts_are_for_wide_screens():
    wide, narrow = (
        "\n".join(lines(report.leaderboard_table("title", board(bounded=False), width=width), width=width))
        for width in (200, 80)
    )
    assert "73000" in wide and "73000" not in narrow
    assert "stimuli" in wide and "stimuli" not in narrow


def test_numbers_of_other_tables_stay_on_one_line():
    columns = ("benchmark", "models", "difference [95 %]", "p")
    cells = [(IDS[0], f"{LONG} - {LONG}", "-0.123 [-0.456, -0.012]", "0.00012")]
    text = "\n".join(lines(report.pairs_table("pairs", columns, cells, whole=columns[2:]), width=80))
    assert "-0.123 [-0.456, -0.012]" in text and "0.00012" in text and "…" not in text
    means = pd.DataFrame({"model": [LONG], "measure": [IDS[0]], "raw": [-0.123], "normalised": [0.456]})
    text = "\n".join(lines(report.means_table(SimpleNamespace(means=means)), width=40))
    assert "-0.123" in text and "0.456" in text and "…" not in text


@pytest.mark.parametrize("width", [80, 200])
def test_a_score_under_attack_stands_beside_the_clean_one_and_its_flags(width):
    rows = board(bounded=False).rows.assign(ceiling=float("nan"), normalised=float("nan"), n_subjects=float("nan"))
    rows = rows.assign(clean=0.915, clean_low=0.896, clean_high=0.931, status="ok")
    rows.loc[0, ["status", "flags"]] = ("unreliable", "flat: no usable input gradient")
    text = "\n".join(lines(report.leaderboard_table("title", SimpleNamespace(rows=rows), width=width), width=width))
    assert text.count("0.915") == len(rows)
    assert "unreliable" in text and "flat:" in text
    # columns that no row fills are left out
    assert "ceiling" not in text and "normalised" not in text and "subjects" not in text


def test_parts_of_scores_have_a_column_for_each_model():
    figures = pd.DataFrame(
        [("net", "a-robust", "clean", 0.9), ("net", "a-robust", "square", 0.2), ("odd", "a-robust", "clean", 0.8)],
        columns=["model", "benchmark", "figure", "value"],
    )
    (table,) = report.figures_tables(SimpleNamespace(figures=figures))
    shown = lines(table, width=80)
    assert any(re.search(r"clean .* 0\.900 .* 0\.800", line) for line in shown)
    assert any(re.search(r"square .* 0\.200 .* - ", line) for line in shown)
    assert report.figures_tables(SimpleNamespace(figures=figures.iloc[:0])) == []


def test_the_side_of_the_lower_bound_comes_with_its_p_value():
    rows = board(bounded=True).rows
    rows["p_lower"], rows["subjects_resampled"] = 0.0321, False
    rows.loc[0, ["raw", "status"]] = (0.5, "ok")
    rows.loc[1, ["raw", "status"]] = (0.2, "ok")
    text = "\n".join(lines(report.leaderboard_table("title", SimpleNamespace(rows=rows), width=200), width=200))
    assert text.count("0.345 beaten, p = 0.032") == 1
    assert text.count("0.345 not beaten, p = 0.032") == 1
    # subjects who do not agree above chance have no bound that means anything
    assert text.count("beaten") == 2
    assert "8 fixed" in text


def test_time_bins_are_shown_where_some_model_has_time():
    shown, plain = (
        "\n".join(lines(report.leaderboard_table("title", board(bounded=False, time_bin=time)), width=200))
        for time in (120.0, 0.0)
    )
    assert "time_bin" in shown and "120" in shown
    assert "time_bin" not in plain
