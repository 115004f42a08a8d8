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


def board(*, bounded: bool) -> SimpleNamespace:
    """Two benchmarks, two models, one null row, one incomplete; numbers below 0, which are the widest."""
    rows = [
        {
            "benchmark": benchmark,
            "model": model,
            "layer": "features.denseblock4.denselayer16",
            **dict(zip(("raw", "raw_low", "raw_high"), (-0.123 - shift, -0.456, -0.012), strict=True)),
            **dict(zip(("normalised", "normalised_low", "normalised_high"), (-0.234, -0.567, -0.034), strict=True)),
            "ceiling": 0.789,
            "ceiling_lower": 0.345 if bounded else float("nan"),
            "n_stimuli": 73_000,
            "n_neuroids": 15_724,
            "n_subjects": 8,
            "status": "undefined",
            "p_value": 0.0312,
            "null": null,
        }
        for shift, benchmark in enumerate(IDS)
        for model, null in ((LONG, ""), ("pixels", "pixels"))
    ]
    missing = {**rows[0], "model": "other", "layer": float("nan"), "raw": float("nan"), "normalised": float("nan")}
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
