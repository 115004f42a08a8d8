"""What the noise of the data allows: other subjects, or the two halves of one subject's trials."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from alignment.resampling import Subjects
from alignment.samples import Samples
from benchmarks.similarity.brains import GivenBrain, RespondingBrain
from benchmarks.similarity.judged import Counts
from benchmarks.similarity.reliability import halves_ceiling
from benchmarks.similarity.strategies import Strategy
from benchmarks.similarity.surface import bounds_of


class Ceiling(NamedTuple):
    """Bounds, where the data allow any, and the p value of there being nothing to find."""

    lower: Samples | None
    upper: Samples | None
    p_value: float | None


NO_CEILING = Ceiling(None, None, None)


def ceiling_of(
    brain: RespondingBrain | GivenBrain,
    strategy: Strategy,
    *,
    name: str,
    counts: Sequence[Sequence[Counts]],
    seed: int,
    subjects: Subjects,
) -> Ceiling:
    """Leave one subject out where several are judged on the same stimuli, split halves where one has single trials.

    Parameters
    ----------
    name : of the data set
    counts : per fold and group, (resample, stimulus)
    seed : of halvings and permutations
    subjects : whether intervals are about fresh ones
    """
    together = [drawn[0] for drawn in counts]
    source = "halves" if len(brain.subjects) == 1 else "subjects"
    if source not in strategy.ceilings:
        return NO_CEILING
    if source == "halves":
        return _from_halves(brain, strategy, name=name, counts=together, seed=seed)
    if any(len(fold.groups) > 1 for fold in brain.folds):
        return NO_CEILING
    summaries = [brain.judged(fold, fold.groups[0]) for fold in brain.folds]
    lower, upper = bounds_of(strategy, brain.folds, summaries=summaries, counts=together, subjects=subjects)
    p_values = [
        strategy.agreement_p_value(each, n_stimuli=len(fold.stimuli), seed=seed)
        for fold, each in zip(brain.folds, summaries, strict=True)
    ]
    tested = [p for p in p_values if not np.isnan(p)]
    return Ceiling(lower, upper, float(stats.combine_pvalues(tested, method="fisher").pvalue) if tested else None)


def _from_halves(
    brain: RespondingBrain | GivenBrain, strategy: Strategy, *, name: str, counts: Sequence[Counts], seed: int
) -> Ceiling:
    if isinstance(brain, GivenBrain):
        return NO_CEILING
    trials = [brain.trials(fold) for fold in brain.folds]
    known = [each for each in trials if each is not None]
    if len(known) < len(trials):
        return NO_CEILING
    upper, p_value = halves_ceiling(strategy, known, counts=counts, seed=seed, name=name)
    return Ceiling(None, upper, p_value)
