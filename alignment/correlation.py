"""Pearson correlation per neuroid, plain and weighted by stimulus counts."""

import numpy as np
import numpy.typing as npt
import torch

from alignment.errors import RequestError

Array = npt.NDArray[np.floating] | torch.Tensor

NEUROIDS_AT_ONCE = 2048


def pearson(predicted: Array, observed: Array) -> npt.NDArray[np.float64]:
    """Pearson correlation of matching columns.

    A column that does not vary has no correlation and gets 0: a constant prediction explains nothing, and leaving it
    out of a median would favour models that give up on hard neuroids.

    Parameters
    ----------
    predicted, observed : array or tensor (stimulus, neuroid)
        Any real type; sums are taken in float64.

    Returns
    -------
    array (neuroid,) float64
        r in [-1, 1], not clipped at 0.

    Raises
    ------
    RequestError
        When the shapes differ, there are fewer than two stimuli, or a value is not finite.

    Examples
    --------
    >>> pearson(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]))
    array([1.])
    """
    predicted, observed = _checked(predicted, observed)
    columns = [
        (_standardised(predicted[:, part]) * _standardised(observed[:, part])).mean(0) for part in _parts(predicted)
    ]
    return torch.cat(columns).clamp(-1.0, 1.0).cpu().numpy()


def weighted_pearson(predicted: Array, observed: Array, counts: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Pearson correlation of matching columns for each vector of stimulus counts.

    Equals `pearson` on rows repeated as often as counted, without repeating them: the five weighted moments of a pair
    of columns are products of the counts with columns that do not depend on the resample,

        r = (E[xy] - E[x] E[y]) / sqrt((E[x^2] - E[x]^2) (E[y^2] - E[y]^2)),    E[z] = counts @ z / counts.sum()

    so that all resamples of all neuroids are matrix products. Columns are standardised first, which leaves r as it is
    and keeps the differences of moments exact to about 1e-6 in float32.

    Parameters
    ----------
    predicted, observed : array or tensor (stimulus, neuroid)
        The products run on the device of `predicted`.
    counts : array (resample, stimulus)
        How often each stimulus stands in each resample; any weights >= 0 will do.

    Returns
    -------
    array (resample, neuroid) float32
        0 where a column does not vary within the resample, as in `pearson`.

    Raises
    ------
    RequestError
        When shapes do not fit, a value is not finite, or a resample is empty.
    """
    predicted, observed = _checked(predicted, observed)
    weights = torch.as_tensor(np.asarray(counts), dtype=torch.float32, device=predicted.device)
    if weights.ndim != 2 or weights.shape[1] != len(predicted):
        raise RequestError(f"counts: shape {tuple(weights.shape)} is not (resample, {len(predicted)} stimuli)")
    totals = weights.sum(1, keepdim=True)
    if bool((totals <= 0).any()) or bool((weights < 0).any()):
        raise RequestError("counts: each resample needs counts >= 0 with a positive sum")
    weights = weights / totals
    r = np.empty((len(weights), predicted.shape[1]), np.float32)
    for part in _parts(predicted):
        r[:, part] = _from_moments(weights, predicted[:, part], observed[:, part]).cpu().numpy()
    return r


def _from_moments(weights: torch.Tensor, predicted: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    x, y = _standardised(predicted).float(), _standardised(observed).float()
    x_mean, y_mean = weights @ x, weights @ y
    x_variance = (weights @ (x * x)).sub_(x_mean * x_mean)
    y_variance = (weights @ (y * y)).sub_(y_mean * y_mean)
    r = (weights @ (x * y)).sub_(x_mean * y_mean)
    # Columns vary by 1 over all stimuli; what rounding leaves of one that is constant in a resample is below this.
    varies = (x_variance > 1e-6) & (y_variance > 1e-6)
    r /= (x_variance.clamp_(min=1e-6) * y_variance.clamp_(min=1e-6)).sqrt_()
    return r.mul_(varies).clamp_(-1.0, 1.0)


def _standardised(columns: torch.Tensor) -> torch.Tensor:
    """Columns of mean 0 and variance 1 in float64; a column that does not vary becomes 0."""
    rounding = torch.finfo(columns.dtype).eps
    columns = columns.double()
    largest = columns.abs().amax(0)
    centred = columns - columns.mean(0)
    sd = centred.square().mean(0).sqrt()
    # A constant stored in float32 may differ from its own mean in the last bits.
    varies = sd > 4 * rounding * largest
    return centred / torch.where(varies, sd, torch.inf)


def _parts(columns: torch.Tensor) -> list[slice]:
    return [slice(start, start + NEUROIDS_AT_ONCE) for start in range(0, columns.shape[1], NEUROIDS_AT_ONCE)]


def _checked(predicted: Array, observed: Array) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.as_tensor(predicted)
    x = x if x.is_floating_point() else x.double()
    y = torch.as_tensor(observed, device=x.device)
    y = y if y.is_floating_point() else y.double()
    if x.ndim != 2 or x.shape != y.shape:
        raise RequestError(f"predicted {tuple(x.shape)} and observed {tuple(y.shape)} are not both (stimulus, neuroid)")
    if len(x) < 2 or x.shape[1] == 0:
        raise RequestError(f"a correlation needs 2 stimuli and 1 neuroid at least, not {tuple(x.shape)}")
    for name, values in (("predicted", x), ("observed", y)):
        if not bool(torch.isfinite(values).all()):
            raise RequestError(f"{name}: values that are not finite; drop these neuroids or stimuli first")
    return x, y
