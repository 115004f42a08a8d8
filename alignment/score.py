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
from alignment.resampling import Floats, resamples_subjects
from alignment.samples import Estimate, Samples

Status = Literal["ok", "no_ceiling", "undefined", "incomplete", "flagged", "unreliable"]

SIGNIFICANCE = 0.05
FLAGGED_ABOVE = 1.05


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
    lower : Estimate or None
        Lower bound of the ceiling, where there is one: how well the other subjects do. Nothing is divided by it.
    status : {"ok", "no_ceiling", "undefined", "incomplete", "flagged", "unreliable"}
        no_ceiling: no repetitions to estimate one. undefined: the ceiling is not distinguishable from 0. incomplete: a
        part is missing. flagged: even the low end of `normalised` exceeds 1.05, which hints at leakage or at a ceiling
        of other repetitions than those evaluated. unreliable: the model shows why attacks
        on it, or on its layers, may fail for no good reason, such as masked gradients.
    p_value : float or None
        Of the hypothesis that the ceiling is 0; None where it was not tested.
    p_zero, p_lower : float or None
        Two-sided, of the hypothesis that raw is 0, and that it is the lower bound of the ceiling.
    n_stimuli, n_neuroids, n_subjects : int
        Evaluated stimuli (over all folds), kept neuroids (over all subjects; None where the data are RDMs), subjects;
        None both for what is measured on no brain.
    subjects_resampled : bool
        Whether the intervals are about fresh subjects too (8 or more), or about these.
    """

    raw: Estimate
    ceiling: Estimate | None
    normalised: Estimate | None
    lower: Estimate | None
    status: Status
    p_value: float | None
    p_zero: float | None
    p_lower: float | None
    n_stimuli: int
    n_neuroids: int | None
    n_subjects: int | None
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
        estimates = {name: _estimate(plain[name]) for name in ("raw", "ceiling", "normalised", "lower")}
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
    raw = Samples(raws, _resamples("resampled", resampled, len(raws)), n_stimuli=n_stimuli)
    n_neuroids = sum(len(each) for each in values)
    if ceiling is None:
        return score_samples(raw, n_neuroids=n_neuroids, ceiling_p_value=ceiling_p_value)
    if [len(c) for c in ceiling] != [len(v) for v in values]:
        raise RequestError("ceiling: not of the same subjects and neuroids as the values")
    if resampled_ceiling is None:
        raise RequestError("resampled_ceiling: missing; a ceiling needs its own resamples for an interval")
    resampled_upper = _resamples("resampled_ceiling", resampled_ceiling, len(raws))
    if raw.resampled is None or resampled_upper.shape != raw.resampled.shape:
        raise RequestError("resampled_ceiling: not as many resamples as of the values")
    upper = Samples(_medians("ceiling", ceiling), resampled_upper, n_stimuli=n_stimuli)
    return score_samples(raw, ceiling=upper, n_neuroids=n_neuroids, ceiling_p_value=ceiling_p_value)


def score_samples(
    raw: Samples,
    *,
    ceiling: Samples | None = None,
    lower: Samples | None = None,
    n_neuroids: int | None,
    ceiling_p_value: float | None = None,
) -> Score:
    """A score from one value per subject and what resampling made of it; intervals as in `score`.

    Parameters
    ----------
    raw : Samples
    ceiling, lower : Samples, optional
        The highest value the noise of the data allows, and a bound below it, on the same subjects and resamples.
    n_neuroids : int or None
        Kept neuroids over all subjects; None where the data are RDMs.
    ceiling_p_value : float, optional
        As in `score`.
    """
    normalised: Estimate | None = None
    status: Status = "no_ceiling"
    if ceiling is not None:
        upper = ceiling.estimate()
        status = _status(upper.value, ceiling_p_value)
        if status == "ok":
            ratio = raw.value / upper.value
            rest = raw.minus(ceiling.times(ratio)).estimate()
            half = (rest.high - rest.low) / 2 / upper.value
            normalised = Estimate(ratio, ratio - half, ratio + half)
            status = "flagged" if normalised.low > FLAGGED_ABOVE else "ok"
    return Score(
        raw=raw.estimate(),
        ceiling=None if ceiling is None else ceiling.estimate(),
        normalised=normalised,
        lower=None if lower is None else lower.estimate(),
        status=status,
        p_value=ceiling_p_value,
        p_zero=raw.p_value(),
        p_lower=None if lower is None else raw.minus(lower).p_value(),
        n_stimuli=raw.n_stimuli,
        n_neuroids=n_neuroids,
        n_subjects=len(raw.values),
        subjects_resampled=resamples_subjects(len(raw.values), subjects=raw.subjects),
    )


def paired_difference(a: Samples, b: Samples) -> tuple[Estimate, float]:
    """How much model a scores above model b on the same subjects, stimuli and resamples.

    Returns
    -------
    difference : Estimate
        Mean over subjects of a - b.
    p_value : float
        Two-sided, by Student's t with the degrees of freedom of `standard_error`.

    Raises
    ------
    RequestError
        The two are not of the same subjects and resamples.
    """
    difference = a.minus(b)
    return difference.estimate(), difference.p_value()


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
