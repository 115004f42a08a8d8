r"""Three ways to judge an alpha without refitting: leave-one-out, generalised cross-validation, k folds.

All work on the principal axes $X = U S V^\top$ of the centred features, with $b = U^\top y$ and the shrinkage
$a_k(\alpha) = \alpha / (s_k^2 + \alpha)$. The residual of the fit is $e(\alpha) = y_\perp + U\,\mathrm{diag}(a)\,b$,
where $y_\perp = y - U b$ is what no alpha can reach. The intercept is the constant direction, which ridge does not
penalise: it is orthogonal to $U$ because features are centred, and takes $1/n$ of leverage from every stimulus at every
alpha.

Each takes `y` `(stimulus, neuroid)`, mean 0 and variance 1, and keeps `projected`, $b^\top$ `(neuroid, axis)`: neuroids
come first in what is kept, so that the rows of a few of them are gathered at the speed of a copy.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Design:
    """Principal axes of the training stimuli in units in which the mean eigenvalue of their Gram matrix is 1.

    Parameters
    ----------
    scores : Tensor
        $U S$, `(stimulus, axis) float64`.
    eigenvalues : Tensor
        $S^2$, `(axis,) float64`.
    """

    scores: Tensor
    eigenvalues: Tensor

    def basis(self, dtype: torch.dtype) -> Tensor:
        """$U$, `(stimulus, axis)`."""
        return (self.scores / self.eigenvalues.sqrt()).to(dtype)

    @property
    def full_rank(self) -> bool:
        """True when axes and the constant direction together span every response."""
        return self.scores.shape[1] == self.scores.shape[0] - 1

    def shrinkage(self, alphas: Tensor) -> Tensor:
        """$a_k(\\alpha)$, `(alpha, axis) float64`."""
        return alphas[:, None] / (self.eigenvalues + alphas[:, None])

    def project(self, y: Tensor) -> Tensor:
        """$b^\\top$, `(neuroid, axis)`."""
        return y.T @ self.basis(y.dtype)

    def unreached(self, y: Tensor, projected: Tensor) -> Tensor | None:
        """$y_\\perp$, `(neuroid, stimulus)`; None where it is exactly 0, to keep rounding out of small residuals."""
        return None if self.full_rank else torch.addmm(y.T, projected, self.basis(y.dtype).T, alpha=-1)


class GeneralisedCrossValidation:
    r"""$\frac{1}{n}\lVert e(\alpha)\rVert^2 / (1 - \mathrm{tr} H / n)^2$, $H$ with the intercept.

    Golub, Heath & Wahba 1979, Technometrics 21, 215-223: leave-one-out with every leverage replaced by their mean.
    """

    has_remainder = False

    def __init__(self, design: Design, y: Tensor) -> None:
        self.design = design
        self.projected = design.project(y)
        self.power = self.projected.double().square()
        unreached = design.unreached(y, self.projected)
        self.floor = self.power.new_zeros(len(self.power)) if unreached is None else unreached.double().square().sum(1)

    def leading(self, alphas: Tensor) -> Tensor:
        """`(alpha, neuroid)`."""
        n, rank = self.design.scores.shape
        shrinkage = self.design.shrinkage(alphas)
        freedom = (shrinkage.sum(1, keepdim=True) + (n - 1 - rank)) / n
        return (shrinkage.square() @ self.power.T + self.floor) / (n * freedom.square())

    def remainder(self, alphas: Tensor, *, neuroids: Tensor | None, dtype: torch.dtype | None) -> Tensor:
        """Nothing."""
        return self.power.new_zeros(len(alphas), len(_take(self.power, neuroids)))


class LeaveOneOut:
    r"""$\frac{1}{n}\sum_i (e_i / (1 - h_i))^2$, exact: equal to refitting, intercept and all, without stimulus i.

    $1 - h_i = \ell_i + \sum_k U_{ik}^2 a_k(\alpha)$ with $\ell_i = 1 - 1/n - \sum_k U_{ik}^2$ (0 when the axes span
    all). With $K$ the Gram matrix of centred features, $c = (K + \alpha I)^{-1}(y - \bar y)$ and $g$ the diagonal of
    $(K + \alpha I)^{-1}$ the residual is $\alpha c_i / (\alpha g_i - 1/n)$: without the $1/n$ small alphas look too
    good.

    The weights $v_i = 1 / (n (1 - h_i)^2)$ hardly differ between stimuli, so their mean times $\lVert e\rVert^2$, which
    costs one product for all alphas, is the leading part; $\sum_i (v_i - \bar v) e_i^2$ is the remainder.
    """

    has_remainder = True

    def __init__(self, design: Design, y: Tensor) -> None:
        self.design = design
        self.projected = design.project(y)
        self.unreached = design.unreached(y, self.projected)
        self.basis = design.basis(y.dtype)
        self.leverage = design.scores.square() / design.eigenvalues
        outside = (1 - 1 / len(y) - self.leverage.sum(1)).clamp(min=0)
        self.outside = torch.zeros_like(outside) if design.full_rank else outside

    def _weights(self, alphas: Tensor) -> Tensor:
        freedom = self.outside + self.design.shrinkage(alphas) @ self.leverage.T
        return 1 / (freedom.square() * freedom.shape[1])

    def leading(self, alphas: Tensor) -> Tensor:
        """`(alpha, neuroid)`."""
        errors = self.design.shrinkage(alphas).square() @ self.projected.double().square().T
        if self.unreached is not None:
            errors += self.unreached.double().square().sum(1)
        return self._weights(alphas).mean(1, keepdim=True) * errors

    def remainder(self, alphas: Tensor, *, neuroids: Tensor | None, dtype: torch.dtype | None) -> Tensor:
        """`(alpha, neuroid)`, one product `(neuroid, axis) x (axis, stimulus)` per alpha."""
        dtype = dtype or self.projected.dtype
        projected = _take(self.projected, neuroids).to(dtype)
        unreached = None if self.unreached is None else _take(self.unreached, neuroids)
        weights = self._weights(alphas)
        weights = (weights - weights.mean(1, keepdim=True)).to(self.projected.dtype)
        out = self.projected.new_empty(len(alphas), len(projected))
        for j, shrinkage in enumerate(self.design.shrinkage(alphas).to(self.projected.dtype)):
            errors = (projected @ (self.basis * shrinkage).to(dtype).T).to(out.dtype)
            if unreached is not None:
                errors += unreached
            out[j] = errors.square_() @ weights[j]
        return out


@dataclass(frozen=True)
class Fold:
    r"""One held-out fold and the decomposition of its training part, $X_t^\top X_t = Q\,\mathrm{diag}(\lambda) Q^\top$.

    Parameters
    ----------
    rows : Tensor
        Held-out stimuli.
    mean : Tensor
        Mean score of the training stimuli, `(axis,) float64`.
    rotation : Tensor
        $Q$, `(axis, axis) float64`.
    eigenvalues : Tensor
        $\lambda$, `(axis,) float64`.
    held_out : Tensor
        Scores of the held-out stimuli on $Q$, `(stimulus, axis) float64`.
    """

    rows: Tensor
    mean: Tensor
    rotation: Tensor
    eigenvalues: Tensor
    held_out: Tensor


def split(design: Design, folds: Tensor) -> list[Fold]:
    """Decompose the training part of every fold; `folds` holds a label per stimulus.

    The training Gram matrix is the whole one, diagonal on the principal axes, less the held-out part. Working on these
    axes rather than on units keeps float32 products with responses accurate relative to each axis, not to the largest.
    """
    out = []
    for label in folds.unique():
        rows = (folds == label).nonzero()[:, 0]
        held = design.scores[rows]
        n_train = len(folds) - len(rows)
        mean = -held.sum(0) / n_train
        gram = torch.diag(design.eigenvalues) - held.T @ held - n_train * torch.outer(mean, mean)
        eigenvalues, rotation = torch.linalg.eigh(gram)
        # Directions that the training stimuli do not span: their products with responses would be rounding over alpha.
        floor = len(gram) * torch.finfo(gram.dtype).eps * eigenvalues.amax() if len(gram) else 0.0
        rank = min(int((eigenvalues > floor).sum()), n_train - 1)
        eigenvalues, rotation = eigenvalues[len(gram) - rank :], rotation[:, len(gram) - rank :]
        out.append(Fold(rows, mean, rotation, eigenvalues, (held - mean) @ rotation))
    return out


class KFold:
    r"""Squared error on held-out stimuli, averaged within and then over folds.

    One fold adds $\frac{1}{n_f}\lVert y_f - P D B\rVert^2$.

    $P$ are held-out scores, $B = Q^\top X_t^\top y_t$, $D = \mathrm{diag}(d)$, $d = 1/(\lambda + \alpha)$. Of the
    square, $\lVert y\rVert^2 - 2\sum_k d_k B_k (P^\top y)_k + \sum_k d_k^2 B_k^2 \lVert P_k\rVert^2$ costs one product
    for all alphas (leading part); what is missing from $\lVert P D B\rVert^2$, because axes of the training stimuli are
    not quite orthogonal on the held-out ones, is the remainder.
    """

    has_remainder = True

    def __init__(self, design: Design, y: Tensor, *, folds: list[Fold]) -> None:
        held_inner = [y[fold.rows].T @ design.scores[fold.rows].to(y.dtype) for fold in folds]
        total = functools.reduce(torch.add, held_inner)
        self.projected = total / design.eigenvalues.sqrt().to(y.dtype)
        self.folds = folds
        self.held_out = [fold.held_out.to(y.dtype) for fold in folds]
        self.lengths = [held_out.square().sum(0) for held_out in self.held_out]
        self.rotated: list[Tensor] = []
        self.cross: list[Tensor] = []
        self.power: list[Tensor] = []
        for fold, held_out, inner in zip(folds, self.held_out, held_inner, strict=True):
            held_y = y[fold.rows]
            n_train = len(y) - len(held_y)
            mean_y = -held_y.sum(0) / n_train
            trained = torch.sub(total, inner, out=inner).addr_(mean_y, fold.mean.to(y.dtype), alpha=-n_train)
            rotated = trained @ fold.rotation.to(y.dtype)
            held_y -= mean_y
            self.rotated.append(rotated)
            self.cross.append((held_y.T @ held_out).mul_(rotated))
            self.power.append(held_y.square().sum(0))

    def _inverse(self, fold: Fold, alphas: Tensor) -> Tensor:
        return (1 / (fold.eigenvalues + alphas[:, None])).to(self.power[0].dtype)

    def leading(self, alphas: Tensor) -> Tensor:
        """`(alpha, neuroid)`."""
        total = self.power[0].new_zeros(len(alphas), len(self.power[0]))
        for fold, lengths, rotated, cross, power in zip(
            self.folds, self.lengths, self.rotated, self.cross, self.power, strict=True
        ):
            inverse = self._inverse(fold, alphas)
            errors = power - 2 * (inverse @ cross.T) + (inverse.square() * lengths) @ rotated.square().T
            total += errors / (len(fold.rows) * len(self.folds))
        return total

    def remainder(self, alphas: Tensor, *, neuroids: Tensor | None, dtype: torch.dtype | None) -> Tensor:
        """`(alpha, neuroid)`, one product `(neuroid, axis) x (axis, held-out stimulus)` per alpha and fold."""
        dtype = dtype or self.power[0].dtype
        total = self.power[0].new_zeros(len(alphas), len(_take(self.power[0], neuroids)))
        for fold, lengths, held_out, every in zip(self.folds, self.lengths, self.held_out, self.rotated, strict=True):
            rotated = _take(every, neuroids).to(dtype)
            inverse = self._inverse(fold, alphas)
            # From `rotated` as rounded to `dtype`: rounding then cancels here, and only that of cross terms is left.
            square = -(inverse.square() * lengths) @ rotated.to(total.dtype).square().T
            for j in range(len(alphas)):
                predicted = rotated @ (held_out * inverse[j]).to(dtype).T
                square[j] += predicted.to(total.dtype).square_().sum(1)
            total += square / (len(fold.rows) * len(self.folds))
        return total


def _take(values: Tensor, neuroids: Tensor | None) -> Tensor:
    return values if neuroids is None else values.index_select(0, neuroids)
