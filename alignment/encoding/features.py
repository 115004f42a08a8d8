"""Features read a few columns at a time, so that hundreds of thousands of units never lie in memory twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from alignment.errors import DataError, RequestError

_CHUNK_BYTES = 2**26  # one float64 block of columns: large enough for a fast product, small beside the Gram matrix


@runtime_checkable
class FeatureSource(Protocol):
    """Activations of one layer as a matrix that is read by columns.

    Attributes
    ----------
    shape : tuple of int
        (stimulus, unit).
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(stimulus, unit)."""
        ...

    def columns(self, start: int, stop: int) -> Tensor:
        """Units `start` to `stop` of every stimulus, `(stimulus, stop - start)`, any floating dtype and device."""
        ...


@dataclass(frozen=True)
class TensorFeatures:
    """A matrix in memory, `(stimulus, unit)`, as a `FeatureSource`; nothing is copied."""

    values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(stimulus, unit)."""
        return self.values.shape[0], self.values.shape[1]

    def columns(self, start: int, stop: int) -> Tensor:
        """Units `start` to `stop`."""
        return self.values[:, start:stop]


@dataclass(frozen=True)
class RowSubset:
    """Some stimuli of another source, in the order of `rows` (integer positions)."""

    source: FeatureSource
    rows: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(stimulus, unit)."""
        return len(self.rows), self.source.shape[1]

    def columns(self, start: int, stop: int) -> Tensor:
        """Units `start` to `stop` of the chosen stimuli."""
        values = self.source.columns(start, stop)
        return values[self.rows.to(values.device)]


def as_source(x: Tensor | FeatureSource, *, name: str = "x") -> FeatureSource:
    """`x` itself when it is a source, or a matrix in memory made one.

    Raises
    ------
    RequestError
        When `x` is not a floating point matrix with at least one stimulus and one unit.
    """
    if isinstance(x, Tensor):
        if x.ndim != 2 or not x.is_floating_point():
            raise RequestError(
                f"{name} is {tuple(x.shape)} {x.dtype}: give a floating point matrix (stimulus, unit), flattened"
            )
        x = TensorFeatures(x)
    if min(x.shape) < 1:
        raise RequestError(f"{name} has {x.shape[0]} stimuli and {x.shape[1]} units: give at least one of each")
    return x


def spans(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Consecutive `(start, stop)` that cover `range(total)` in steps of `width`."""
    for start in range(0, total, width):
        yield start, min(start + width, total)


def chunk_width(n_stimuli: int, feature_chunk: int | None) -> int:
    """How many units to read at once: as asked, or a float64 block of 64 MiB."""
    return feature_chunk or max(256, _CHUNK_BYTES // (8 * n_stimuli))


@dataclass(frozen=True)
class ColumnReader:
    """Reads columns in float64 on one device, and refuses what is not finite.

    Parameters
    ----------
    width : int
        Units read at once.
    device : torch.device
        Where products are computed.
    """

    width: int
    device: torch.device

    def read(self, source: FeatureSource, start: int, stop: int) -> Tensor:
        """`(stimulus, stop - start) float64`, a fresh tensor that the caller may overwrite."""
        block = source.columns(start, stop).to(device=self.device, dtype=torch.float64, copy=True)
        if block.shape != (source.shape[0], stop - start):
            raise DataError(
                f"units {start} to {stop} came as {tuple(block.shape)} where the feature source promised "
                f"{(source.shape[0], stop - start)}: its columns() and shape disagree"
            )
        if not torch.isfinite(block.sum()):
            raise DataError(f"units {start} to {stop} hold a NaN or an infinity: check the layer they came from")
        return block

    def deviations(self, source: FeatureSource) -> Tensor:
        """Standard deviation of every unit over stimuli, `(unit,) float64`."""
        parts = [
            self.read(source, start, stop).std(0, correction=0) for start, stop in spans(source.shape[1], self.width)
        ]
        return torch.cat(parts)
