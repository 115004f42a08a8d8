"""Regressions from every state of a layer to responses in time, and the map between the two that training chooses."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment.encoding import FeatureSource
from alignment.models.base import MS, Model
from alignment.time_map import BEFORE, Matched, best_onsets, in_force, of_places
from benchmarks.neural.regressions import Regression
from benchmarks.neural.scoring import median_over_neuroids
from benchmarks.neural.target import Target, inner_folds
from benchmarks.neural.units import rows_of


@dataclass(frozen=True)
class DeclaredMap:
    """Which maps from model time to ms are possible: ms = onset + ms_per_step x time.

    Attributes
    ----------
    onsets : ms, of which each neuroid has its own; the time bins of the responses from 0 on when None
    ms_per_step : of which a layer has one; a model whose time is in ms has 1
    """

    onsets: tuple[float, ...] | None = None
    ms_per_step: tuple[float, ...] = (10.0, 20.0, 40.0, 80.0)

    def onsets_of(self, response_times: np.ndarray) -> tuple[float, ...]:
        """Those that were declared, or the bins that begin at 0 or later."""
        return self.onsets if self.onsets is not None else tuple(response_times[response_times >= 0].tolist())

    def steps_of(self, model: Model, layer: str) -> tuple[float, ...]:
        """The candidates for one layer; of a single state all steps are the same."""
        if model.time_unit == MS:
            return (1.0,)
        return self.ms_per_step if len(model.time_bins[layer]) > 1 else self.ms_per_step[:1]

    def settings(self) -> dict[str, Any]:
        """Both."""
        return asdict(self)


class _Map(NamedTuple):
    """What training data chose: ms of a step, the place of each neuroid's onset, the state in force for each onset."""

    ms_per_step: float
    matched: Matched
    places: np.ndarray

    @property
    def standing(self) -> float:
        """Median over neuroids of what it explains."""
        return float(median_over_neuroids(self.matched.scores))


def fit_over_time(
    states: Sequence[Tensor | FeatureSource],
    target: Target,
    *,
    model_times: Sequence[float],
    steps: Sequence[float],
    onsets: Sequence[float],
    regression: Regression,
    device: str,
) -> xr.Dataset:
    """Fit every split from every state to all time bins at once, then choose the map by the scores within training.

    Parameters
    ----------
    states : (stimulus, unit), one per time bin of the layer
    target : responses ("stimulus", "neuroid", "time_bin") and their splits
    model_times : of the states
    steps, onsets : the maps that are possible, ms
    regression : how responses are predicted
    device : where the mathematics runs

    Returns
    -------
    Dataset
        `cv_score` (fold, neuroid), what the chosen map explains within training, and `cv_by_bin` the same in each
        (fold, neuroid, time_bin); `onset` (fold, neuroid) and `ms_per_step` (fold,), ms; `n_states` (); `predicted`
        (stimulus, neuroid, time_bin) float32, the judged stimuli, each by the fold that held it out; `held_out_in`
        (stimulus)
    """
    responses = target.responses
    times = responses["time_bin"].values
    observed = torch.from_numpy(np.ascontiguousarray(responses.values)).to(device).flatten(1)
    prepared = [regression.prepared(x, n_splits=len(target.splits), device=device) for x in states]
    predicted = np.full(responses.shape, np.nan, dtype=np.float32)
    found: dict[str, list[Any]] = {name: [] for name in ("cv_score", "cv_by_bin", "onset", "ms_per_step")}
    for split in target.splits:
        train, test = target.rows(split)
        fits = [regression.fit(rows_of(x, train), observed[train], folds=inner_folds(split)) for x in prepared]
        scores = np.stack([fit.cv_score.reshape(-1, len(times)).T for fit in fits]).astype(np.float64)
        chosen = _chosen(scores, model_times=model_times, times=times, steps=steps, onsets=onsets)
        places = chosen.places[chosen.matched.places]
        said = np.stack(
            [
                fit.predict(rows_of(x, test)).cpu().numpy().reshape(len(test), -1, len(times))
                for fit, x in zip(fits, prepared, strict=True)
            ]
        )
        predicted[test.numpy()] = _by_neuroid(said, places, silent=observed[train].mean(0).cpu().numpy())
        bins = np.arange(len(times))
        by_bin = [of_places(np.nan_to_num(scores[:, :, n]), each, bins) for n, each in enumerate(places)]
        found["cv_score"].append(chosen.matched.scores)
        found["cv_by_bin"].append(np.stack(by_bin))
        found["onset"].append(np.asarray(onsets)[chosen.matched.places])
        found["ms_per_step"].append(chosen.ms_per_step)
    return xr.Dataset(
        {
            "cv_score": (("fold", "neuroid"), np.stack(found["cv_score"])),
            "cv_by_bin": (("fold", "neuroid", "time_bin"), np.stack(found["cv_by_bin"])),
            "onset": (("fold", "neuroid"), np.stack(found["onset"])),
            "ms_per_step": ("fold", np.array(found["ms_per_step"])),
            "n_states": len(states),
            "predicted": (("stimulus", "neuroid", "time_bin"), predicted[target.judged]),
            "held_out_in": ("stimulus", target.held_out_in[target.judged]),
        },
        coords={
            "time_bin": times,
            "stimulus": np.asarray(target.ids)[target.judged],
            "fold": [split.name for split in target.splits],
        },
    )


def _chosen(
    scores: np.ndarray,
    *,
    model_times: Sequence[float],
    times: np.ndarray,
    steps: Sequence[float],
    onsets: Sequence[float],
) -> _Map:
    """The step under which the median neuroid, each at its best onset, is explained best; the first of equals."""
    maps = []
    for step in steps:
        places = in_force(model_times, times.tolist(), onsets=onsets, ms_per_step=step)
        maps.append(_Map(step, best_onsets(scores, places), places))
    return max(maps, key=lambda each: each.standing)


def _by_neuroid(said: np.ndarray, places: np.ndarray, *, silent: np.ndarray) -> np.ndarray:
    """(stimulus, neuroid, time_bin): the prediction of the state in force, before the first one the training mean.

    Parameters
    ----------
    said : (state, stimulus, neuroid, time_bin)
    places : (neuroid, time_bin)
    silent : (neuroid x time_bin,)
    """
    neuroids, bins = np.indices(places.shape)
    found = np.moveaxis(said[np.maximum(places, 0), :, neuroids, bins], -1, 0)
    return np.where(places == BEFORE, silent.reshape(places.shape), found)
