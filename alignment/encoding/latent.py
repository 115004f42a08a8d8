r"""Regression on a few latent components of the features: partial least squares, and principal components.

Both live on the principal axes of the training features (`axes`), an isometry of these, and so read a layer of any
width once. Their number of components is a setting, not chosen per neuroid as the alpha of a ridge is: they are here to
compare with published scores. Known failure: one number of components for all layers favours those whose variance lies
in few directions, and the signal beyond them is lost.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alignment.encoding.arguments import check_chunks, check_responses, checked_folds
from alignment.encoding.axes import PrincipalAxes, principal_axes
from alignment.encoding.features import FeatureSource, TensorFeatures, as_source
from alignment.errors import RequestError

PLS_COMPONENTS = 25


@dataclass(frozen=True)
class LatentFit:
    """A linear model of responses on the principal axes of the features.

    Parameters
    ----------
    n_components : int
        Latent components used.
    cv_score : Tensor or None
        `(neuroid,)`, 1 - cross-validated squared error / variance over training stimuli, the components made anew in
        every fold: comparable between layers. NaN for a neuroid that does not vary; None without folds.
    y_mean : Tensor
        `(neuroid,)`, mean training response.
    axes : PrincipalAxes
        Where the model lives.
    weights : Tensor
        `(axis, neuroid) float64`, its coefficients there.
    """

    n_components: int
    cv_score: Tensor | None
    y_mean: Tensor
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
        predicted = self.axes.project(source) @ self.weights + self.y_mean.double()
        return predicted.to(self.y_mean.dtype)


def fit_pls(
    x: Tensor | FeatureSource,
    y: Tensor,
    *,
    n_components: int = PLS_COMPONENTS,
    folds: Sequence[int] | Tensor | None = None,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> LatentFit:
    r"""Partial least squares regression: components of the features that covary most with the responses.

    That of Brain-Score (Schrimpf et al. 2018): 25 components, features and responses centred and not scaled, all
    neuroids of `y` fitted together, `sklearn.cross_decomposition.PLSRegression(n_components, scale=False)` on float64
    (two-block NIPALS, Wegelin 2000, mode A). Its steps see features through inner products of stimuli alone, so that
    the principal scores give its predictions at the cost of at most n - 1 columns. Since neuroids share components, the
    prediction of one depends on which others are fitted with it. A component that has not converged after 500 steps of
    NIPALS is used as it is, there and here: this happens to responses unrelated to the features, and takes minutes for
    1,000 stimuli with 500 neuroids where others take seconds.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`, features of the training stimuli; a source is read by columns.
    y : Tensor
        `(stimulus, neuroid) float32 or float64`, training responses of one subject.
    n_components : int
    folds : sequence of int or Tensor, optional
        `(stimulus,)`, the fold in which a stimulus is held out, for `cv_score`.
    feature_chunk : int, optional
        Units read at once; chosen to bound memory unless given.
    device : torch.device or str, optional
        Where features are decomposed and predictions made; that of `y` unless given. NIPALS runs on the CPU.

    Returns
    -------
    LatentFit
        On `device`.

    Raises
    ------
    RequestError
        When an argument does not fit the others, or stimuli or units are too few for so many components.
    DataError
        When features or responses hold a NaN or an infinity.

    Examples
    --------
    >>> x = torch.randn(60, 300, generator=torch.Generator().manual_seed(0))
    >>> fit_pls(x[:50], x[:50, :4]).predict(x[50:]).shape
    torch.Size([10, 4])
    """
    return _fit(x, y, _pls_weights, n_components=n_components, folds=folds, feature_chunk=feature_chunk, device=device)


def fit_pcr(
    x: Tensor | FeatureSource,
    y: Tensor,
    *,
    n_components: int,
    folds: Sequence[int] | Tensor | None = None,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> LatentFit:
    r"""Ordinary least squares on the first principal components of the training features.

    With scores $Z$ and eigenvalues $s^2$ of the centred features, $w_k = z_k^\top (y - \bar y) / s_k^2$ for the first
    components and 0 beyond: `PCA` followed by `LinearRegression` in scikit-learn. The components do not look at the
    responses.

    Parameters
    ----------
    x, y, folds, feature_chunk, device
        As in `fit_pls`.
    n_components : int

    Returns
    -------
    LatentFit
        On `device`.

    Raises
    ------
    RequestError, DataError
        As in `fit_pls`.

    Examples
    --------
    >>> x = torch.randn(60, 300, generator=torch.Generator().manual_seed(0))
    >>> fit = fit_pcr(x[:50], x[:50, :4], n_components=20, folds=torch.arange(50) % 5)
    >>> fit.predict(x[50:]).shape, fit.cv_score.shape
    (torch.Size([10, 4]), torch.Size([4]))
    """
    return _fit(x, y, _pcr_weights, n_components=n_components, folds=folds, feature_chunk=feature_chunk, device=device)


# from axes of the features, centred responses and a number of components to weights (axis, neuroid)
_Weights = Callable[[PrincipalAxes, Tensor, int], Tensor]


def _pls_weights(axes: PrincipalAxes, y: Tensor, n_components: int) -> Tensor:
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # components whose covariances with the responses are nearly equal: any of their mixtures serves as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = PLSRegression(n_components=n_components, scale=False).fit(axes.scores.cpu().numpy(), y.cpu().numpy())
    return torch.from_numpy(np.asarray(model.coef_)).to(y.device).T


def _pcr_weights(axes: PrincipalAxes, y: Tensor, n_components: int) -> Tensor:
    weights = axes.scores.T @ y / axes.eigenvalues[:, None]
    weights[n_components:] = 0
    return weights


def _fit(
    x: Tensor | FeatureSource,
    y: Tensor,
    make_weights: _Weights,
    *,
    n_components: int,
    folds: Sequence[int] | Tensor | None,
    feature_chunk: int | None,
    device: torch.device | str | None,
) -> LatentFit:
    source = as_source(x)
    where = torch.device(device) if device is not None else y.device
    check_responses(y, n_stimuli=source.shape[0])
    check_chunks(feature_chunk=feature_chunk)
    labels = None if folds is None else checked_folds(folds, selection="kfold", n_stimuli=source.shape[0])
    if not 1 <= n_components <= min(source.shape):
        raise RequestError(
            f"{n_components} components of {source.shape[1]} units over {source.shape[0]} stimuli: "
            "give at least 1, and at most as many as either"
        )
    axes = principal_axes(source, scale="none", feature_chunk=feature_chunk, device=where)
    responses = y.to(device=where, dtype=torch.float64)
    whole = _on_axes(axes, responses, make_weights, n_components=n_components, dtype=y.dtype)
    if labels is None:
        return whole
    errors = _held_out_errors(axes.scores, responses, make_weights, n_components=n_components, labels=labels.to(where))
    variance = responses.var(0, correction=0)
    # a few roundings of the mean: what centring leaves of a constant
    varies = variance.sqrt() > 8 * torch.finfo(variance.dtype).eps * responses.mean(0).abs()
    cv_score = torch.where(varies, 1 - errors / variance, torch.nan)
    return dataclasses.replace(whole, cv_score=cv_score.to(y.dtype))


def _held_out_errors(scores: Tensor, y: Tensor, make_weights: _Weights, *, n_components: int, labels: Tensor) -> Tensor:
    """Squared error `(neuroid,)`, averaged within and then over folds."""
    errors = []
    for label in labels.unique():
        held_out = labels == label
        # scores have the inner products of the features, so their axes are those of the features of these stimuli
        training = TensorFeatures(scores[~held_out])
        axes = principal_axes(training, scale="none", feature_chunk=None, device=scores.device)
        fit = _on_axes(axes, y[~held_out], make_weights, n_components=n_components, dtype=torch.float64)
        errors.append((fit.predict(scores[held_out]) - y[held_out]).square().mean(0))
    return torch.stack(errors).mean(0)


def _on_axes(
    axes: PrincipalAxes, y: Tensor, make_weights: _Weights, *, n_components: int, dtype: torch.dtype
) -> LatentFit:
    n_stimuli, n_axes = axes.scores.shape
    if n_axes < n_components:
        raise RequestError(
            f"{n_components} components of {n_stimuli} training stimuli that span {n_axes} directions: give at most "
            f"{n_axes} components, or more stimuli or units"
        )
    mean = y.mean(0)
    return LatentFit(
        n_components=n_components,
        cv_score=None,
        y_mean=mean.to(dtype),
        axes=axes,
        weights=make_weights(axes, y - mean, n_components),
    )
