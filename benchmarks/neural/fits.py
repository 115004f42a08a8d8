"""A regression of one layer on one target in every split, and what is kept of it."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from torch import Tensor

from alignment.correlation import pearson
from alignment.encoding import FeatureSource
from benchmarks.neural.regressions import Regression
from benchmarks.neural.target import Target, inner_folds
from benchmarks.neural.units import rows_of


def fit_splits(
    features: Tensor | FeatureSource,
    observed: Tensor,
    *,
    target: Target,
    regression: Regression,
    column: str = "neuroid",
) -> xr.Dataset:
    """Fit every split and predict the stimuli it holds out.

    Parameters
    ----------
    features : (stimulus, unit), stimuli in the order of the target
    observed : (stimulus, column) float32, what is predicted; the mathematics runs on its device
    target : whose splits
    regression : how
    column : name of the second dimension of `observed`

    Returns
    -------
    Dataset
        `r`, held-out r; `cv_score`, as in `Fitted`, and what else the regression keeps, (fold, column); `predicted`
        (stimulus, column) float32, the judged stimuli, each by the fold that held it out.
    """
    prepared = regression.prepared(features, n_splits=len(target.splits), device=str(observed.device))
    predicted = np.full(observed.shape, np.nan, dtype=np.float32)
    by_fold: dict[str, list[np.ndarray]] = {}
    for split in target.splits:
        train, test = target.rows(split)
        fitted = regression.fit(rows_of(prepared, train), observed[train], folds=inner_folds(split))
        predictions = fitted.predict(rows_of(prepared, test))
        predicted[test.numpy()] = predictions.cpu().numpy()
        found = {"r": pearson(predictions, observed[test]), "cv_score": fitted.cv_score, **fitted.kept}
        for name, values in found.items():
            by_fold.setdefault(name, []).append(values)
    return xr.Dataset(
        {
            **{name: (("fold", column), np.stack(values)) for name, values in by_fold.items()},
            "predicted": (("stimulus", column), predicted[target.judged]),
        }
    )


def part_dataset(bins: Sequence[xr.Dataset], target: Target, *, time_bins: Sequence[float]) -> xr.Dataset:
    """What is kept of one part.

    Parameters
    ----------
    bins : one per time bin; variables of folds have the dimension `fold`, those of judged stimuli `stimulus`
    target : whose splits and stimuli these are

    Returns
    -------
    Dataset
        The variables with a dimension `time_bin`, after `fold` where they have that, else first; `held_out_in`
        (stimulus), the number of the fold that held each out.
    """
    stacked = xr.concat(
        bins, dim="time_bin", data_vars="all", coords="minimal", compat="override", join="exact"
    ).transpose("fold", "time_bin", ...)
    judged = target.judged
    return stacked.assign(held_out_in=("stimulus", target.held_out_in[judged])).assign_coords(
        time_bin=list(time_bins),
        stimulus=np.asarray(target.ids)[judged],
        fold=[split.name for split in target.splits],
    )
