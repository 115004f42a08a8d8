"""Figures of one's own curves beside published ones."""

import io
from typing import Any

import pandas as pd

DPI, PANEL = 150, (2.2, 1.7)


def curves_beside(rows: pd.DataFrame, *, value: str) -> bytes:
    """Curves over time: a row of panels for each benchmark, a column for each layer, a colour for each model.

    Published curves are lines with a band, one's own have marks, and permuted labels are dotted.

    Parameters
    ----------
    rows : of `benchmarks.published.suites.beside_published`, of one figure
    value : what raw is called

    Returns
    -------
    PNG

    Examples
    --------
    >>> one = {"benchmark": "b.scale", "layer": "low", "time_bin": 0.0, "raw": 0.5, "raw_low": 0.4, "raw_high": 0.6}
    >>> rows = pd.DataFrame([one | {"model": model, "control": False} for model in ("published, a", "net")])
    >>> curves_beside(rows, value="accuracy")[:4]
    b'\\x89PNG'
    """
    from matplotlib.figure import Figure

    benchmarks, layers = (list(dict.fromkeys(rows[name])) for name in ("benchmark", "layer"))
    colour_of = {model: f"C{place % 10}" for place, model in enumerate(dict.fromkeys(rows["model"]))}
    size = (1 + PANEL[0] * len(layers), 0.8 + PANEL[1] * len(benchmarks))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(len(benchmarks), len(layers), squeeze=False, sharex=True, sharey="row")
    for across, benchmark in zip(panels, benchmarks, strict=True):
        for axes, layer in zip(across, layers, strict=True):
            cells = rows[(rows["benchmark"] == benchmark) & (rows["layer"] == layer)]
            for (model, control), line in cells.groupby(["model", "control"], sort=False):
                _draw(axes, line.sort_values("time_bin"), colour=colour_of[str(model)], control=bool(control))
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=6)
        across[0].set_ylabel(str(benchmark).partition(".")[2].replace("_", "\n"), fontsize=7)
    for axes, layer in zip(panels[0], layers, strict=True):
        axes.set_title(layer, fontsize=8)
    times = sorted(set(rows["time_bin"]))
    panels[0][0].set_xticks(times, labels=[f"{time:g}" for time in times])
    figure.supxlabel("time_bin", fontsize=8)
    figure.supylabel(value, fontsize=8)
    _legend(figure, colour_of)
    return _png(figure)


def _draw(axes: Any, line: pd.DataFrame, *, colour: str, control: bool) -> None:
    published = str(line["model"].iloc[0]).startswith("published")
    style = {"color": colour, "linewidth": 1, "linestyle": ":" if control else "-"}
    axes.plot(line["time_bin"], line["raw"], marker="" if published or control else "o", markersize=3, **style)
    if not control:
        edges = (line["raw_low"], line["raw_high"])
        axes.fill_between(line["time_bin"], *edges, color=colour, alpha=0.2, linewidth=0)


def _legend(figure: Any, colour_of: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, label=name) for name, colour in colour_of.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7, frameon=False)


def _png(figure: Any) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()
