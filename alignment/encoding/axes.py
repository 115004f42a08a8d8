r"""The principal axes of a set of features: the one decomposition that every ridge of this package is computed in.

With $X$ the centred features `(stimulus, unit)` of rank $r$ and $X = U S V^\top$, the scores $Z = X V = U S$
`(stimulus, r)` are an isometry of $X$: ridge on $Z$ gives the predictions of ridge on $X$ at the same alpha. They come
from the eigenvectors of the smaller of $X^\top X$ (primal) and $X X^\top$ (dual). Everything here is float64: the
eigenvalues of activations span ten decades, and float32 would lose those that a small alpha lets through.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from alignment.encoding.features import ColumnReader, FeatureSource, as_source, chunk_width, spans
from alignment.errors import RequestError

_FLOOR = 0.1  # of the root mean square sd: a near-dead unit is not blown up to the size of the others
SCALES = ("none", "floored_sd")


class PrincipalAxes(Protocol):
    """Scores of the training stimuli and the way there for new ones.

    Attributes
    ----------
    scores : Tensor
        $Z$, `(stimulus, axis) float64`, columns orthogonal and centred.
    eigenvalues : Tensor
        $S^2$, `(axis,) float64`, all above 0: directions that the features do not span are left out.
    n_units : int
        Units of the features they came from.
    """

    @property
    def scores(self) -> Tensor: ...  # noqa: D102
    @property
    def eigenvalues(self) -> Tensor: ...  # noqa: D102
    @property
    def n_units(self) -> int: ...  # noqa: D102

    def project(self, source: FeatureSource) -> Tensor:
        """Scores of new stimuli, `(stimulus, axis) float64`."""
        ...

    def coefficients(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weights on axes `(axis, neuroid)` as weights on units `(unit, neuroid)`, and their part of the intercept."""
        ...


@dataclass(frozen=True)
class _Centring:
    """What is taken from, and what divides, every unit; `divisor` is None when features are only centred."""

    reader: ColumnReader
    mean: Tensor
    divisor: Tensor | None

    def apply(self, block: Tensor, start: int, stop: int) -> Tensor:
        block -= self.mean[start:stop]
        if self.divisor is not None:
            block /= self.divisor[start:stop]
        return block

    def read(self, source: FeatureSource, start: int, stop: int) -> Tensor:
        return self.apply(self.reader.read(source, start, stop), start, stop)


@dataclass(frozen=True)
class PrimalAxes:
    """Axes from the eigenvectors of $X^\\top X$, for at most as many units as stimuli."""

    scores: Tensor
    eigenvalues: Tensor
    loadings: Tensor
    centring: _Centring

    @property
    def n_units(self) -> int:
        """Units of the features they came from."""
        return len(self.centring.mean)

    def project(self, source: FeatureSource) -> Tensor:
        """$(X_{new} - \\bar x) V$."""
        out = self.loadings.new_zeros(source.shape[0], len(self.eigenvalues))
        for start, stop in spans(source.shape[1], self.centring.reader.width):
            out.addmm_(self.centring.read(source, start, stop), self.loadings[start:stop])
        return out

    def coefficients(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """$V w$, divided by the scale of each unit."""
        values = self.loadings.to(weights.dtype) @ weights
        if self.centring.divisor is not None:
            values /= self.centring.divisor[:, None].to(weights.dtype)
        return values, self.centring.mean @ values.double()


@dataclass(frozen=True)
class DualAxes:
    """Axes from the eigenvectors of $X X^\\top$, for more units than stimuli; features are read again when needed."""

    scores: Tensor
    eigenvalues: Tensor
    source: FeatureSource
    centring: _Centring

    @property
    def n_units(self) -> int:
        """Units of the features they came from."""
        return len(self.centring.mean)

    def project(self, source: FeatureSource) -> Tensor:
        """$(X_{new} - \\bar x)(X - \\bar x)^\\top U S^{-1}$, the cross-Gram summed over chunks of units."""
        cross = self.scores.new_zeros(source.shape[0], self.scores.shape[0])
        for start, stop in spans(source.shape[1], self.centring.reader.width):
            new = self.centring.read(source, start, stop)
            cross.addmm_(new, self.centring.read(self.source, start, stop).T)
        return cross @ (self.scores / self.eigenvalues)

    def coefficients(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """$X^\\top U S^{-1} w$, divided by the scale of each unit, chunk by chunk."""
        dual = (self.scores / self.eigenvalues) @ weights.double()
        values = weights.new_empty(self.source.shape[1], weights.shape[1])
        offset = dual.new_zeros(weights.shape[1])
        for start, stop in spans(self.source.shape[1], self.centring.reader.width):
            part = self.centring.read(self.source, start, stop).T @ dual
            if self.centring.divisor is not None:
                part /= self.centring.divisor[start:stop, None]
            offset += self.centring.mean[start:stop] @ part
            values[start:stop] = part
        return values, offset


def principal_axes(
    source: FeatureSource, *, scale: str, feature_chunk: int | None, device: torch.device
) -> PrimalAxes | DualAxes:
    """Centre, optionally scale, and decompose; primal where there are at most as many units as stimuli."""
    n_stimuli, n_units = source.shape
    reader = ColumnReader(chunk_width(n_stimuli, feature_chunk), device)
    divisor = _divisor(reader, source, scale=scale)
    mean = torch.empty(n_units, dtype=torch.float64, device=device)
    centring = _Centring(reader, mean, divisor)
    primal = n_units <= n_stimuli
    design = mean.new_empty(n_stimuli, n_units) if primal else None
    gram = mean.new_zeros(n_stimuli, n_stimuli) if design is None else None
    for start, stop in spans(n_units, reader.width):
        block = reader.read(source, start, stop)
        mean[start:stop] = block.mean(0)
        block = centring.apply(block, start, stop)
        if design is not None:
            design[:, start:stop] = block
        elif gram is not None:
            gram.addmm_(block, block.T)
    if design is not None:
        eigenvalues, loadings = _eigenvectors(
            design.T @ design, rank_limit=n_stimuli - 1, noise=_noise(centring, n_stimuli)
        )
        return PrimalAxes(design @ loadings, eigenvalues, loadings, centring)
    assert gram is not None
    eigenvalues, basis = _eigenvectors(gram, rank_limit=n_stimuli - 1, noise=_noise(centring, n_stimuli))
    return DualAxes(basis * eigenvalues.sqrt(), eigenvalues, source, centring)


def gram_equivalent(
    x: Tensor | FeatureSource, *, feature_chunk: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    r"""A small matrix that is to ridge what `x` is: same Gram matrix of centred stimuli, at most n - 1 columns.

    Ridge on any subset of stimuli sees features only through inner products of differences between stimuli, and these
    are the same for $Z = U S$ as for $X = U S V^\top$. So a layer of 200,000 units is read once, and every outer fold,
    inner split and layer comparison works on rows of the result: `fit_ridge(z[train], y[train], ...).predict(z[test])`
    gives the predictions and alphas of `fit_ridge(x[train], ...)`. Nothing about test responses enters; centring is
    redone inside each fit on its own stimuli.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`, all stimuli that will be used.
    feature_chunk : int, optional
        Units read at once; 64 MiB of float64 unless given.
    device : torch.device or str, optional
        Where to compute; that of `x` when it is a tensor, else the CPU.

    Returns
    -------
    Tensor
        `(stimulus, axis) float64`, axis <= min(stimulus - 1, unit); one column of zeros for features that do not vary.

    Examples
    --------
    >>> x = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    >>> z = gram_equivalent(x)
    >>> z.shape, torch.allclose(torch.cdist(z, z), torch.cdist(x.double(), x.double()))
    (torch.Size([6, 5]), True)
    """
    where = torch.device(device) if device is not None else x.device if isinstance(x, Tensor) else torch.device("cpu")
    scores = principal_axes(as_source(x), scale="none", feature_chunk=feature_chunk, device=where).scores
    return scores if scores.shape[1] else scores.new_zeros(len(scores), 1)


def _divisor(reader: ColumnReader, source: FeatureSource, *, scale: str) -> Tensor | None:
    if scale == "none":
        return None
    if scale != "floored_sd":
        raise RequestError(f"scale={scale!r} is not known: choose one of {', '.join(SCALES)}")
    deviations = reader.deviations(source)
    floor = _FLOOR * deviations.square().mean().sqrt()
    return torch.ones_like(deviations) if floor == 0 else deviations.clamp(min=float(floor))


def _noise(centring: _Centring, n_stimuli: int) -> float:
    """What rounding leaves of a constant unit after centring, as an eigenvalue; four decades above the bare error."""
    mean = centring.mean if centring.divisor is None else centring.mean / centring.divisor
    eps = torch.finfo(torch.float64).eps
    return 1e4 * eps**2 * n_stimuli * float(mean.square().sum())


def _eigenvectors(gram: Tensor, *, rank_limit: int, noise: float) -> tuple[Tensor, Tensor]:
    """Eigenvalues above rounding, largest first, with their vectors; at most `rank_limit`, which centring leaves."""
    eigenvalues, vectors = torch.linalg.eigh(gram)
    eigenvalues, vectors = eigenvalues.flip(0), vectors.flip(1)
    largest = float(eigenvalues[0])
    floor = max(noise, largest * len(gram) * torch.finfo(torch.float64).eps, 0.0)
    rank = min(int((eigenvalues > floor).sum()), rank_limit)
    return eigenvalues[:rank].contiguous(), vectors[:, :rank].contiguous()
