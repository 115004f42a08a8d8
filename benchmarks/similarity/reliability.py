"""The ceiling of one subject's representation, from halves of its trials."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from scipy import stats

from alignment.encoding import TensorFeatures
from alignment.samples import Samples
from alignment.seeds import generator
from benchmarks.similarity.judged import Counts
from benchmarks.similarity.strategies import Doubles, Strategy

HALVINGS = 4


def halves_ceiling(
    strategy: Strategy, trials: Sequence[xr.DataArray], *, counts: Sequence[Counts], seed: int, name: str
) -> tuple[Samples | None, float | None]:
    """Highest expected similarity of a perfect model, sqrt(2 r / (1 + r)) with r that of the two halves' summaries.

    The Spearman-Brown step holds for the dissimilarities as far as their noise halves when trials double.

    Parameters
    ----------
    strategy : how responses are summarised and compared
    trials : per fold, ("stimulus", "neuroid", "repetition"), NaN where there is no trial
    counts : per fold, (resample, stimulus)
    seed : of the halvings
    name : of the data set

    Returns
    -------
    ceiling : Samples of one subject; None where some stimulus has fewer than two trials
    p_value : of the halves sharing no geometry; None with it
    """
    if any((np.isfinite(each.values).sum(axis=2) < 2).any() for each in trials):
        return None, None
    r, resampled, deviations, p_values = [], [], [], []
    for number, (of_fold, drawn) in enumerate(zip(trials, counts, strict=True)):
        n_stimuli = of_fold.sizes["stimulus"]
        pairs = [_halves(strategy, of_fold, name, number, index, seed=seed) for index in range(HALVINGS)]
        r.append(np.mean([strategy.similarities(a[None], b[None], n_stimuli=n_stimuli)[0, 0] for a, b in pairs]))
        again = [strategy.resampled(a[None], b[None], drawn) for a, b in pairs]
        drawn_again = [each[:, 0, 0] for each in again if each is not None]
        resampled.append(np.mean(drawn_again, axis=0) if drawn_again else None)
        deviations.append(
            np.mean([strategy.deviations(a[None], b[None], n_stimuli=n_stimuli)[0, 0] for a, b in pairs], axis=0)
        )
        p_values.append(strategy.agreement_p_value(np.stack(pairs[0]), n_stimuli=n_stimuli, seed=seed))
    value, known = float(np.mean(r)), [each for each in resampled if each is not None]
    ceiling = Samples(
        np.array([_step_up(value)]),
        _step_up(np.mean(known, axis=0))[None] if known else None,
        n_stimuli=sum(len(each) for each in deviations),
        deviations=_slope(value) * np.concatenate(deviations)[None] / len(trials),
    )
    return ceiling, float(stats.combine_pvalues(p_values, method="fisher").pvalue)


def _halves(
    strategy: Strategy, trials: xr.DataArray, name: str, fold: int, number: int, *, seed: int
) -> tuple[Doubles, Doubles]:
    """Summaries of the means over two random halves of each stimulus's trials, the same trials for all neuroids."""
    values = trials.values
    there = np.isfinite(values)
    keys = generator(seed, "halves", name, fold, number).random(values.shape[::2])[:, None, :]
    order = np.where(there, keys, np.inf).argsort(axis=2).argsort(axis=2)
    first = order < (there.sum(axis=2) // 2)[..., None]
    halves = []
    for chosen in (first & there, ~first & there):
        mean = np.where(chosen, values, 0.0).sum(axis=2) / chosen.sum(axis=2)
        halves.append(strategy.summarise(TensorFeatures(torch.from_numpy(mean)), device="cpu"))
    return halves[0], halves[1]


def _step_up(r: Doubles | float) -> Doubles:
    """0 where halves are not alike at all."""
    return np.sqrt(np.maximum(0.0, 2 * np.asarray(r) / (1 + np.asarray(r))))


def _slope(r: float) -> float:
    """Of `_step_up` at r; where that is flat, as if halves were hardly alike."""
    held = max(r, 1e-3)
    return float(1 / (_step_up(held) * (1 + held) ** 2))
