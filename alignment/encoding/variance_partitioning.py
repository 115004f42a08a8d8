r"""Variance partitioning: what two sets of features explain of the responses alone, together, and in common.

With $R^2$ the explained variance on held-out stimuli of a ridge on features a, on b, and on both (Lescroart & Gallant
2019, Neuron 101; de Heer et al. 2017, J. Neurosci. 37),

    unique to a = joint - b,    unique to b = joint - a,    shared = a + b - joint

so that the three add up to joint. Each is an estimate from three fits and may be below 0; nothing is clipped.

In the joint model a wide or large set must not drown the other. Each is divided by the mean eigenvalue of its Gram
matrix of centred training features, then a gets the share $\omega$ and b the share $1 - \omega$ of the variance: banded
ridge (Nunez-Elizalde, Huth & Gallant 2019, NeuroImage 197, section 2.3) with the penalties $\alpha / \omega$ and
$\alpha / (1 - \omega)$. Share and alpha are chosen for every neuroid by cross-validation within the training stimuli.
Shares of 0 and 1, the models of one set alone, are always candidates.

Known failure: shared variance contains what both sets happen to capture, stimulus confounds included; and a joint model
that overfits takes from both unique parts and gives to the shared one.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding.axes import gram_equivalent
from alignment.encoding.features import FeatureSource, as_source
from alignment.encoding.ridge import Selection, fit_ridge
from alignment.errors import RequestError

Array = npt.NDArray[np.floating] | Tensor

SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)


@dataclass(frozen=True)
class VariancePartition:
    """Explained variance of held-out responses by two sets of features, per neuroid.

    Attributes
    ----------
    a, b, joint : array (neuroid,) float64
        1 - squared error / squared deviation on the test stimuli, for each set alone and for both.
    share : array (neuroid,) float64
        Share of a in the joint model, chosen in training; 0 and 1 are b and a alone.
    cv_score_a, cv_score_b, cv_score_joint : array (neuroid,) float64
        1 - cross-validated squared error / variance in training. That of `joint` is the best of several candidates,
        hence a little too high.
    predicted_a, predicted_b, predicted_joint : Tensor (test stimulus, neuroid)
        What `explained_variance` takes to resample test stimuli.
    """

    a: npt.NDArray[np.float64]
    b: npt.NDArray[np.float64]
    joint: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]
    cv_score_a: npt.NDArray[np.float64]
    cv_score_b: npt.NDArray[np.float64]
    cv_score_joint: npt.NDArray[np.float64]
    predicted_a: Tensor
    predicted_b: Tensor
    predicted_joint: Tensor

    @property
    def unique_a(self) -> npt.NDArray[np.float64]:
        """What only a explains: joint - b."""
        return self.joint - self.b

    @property
    def unique_b(self) -> npt.NDArray[np.float64]:
        """What only b explains: joint - a."""
        return self.joint - self.a

    @property
    def shared(self) -> npt.NDArray[np.float64]:
        """What either explains: a + b - joint."""
        return self.a + self.b - self.joint


def partition(
    x_a: Tensor | FeatureSource,
    x_b: Tensor | FeatureSource,
    y: Tensor,
    *,
    train: Sequence[int] | Tensor,
    test: Sequence[int] | Tensor,
    alphas: Sequence[float] | Tensor,
    shares: Sequence[float] = SHARES,
    selection: Selection = "loo",
    folds: Sequence[int] | Tensor | None = None,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> VariancePartition:
    """Fit a, b and both on training stimuli and explain the test stimuli; equations in the head of this module.

    Each set is replaced by its `gram_equivalent`, so that layers of any width cost a matrix of n - 1 columns. Where one
    set enters several partitions or splits, give its `gram_equivalent` instead: it is used as it is.

    Parameters
    ----------
    x_a, x_b : Tensor or FeatureSource
        `(stimulus, unit)`, all stimuli.
    y : Tensor
        `(stimulus, neuroid) float32 or float64`, responses to all stimuli.
    train, test : sequence of int or Tensor
        Positions of stimuli, none in both.
    alphas : sequence of float or Tensor
        Grid, multiples of the mean eigenvalue of the training Gram matrix, as in `fit_ridge`.
    shares : sequence of float
        Candidates for the share of a in the joint model, above 0 and below 1.
    selection, folds
        How alpha and share are chosen, as in `fit_ridge`; `folds` are of the training stimuli.
    feature_chunk : int, optional
        Units read at once; chosen to bound memory unless given.
    device : torch.device or str, optional
        Where to compute; that of `y` unless given.

    Returns
    -------
    VariancePartition

    Raises
    ------
    RequestError
        When stimuli differ in number, a position is out of range or in both sets, a share is not inside (0, 1), or as
        `fit_ridge`.
    DataError
        When features or responses hold a NaN or an infinity.

    Examples
    --------
    >>> x = torch.randn(900, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> y, stimuli = x[:, [0]] + x[:, [20]], {"train": range(300), "test": range(300, 900)}
    >>> parts = partition(x[:, :20], x[:, 10:], y, **stimuli, alphas=[1e-6, 1e-2, 1.0])
    >>> bool(parts.joint > 0.99), bool(0.3 < parts.unique_a < 0.7), bool(0.3 < parts.unique_b < 0.7)
    (True, True, True)
    """
    where = torch.device(device) if device is not None else y.device
    rows, held_out = _positions(train, test, n_stimuli=len(y))
    spaces = [
        _of_unit_eigenvalue(_small(x, name=name, n_stimuli=len(y), feature_chunk=feature_chunk, device=where), rows)
        for x, name in ((x_a, "x_a"), (x_b, "x_b"))
    ]
    training = y[rows.to(y.device)].to(where)

    def fitted(features: Tensor) -> _Candidate:
        fit = fit_ridge(features[rows], training, alphas=alphas, selection=selection, folds=folds)
        return _Candidate(fit.cv_mse, fit.cv_score, fit.predict(features[held_out]))

    a, b = (fitted(space) for space in spaces)
    joint, share = _better(b, a), (a.cv_mse < b.cv_mse).double()
    for of_a in _checked_shares(shares):
        both = torch.cat([of_a**0.5 * spaces[0], (1 - of_a) ** 0.5 * spaces[1]], dim=1)
        candidate = fitted(both)
        share = torch.where(candidate.cv_mse < joint.cv_mse, of_a, share)
        joint = _better(joint, candidate)
    observed = y[held_out.to(y.device)]
    return VariancePartition(
        a=explained_variance(a.predicted, observed),
        b=explained_variance(b.predicted, observed),
        joint=explained_variance(joint.predicted, observed),
        share=share.double().cpu().numpy(),
        cv_score_a=a.cv_score.double().cpu().numpy(),
        cv_score_b=b.cv_score.double().cpu().numpy(),
        cv_score_joint=joint.cv_score.double().cpu().numpy(),
        predicted_a=a.predicted,
        predicted_b=b.predicted,
        predicted_joint=joint.predicted,
    )


def explained_variance(
    predicted: Array, observed: Array, counts: npt.ArrayLike | None = None
) -> npt.NDArray[np.float64]:
    r"""$R^2 = 1 - \sum_i w_i (y_i - \hat y_i)^2 / \sum_i w_i (y_i - \bar y_w)^2$ of matching columns.

    Unlike a squared correlation it counts errors of mean and scale, and is below 0 where the mean predicts better.

    Parameters
    ----------
    predicted, observed : array or Tensor (stimulus, neuroid)
    counts : array (resample, stimulus), optional
        How often each stimulus stands in each resample, the $w$; any weights >= 0 will do. All 1 unless given.

    Returns
    -------
    array (neuroid,) float64, or (resample, neuroid) with counts
        At most 1; 0 where `observed` does not vary, within a resample too: there is nothing to explain.

    Raises
    ------
    RequestError
        When shapes do not fit, a value is not finite, there are fewer than two stimuli, or a resample is empty.

    Examples
    --------
    >>> explained_variance(np.array([[1.0], [2.0], [2.0]]), np.array([[1.0], [2.0], [3.0]]))
    array([0.5])
    """
    y_hat, y = (torch.as_tensor(values).detach().cpu().double() for values in (predicted, observed))
    if y.ndim != 2 or y.shape != y_hat.shape or len(y) < 2:
        raise RequestError(
            f"predicted {tuple(y_hat.shape)} and observed {tuple(y.shape)}: give two (stimulus, neuroid), 2 stimuli "
            "at least"
        )
    if not bool((torch.isfinite(y_hat) & torch.isfinite(y)).all()):
        raise RequestError("predicted or observed: values that are not finite; drop these neuroids or stimuli first")
    weights = torch.ones(1, len(y), dtype=y.dtype) if counts is None else torch.as_tensor(np.asarray(counts)).double()
    if weights.ndim != 2 or weights.shape[1] != len(y):
        raise RequestError(f"counts: shape {tuple(weights.shape)} is not (resample, {len(y)} stimuli)")
    if not bool((weights >= 0).all()) or not bool((weights.sum(1) > 0).all()):
        raise RequestError("counts: each resample needs counts >= 0 with a positive sum")
    weights = weights / weights.sum(1, keepdim=True)
    centred = y - y.mean(0)
    deviation = weights @ centred.square() - (weights @ centred).square()
    # relative to the squares whose difference it is, a few roundings
    varies = deviation > 1e-12 * (centred.square().amax(0) + torch.finfo(y.dtype).eps * y.square().amax(0))
    ratio = weights @ (y - y_hat).square() / torch.where(varies, deviation, 1.0)
    explained = torch.where(varies, 1 - ratio, 0.0).numpy()
    return explained[0] if counts is None else explained


@dataclass(frozen=True)
class _Candidate:
    """A model of every neuroid: how well it did in training and what it predicts."""

    cv_mse: Tensor
    cv_score: Tensor
    predicted: Tensor


def _better(first: _Candidate, second: _Candidate) -> _Candidate:
    """The better of two for every neuroid; the first where they are equal."""
    second_wins = second.cv_mse < first.cv_mse
    pairs = ((getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(_Candidate))
    return _Candidate(*(torch.where(second_wins, new, old) for old, new in pairs))


def _small(
    x: Tensor | FeatureSource, *, name: str, n_stimuli: int, feature_chunk: int | None, device: torch.device
) -> Tensor:
    """Features in float64 with fewer columns than stimuli and the same inner products of their differences."""
    source = as_source(x, name=name)
    if source.shape[0] != n_stimuli:
        raise RequestError(
            f"{name} has {source.shape[0]} stimuli and y has {n_stimuli}: give the same stimuli in the same order"
        )
    if isinstance(x, Tensor) and x.shape[1] < n_stimuli:
        return x.to(device=device, dtype=torch.float64)
    return gram_equivalent(source, feature_chunk=feature_chunk, device=device)


def _of_unit_eigenvalue(features: Tensor, train: Tensor) -> Tensor:
    """Features whose training Gram matrix, centred, has a mean eigenvalue of 1; what does not vary stays."""
    training = features[train]
    mean_eigenvalue = float((training - training.mean(0)).square().sum()) / len(training)
    return features / mean_eigenvalue**0.5 if mean_eigenvalue > 0 else features


def _positions(train: Sequence[int] | Tensor, test: Sequence[int] | Tensor, *, n_stimuli: int) -> tuple[Tensor, Tensor]:
    rows, held_out = (torch.as_tensor(list(part) if not isinstance(part, Tensor) else part) for part in (train, test))
    for name, part in (("train", rows), ("test", held_out)):
        if part.ndim != 1 or part.is_floating_point() or part.dtype == torch.bool or len(part) < 2:
            raise RequestError(f"{name}: give the positions of 2 stimuli at least, as integers")
        if int(part.min()) < 0 or int(part.max()) >= n_stimuli:
            raise RequestError(f"{name}: positions from {int(part.min())} to {int(part.max())} of {n_stimuli} stimuli")
    both = torch.isin(rows, held_out)
    if bool(both.any()):
        raise RequestError(
            f"{int(both.sum())} stimuli are in train and test, {int(rows[both][0])} first; keep them apart"
        )
    return rows, held_out


def _checked_shares(shares: Sequence[float]) -> list[float]:
    if not all(0 < share < 1 for share in shares):
        raise RequestError(f"shares {list(shares)}: give numbers above 0 and below 1, the share of x_a")
    return list(shares)
