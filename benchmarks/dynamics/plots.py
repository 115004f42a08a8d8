"""Figures of a network's dynamics as PNG, from the details of its record."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
# entry of a record's details that is drawn here
DYNAMICS = "dynamics"
SPECTRA, TRAJECTORIES, DECISIONS = "spectra", "trajectories", "decisions"


def figures(details: Mapping[str, Any]) -> dict[str, bytes]:
    """Every figure of a record of the benchmark `dynamics`, by name.

    Parameters
    ----------
    details : entry `dynamics` of the record's

    Examples
    --------
    >>> details = {"time_ms": [2.0], "accuracy": [0.1], "entropy": [2.3], "spectra": {"rates.0": [[0.5], [0.0]]},
    ...     "trajectories": {"rates.0": [[[0.0, 0.0], [1.0, 0.5]]]}}
    >>> {name: png[:4] for name, png in figures(details).items()}
    {'spectra': b'\\x89PNG', 'trajectories': b'\\x89PNG', 'decisions': b'\\x89PNG'}
    """
    return {
        SPECTRA: spectra(details["spectra"]),
        TRAJECTORIES: trajectories(details["trajectories"], steps=len(details["time_ms"])),
        DECISIONS: decisions(details["time_ms"], details["accuracy"], details["entropy"]),
    }


def spectra(by_area: Mapping[str, tuple[list[float], list[float]]]) -> bytes:
    """Leading eigenvalues of each area in the complex plane, with the unit circle and the line that stability ends at.

    Parameters
    ----------
    by_area : area -> real and imaginary parts

    Returns
    -------
    PNG
    """
    figure, panels = _panels(len(by_area))
    turn = np.linspace(0, 2 * np.pi, 200)
    for axes, (area, (real, imaginary)) in zip(panels, by_area.items(), strict=True):
        axes.plot(np.cos(turn), np.sin(turn), color="0.7", linewidth=0.8)
        axes.axvline(1, color="0.7", linewidth=0.8, linestyle="--")
        axes.scatter(real, imaginary, s=12)
        axes.set_aspect("equal")
        axes.set(title=area, xlabel="real", ylabel="imaginary")
    return _png(figure)


def trajectories(by_area: Mapping[str, list[list[list[float]]]], *, steps: int) -> bytes:
    """Paths of some images through the first two components of each area: solid with the image on, dotted after it.

    Parameters
    ----------
    by_area : area -> (image, step, component)
    steps : with the image on

    Returns
    -------
    PNG
    """
    figure, panels = _panels(len(by_area))
    for axes, (area, paths) in zip(panels, by_area.items(), strict=True):
        for number, path in enumerate(np.asarray(paths)):
            second = path[:, 1] if path.shape[1] > 1 else np.zeros(len(path))
            axes.plot(path[:steps, 0], second[:steps], color=f"C{number}", linewidth=1)
            axes.plot(path[steps - 1 :, 0], second[steps - 1 :], color=f"C{number}", linewidth=1, linestyle=":")
        axes.set(title=area, xlabel="component 1", ylabel="component 2")
    return _png(figure)


def decisions(times: list[float], accuracy: list[float], entropy: list[float]) -> bytes:
    """Accuracy, and entropy of the softmax, at every step since the image came on.

    Parameters
    ----------
    times : (step,) in ms
    accuracy, entropy : (step,) means over images

    Returns
    -------
    PNG
    """
    figure, (left, right) = _panels(2)
    left.plot(times, accuracy)
    left.set(title="decisions", xlabel="ms", ylabel="accuracy", ylim=(0, 1))
    right.plot(times, entropy)
    right.set(title="uncertainty", xlabel="ms", ylabel="entropy (nats)", ylim=(0, None))
    return _png(figure)


def _panels(count: int) -> "tuple[Figure, list[Any]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 3 * count, 3.2), dpi=DPI, layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _png(figure: "Figure") -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()
