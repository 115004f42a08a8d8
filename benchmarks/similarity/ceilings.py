"""What the noise of the data allows: other subjects, or the two halves of one subject's trials or sessions."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from alignment.errors import RequestError
from alignment.resampling import Subjects
from alignment.samples import Samples
from benchmarks.similarity.brains import GivenBrain, RespondingBrain
from benchmarks.similarity.judged import Counts
from benchmarks.similarity.reliability import (
    Halves,
    combined_p_value,
    halves_ceiling,
    halves_of_sessions,
    halves_of_trials,
)
from benchmarks.similarity.repeated import RepeatedBrain
from benchmarks.similarity.strategies import Strategy
from benchmarks.similarity.surface import bounds_of

Source = Literal["subjects", "trials", "repetitions", "sessions", "apart", "once", "few", "undefined"]

_ALONE = "normalised = raw / ceiling; one subject, so there is no lower bound"
_HALVES = f"sqrt(2 r / (1 + r)), r the similarity of {{}}; {_ALONE}"
SAID: Mapping[Source, str] = {
    "subjects": "leave one subject out; upper: pool of all, lower: pool of the others; normalised = raw / upper",
    "trials": _HALVES.format("random halves of each stimulus's trials, where every stimulus has two"),
    "repetitions": "sqrt(k r / (1 + (k - 1) r)), r the similarity of random halves of the repetitions, each with two "
    "trials of every stimulus at least, k = (2 d + 4 / (n - 2)) / (d + 1 / (n - 1)) how many times the noise shrinks "
    "when trials double, d the mean dissimilarity, n the trials of a stimulus (Diedrichsen, Provost & Zareamoghaddam "
    f"2016, arXiv:1607.01371); {_ALONE}",
    "sessions": _HALVES.format("the mean RDMs of halves of the subject's sessions"),
    "apart": "none: subjects are judged on different stimuli",
    "once": "none: one subject, measured in one session",
    "few": "none: one subject, of whom no four repetitions hold every judged stimulus",
    "undefined": "none: this measure has none for this number of subjects",
}


class Ceiling(NamedTuple):
    """Bounds, where the data allow any, and the p value of there being nothing to find."""

    lower: Samples | None
    upper: Samples | None
    p_value: float | None


NO_CEILING = Ceiling(None, None, None)


def source_of(brain: RespondingBrain | GivenBrain, strategy: Strategy) -> Source:
    """What a ceiling is made of, or why there is none; a key of `SAID`."""
    single = len(brain.subjects) == 1
    if ("halves" if single else "subjects") not in strategy.ceilings:
        return "undefined"
    if not single:
        return "apart" if any(len(fold.groups) > 1 for fold in brain.folds) else "subjects"
    if isinstance(brain, RepeatedBrain):
        return "repetitions" if brain.can_be_halved else "few"
    if isinstance(brain, RespondingBrain):
        return "trials"
    return "sessions" if brain.sessions else "once"


def check_bounds(brain: RespondingBrain | GivenBrain, strategy: Strategy, *, subjects: Subjects, name: str) -> None:
    """Refuse to resample two subjects, each of whom is all that the other's lower bound is made of.

    Raises
    ------
    RequestError
        It was asked for.
    """
    if subjects == "resampled" and len(brain.subjects) == 2 and source_of(brain, strategy) == "subjects":
        raise RequestError(
            f"{name}: benchmark.subjects=resampled: without one of two subjects no bound is left; leave subjects fixed"
        )


def ceiling_of(
    brain: RespondingBrain | GivenBrain,
    strategy: Strategy,
    *,
    name: str,
    counts: Sequence[Sequence[Counts]],
    seed: int,
    subjects: Subjects,
) -> Ceiling:
    """Leave one subject out where several are judged on the same stimuli; else split halves of the only subject's data.

    Parameters
    ----------
    name : of the data set
    counts : per fold and group, (resample, stimulus)
    seed : of halvings and permutations
    subjects : whether intervals are about fresh ones
    """
    together = [drawn[0] for drawn in counts]
    source = source_of(brain, strategy)
    if source == "subjects":
        return _from_subjects(brain, strategy, counts=together, seed=seed, subjects=subjects)
    found = source in ("trials", "repetitions", "sessions")
    halves = _halves(brain, strategy, name=name, seed=seed) if found else None
    if halves is None:
        return NO_CEILING
    doubling = brain.doubling if isinstance(brain, RepeatedBrain) else 2.0
    upper, p_value = halves_ceiling(strategy, halves, counts=together, seed=seed, doubling=doubling)
    return Ceiling(None, upper, p_value)


def _from_subjects(
    brain: RespondingBrain | GivenBrain, strategy: Strategy, *, counts: Sequence[Counts], seed: int, subjects: Subjects
) -> Ceiling:
    summaries = [brain.judged(fold, fold.groups[0]) for fold in brain.folds]
    lower, upper = bounds_of(strategy, brain.folds, summaries=summaries, counts=counts, subjects=subjects)
    p_values = [
        strategy.agreement_p_value(each, n_stimuli=len(fold.stimuli), seed=seed)
        for fold, each in zip(brain.folds, summaries, strict=True)
    ]
    return Ceiling(lower, upper, combined_p_value(p_values))


def _halves(
    brain: RespondingBrain | GivenBrain, strategy: Strategy, *, name: str, seed: int
) -> list[list[Halves]] | None:
    """Per fold, every halving; None where a stimulus has no second trial."""
    if isinstance(brain, GivenBrain):
        (sessions,) = brain.sessions.values()
        return [halves_of_sessions(sessions, name=name, seed=seed)]
    if isinstance(brain, RepeatedBrain):
        return brain.halves(seed=seed)
    found = []
    for number, fold in enumerate(brain.folds):
        trials = brain.trials(fold)
        halves = None if trials is None else halves_of_trials(strategy, trials, name=name, fold=number, seed=seed)
        if halves is None:
            return None
        found.append(halves)
    return found
