"""A ridge that is fitted on stimuli as they are, and judged on those it holds out and on altered versions of them."""

from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment.correlation import pearson
from alignment.encoding import FeatureSource
from alignment.encoding.features import ColumnReader, as_source, chunk_width, spans
from benchmarks.neural.regressions import Ridge
from benchmarks.neural.target import Target, inner_folds
from benchmarks.neural.units import rows_of

ALTERED = "_altered"


def judge_twice(
    features: Tensor | FeatureSource, altered: Tensor | FeatureSource, *, target: Target, ridge: Ridge, device: str
) -> xr.Dataset:
    """Fit every split, and predict what it holds out from either set of features, with the same fit.

    Parameters
    ----------
    features : (stimulus, unit), stimuli in the order of the target
    altered : (stimulus, unit), of the same layer, the judged stimuli of the target in its order
    target : whose responses and splits
    ridge : how
    device : where the mathematics runs

    Returns
    -------
    Dataset
        As from `fits.fit_splits`; beside `r` and `predicted`, `r_altered` and `predicted_altered`.
    """
    observed = target.observed(device)
    fitting, judging = _prepared(features, altered, ridge=ridge, n_splits=len(target.splits), device=device)
    place = np.cumsum(target.judged) - 1
    predicted = {suffix: np.full(observed.shape, np.nan, dtype=np.float32) for suffix in ("", ALTERED)}
    by_fold: dict[str, list[np.ndarray]] = {}
    for split in target.splits:
        train, test = target.rows(split)
        fitted = ridge.fit(rows_of(fitting, train), observed[train], folds=inner_folds(split))
        found = {"cv_score": fitted.cv_score, **fitted.kept}
        shown = {"": rows_of(fitting, test), ALTERED: rows_of(judging, test.new_tensor(place[test.numpy()]))}
        for suffix, x in shown.items():
            predictions = fitted.predict(x)
            predicted[suffix][test.numpy()] = predictions.cpu().numpy()
            found[f"r{suffix}"] = pearson(predictions, observed[test])
        for name, values in found.items():
            by_fold.setdefault(name, []).append(values)
    return xr.Dataset(
        {
            **{name: (("fold", "neuroid"), np.stack(values)) for name, values in by_fold.items()},
            **{
                f"predicted{suffix}": (("stimulus", "neuroid"), values[target.judged])
                for suffix, values in predicted.items()
            },
        }
    )


class Change(NamedTuple):
    """How altered patterns differ from what they were.

    Attributes
    ----------
    relative : (stimulus,) float64, the length of each difference over that of the pattern
    in_common : the mean inner product of two stimuli's differences over their mean squared length: 1 where all are
        shifted alike, which no correlation over stimuli sees, about 0 where each goes its own way
    """

    relative: np.ndarray
    in_common: float


def change(altered: FeatureSource, features: FeatureSource) -> Change:
    """Of two or more stimuli, (stimulus, unit) each; read by columns.

    Examples
    --------
    >>> from alignment.encoding import TensorFeatures
    >>> here = TensorFeatures(torch.tensor([[3.0, 4.0], [6.0, 8.0]]))
    >>> there = TensorFeatures(torch.tensor([[3.0, 5.0], [6.0, 9.0]]))
    >>> change(there, here)
    Change(relative=array([0.2, 0.1]), in_common=1.0)
    """
    n_stimuli, n_units = features.shape
    reader = ColumnReader(chunk_width(n_stimuli, None), torch.device("cpu"))
    moved, size, together = np.zeros(n_stimuli), np.zeros(n_stimuli), 0.0
    for start, stop in spans(n_units, reader.width):
        before = reader.read(features, start, stop)
        difference = reader.read(altered, start, stop) - before
        moved += difference.square().sum(1).numpy()
        size += before.square().sum(1).numpy()
        together += float(difference.sum(0).square().sum())
    total = float(moved.sum())
    # of a pattern of zeros only whether it moved can be said
    relative = np.sqrt(moved / np.where(size > 0, size, 1.0))
    return Change(relative, (together / total - 1) / (n_stimuli - 1) if total else 0.0)


def _prepared(
    features: Tensor | FeatureSource, altered: Tensor | FeatureSource, *, ridge: Ridge, n_splits: int, device: str
) -> tuple[Tensor | FeatureSource, Tensor | FeatureSource]:
    """Both in the form that serves every split, where `Ridge.prepared` makes one."""
    prepared = ridge.prepared(features, n_splits=n_splits, device=device)
    if not isinstance(prepared, Tensor) or prepared is features:
        return features, altered
    return prepared, _on_axes(as_source(altered), as_source(features), scores=prepared)


def _on_axes(altered: FeatureSource, features: FeatureSource, *, scores: Tensor) -> Tensor:
    r"""Altered patterns on the principal axes of the others, whose scores $Z = U S$ are `gram_equivalent`.

    $(X_a - \bar x)(X - \bar x)^\top U S^{-1}$. What the axes leave out is orthogonal to every pattern that a ridge
    can be fitted on, so that no prediction depends on it.
    """
    reader = ColumnReader(chunk_width(features.shape[0], None), scores.device)
    cross = scores.new_zeros(altered.shape[0], features.shape[0])
    for start, stop in spans(features.shape[1], reader.width):
        clean = reader.read(features, start, stop)
        mean = clean.mean(0)
        cross.addmm_(reader.read(altered, start, stop) - mean, (clean - mean).T)
    size = scores.square().sum(0)
    return cross @ (scores / size.where(size > 0, 1.0))
