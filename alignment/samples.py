"""One value per subject with what resampling made of it: estimates, differences and tests follow from it."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from alignment.errors import RequestError
from alignment.resampling import Floats, Subjects, standard_error


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, `low <= value <= high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Samples:
    """Scores of subjects, on all stimuli and on resamples of them; arguments as in `standard_error`.

    Parameters
    ----------
    values : array (subject,)
    resampled : array (subject, resample), optional
    n_stimuli : int
        Stimuli evaluated, over all folds.
    deviations : array (subject, stimulus), optional
    pseudo_values : array (subject,), optional
        Where a subject's value depends on the other subjects too.
    subjects : {"auto", "fixed", "resampled"}
        Whether intervals and tests are about fresh subjects too.
    overlap : float
        Of `shared_training`, for what is fitted on one part of the stimuli and judged on another.

    Raises
    ------
    RequestError
        Shapes that do not fit, values that are not finite, or neither resamples nor deviations.

    Examples
    --------
    >>> samples = Samples(np.array([0.5]), np.array([[0.4, 0.6, 0.5]]), n_stimuli=100)
    >>> samples.value, samples.estimate().low < 0.5 < samples.estimate().high
    (0.5, True)
    """

    values: Floats
    resampled: Floats | None
    n_stimuli: int
    deviations: Floats | None = None
    pseudo_values: Floats | None = None
    subjects: Subjects = "auto"
    overlap: float = 1.0

    def __post_init__(self) -> None:
        for name in ("values", "resampled", "deviations", "pseudo_values"):
            array = getattr(self, name)
            if array is not None and not np.isfinite(array).all():
                raise RequestError(f"{name}: values that are not finite; leave these stimuli or subjects out")
        self.error()

    @property
    def value(self) -> float:
        """Mean over subjects."""
        return float(np.mean(self.values))

    def error(self) -> tuple[float, int]:
        """Standard error of the mean over subjects, and its degrees of freedom."""
        return standard_error(
            self.values,
            self.resampled,
            n_stimuli=self.n_stimuli,
            deviations=self.deviations,
            pseudo_values=self.pseudo_values,
            subjects=self.subjects,
            overlap=self.overlap,
        )

    def estimate(self) -> Estimate:
        """The mean over subjects with its 95 % interval, value +- t x error."""
        error, freedom = self.error()
        half = float(stats.t.ppf(0.975, freedom) * error)
        return Estimate(self.value, self.value - half, self.value + half)

    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the mean over subjects is 0, by Student's t."""
        error, freedom = self.error()
        if error == 0:
            return float(self.value == 0)
        return float(2 * stats.t.sf(abs(self.value) / error, freedom))

    def minus(self, other: "Samples") -> "Samples":
        """The difference, subject by subject, resample by resample.

        Raises
        ------
        RequestError
            The two are not of the same subjects, stimuli and resamples.
        """
        mine, theirs = _shapes(self), _shapes(other)
        if mine != theirs:
            raise RequestError(f"samples {mine} and {theirs} are not of the same subjects, stimuli and resamples")
        return replace(
            self,
            values=self.values - other.values,
            resampled=_less(self.resampled, other.resampled),
            deviations=_less(self.deviations, other.deviations),
            pseudo_values=_less_pseudo(self, other),
            overlap=max(self.overlap, other.overlap),
        )

    def times(self, factor: float) -> "Samples":
        """All values times a fixed number."""
        return replace(
            self,
            values=self.values * factor,
            resampled=None if self.resampled is None else self.resampled * factor,
            deviations=None if self.deviations is None else self.deviations * factor,
            pseudo_values=None if self.pseudo_values is None else self.pseudo_values * factor,
        )


def _less(a: Floats | None, b: Floats | None) -> Floats | None:
    return None if a is None or b is None else a - b


def _less_pseudo(a: Samples, b: Samples) -> Floats | None:
    """Of values that depend on no other subject, the pseudo-values are the values."""
    if a.pseudo_values is None and b.pseudo_values is None:
        return None
    first, second = (each.values if each.pseudo_values is None else each.pseudo_values for each in (a, b))
    return first - second


def _shapes(samples: Samples) -> tuple[int, tuple[int, ...], tuple[int, ...] | None, tuple[int, ...] | None]:
    arrays = (samples.resampled, samples.deviations)
    resampled, deviations = (None if array is None else np.shape(array) for array in arrays)
    return samples.n_stimuli, np.shape(samples.values), resampled, deviations
