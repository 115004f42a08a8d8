"""Cross-validated Mahalanobis distances, and the noise that they are measured in."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from alignment.errors import DataError, RequestError
from alignment.rsa.rdms import RDMs

CROSSNOBIS = "crossnobis/units"

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


def crossnobis(
    responses: Floats,
    *,
    stimuli: Sequence[str],
    folds: Sequence[str | int],
    precision: Floats | None = None,
    subject: str | None = None,
) -> RDMs:
    r"""Squared Mahalanobis distances between stimuli without the bias of noise (Walther et al. 2016, NeuroImage 137).

    With $\delta_f$ the difference of the mean responses to two stimuli in fold $f$, $P$ the precision of the noise and
    $p$ neuroids, the mean over all pairs of folds in which both stimuli were shown of

        $\delta_f^\top P \, \delta_g \,/\, p, \quad f < g$

    Noise that is independent between folds averages out: the distance of stimuli with equal responses is 0 on average,
    and often below. Where every stimulus is shown equally often in every fold this is leave-one-fold-out
    cross-validation, fold against the mean of the others.

    Parameters
    ----------
    responses : array (presentation, neuroid) float
    stimuli : sequence of str
        Id of each presentation.
    folds : sequence
        Label of each presentation, such as its repetition or its session: responses of different folds must have
        independent noise. Presentations of a stimulus in one fold are averaged.
    precision : array (neuroid, neuroid) float, optional
        From `noise_precision`; the identity when not given.
    subject : str, optional

    Returns
    -------
    RDMs
        One RDM in float64, stimuli in order of first appearance; NaN for a pair that no two folds share.

    Raises
    ------
    RequestError
        Shapes do not fit, or there are fewer than 2 folds.
    DataError
        A response is not finite, or as `RDMs`.

    Examples
    --------
    >>> responses = np.array([[0.0], [3.0], [1.0], [0.0], [2.0], [1.0]])
    >>> rdms = crossnobis(responses, stimuli=["a", "b", "c"] * 2, folds=[0, 0, 0, 1, 1, 1])
    >>> rdms.dissimilarities
    array([[6., 1., 2.]])
    """
    values, shown, ids = _checked(responses, stimuli)
    if len(folds) != len(values):
        raise RequestError(f"{len(folds)} fold labels for {len(values)} presentations: give one to each")
    fold, n_folds = _numbered(folds)
    if n_folds < 2:
        raise RequestError("every presentation is of one fold: distances are cross-validated between 2 at least")
    weights = _checked_precision(precision, n_neuroids=values.shape[1])
    means = [_group_means(values[fold == one], shown[fold == one], count=len(ids)) for one in range(n_folds)]
    total, shared = np.zeros((2, len(ids), len(ids)))
    for (first, in_first), (second, in_second) in combinations(means, 2):
        inner = first @ (second.T if weights is None else weights @ second.T)
        own = inner.diagonal()
        there = (in_first & in_second).astype(np.float64)
        both = np.outer(there, there)
        total += both * (own[:, None] + own - inner - inner.T)
        shared += both
    upper = np.triu_indices(len(ids), k=1)
    total, shared = total[upper], shared[upper] * values.shape[1]
    distances = np.divide(total, shared, out=np.full_like(total, np.nan), where=shared > 0)
    return RDMs(distances[None], ids, distance=CROSSNOBIS, subjects=() if subject is None else (subject,))


def noise_precision(
    responses: Floats, *, stimuli: Sequence[str], sessions: Sequence[str | int] | None = None
) -> npt.NDArray[np.float64]:
    r"""Inverse of the covariance of responses to the same stimulus, shrunk towards its diagonal.

    Residuals are what presentations differ from the mean of their stimulus (in their session, when given), with
    $\nu$ = presentations - means degrees of freedom. Entries of their covariance off the diagonal are multiplied by
    $1 - \lambda$, with (Schäfer & Strimmer 2005, Stat. Appl. Genet. Mol. Biol. 4:32, target D)

        $\lambda = \sum_{i \neq j} \widehat{\mathrm{Var}}(r_{ij}) \,/\, \sum_{i \neq j} r_{ij}^2$, within [0, 1]

    where r is the mean over presentations of products $w$ of standardised residuals, divided by n - 1, and
    $\widehat{\mathrm{Var}}(r) = n / \nu^2 (\overline{w^2} - \overline{w}^2)$ likewise, as rsatoolbox computes them
    (`prec_from_unbalanced`, method `shrinkage_diag`).

    Parameters
    ----------
    responses : array (presentation, neuroid) float
    stimuli : sequence of str
        Id of each presentation; some must be shown twice.
    sessions : sequence, optional
        Label of each presentation; means are taken within sessions, so that drifts between them are no noise.

    Returns
    -------
    array (neuroid, neuroid) float64
        Symmetric and positive definite.

    Raises
    ------
    RequestError
        Shapes do not fit.
    DataError
        A response is not finite; no stimulus is shown twice; a neuroid does not vary between presentations of a
        stimulus; or the shrunk covariance cannot be inverted.

    Examples
    --------
    >>> responses = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> noise_precision(responses, stimuli=["a", "a", "b", "b"])
    array([[1.  , 0.  ],
           [0.  , 0.25]])
    """
    values, group, ids = _checked(responses, stimuli)
    n_means = len(ids)
    if sessions is not None:
        if len(sessions) != len(values):
            raise RequestError(f"{len(sessions)} sessions for {len(values)} presentations: give one to each")
        group, n_means = _numbered((group + n_means * _numbered(sessions)[0]).tolist())
    freedom = len(values) - n_means
    if freedom < 1:
        raise DataError(
            f"{len(values)} presentations of as many stimuli{' and sessions' if sessions is not None else ''}: "
            "noise shows where one is shown twice; give more repetitions or no precision"
        )
    first = np.unique(group, return_index=True)[1]
    still = (values == values[first[group]]).all(axis=0)
    if still.any():
        raise DataError(
            f"{int(still.sum())} neuroids, neuroid {int(still.argmax())} first, do not vary between presentations of "
            "a stimulus; drop them"
        )
    residuals = values - _group_means(values, group, count=n_means)[0][group]
    covariance = _shrunk(residuals, freedom=freedom)
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise DataError(
            f"noise of {len(covariance)} neuroids from {freedom} degrees of freedom has no inverse; "
            "select fewer neuroids or give more repetitions"
        ) from None
    inverse = np.linalg.inv(covariance)
    return (inverse + inverse.T) / 2


def _shrunk(residuals: npt.NDArray[np.float64], *, freedom: int) -> npt.NDArray[np.float64]:
    """Covariance of residuals, its entries off the diagonal made smaller."""
    count = len(residuals)
    variance = np.square(residuals).sum(0) / freedom
    scaled = residuals / np.sqrt(variance)
    products = scaled.T @ scaled
    mean = products / (count - 1)
    spread = count / freedom**2 * (np.square(scaled).T @ np.square(scaled) / (count - 1) - np.square(mean))
    off = ~np.eye(len(mean), dtype=bool)
    size = np.square(mean[off]).sum()
    share = min(max(spread[off].sum() / size, 0.0), 1.0) if size > 0 else 1.0
    covariance = products / freedom * np.sqrt(np.outer(variance, variance))
    covariance[off] *= 1 - share
    return covariance


def _group_means(
    values: npt.NDArray[np.float64], group: Labels, *, count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Mean of each group `(group, neuroid)`, 0 where it has no member, and whether it has one."""
    sizes = np.bincount(group, minlength=count)
    order = np.argsort(group, kind="stable")
    present = np.flatnonzero(sizes)
    starts = np.cumsum(sizes)[present] - sizes[present]
    means = np.zeros((count, values.shape[1]))
    means[present] = np.add.reduceat(values[order], starts, axis=0) / sizes[present, None]
    return means, sizes > 0


def _checked(responses: Floats, stimuli: Sequence[str]) -> tuple[npt.NDArray[np.float64], Labels, tuple[str, ...]]:
    """Responses in float64, the number of each presentation's stimulus, and the ids by number."""
    values = np.asarray(responses)
    if values.ndim != 2 or values.dtype.kind != "f" or 0 in values.shape:
        raise RequestError(f"responses: {values.dtype} {values.shape} is not (presentation, neuroid) float")
    if len(stimuli) != len(values):
        raise RequestError(f"{len(stimuli)} stimulus ids for {len(values)} presentations: give one to each")
    bad = ~np.isfinite(values).all(axis=0)
    if bad.any():
        raise DataError(
            f"responses hold a NaN or an infinity in {int(bad.sum())} neuroids, neuroid {int(bad.argmax())} first: "
            "drop them or the presentations"
        )
    ids = tuple(dict.fromkeys(map(str, stimuli)))
    return values.astype(np.float64), _numbered([str(name) for name in stimuli])[0], ids


def _numbered(labels: Sequence[str | int]) -> tuple[Labels, int]:
    """Numbers of labels in order of first appearance, and how many there are."""
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.array([numbers[label] for label in labels], np.int64), len(numbers)


def _checked_precision(precision: Floats | None, *, n_neuroids: int) -> npt.NDArray[np.float64] | None:
    if precision is None:
        return None
    matrix = np.asarray(precision, np.float64)
    if matrix.shape != (n_neuroids, n_neuroids):
        raise RequestError(f"precision is {matrix.shape}: give (neuroid, neuroid), here {(n_neuroids, n_neuroids)}")
    if not (np.abs(matrix - matrix.T) <= 1e-5 * np.abs(matrix).max()).all():
        raise RequestError("precision is not symmetric and finite: take one from noise_precision")
    return matrix
