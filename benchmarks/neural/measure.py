"""Settings of the ridge, and the ridge of one layer on one subject in every split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment import seeds
from alignment.correlation import pearson
from alignment.encoding import FeatureSource, RowSubset, fit_ridge, gram_equivalent
from alignment.encoding.ridge import Selection
from alignment.resampling import Subjects
from benchmarks.datasets.base import Split

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-4, 4, 17))
INNER_FOLDS = 5


@dataclass(frozen=True)
class RidgeMeasure:
    """How responses are predicted.

    Attributes
    ----------
    selection : how the alpha of each neuroid is chosen within the training stimuli
    scale : of features before the ridge; they are always centred
    alphas : multiples of the mean eigenvalue of the training Gram
    n_bootstrap, seed, subjects : of the intervals
    """

    selection: Selection = "loo"
    scale: str = "none"
    alphas: tuple[float, ...] = ALPHAS
    n_bootstrap: int = 1000
    seed: int = 0
    subjects: Subjects = "auto"

    def of_fits(self) -> dict[str, object]:
        """The settings that enter a fit; resamples are drawn later."""
        return {"selection": self.selection, "scale": self.scale, "alphas": self.alphas}


@dataclass(frozen=True)
class Fits:
    """One layer at one time_bin on one subject.

    Attributes
    ----------
    r, cv_score, alpha : (fold, neuroid), held-out r; 1 - cv error / variance in training; the alpha chosen
    predicted : (stimulus, neuroid) float32, each stimulus by the fold that held it out; NaN where none did
    """

    r: np.ndarray
    cv_score: np.ndarray
    alpha: np.ndarray
    predicted: np.ndarray


def fit_splits(
    features: FeatureSource, responses: xr.DataArray, *, splits: Sequence[Split], measure: RidgeMeasure, device: str
) -> Fits:
    """Fit every split and predict the stimuli it holds out.

    Parameters
    ----------
    features : (stimulus, unit), rows in the order of `responses`
    responses : ("stimulus", "neuroid") float32
    """
    position = {str(name): row for row, name in enumerate(responses["stimulus"].values)}
    observed = torch.from_numpy(np.ascontiguousarray(responses.values)).to(device)
    # one pass over the features serves all splits; with a single split it would be a decomposition too many
    shared = gram_equivalent(features, device=device) if measure.scale == "none" and len(splits) > 1 else None
    predicted = np.full(observed.shape, np.nan, dtype=np.float32)
    r, cv_score, alpha = [], [], []
    for split in splits:
        train, test = (torch.tensor([position[name] for name in names]) for names in (split.train, split.test))
        fit = fit_ridge(
            _rows(features, shared, train),
            observed[train],
            alphas=measure.alphas,
            selection=measure.selection,
            scale="none" if measure.scale == "none" else "floored_sd",
            folds=_inner_folds(split) if measure.selection == "kfold" else None,
        )
        predictions = fit.predict(_rows(features, shared, test))
        predicted[test.numpy()] = predictions.cpu().numpy()
        r.append(pearson(predictions, observed[test]))
        cv_score.append(fit.cv_score.cpu().numpy())
        alpha.append(fit.alphas.cpu().numpy())
    return Fits(np.stack(r), np.stack(cv_score), np.stack(alpha), predicted)


def measured_dataset(
    fits: Sequence[Fits], responses: xr.DataArray, *, splits: Sequence[Split], time_bins: Sequence[float]
) -> xr.Dataset:
    """What is kept of one part.

    Returns
    -------
    Dataset
        `r`, `cv_score`, `alpha` (fold, time_bin, neuroid); `predicted` (time_bin, stimulus, neuroid) of the evaluated
        stimuli; `held_out_in` (stimulus), the number of the fold that held each out.
    """
    ids = np.asarray([str(name) for name in responses["stimulus"].values])
    position = {name: row for row, name in enumerate(ids)}
    fold = np.full(len(ids), -1, dtype=np.int32)
    for number, split in enumerate(splits):
        fold[[position[name] for name in split.test]] = number
    judged = fold >= 0
    dims = ("fold", "time_bin", "neuroid")
    per_fold = {name: np.stack([getattr(each, name) for each in fits], axis=1) for name in ("r", "cv_score", "alpha")}
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in per_fold.items()},
            "predicted": (("time_bin", "stimulus", "neuroid"), np.stack([each.predicted[judged] for each in fits])),
            "held_out_in": (("stimulus",), fold[judged]),
        },
        coords={"time_bin": list(time_bins), "stimulus": ids[judged], "fold": [split.name for split in splits]},
    )


def _inner_folds(split: Split) -> Tensor:
    """Fold of each training stimulus, by its id and nothing else of the data."""
    order = np.argsort([seeds.derive(0, "inner folds", name) for name in split.train])
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % INNER_FOLDS
    return torch.from_numpy(folds)


def _rows(features: FeatureSource, shared: Tensor | None, rows: Tensor) -> Tensor | RowSubset:
    return RowSubset(features, rows) if shared is None else shared[rows.to(shared.device)]
