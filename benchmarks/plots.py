"""Figures as PNG, drawn without a screen."""

import io
from collections.abc import Mapping
from typing import Any

import pandas as pd

INCHES, DPI = (6.0, 5.0), 150
MOST_TICKS = 10


def scatter(points: pd.DataFrame, *, x: str, y: str) -> bytes:
    """One benchmark against another, a point with its intervals for each model.

    Parameters
    ----------
    points : DataFrame with model, x, x_low, x_high, y, y_low, y_high
    x, y : what the axes are called

    Returns
    -------
    PNG
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    across, up = (points[[f"{axis}_low", axis, f"{axis}_high"]].diff(axis=1).to_numpy()[:, 1:].T for axis in "xy")
    axes.errorbar(points["x"], points["y"], xerr=across, yerr=up, fmt="o", linewidth=0.8, color="tab:blue")
    for model, *place in points[["model", "x", "y"]].itertuples(index=False):
        axes.annotate(str(model), tuple(place), textcoords="offset points", xytext=(4, 4), fontsize=7)
    _name_axes(axes, x=x, y=y)
    return _png(figure)


def layer_time_maps(surface: pd.DataFrame, *, value: str) -> bytes:
    """Layers by time bins, a panel for each model, one scale of colours for all.

    Parameters
    ----------
    surface : DataFrame with model, layer, time_bin and raw; layers in the order of the rows, the first at the bottom
    value : what raw is called

    Returns
    -------
    PNG
    """
    from matplotlib.figure import Figure

    models = list(surface.groupby("model", sort=False))
    figure = Figure(figsize=(1.5 + 3.5 * len(models), 3.5), dpi=DPI, layout="constrained")
    limits = {"vmin": surface["raw"].min(), "vmax": surface["raw"].max()}
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for axes, (model, cells) in zip(panels, models, strict=True):
        table = cells.pivot(index="layer", columns="time_bin", values="raw").reindex(cells["layer"].unique())
        drawn = axes.imshow(table.to_numpy(), origin="lower", aspect="auto", **limits)
        axes.set_yticks(range(len(table)), labels=table.index, fontsize=7)
        shown = range(0, table.shape[1], -(-table.shape[1] // MOST_TICKS))
        axes.set_xticks(shown, labels=[f"{table.columns[place]:g}" for place in shown], fontsize=7)
        axes.set_title(str(model), fontsize=8)
        axes.set_xlabel("time_bin", fontsize=8)
    figure.colorbar(drawn, ax=panels, label=value)
    return _png(figure)


def curves_over_time(surface: pd.DataFrame, *, value: str) -> bytes:
    """A line over time bins for each layer with its interval, a panel for each model, controls dashed.

    Parameters
    ----------
    surface : DataFrame with model, layer, time_bin, raw, raw_low, raw_high and control (bool): rows of the same model
        on permuted labels or responses
    value : what raw is called

    Returns
    -------
    PNG
    """
    from matplotlib.figure import Figure

    models = list(surface.groupby("model", sort=False))
    colour_of = _colours(surface["layer"])
    figure = Figure(figsize=(1 + 3.5 * len(models), 4.0), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False, sharey=True)[0]
    for axes, (model, cells) in zip(panels, models, strict=True):
        for (layer, control), line in cells.groupby(["layer", "control"], sort=False):
            colour, ordered = colour_of[str(layer)], line.sort_values("time_bin")
            axes.plot(ordered["time_bin"], ordered["raw"], color=colour, linestyle=":" if control else "-", linewidth=1)
            if not control:
                edges = (ordered["raw_low"], ordered["raw_high"])
                axes.fill_between(ordered["time_bin"], *edges, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(str(model), fontsize=8)
        _name_axes(axes, x="time_bin", y=value if axes is panels[0] else "")
    _legend(figure, colour_of)
    return _png(figure)


def trajectories(standings: pd.DataFrame) -> bytes:
    """Accuracy and predictivity of tuned networks after each epoch, a colour for each condition, a line for each run.

    Parameters
    ----------
    standings : DataFrame with model, condition, epoch, accuracy, predictivity and chosen (bool), marked by a dot

    Returns
    -------
    PNG
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * INCHES[0], INCHES[1]), dpi=DPI, layout="constrained")
    colour_of = _colours(standings["condition"])
    for axes, value in zip(figure.subplots(1, 2), ("predictivity", "accuracy"), strict=True):
        for _, run in standings.groupby("model", sort=False):
            colour = colour_of[run["condition"].iloc[0]]
            axes.plot(run["epoch"], run[value], color=colour, linewidth=0.8, alpha=0.8)
            axes.plot(run["epoch"][run["chosen"]], run[value][run["chosen"]], "o", color=colour, markersize=4)
        _name_axes(axes, x="epoch", y=f"{value} on validation images")
    _legend(figure, colour_of)
    return _png(figure)


def front(chosen: pd.DataFrame) -> bytes:
    """What tuning costs and brings: accuracy against predictivity of every network that was kept.

    Parameters
    ----------
    chosen : DataFrame with condition, distil, accuracy, predictivity and front (bool): no other network beats it in
        both, and it lies on the line

    Returns
    -------
    PNG
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    colour_of = _colours(chosen["condition"])
    for condition, group in chosen.groupby("condition", sort=False):
        axes.plot(group["accuracy"], group["predictivity"], "o", color=colour_of[str(condition)], markersize=5)
    for _, each in chosen[chosen["condition"] == chosen["condition"].iloc[0]].iterrows():
        place = (each["accuracy"], each["predictivity"])
        axes.annotate(f"{each['distil']:g}", place, textcoords="offset points", xytext=(4, 4), fontsize=7)
    best = chosen[chosen["front"]].sort_values("accuracy")
    axes.plot(best["accuracy"], best["predictivity"], color="black", linewidth=0.8)
    _name_axes(axes, x="accuracy on validation images", y="predictivity on validation images")
    _legend(figure, colour_of)
    return _png(figure)


def gains(compared: pd.DataFrame) -> bytes:
    """Change of each condition from the teacher with its interval, a panel for each benchmark.

    Parameters
    ----------
    compared : DataFrame with benchmark, a (condition), b, difference, low, high; rows against the teacher are drawn

    Returns
    -------
    PNG
    """
    from matplotlib.figure import Figure

    changes = compared[compared["b"] == "teacher"]
    panels = list(changes.groupby("benchmark", sort=False))
    figure = Figure(figsize=(INCHES[0], 1 + 1.6 * len(panels)), dpi=DPI, layout="constrained")
    for axes, (benchmark, rows) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        places = range(len(rows))
        error = [rows["difference"] - rows["low"], rows["high"] - rows["difference"]]
        axes.errorbar(rows["difference"], places, xerr=error, fmt="o", color="tab:blue", linewidth=0.8)
        axes.axvline(0, color="grey", linewidth=0.6)
        axes.set_yticks(places, labels=rows["a"])
        axes.invert_yaxis()
        axes.set_title(str(benchmark), fontsize=8)
        _name_axes(axes, x="", y="")
    figure.supxlabel("change from the teacher", fontsize=9)
    return _png(figure)


def _colours(conditions: pd.Series) -> dict[str, str]:
    return {name: f"C{place % 10}" for place, name in enumerate(dict.fromkeys(conditions))}


def _legend(figure: Any, colour_of: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, label=name) for name, colour in colour_of.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, fontsize=8, frameon=False)


def _name_axes(axes: Any, *, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Any) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()
