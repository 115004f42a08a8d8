"""How responses to held-out stimuli are predicted from a layer: by a ridge, or by a few latent components."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

import numpy as np
from torch import Tensor

from alignment.encoding import FeatureSource, fit_ridge, gram_equivalent
from alignment.encoding.latent import PLS_COMPONENTS, LatentFit, fit_pcr, fit_pls
from alignment.encoding.ridge import Selection
from alignment.errors import RequestError
from alignment.invariances import OF_SHAPE, ORDER, SCALE, SHIFT, said_of
from benchmarks.datasets.base import Split
from benchmarks.neural.target import INNER_FOLDS

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-4, 4, 17))
BY_ERROR = (
    "chosen inside the training stimuli of each split, by the median over {} of 1 - cross-validated squared error / "
    "variance"
)


@dataclass(frozen=True)
class Fitted:
    """A model of responses, made on training stimuli.

    Attributes
    ----------
    predict : from (stimulus, unit) to (stimulus, neuroid)
    cv_score : (neuroid,), how well it does within the training stimuli, comparable between layers; NaN where a neuroid
        does not vary
    kept : what else is worth keeping of each neuroid, (neuroid,) by name
    """

    predict: Callable[[Tensor | FeatureSource], Tensor]
    cv_score: np.ndarray
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)


class Regression(Protocol):
    """A way to predict responses from features.

    Attributes
    ----------
    name : what settings call it
    units : at most so many units of a layer, drawn by a fixed seed; None for all
    invariances : changes of the features, of `alignment.invariances`, that leave predictions as they are
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def units(self) -> int | None: ...  # noqa: D102
    @property
    def invariances(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def words(self) -> tuple[str, ...]:
        """What an id says of it."""
        ...

    def settings(self) -> dict[str, object]:
        """The settings that enter a fit."""
        ...

    def check(self, split: Split, *, where: str) -> None:
        """Refuse a split that it cannot be fitted on."""
        ...

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """Bytes that a fit needs at once, roughly."""
        ...

    def prepared(self, x: Tensor | FeatureSource, *, n_splits: int, device: str) -> Tensor | FeatureSource:
        """Features of all stimuli in a form that serves every split."""
        ...

    def fit(self, x: Tensor | FeatureSource, y: Tensor, *, folds: Tensor) -> Fitted:
        """Fit training stimuli; `folds` are those they are divided into for whatever is chosen among them."""
        ...

    def card(self) -> dict[str, str]:
        """Formula, choice of layer, invariances, source, known failure."""
        ...


@dataclass(frozen=True)
class Ridge:
    """Ridge regression with an alpha per neuroid.

    Attributes
    ----------
    selection : how the alpha of each neuroid is chosen within the training stimuli
    scale : of features before the ridge; they are always centred
    alphas : multiples of the mean eigenvalue of the training Gram
    """

    selection: Selection = "loo"
    scale: Literal["none", "floored_sd"] = "none"
    alphas: tuple[float, ...] = ALPHAS

    name = "ridge"
    units = None

    @property
    def invariances(self) -> tuple[str, ...]:
        """Scaled units are turned no more; the floor of the scaling sees how large one is beside the others."""
        return OF_SHAPE if self.scale == "none" else (ORDER, SCALE, SHIFT)

    @property
    def words(self) -> tuple[str, ...]:
        """`ridge`, the alpha rule, and the scaling where there is one."""
        return ("ridge", self.selection, *([self.scale] if self.scale != "none" else []))

    def settings(self) -> dict[str, object]:
        """All of its settings."""
        return asdict(self)

    def check(self, split: Split, *, where: str) -> None:
        """Any split will do."""

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """Gram matrix, eigenvectors and the room to find them, in float64; a few copies of the responses."""
        return gram_memory(n_stimuli, n_neuroids)

    def prepared(self, x: Tensor | FeatureSource, *, n_splits: int, device: str) -> Tensor | FeatureSource:
        """One pass over the features serves all splits; with a single split it would be a decomposition too many."""
        return gram_equivalent(x, device=device) if self.scale == "none" and n_splits > 1 else x

    def fit(self, x: Tensor | FeatureSource, y: Tensor, *, folds: Tensor) -> Fitted:
        """See `alignment.encoding.fit_ridge`."""
        fit = fit_ridge(
            x,
            y,
            alphas=self.alphas,
            selection=self.selection,
            scale=self.scale,
            folds=folds if self.selection == "kfold" else None,
        )
        return Fitted(fit.predict, fit.cv_score.cpu().numpy(), {"alpha": fit.alphas.cpu().numpy()})

    def card(self) -> dict[str, str]:
        """What it is, and where it fails."""
        low, high = self.alphas[0], self.alphas[-1]
        scaled = "" if self.scale == "none" else ", units of X divided by their sd or a tenth of the layer's"
        return {
            "measure": "ridge with an alpha per neuroid",
            "formula": "r(y, X b), b the minimum of |y - X b|^2 + alpha |b|^2 on training stimuli, X and y centred"
            + scaled,
            "alphas": f"{len(self.alphas)}, {low:g} to {high:g} times the mean eigenvalue of the training Gram",
            "layer": BY_ERROR.format("neuroids"),
            "invariances": said_of(self.invariances),
            "source": "Schrimpf et al. 2018, bioRxiv 407007 (question); Hoerl & Kennard 1970 (ridge)",
            "known failure": "a wide layer fits well whatever it computes: compare with the untrained row",
        }


@dataclass(frozen=True)
class Latent:
    """Regression on a fixed number of latent components of the features, the same for every neuroid.

    Attributes
    ----------
    name : "pls" or "pcr"
    components : how many
    fit_components : of `alignment.encoding.latent`
    said : entries of the card that are its own
    """

    name: str
    components: int
    fit_components: Callable[..., LatentFit] = field(repr=False)
    said: Mapping[str, str] = field(repr=False)

    units = None
    invariances = OF_SHAPE

    @property
    def words(self) -> tuple[str, ...]:
        """`pls-25`."""
        return (self.name, str(self.components))

    def settings(self) -> dict[str, object]:
        """The number of components."""
        return {"components": self.components}

    def check(self, split: Split, *, where: str) -> None:
        """Refuse more components than the smallest inner training fold has directions.

        Raises
        ------
        RequestError
            It names both numbers.
        """
        n_stimuli = len(split.train)
        inner = n_stimuli - -(-n_stimuli // INNER_FOLDS)
        if self.components > inner - 1:
            raise RequestError(
                f"{where}: benchmark.components={self.components}, but the {inner} stimuli of an inner fold of split "
                f"{split.name!r} ({n_stimuli} training stimuli) span at most {inner - 1} directions; give at most "
                "as many"
            )

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """As a ridge."""
        return gram_memory(n_stimuli, n_neuroids)

    def prepared(self, x: Tensor | FeatureSource, *, n_splits: int, device: str) -> Tensor | FeatureSource:
        """As for a ridge: components depend on features through inner products of stimuli alone."""
        return gram_equivalent(x, device=device) if n_splits > 1 else x

    def fit(self, x: Tensor | FeatureSource, y: Tensor, *, folds: Tensor) -> Fitted:
        """See `alignment.encoding.latent`."""
        fit = self.fit_components(x, y, n_components=self.components, folds=folds)
        assert fit.cv_score is not None
        return Fitted(fit.predict, fit.cv_score.cpu().numpy())

    def card(self) -> dict[str, str]:
        """What it is, and where it fails."""
        layer = f"{BY_ERROR.format('neuroids')} ({INNER_FOLDS} folds)"
        return {"layer": layer, "invariances": said_of(self.invariances), **self.said}


def pls(components: int = PLS_COMPONENTS) -> Latent:
    """Partial least squares, as Brain-Score has it."""
    said = {
        "measure": f"partial least squares, {components} components, features and responses centred and not scaled, "
        "all neuroids of a subject together",
        "formula": f"r(y, X b), X b the fit of y on t_1 ... t_{components} by least squares, t_k = X w_k, w_k of the "
        "largest covariance with the responses once the t before are taken out of both",
        "source": "Schrimpf et al. 2018, bioRxiv 407007 (Brain-Score, 25 components); Wegelin 2000 (NIPALS, mode A)",
        "known failure": "one number of components for all layers favours those of few directions; a neuroid's "
        "prediction hangs on which others are fitted with it",
        "cost": "seconds a layer, minutes where many neuroids are unrelated to it (1,000 stimuli, 500 neuroids): "
        "components then do not converge and are used as they are, as in scikit-learn",
    }
    return Latent("pls", components, fit_pls, said)


def pcr(components: int = PLS_COMPONENTS) -> Latent:
    """Ordinary least squares on the first principal components of the training features."""
    said = {
        "measure": f"ordinary least squares on the first {components} principal components of the training features",
        "formula": f"r(y, X V b), V the first {components} eigenvectors of X^T X on training stimuli, X centred, b by "
        "least squares",
        "source": "Massy 1965, J Am Stat Assoc 60 (principal components regression)",
        "known failure": "the signal beyond the first components is lost, and these do not look at the responses: "
        "a layer whose variance lies in few directions is favoured",
    }
    return Latent("pcr", components, fit_pcr, said)


def gram_memory(n_stimuli: int, n_columns: int) -> int:
    """Bytes of a Gram matrix and what its eigenvectors take in float64, and of a few copies of columns in float32."""
    return 4 * 8 * n_stimuli**2 + 4 * 4 * n_stimuli * n_columns
