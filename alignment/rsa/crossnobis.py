"""Cross-validated Mahalanobis distances, from responses read a few neuroids at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding.arguments import check_chunks
from alignment.encoding.features import ColumnReader, FeatureSource, as_source, chunk_width, spans
from alignment.errors import DataError, RequestError
from alignment.grams import centred, compute_device
from alignment.rsa.noise import Whitened, group_means, noise_precision, numbered, root_of_precision
from alignment.rsa.rdms import RDMs

CROSSNOBIS = "crossnobis/units"


def crossnobis(
    responses: Tensor | FeatureSource,
    *,
    stimuli: Sequence[str],
    folds: Sequence[str | int],
    precision: Tensor | None = None,
    subject: str | None = None,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> RDMs:
    r"""Squared Mahalanobis distances between stimuli without the bias of noise (Walther et al. 2016, NeuroImage 137).

    With $\delta_f$ the difference of the mean responses to two stimuli in fold $f$, $P$ the precision of the noise and
    $p$ neuroids, the mean over all pairs of folds in which both stimuli were shown of

        $\delta_f^\top P \, \delta_g \,/\, p, \quad f < g$

    Noise that is independent between folds averages out: the distance of stimuli with equal responses is 0 on average,
    and often below. Where every stimulus is shown equally often in every fold this is leave-one-fold-out
    cross-validation, fold against the mean of the others.

    Memory is that of one (stimulus, stimulus) matrix, of its upper triangle and of a few chunks of neuroids, and of
    two (neuroid, neuroid) matrices where a precision is given.

    Parameters
    ----------
    responses : Tensor or FeatureSource (presentation, neuroid)
    stimuli : sequence of str
        Id of each presentation.
    folds : sequence
        Label of each presentation, such as its repetition or its session: responses of different folds must have
        independent noise. Presentations of a stimulus in one fold are averaged.
    precision : Tensor (neuroid, neuroid), optional
        From `noise_precision`; the identity when not given.
    subject : str, optional
    feature_chunk : int, optional
        Neuroids read at once; chosen to bound memory unless given.
    device : torch.device or str, optional
        Where to compute; that of the responses when they are a tensor, else the CPU.

    Returns
    -------
    RDMs
        One RDM in float64, stimuli in order of first appearance; NaN for a pair that no two folds share.

    Raises
    ------
    RequestError
        Shapes do not fit, there are fewer than 2 folds, or the precision is not symmetric and positive definite.
    DataError
        A response is not finite, or as `RDMs`.

    Examples
    --------
    >>> responses = torch.tensor([[0.0], [3.0], [1.0], [0.0], [2.0], [1.0]])
    >>> rdms = crossnobis(responses, stimuli=["a", "b", "c"] * 2, folds=[0, 0, 0, 1, 1, 1])
    >>> rdms.dissimilarities.round(12)
    array([[6., 1., 2.]])
    """
    source = as_source(responses, name="responses")
    check_chunks(feature_chunk=feature_chunk)
    n_presentations, n_neuroids = source.shape
    for name, labels in (("stimulus ids", stimuli), ("fold labels", folds)):
        if len(labels) != n_presentations:
            raise RequestError(f"{len(labels)} {name} for {n_presentations} presentations: give one to each")
    ids = [str(name) for name in stimuli]
    cells = _Cells.of(ids, folds, device=compute_device(responses, device))
    reader = ColumnReader(chunk_width(n_presentations, feature_chunk), cells.group.device)
    if precision is not None:
        source = Whitened(source, root_of_precision(precision, n_units=n_neuroids, device=reader.device), reader)
    distances = cells.distances(source, reader).div_(n_neuroids).cpu().numpy()
    names = () if subject is None else (subject,)
    return RDMs(distances[None], tuple(dict.fromkeys(ids)), distance=CROSSNOBIS, subjects=names)


def crossnobis_of_trials(
    trials: npt.NDArray[np.floating],
    *,
    stimuli: Sequence[str],
    shrinkage: str | None = "diagonal",
    subject: str | None = None,
    device: torch.device | str | None = None,
) -> RDMs:
    """`crossnobis` with repetitions as folds, and the noise of the same trials.

    Parameters
    ----------
    trials : array (stimulus, neuroid, repetition) float
        NaN where there is no trial, for all neuroids alike.
    stimuli : sequence of str
    shrinkage : {"diagonal", "identity"}, optional
        Of `noise_precision`; None takes neuroids as they are, with equal and independent noise.
    subject : str, optional
    device : torch.device or str, optional
        The CPU when not given.

    Returns
    -------
    RDMs
        One RDM in float64, stimuli in the order given.

    Raises
    ------
    RequestError
        Shapes do not fit.
    DataError
        A trial that some neuroids miss, a stimulus without trials, or as `crossnobis` and `noise_precision`.

    Examples
    --------
    >>> trials = np.array([[[0.0, 0.0]], [[3.0, 2.0]], [[1.0, 1.0]]])
    >>> crossnobis_of_trials(trials, stimuli=["a", "b", "c"], shrinkage=None).dissimilarities.round(12)
    array([[6., 1., 2.]])
    """
    if trials.ndim != 3 or trials.dtype.kind != "f" or len(stimuli) != len(trials):
        raise RequestError(
            f"trials: {trials.dtype} {trials.shape} is not (stimulus, neuroid, repetition) float "
            f"of {len(stimuli)} stimuli"
        )
    missing = np.isnan(trials)
    uneven = missing.any(axis=1) & ~missing.all(axis=1)
    if uneven.any():
        stimulus, repetition = np.argwhere(uneven)[0].tolist()
        raise DataError(
            f"trials: {int(missing[stimulus, :, repetition].sum())} neuroids miss trial {repetition} of "
            f"{stimuli[stimulus]!r}, others have it; leave these neuroids or this trial out"
        )
    rows, repetitions = np.nonzero(~missing.all(axis=1))
    unseen = np.setdiff1d(np.arange(len(trials)), rows).tolist()
    if unseen:
        raise DataError(f"trials: {len(unseen)} stimuli, {stimuli[unseen[0]]!r} first, have no trial; leave them out")
    responses = torch.from_numpy(trials[rows, :, repetitions])
    shown = [str(stimuli[row]) for row in rows.tolist()]
    precision = (
        None if shrinkage is None else noise_precision(responses, stimuli=shown, shrinkage=shrinkage, device=device)
    )
    return crossnobis(
        responses, stimuli=shown, folds=repetitions.tolist(), precision=precision, subject=subject, device=device
    )


@dataclass(frozen=True)
class _Couple:
    """Folds that are multiplied with the sum of others, all with the same stimuli in common."""

    fold: int
    others: slice
    times: int


@dataclass(frozen=True)
class _Cells:
    """Which stimulus and fold each presentation is of.

    Attributes
    ----------
    group : Tensor (presentation,) int64
        Fold times the number of stimuli, plus stimulus.
    there : Tensor (fold, stimulus) bool
        Whether it was shown.
    """

    group: Tensor
    there: Tensor

    @classmethod
    def of(cls, stimuli: Sequence[str], folds: Sequence[str | int], *, device: torch.device) -> "_Cells":
        (shown, n_stimuli), (fold, n_folds) = numbered(stimuli), numbered(folds)
        if n_folds < 2:
            raise RequestError("every presentation is of one fold: distances are cross-validated between 2 at least")
        group = fold * n_stimuli + shown
        there = group.bincount(minlength=n_folds * n_stimuli) > 0
        return cls(group.to(device), there.view(n_folds, n_stimuli).to(device))

    @property
    def couples(self) -> list[_Couple]:
        """Each fold with all later ones where every stimulus is in every fold, else each pair of folds."""
        last = len(self.there)
        if bool(self.there.all()):
            return [_Couple(fold, slice(fold + 1, last), last - fold - 1) for fold in range(last - 1)]
        return [_Couple(fold, slice(other, other + 1), 1) for fold in range(last) for other in range(fold + 1, last)]

    def distances(self, source: FeatureSource, reader: ColumnReader) -> Tensor:
        """(pair,) float64, mean over pairs of folds of products of differences; NaN where no two folds share a pair."""
        couples, n_stimuli = self.couples, self.there.shape[1]
        both = torch.stack([self.there[one.fold] & self.there[one.others.start] for one in couples]).double()
        inner, own = both.new_zeros(n_stimuli, n_stimuli), torch.zeros_like(both)
        for start, stop in spans(source.shape[1], reader.width):
            block = centred(reader.read(source, start, stop))
            means = group_means(block, self.group, count=self.there.numel()).view(*self.there.shape, -1)
            for number, couple in enumerate(couples):
                left = means[couple.fold] * both[number, :, None]
                right = means[couple.others].sum(0) * both[number, :, None]
                inner.addmm_(left, right.T)
                own[number] += (left * right).sum(1)
        times = both * both.new_tensor([couple.times for couple in couples])[:, None]
        return _of_all_pairs(inner, own, both=both, times=times)


def _of_all_pairs(inner: Tensor, own: Tensor, *, both: Tensor, times: Tensor) -> Tensor:
    """The upper triangle of mean products of differences, row by row, so that no second square is made.

    Parameters
    ----------
    inner : Tensor (stimulus, stimulus)
        Products of patterns, summed over couples of folds.
    own : Tensor (couple, stimulus)
        Products of patterns of the same stimulus.
    both : Tensor (couple, stimulus)
        1 where the stimulus is in both folds.
    times : Tensor (couple, stimulus)
        How many pairs of folds that is.
    """
    count = len(inner)
    pairs = inner.new_empty(count * (count - 1) // 2)
    start = 0
    for row in range(count - 1):
        later = slice(row + 1, count)
        total = own[:, row] @ both[:, later] + both[:, row] @ own[:, later] - inner[row, later] - inner[later, row]
        shared = times[:, row] @ both[:, later]
        pairs[start : start + count - row - 1] = torch.where(shared > 0, total / shared, torch.nan)
        start += count - row - 1
    return pairs
