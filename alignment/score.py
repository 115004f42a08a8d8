"""A score: raw, ceiling and normalised, each with an interval; paired comparison of two models.

Per subject, raw and ceiling are medians over the same neuroids; each is averaged over subjects; normalised is the ratio
of those two means. Nothing is clipped, no ratio is taken per neuroid, and nothing is divided by a lower bound.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

from alignment.errors import RequestError
from alignment.resampling import MINIMUM_SUBJECTS, Floats, standard_error

Status = Literal["ok", "no_ceiling", "undefined", "incomplete", "flagged"]

SIGNIFICANCE = 0.05
FLAGGED_ABOVE = 1.05


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, `low <= value <= high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """What one model scores on one benchmark.

    Attributes
    ----------
    raw : Estimate
        Mean over subjects of the median r over neuroids.
    ceiling : Estimate or None
        The same for the highest r a perfect model could reach; None without repetitions.
    normalised : Estimate or None
        raw / ceiling; None where that has no meaning.
    status : {"ok", "no_ceiling", "undefined", "incomplete", "flagged"}
        no_ceiling: no repetitions to estimate one. undefined: the ceiling is not distinguishable from 0. incomplete: a
        part is missing. flagged: even the low end of `normalised` exceeds 1.05, which hints at leakage or at a ceiling
        of other repetitions than those evaluated.
    p_value : float or None
        Of the hypothesis that the ceiling is 0; None where it was not tested.
    n_stimuli, n_neuroids, n_subjects : int
        Evaluated stimuli (over all folds), kept neuroids (over all subjects), subjects.
    subjects_resampled : bool
        Whether the intervals are about fresh subjects too (8 or more), or about these.
    """

    raw: Estimate
    ceiling: Estimate | None
    normalised: Estimate | None
    status: Status
    p_value: float | None
    n_stimuli: int
    n_neuroids: int
    n_subjects: int
    subjects_resampled: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, text and None, as JSON wants them: a number that is not finite becomes None."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The score that `to_dict` made plain; a None inside an estimate is NaN again."""
        names = {field.name for field in dataclasses.fields(cls)}
        if set(plain) != names:
            raise RequestError(f"score: fields {sorted(plain)} are not {sorted(names)}")
        if plain["status"] not in get_args(Status):
            raise RequestError(f"score: status {plain['status']!r} is none of {', '.join(get_args(Status))}")
        estimates = {name: _estimate(plain[name]) for name in ("raw", "ceiling", "normalised")}
        if estimates["raw"] is None:
            raise RequestError("score: raw is missing")
        return cls(**{**plain, **estimates})


def score(
    values: Sequence[Floats],
    ceiling: Sequence[Floats] | None,
    *,
    resampled: Sequence[Floats],
    resampled_ceiling: Sequence[Floats] | None = None,
    n_stimuli: int,
    ceiling_p_value: float | None = None,
) -> Score:
    """The score of one model on one benchmark, with 95 % intervals.

    The estimand of an interval is the expected score of the fitted model on as many fresh stimuli, neuroids fixed. The
    interval is estimate +- t x `standard_error`. The estimate is unbiased for this estimand, while quantiles of the
    resamples are not centred on it: a resample adds noise to every r once more, and a median over neuroids of unequal r
    moves with the noise. Measured in 200 to 1000 simulations (coverage, mean width over 3.92 sampling sd):

    =========================================  =============  ==========  ==========
    stimuli x folds, neuroids                  this interval  percentile  basic
    =========================================  =============  ==========  ==========
    60 x 1, 100 without signal                 0.99, 1.25     0.98, 1.12  0.89, 1.12
    100 x 1, 100 weak (r 0.2)                  0.99, 1.15     0.99, 1.02  0.84, 1.02
    100 x 1, 200 strong (r 0.6)                0.97, 1.08     0.96, 0.97  0.89, 0.97
    150 x 1, 60 strong, heavy-tailed stimuli   0.94, 0.99     0.94, 0.91  0.87, 0.91
    150 x 1, 100, half of them without signal  1.00, 1.44     1.00, 1.28  0.90, 1.28
    100 x 1, 600, few of them strong           0.98, 1.28     0.84, 1.00  0.62, 1.00
    240 x 5, 40 without signal                 1.00, 1.28     1.00, 1.17  0.92, 1.17
    240 x 5, 40 strong (r 0.5)                 0.98, 1.08     0.99, 0.96  0.83, 0.96
    =========================================  =============  ==========  ==========

    The interval of `normalised` is that of raw - normalised x ceiling, resampled jointly, over the ceiling (the delta
    method): a ceiling that comes near 0 in a resample cannot blow it up.

    Parameters
    ----------
    values : sequence of array (neuroid,)
        One per subject: held-out r of each kept neuroid, averaged over folds.
    ceiling : sequence of array (neuroid,) or None
        The highest r each of these neuroids allows, for the repetitions of the evaluated stimuli.
    resampled : sequence of array (resample,)
        One per subject: medians over these neuroids in each resample of stimuli (`resampled_medians`).
    resampled_ceiling : sequence of array (resample,), optional
        Medians of the ceiling on the same resamples; needed with a ceiling.
    n_stimuli : int
        Stimuli evaluated, over all folds.
    ceiling_p_value : float, optional
        Of the hypothesis that the ceiling is 0 (`split_half_p_value`); above 0.05 the normalised score is undefined.

    Returns
    -------
    Score

    Raises
    ------
    RequestError
        When subjects, neuroids or resamples do not match, or a value is not finite.
    """
    raws = _medians("values", values)
    raw_resamples = _resamples("resampled", resampled, len(raws))
    raw = interval(raws, raw_resamples, n_stimuli=n_stimuli)
    upper = normalised = None
    status: Status = "no_ceiling"
    if ceiling is not None:
        if [len(c) for c in ceiling] != [len(v) for v in values]:
            raise RequestError("ceiling: not of the same subjects and neuroids as the values")
        if resampled_ceiling is None:
            raise RequestError("resampled_ceiling: missing; a ceiling needs its own resamples for an interval")
        uppers = _medians("ceiling", ceiling)
        upper_resamples = _resamples("resampled_ceiling", resampled_ceiling, len(raws))
        if upper_resamples.shape != raw_resamples.shape:
            raise RequestError("resampled_ceiling: not as many resamples as of the values")
        upper = interval(uppers, upper_resamples, n_stimuli=n_stimuli)
        status = _status(upper.value, ceiling_p_value)
        if status == "ok":
            ratio = raw.value / upper.value
            rest = interval(raws - ratio * uppers, raw_resamples - ratio * upper_resamples, n_stimuli=n_stimuli)
            half = (rest.high - rest.low) / 2 / upper.value
            normalised = Estimate(ratio, ratio - half, ratio + half)
            status = "flagged" if normalised.low > FLAGGED_ABOVE else "ok"
    return Score(
        raw=raw,
        ceiling=upper,
        normalised=normalised,
        status=status,
        p_value=ceiling_p_value,
        n_stimuli=n_stimuli,
        n_neuroids=sum(len(v) for v in values),
        n_subjects=len(raws),
        subjects_resampled=len(raws) >= MINIMUM_SUBJECTS,
    )


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    *,
    resampled_a: Sequence[Floats],
    resampled_b: Sequence[Floats],
    n_stimuli: int,
) -> tuple[Estimate, float]:
    """How much model a scores above model b on the same subjects, stimuli and resamples.

    Parameters
    ----------
    a, b : sequence of float (subject,)
        Median r over neuroids of each subject.
    resampled_a, resampled_b : sequence of array (resample,)
        One per subject; column by column the same resample for both models.
    n_stimuli : int
        Stimuli evaluated, over all folds.

    Returns
    -------
    difference : Estimate
        Mean over subjects of a - b.
    p_value : float
        Two-sided, by Student's t with the degrees of freedom of `standard_error`.
    """
    differences = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    first, second = (
        _resamples("resampled_a", resampled_a, len(differences)),
        _resamples("resampled_b", resampled_b, len(differences)),
    )
    if first.shape != second.shape:
        raise RequestError(f"resampled_a {first.shape} and resampled_b {second.shape} are not the same resamples")
    estimate = interval(differences, first - second, n_stimuli=n_stimuli)
    error, freedom = standard_error(differences, first - second, n_stimuli=n_stimuli)
    if error == 0:
        return estimate, float(estimate.value == 0)
    return estimate, float(2 * stats.t.sf(abs(estimate.value) / error, freedom))


def false_discovery(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """p values adjusted for false discovery rate over a family of comparisons (Benjamini & Hochberg 1995).

    Examples
    --------
    >>> false_discovery([0.01, 0.02, 0.5])
    array([0.03, 0.03, 0.5 ])
    """
    return stats.false_discovery_control(np.asarray(p_values, np.float64), method="bh")


def _status(upper: float, p_value: float | None) -> Status:
    untrue = upper <= 0 or (p_value is not None and not p_value <= SIGNIFICANCE)
    return "undefined" if untrue else "ok"


def interval(values: Floats, resampled: Floats, *, n_stimuli: int) -> Estimate:
    """Mean over subjects with its 95 % interval, value +- t x `standard_error`; arguments as there."""
    error, freedom = standard_error(values, resampled, n_stimuli=n_stimuli)
    value, half = float(np.mean(values)), float(stats.t.ppf(0.975, freedom) * error)
    return Estimate(value, value - half, value + half)


def _medians(name: str, of_subjects: Sequence[Floats]) -> npt.NDArray[np.float64]:
    for subject, values in enumerate(of_subjects):
        if np.ndim(values) != 1 or len(values) == 0 or not np.isfinite(values).all():
            raise RequestError(
                f"{name}: subject {subject} needs (neuroid,) finite numbers; drop the other neuroids first"
            )
    if not len(of_subjects):
        raise RequestError(f"{name}: no subject")
    return np.array([np.median(np.asarray(values, np.float64)) for values in of_subjects])


def _resamples(name: str, of_subjects: Sequence[Floats], n_subjects: int) -> npt.NDArray[np.float64]:
    if len(of_subjects) != n_subjects or len({np.shape(r) for r in of_subjects}) != 1:
        raise RequestError(f"{name}: needs the same number of resamples for each of {n_subjects} subjects")
    stacked = np.array([np.asarray(r, np.float64) for r in of_subjects])
    if stacked.ndim != 2 or not np.isfinite(stacked).all():
        raise RequestError(f"{name}: needs (resample,) finite numbers for each subject")
    return stacked


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _estimate(plain: Mapping[str, float | None] | None) -> Estimate | None:
    if plain is None:
        return None
    return Estimate(**{name: math.nan if value is None else value for name, value in plain.items()})
