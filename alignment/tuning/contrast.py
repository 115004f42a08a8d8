r"""By how much tuning exceeds what it is held against, over stimuli and over seeds.

Each seed gives one difference, judged on the same stimuli as all others. Their mean has two sources of error, which
are independent: the stimuli that were drawn, whose variance $v_1$ the resamples of the mean over seeds give, and the
seeds that were drawn, whose variance is $v_2 = s^2 / S$ with $s^2$ that of the S differences on the stimuli as they
are. The interval is $t \sqrt{v_1 + v_2}$ with the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2:110)
from those of both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from alignment.errors import RequestError
from alignment.samples import Estimate, Samples


@dataclass(frozen=True)
class Contrast:
    """A difference with its 95 % interval.

    Attributes
    ----------
    estimate : mean over seeds
    n_seeds : how many; of one, the interval knows stimuli only
    of_stimuli, of_seeds : shares of the variance, `of_seeds` 0 where there is one seed
    """

    estimate: Estimate
    n_seeds: int
    of_stimuli: float
    of_seeds: float

    @property
    def is_above(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.estimate.low > 0

    @property
    def is_below(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.estimate.high < 0


def contrast(a: Sequence[Samples], b: Sequence[Samples]) -> Contrast:
    """How much a exceeds b, seed by seed.

    Parameters
    ----------
    a, b : sequence of Samples
        One of each seed, in the same order, on the same subjects, stimuli and resamples.

    Returns
    -------
    Contrast

    Raises
    ------
    RequestError
        There is no seed, or not the same number of both, or they are not of the same subjects, stimuli and resamples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one = [Samples(np.array([0.5]), 0.5 + 0.01 * rng.standard_normal((1, 200)), n_stimuli=100) for _ in range(3)]
    >>> other = [each.times(0.5) for each in one]
    >>> found = contrast(one, other)
    >>> round(found.estimate.value, 3), found.is_above, found.n_seeds
    (0.25, True, 3)
    """
    if not a or len(a) != len(b):
        raise RequestError(f"contrast: {len(a)} and {len(b)} seeds; give the same seeds of both, one at least")
    differences = [first.minus(second) for first, second in zip(a, b, strict=True)]
    mean = _mean(differences)
    error, freedom = mean.error()
    values = [each.value for each in differences]
    seeds = float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0
    stimuli = error**2
    total = stimuli + seeds
    if total == 0:
        return Contrast(Estimate(mean.value, mean.value, mean.value), len(a), 0.0, 0.0)
    halves = stimuli**2 / freedom + (seeds**2 / (len(values) - 1) if len(values) > 1 else 0.0)
    half = float(stats.t.ppf(0.975, total**2 / halves)) * math.sqrt(total)
    interval = Estimate(mean.value, mean.value - half, mean.value + half)
    return Contrast(interval, len(a), stimuli / total, seeds / total)


def _mean(samples: Sequence[Samples]) -> Samples:
    """Over seeds, resample by resample."""
    first = samples[0]
    for other in samples[1:]:
        # refuses what is not of the same subjects, stimuli and resamples
        first.minus(other)
    return replace(
        first,
        values=np.mean([each.values for each in samples], axis=0),
        resampled=_mean_of([each.resampled for each in samples]),
        deviations=_mean_of([each.deviations for each in samples]),
        pseudo_values=_mean_of([each.pseudo_values for each in samples]),
        overlap=max(each.overlap for each in samples),
    )


def _mean_of(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    known = [each for each in arrays if each is not None]
    return np.mean(known, axis=0) if len(known) == len(arrays) else None
