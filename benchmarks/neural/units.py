"""Parts of a layer: some of its units, some of its stimuli."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment import seeds
from alignment.encoding import FeatureSource, RowSubset
from alignment.encoding.features import ColumnReader, as_source, chunk_width, spans
from alignment.invariances import OF_UNITS, ORDER

# what a layer may take of memory to be read once where many passes over it are made
RESIDENT_BYTES = 2**29
ROOT = 0


def columns_of(x: Tensor | FeatureSource, units: npt.NDArray[np.integer]) -> Tensor:
    """Some units of every stimulus, in the order asked for.

    Returns
    -------
    Tensor
        `(stimulus, len(units)) float32`, on the CPU.

    Examples
    --------
    >>> columns_of(torch.arange(8.0).reshape(2, 4), np.array([3, 0, 3]))
    tensor([[3., 0., 3.],
            [7., 4., 7.]])
    """
    source = as_source(x)
    chosen = torch.empty(source.shape[0], len(units))
    order = np.argsort(units, kind="stable")
    ordered = np.asarray(units)[order]
    for start, stop in spans(source.shape[1], chunk_width(source.shape[0], None)):
        first, last = np.searchsorted(ordered, [start, stop])
        if first < last:
            block = source.columns(start, stop)
            inside = torch.from_numpy(ordered[first:last] - start).to(block.device)
            chosen[:, torch.from_numpy(order[first:last])] = block[:, inside].to(chosen)
    return chosen


def drawn_units(bins: Sequence[Tensor | FeatureSource], units: int | None) -> list[Tensor]:
    """At most so many units of a layer, among those that vary, the same in every run and at every time bin.

    Units are taken in an order that only their number fixes: subjects share what varies for all of them, and fewer
    units are a part of more. A layer in which nothing varies gives one unit that does not, so that it scores 0.

    Parameters
    ----------
    bins : one `(stimulus, unit)` per time bin of the layer
    units : at most so many; None for all

    Returns
    -------
    One `(stimulus, drawn unit) float32` per time bin

    Raises
    ------
    DataError
        When a value is not finite.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 5.0, 2.0], [1.0, 6.0, 3.0]])
    >>> drawn_units([x], 2)
    [tensor([[5., 2.],
            [6., 3.]])]
    """
    sources = [as_source(x) for x in bins]
    varies = np.logical_or.reduce([_varies(source) for source in sources])
    order = seeds.generator(ROOT, "units", len(varies)).permutation(len(varies))
    chosen = order[varies[order]][:units]
    chosen = np.sort(chosen) if len(chosen) else order[:1]
    return [columns_of(source, chosen) for source in sources]


def units_word(units: int | None) -> str:
    """What an id says of the number of units, where not all of them is the rule."""
    return "allunits" if units is None else f"units{units}"


def of_units(units: int | None) -> tuple[str, ...]:
    """Changes that a measure made of single units does not see; another order gives others where some are drawn."""
    return OF_UNITS if units is None else tuple(change for change in OF_UNITS if change != ORDER)


def rows_of(x: Tensor | FeatureSource, rows: Tensor) -> Tensor | FeatureSource:
    """Some stimuli of a layer."""
    return x[rows.to(x.device)] if isinstance(x, Tensor) else RowSubset(x, rows)


def resident(x: Tensor | FeatureSource) -> Tensor | FeatureSource:
    """The layer as a matrix where it is small enough, so that later passes over it read no file; else as it came."""
    source = as_source(x)
    if isinstance(x, Tensor) or 4 * source.shape[0] * source.shape[1] > RESIDENT_BYTES:
        return x
    return source.columns(0, source.shape[1])


def _varies(source: FeatureSource) -> npt.NDArray[np.bool_]:
    """(unit,), whether it varies over stimuli by more than rounding in float32."""
    reader = ColumnReader(chunk_width(source.shape[0], None), torch.device("cpu"))
    found = []
    for start, stop in spans(source.shape[1], reader.width):
        block = reader.read(source, start, stop)
        spread = block.amax(0) - block.amin(0)
        found.append((spread > 8 * torch.finfo(torch.float32).eps * block.abs().amax(0)).numpy())
    return np.concatenate(found)
