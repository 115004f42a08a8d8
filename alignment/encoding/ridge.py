r"""Ridge regression from features to responses, with an alpha per neuroid.

$\min_{w, c} \lVert y - X w - c \rVert^2 + \alpha \lVert w \rVert^2$, the intercept $c$ not penalised, features centred
and not z-scored. Everything is computed on the principal axes of the features (`axes`), an alpha is judged by one of
three criteria (`criteria`) and chosen by `selection`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from alignment.encoding.arguments import check_chunks, check_responses, checked_folds, checked_grid
from alignment.encoding.axes import PrincipalAxes, principal_axes
from alignment.encoding.criteria import Design, GeneralisedCrossValidation, KFold, LeaveOneOut, split
from alignment.encoding.features import FeatureSource, as_source, spans
from alignment.encoding.selection import Criterion, choose
from alignment.errors import RequestError

_BLOCK_BYTES = 2**29  # of intermediate results per block of neuroids

Selection = Literal["loo", "gcv", "kfold"]
_CRITERIA: dict[str, Callable[[Design, Tensor], Criterion]] = {
    "loo": LeaveOneOut,
    "gcv": GeneralisedCrossValidation,
}


@dataclass(frozen=True)
class RidgeFit:
    """A fitted encoding model.

    Parameters
    ----------
    alphas : Tensor
        `(neuroid,) float64`, the chosen ones, as they stood in the grid.
    alpha_unit : float
        What a grid value of 1 is: the mean eigenvalue of the Gram matrix of centred training features, trace / n, for
        relative alphas; 1.0 for absolute ones. The penalty of a neuroid is `alphas * alpha_unit`.
    cv_mse : Tensor
        `(neuroid,)`, the selection criterion at the chosen alpha, in squared units of the responses.
    cv_score : Tensor
        `(neuroid,)`, 1 - cv_mse / variance over training stimuli: comparable between layers for the same responses and
        the same selection. NaN for a neuroid that does not vary.
    y_mean : Tensor
        `(neuroid,)`, mean training response.
    coefficients : Tensor or None
        `(unit, neuroid)`, only when they were asked for.
    intercept : Tensor or None
        `(neuroid,)`, beside them: prediction = x @ coefficients + intercept.
    axes : PrincipalAxes
        Where the model lives.
    weights : Tensor
        `(axis, neuroid)`, its coefficients there.
    """

    alphas: Tensor
    alpha_unit: float
    cv_mse: Tensor
    cv_score: Tensor
    y_mean: Tensor
    coefficients: Tensor | None
    intercept: Tensor | None
    axes: PrincipalAxes
    weights: Tensor

    def predict(self, x: Tensor | FeatureSource) -> Tensor:
        """Predicted responses to new stimuli.

        Parameters
        ----------
        x : Tensor or FeatureSource
            `(stimulus, unit)`, the units of the fit.

        Returns
        -------
        Tensor
            `(stimulus, neuroid)`, dtype of the training responses.

        Raises
        ------
        RequestError
            When the number of units differs.
        """
        source = as_source(x)
        if source.shape[1] != self.axes.n_units:
            raise RequestError(
                f"x has {source.shape[1]} units, the fit was made on {self.axes.n_units}: give the same layer"
            )
        scores = self.axes.project(source).to(self.weights.dtype)
        return torch.addmm(self.y_mean, scores, self.weights)


def fit_ridge(
    x: Tensor | FeatureSource,
    y: Tensor,
    *,
    alphas: Sequence[float] | Tensor,
    selection: Selection = "loo",
    folds: Sequence[int] | Tensor | None = None,
    relative: bool = True,
    scale: Literal["none", "floored_sd"] = "none",
    neuroid_chunk: int | None = None,
    feature_chunk: int | None = None,
    coefficients: bool = False,
    device: torch.device | str | None = None,
) -> RidgeFit:
    r"""Fit a ridge regression to every neuroid and choose its alpha on the training stimuli.

    The decomposition is float64. Products with responses have the precision of `y`: with float64 every alpha is
    evaluated in float64; with float32 alphas are screened at whatever precision is fastest, those that could be the
    best are compared in float32, and those that float32 cannot tell apart in float64.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`, features of the training stimuli; a source is read by columns. Primal where there are at
        most as many units as stimuli, else dual.
    y : Tensor
        `(stimulus, neuroid) float32 or float64`, training responses.
    alphas : sequence of float or Tensor
        The grid, all above 0; of equally good ones the first wins.
    selection : {"loo", "gcv", "kfold"}
        Exact leave-one-out, generalised cross-validation, or `folds`. Equations: `alignment.encoding.criteria`.
    folds : sequence of int or Tensor, optional
        `(stimulus,)`, the fold in which a stimulus is held out; squared error is averaged within, then over folds.
    relative : bool
        Alphas are multiples of the mean eigenvalue of the Gram matrix of centred training features, trace(K) / n, in
        every fold that of all training stimuli; False takes them as they are, as scikit-learn and himalaya do.
    scale : {"none", "floored_sd"}
        Divide units by their sd, floored at a tenth of the root mean square sd of the layer, or leave them.
    neuroid_chunk, feature_chunk : int, optional
        Neuroids and units worked on at once; chosen to bound memory unless given. They do not change the result.
    coefficients : bool
        Also form the matrix `(unit, neuroid)`.
    device : torch.device or str, optional
        Where to compute; that of `y` unless given.

    Returns
    -------
    RidgeFit
        On `device`.

    Raises
    ------
    RequestError
        When an argument does not fit the others.
    DataError
        When features or responses hold a NaN or an infinity.

    Examples
    --------
    >>> x = torch.randn(50, 200, generator=torch.Generator().manual_seed(0))
    >>> fit = fit_ridge(x[:40], x[:40, :3], alphas=torch.logspace(-4, 4, 17))
    >>> fit.predict(x[40:]).shape, fit.cv_score.shape
    (torch.Size([10, 3]), torch.Size([3]))
    """
    source = as_source(x)
    where = torch.device(device) if device is not None else y.device
    grid = checked_grid(alphas).to(where)
    check_responses(y, n_stimuli=source.shape[0])
    labels = checked_folds(folds, selection=selection, n_stimuli=source.shape[0])
    check_chunks(neuroid_chunk=neuroid_chunk, feature_chunk=feature_chunk)
    axes = principal_axes(source, scale=scale, feature_chunk=feature_chunk, device=where)
    mean_eigenvalue = float(axes.eigenvalues.sum()) / source.shape[0]
    norm = mean_eigenvalue or 1.0  # features that do not vary: any unit will do
    grid_normed = grid if relative else grid / norm
    # In units of the mean eigenvalue, squares of what enters float32 products stay far from its limits.
    design = Design(scores=axes.scores / norm**0.5, eigenvalues=axes.eigenvalues / norm)
    criterion = _CRITERIA[selection] if labels is None else partial(KFold, folds=split(design, labels.to(where)))
    parts = [
        _fit_block(design, criterion, y[:, start:stop].to(where), grid=grid_normed)
        for start, stop in spans(y.shape[1], neuroid_chunk or _block(design, labels, dtype=y.dtype))
    ]
    index, mse, variance, mean = (torch.cat([part[i] for part in parts]) for i in range(4))
    weights = torch.cat([part[4] for part in parts]).T / norm**0.5
    matrix, offset = axes.coefficients(weights) if coefficients else (None, None)
    return RidgeFit(
        alphas=grid[index],
        alpha_unit=norm if relative else 1.0,
        cv_mse=mse,
        cv_score=torch.where(variance > 0, 1 - mse / variance, torch.nan),
        y_mean=mean,
        coefficients=matrix,
        intercept=None if offset is None else mean - offset.to(mean.dtype),
        axes=axes,
        weights=weights,
    )


def _fit_block(
    design: Design, criterion: Callable[[Design, Tensor], Criterion], y: Tensor, *, grid: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Index of the alpha, criterion, variance, mean, and weights on the normed axes, for a block of neuroids."""
    standard, mean, sd = _standardise(y)
    fast = criterion(design, standard)

    def in_float64(neuroids: Tensor) -> Criterion:
        return criterion(design, _standardise(y[:, neuroids].double())[0])

    index, mse = choose(fast, grid, dtype=y.dtype, in_float64=in_float64)
    roots, values = design.eigenvalues.sqrt().to(y.dtype), design.eigenvalues.to(y.dtype)
    weights = fast.projected * roots / (values + grid.to(y.dtype)[index, None])
    return index, mse.to(y.dtype) * sd.square(), sd.square(), mean, weights * sd[:, None]


def _standardise(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Responses of mean 0 and variance 1, their mean and sd; a neuroid that does not vary is all 0.

    The mean is taken twice: in float32 the first one is off by its own rounding, which matters when it is far above the
    sd.
    """
    mean = y.mean(0)
    centred = y - mean
    rest = centred.mean(0)
    centred -= rest
    sd = centred.square().mean(0).sqrt()
    # A few roundings of the mean: what is left of a constant after centring.
    sd = torch.where(sd <= 8 * torch.finfo(y.dtype).eps * mean.abs(), 0.0, sd)
    centred *= torch.where(sd > 0, 1 / sd, 0.0)
    return centred, mean + rest, sd


def _block(design: Design, labels: Tensor | None, *, dtype: torch.dtype) -> int:
    """How many neuroids to work on at once."""
    n_stimuli, n_axes = design.scores.shape
    copies = 2 if labels is None else 3 * len(labels.unique())
    per_neuroid = (3 * n_stimuli + copies * n_axes) * dtype.itemsize
    return max(64, _BLOCK_BYTES // per_neuroid)
