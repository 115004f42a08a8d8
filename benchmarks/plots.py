"""Figures as PNG, drawn without a screen."""

import io

import pandas as pd

INCHES, DPI = (6.0, 5.0), 150


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
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()
