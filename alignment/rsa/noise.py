"""The noise that patterns are measured in: its precision, and patterns in units of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.encoding.features import ColumnReader, FeatureSource, spans
from alignment.errors import DataError, RequestError, unknown
from alignment.grams import centred, compute_device

# its covariance takes 3.2 GB in float64
MOST_NEUROIDS = 20_000


def noise_precision(
    responses: Tensor,
    *,
    stimuli: Sequence[str],
    sessions: Sequence[str | int] | None = None,
    shrinkage: str = "diagonal",
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Inverse of the covariance of responses to the same stimulus, shrunk.

    Residuals are what presentations differ from the mean of their stimulus (in their session, when given), with
    $\nu$ = presentations - means degrees of freedom. With n presentations and p neuroids,

    "diagonal" multiplies entries of their covariance off the diagonal by $1 - \lambda$, with (Schäfer & Strimmer 2005,
    Stat. Appl. Genet. Mol. Biol. 4:32, target D)

        $\lambda = \sum_{i \neq j} \widehat{\mathrm{Var}}(r_{ij}) \,/\, \sum_{i \neq j} r_{ij}^2$, within [0, 1]

    where r is the mean over presentations of products $w$ of standardised residuals, divided by n - 1, and
    $\widehat{\mathrm{Var}}(r) = n / \nu^2 (\overline{w^2} - \overline{w}^2)$ likewise;

    "identity" takes $\lambda m I + (1 - \lambda) S$, with S the mean of the products of residuals, m the mean of its
    diagonal, and (Ledoit & Wolf 2004, J. Multivar. Anal. 88:365, section 3.2)

        $\lambda = \min(b^2, d^2) \,/\, d^2$, $d^2 = |S - m I|^2$, $b^2 = (\overline{|x x^\top|^2} - |S|^2) / n$

    times $n / \nu$. Both as rsatoolbox computes them (`prec_from_unbalanced`, methods `shrinkage_diag` and
    `shrinkage_eye`).

    Parameters
    ----------
    responses : Tensor (presentation, neuroid) float
    stimuli : sequence of str
        Id of each presentation; some must be shown twice.
    sessions : sequence, optional
        Label of each presentation; means are taken within sessions, so that drifts between them are no noise.
    shrinkage : {"diagonal", "identity"}
    device : torch.device or str, optional
        Where to compute; that of the responses when not given.

    Returns
    -------
    Tensor (neuroid, neuroid) float64
        Symmetric and positive definite, on that device.

    Raises
    ------
    RequestError
        Shapes do not fit, or an unknown shrinkage.
    DataError
        More than `MOST_NEUROIDS` neuroids; a response is not finite; no stimulus is shown twice; a neuroid does not
        vary between presentations of a stimulus; or the shrunk covariance cannot be inverted.

    Examples
    --------
    >>> responses = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> noise_precision(responses, stimuli=["a", "a", "b", "b"]).diagonal().numpy()
    array([1.  , 0.25])
    """
    if shrinkage not in SHRINKAGES:
        raise unknown("shrinkage", shrinkage, SHRINKAGES)
    if responses.ndim != 2 or not responses.is_floating_point() or 0 in responses.shape:
        raise RequestError(
            f"responses: {responses.dtype} {tuple(responses.shape)} is not (presentation, neuroid) float"
        )
    if responses.shape[1] > MOST_NEUROIDS:
        raise DataError(
            f"noise of {responses.shape[1]} neuroids is a matrix of {8 * responses.shape[1] ** 2 / 1e9:.0f} GB: "
            f"select {MOST_NEUROIDS} neuroids at most, or give no precision"
        )
    residuals, freedom = _residuals(responses.to(compute_device(responses, device)), stimuli, sessions)
    covariance = SHRINKAGES[shrinkage](residuals, freedom)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    pivots = factor.diagonal().square() / covariance.diagonal()
    # what rounding can leave of a pivot that is 0
    if bool(failed) or bool((pivots < 8 * len(factor) * torch.finfo(factor.dtype).eps).any()):
        raise DataError(
            f"noise of {len(covariance)} neuroids from {freedom} degrees of freedom has no inverse; "
            "select fewer neuroids or give more repetitions"
        )
    return torch.cholesky_inverse(factor)


@dataclass(frozen=True)
class Whitened:
    """Patterns in units of the noise, as a `FeatureSource`: their squared distances are those of Mahalanobis.

    Parameters
    ----------
    source : FeatureSource
        `(pattern, unit)`; each unit is centred over patterns, which leaves differences as they are.
    factor : Tensor (unit, unit) float64
        Of `root_of_precision`.
    reader : ColumnReader
        How the source is read: for some units of these, all later ones of the source in turn.
    """

    source: FeatureSource
    factor: Tensor
    reader: ColumnReader

    @property
    def shape(self) -> tuple[int, int]:
        """(pattern, unit)."""
        return self.source.shape

    def columns(self, start: int, stop: int) -> Tensor:
        """Units `start` to `stop`, in float64."""
        n_patterns, n_units = self.source.shape
        whitened = self.factor.new_zeros(n_patterns, stop - start)
        for first, last in spans(n_units - start, self.reader.width):
            read = slice(start + first, start + last)
            whitened.addmm_(
                centred(self.reader.read(self.source, read.start, read.stop)), self.factor[read, start:stop]
            )
        return whitened


def root_of_precision(precision: Tensor, *, n_units: int, device: torch.device) -> Tensor:
    """The lower triangular L of precision = L L^T, `(unit, unit) float64`.

    Raises
    ------
    RequestError
        Another shape, or not symmetric and positive definite.
    """
    if precision.shape != (n_units, n_units):
        raise RequestError(f"precision is {tuple(precision.shape)}: give (unit, unit), here {(n_units, n_units)}")
    matrix = precision.to(device=device, dtype=torch.float64)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    # the decomposition reads one triangle alone; a NaN fails this comparison too
    even = bool(((matrix - matrix.T).abs() <= 1e-5 * matrix.abs().max()).all())
    if bool(failed) or not even:
        raise RequestError("precision is not symmetric and positive definite: take one from noise_precision")
    return factor


def numbered(labels: Sequence[object]) -> tuple[Tensor, int]:
    """Numbers of labels in order of first appearance, and how many there are."""
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return torch.tensor([numbers[label] for label in labels], dtype=torch.int64), len(numbers)


def group_means(values: Tensor, group: Tensor, *, count: int) -> Tensor:
    """Mean of the rows of each group, `(group, unit)`; 0 for a group without rows."""
    order = group.argsort(stable=True)
    sizes = group.bincount(minlength=count)
    there = sizes.nonzero()[:, 0]
    means = values.new_zeros(count, values.shape[1])
    # sums in a fixed order, so that they are the same each time on a GPU too
    means[there] = torch.segment_reduce(values[order], "mean", lengths=sizes[there], axis=0)
    return means


def _residuals(values: Tensor, stimuli: Sequence[str], sessions: Sequence[str | int] | None) -> tuple[Tensor, int]:
    """Float64 residuals `(presentation, neuroid)` and their degrees of freedom."""
    for name, labels in (("stimulus ids", stimuli), ("sessions", sessions)):
        if labels is not None and len(labels) != len(values):
            raise RequestError(f"{len(labels)} {name} for {len(values)} presentations: give one to each")
    cells = list(stimuli) if sessions is None else list(zip(stimuli, sessions, strict=True))
    group, n_means = numbered(cells)
    group = group.to(values.device)
    freedom = len(values) - n_means
    if freedom < 1:
        raise DataError(
            f"{len(values)} presentations of as many stimuli{' and sessions' if sessions is not None else ''}: "
            "noise shows where one is shown twice; give more repetitions or no precision"
        )
    _refuse(~torch.isfinite(values).all(0), "hold a NaN or an infinity")
    firsts = torch.full((n_means,), len(values), device=values.device)
    firsts = firsts.scatter_reduce(0, group, torch.arange(len(values), device=values.device), "amin")
    _refuse((values == values[firsts[group]]).all(0), "do not vary between presentations of a stimulus")
    values = values.double()
    return values - group_means(values, group, count=n_means)[group], freedom


def _refuse(which: Tensor, why: str) -> None:
    if bool(which.any()):
        first = int(which.nonzero()[0, 0])
        raise DataError(f"{int(which.sum())} neuroids, neuroid {first} first, {why}; drop them")


def _towards_diagonal(residuals: Tensor, freedom: int) -> Tensor:
    count, variance = len(residuals), residuals.square().sum(0) / freedom
    squares = residuals.square() / variance
    products = (residuals / variance.sqrt()).T @ (residuals / variance.sqrt())
    products.fill_diagonal_(0)
    size = float(torch.linalg.matrix_norm(products)) ** 2 / (count - 1) ** 2
    # sums over pairs of neuroids, without a matrix of them
    squared = float((squares.sum(1).square() - squares.square().sum(1)).sum()) / (count - 1)
    spread = count / freedom**2 * (squared - size)
    share = min(max(spread / size, 0.0), 1.0) if size > 0 else 1.0
    products *= (1 - share) / freedom * variance.sqrt()
    products *= variance.sqrt()[:, None]
    return products.diagonal_scatter(variance)


def _towards_identity(residuals: Tensor, freedom: int) -> Tensor:
    count, products = len(residuals), residuals.T @ residuals
    products /= count
    variance = products.diagonal().clone()
    middle = variance.mean()
    products.fill_diagonal_(0)
    off = float(torch.linalg.matrix_norm(products)) ** 2
    away = off + float((variance - middle).square().sum())
    fourth = float(residuals.square().sum(1).square().mean())
    spread = (fourth - off - float(variance.square().sum())) / count
    share = min(spread / away, 1.0) if away > 0 else 1.0
    products *= (1 - share) * count / freedom
    return products.diagonal_scatter((variance + share * (middle - variance)) * count / freedom)


SHRINKAGES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "diagonal": _towards_diagonal,
    "identity": _towards_identity,
}
