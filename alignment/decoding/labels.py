r"""Labels read by linear support vector machines, one class against the rest (scikit-learn's `LinearSVC`)."""

import warnings
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from alignment.decoding.axes import in_few_axes, scaled
from alignment.decoding.folds import Labels
from alignment.encoding import FeatureSource
from alignment.encoding.features import as_source
from alignment.errors import DataError, RequestError, unknown

SCALES = ("none", "floored_sd")


@dataclass(frozen=True)
class Decoder:
    r"""A linear support vector machine, one class against the rest.

    $\min_w \frac12 \lVert w \rVert^2 + C \sum_i \max(0, 1 - y_i w^\top (x_i, 1))^2$ for each class; the class of the
    largest $w^\top (x, 1)$ is read out. With the defaults, the protocol of Thorat, Aldegheri & Kietzmann 2021
    (`PUBLISHED`): features as they are, nothing searched for, coordinate descent that may stop at its limit. The
    effective regularisation then depends on the size of a layer's activations, which differs between layers and time
    bins: compare with `STANDARDISED`.

    Attributes
    ----------
    c : weight of the errors
    iterations : of coordinate descent in the dual, passes over the stimuli, at most
    scale : "floored_sd": units are centred and divided by their sd over training stimuli, floored at a tenth of the
        root mean square sd of the layer; "none": as they are
    seed : of the order in which stimuli are visited
    """

    c: float = 1.0
    iterations: int = 1000
    scale: Literal["none", "floored_sd"] = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.c <= 0 or self.iterations < 1:
            raise RequestError(f"decoder with c={self.c:g}, iterations={self.iterations}: give both above 0")
        if self.scale not in SCALES:
            raise unknown("scale of a decoder", self.scale, SCALES)


PUBLISHED = Decoder()
STANDARDISED = Decoder(iterations=10_000, scale="floored_sd")


class Decoded(NamedTuple):
    """What one read-out says.

    Attributes
    ----------
    predicted : (stimulus,) label of each test stimulus
    converged : whether the fit ended before its limit of iterations
    """

    predicted: Labels
    converged: bool


class ReadOut(NamedTuple):
    """What read-outs of a layer say, each stimulus by the fit of the fold that held it out.

    Attributes
    ----------
    predicted : (stimulus, variable) label
    choice : (fold, variable) accuracy within the training stimuli of each fold, by which layers can be chosen
    n_stopped : (variable,) fits on training stimuli that ended at their limit of iterations, of one for each fold
    """

    predicted: Labels
    choice: npt.NDArray[np.float64]
    n_stopped: Labels


def decode(
    x: Tensor | FeatureSource,
    labels: npt.ArrayLike,
    *,
    train: npt.ArrayLike,
    test: npt.ArrayLike,
    decoder: Decoder = PUBLISHED,
) -> Decoded:
    """Fit on some stimuli and say the labels of others.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`, activations of one layer at one time bin.
    labels : array (stimulus,) int
        Those of test stimuli are not looked at.
    train, test : array of int
        Positions of stimuli.
    decoder : Decoder

    Raises
    ------
    RequestError
        When there is not one label to each stimulus, or a stimulus is in both.
    DataError
        When the training stimuli are all of one label, or a feature is not finite.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[0.0, 1.0], [0.2, 0.9], [1.0, 0.0], [0.9, 0.1], [0.1, 1.1]])
    >>> decode(x, [3, 3, 7, 7, 0], train=[0, 1, 2, 3], test=[4]).predicted
    array([3])
    """
    source, known = as_source(x), _checked_labels(labels, as_source(x), ndim=1)
    rows = [np.asarray(each, np.int64) for each in (train, test)]
    if np.isin(rows[0], rows[1]).any():
        raise RequestError("a stimulus is in train and in test; put it in one of them")
    return _Layer(source, decoder).decode(known[:, None], train=rows[0], test=rows[1])[0]


def read_out(
    x: Tensor | FeatureSource,
    labels: npt.ArrayLike,
    *,
    folds: npt.ArrayLike,
    inner: npt.ArrayLike | None,
    decoder: Decoder = PUBLISHED,
) -> ReadOut:
    """Say the label of every stimulus by a fit on the other folds, and judge each fit within its training stimuli.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`.
    labels : array (stimulus, variable) int
        Each variable is read by itself.
    folds : array (stimulus,) int
        0, 1, ...: where each stimulus is held out.
    inner : array (fold, stimulus) int, optional
        The same again within the training stimuli of each fold; what it says of held-out stimuli is not looked at.
        None where there is nothing to choose: `choice` is then NaN.
    decoder : Decoder

    Raises
    ------
    RequestError, DataError
        As of `decode`.

    Examples
    --------
    >>> import torch
    >>> from alignment.decoding.folds import stratified_folds
    >>> labels = np.arange(40)[:, None] % 2
    >>> x = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)) + 4 * labels)
    >>> folds = stratified_folds(labels, list(map(str, range(40))), n=4)
    >>> found = read_out(x, labels, folds=folds, inner=np.stack([folds // 2] * 4))
    >>> bool((found.predicted == labels).all()), found.choice.shape
    (True, (4, 1))
    """
    source, known = as_source(x), _checked_labels(labels, as_source(x), ndim=2)
    outer = np.asarray(folds, np.int64)
    n_folds = int(outer.max()) + 1
    within = None if inner is None else np.asarray(inner, np.int64)
    if outer.shape != known.shape[:1] or (within is not None and within.shape != (n_folds, len(known))):
        shape = "none" if within is None else within.shape
        raise RequestError(
            f"folds {outer.shape} and inner folds {shape} are not those of {n_folds} folds of {len(known)} stimuli"
        )
    layer = _Layer(source, decoder)
    predicted, n_stopped = np.empty_like(known), np.zeros(known.shape[1], np.int64)
    choice = np.full((n_folds, known.shape[1]), np.nan)
    for fold in range(n_folds):
        train, test = np.flatnonzero(outer != fold), np.flatnonzero(outer == fold)
        for variable, decoded in enumerate(layer.decode(known, train=train, test=test)):
            predicted[test, variable] = decoded.predicted
            n_stopped[variable] += not decoded.converged
        if within is not None:
            choice[fold] = _accuracy_within(layer, known, train=train, parts=within[fold, train])
    return ReadOut(predicted, choice, n_stopped)


class _Layer:
    """A layer in the form that a decoder fits it."""

    def __init__(self, source: FeatureSource, decoder: Decoder) -> None:
        self.decoder = decoder
        # inner products of features as they are serve every fit; scaling is each fit's own
        self.source = source if decoder.scale == "floored_sd" else in_few_axes(source)

    def decode(self, labels: Labels, *, train: Labels, test: Labels) -> list[Decoded]:
        """One read-out for each variable of labels (stimulus, variable)."""
        own = self.decoder.scale == "floored_sd"
        source = in_few_axes(scaled(self.source, train)) if own else self.source
        matrix = source.columns(0, source.shape[1]).numpy()
        return [self._fit(matrix[train], column[train], matrix[test]) for column in labels.T]

    def _fit(self, fitted: npt.NDArray[np.float64], labels: Labels, judged: npt.NDArray[np.float64]) -> Decoded:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        if len(np.unique(labels)) < 2:
            raise DataError("the training stimuli of a read-out are all of one label; give stimuli of two or more")
        decoder = self.decoder
        machine = LinearSVC(C=decoder.c, max_iter=decoder.iterations, random_state=decoder.seed, dual=True)
        with warnings.catch_warnings():
            # said by `converged`
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(fitted, labels)
        return Decoded(machine.predict(judged).astype(np.int64), bool(np.max(machine.n_iter_) < decoder.iterations))


def _accuracy_within(layer: _Layer, labels: Labels, *, train: Labels, parts: Labels) -> npt.NDArray[np.float64]:
    """(variable,), over all training stimuli, each held out with its part of them."""
    right = []
    for part in np.unique(parts):
        fitted, judged = train[parts != part], train[parts == part]
        said = [decoded.predicted for decoded in layer.decode(labels, train=fitted, test=judged)]
        right.append(np.stack(said, axis=1) == labels[judged])
    return np.concatenate(right).mean(axis=0)


def _checked_labels(labels: npt.ArrayLike, source: FeatureSource, *, ndim: int) -> Labels:
    known = np.asarray(labels)
    if known.ndim != ndim or len(known) != source.shape[0] or known.dtype.kind not in "iub":
        dims = ("stimulus", "variable")[:ndim]
        raise RequestError(
            f"labels are {known.dtype} {known.shape}: give whole numbers ({', '.join(dims)}) to {source.shape[0]} "
            "stimuli"
        )
    return known.astype(np.int64)
