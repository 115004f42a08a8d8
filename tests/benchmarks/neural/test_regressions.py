"""Each regression, over splits, against scikit-learn on the same folds."""

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline

from alignment.errors import RequestError
from benchmarks.datasets.base import Split
from benchmarks.neural import regressions
from benchmarks.neural.fits import fit_splits, part_dataset
from benchmarks.neural.regressions import pcr, pls
from benchmarks.neural.target import inner_folds

REFERENCES = {
    "pls": (pls, lambda components: PLSRegression(components, scale=False)),
    "pcr": (pcr, lambda components: make_pipeline(PCA(components), LinearRegression())),
}


def planted(seed: int = 0, *, n_stimuli: int = 60, n_units: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Features of falling variance, and responses that are a part of them with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_stimuli, n_units)) * np.linspace(3, 0.2, n_units)
    y = x[:, :5] @ rng.normal(size=(5, 4)) + rng.normal(size=(n_stimuli, 4))
    return x, y


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("n_folds", [1, 3])
def test_latent_components_are_scikit_learn_s(name, n_folds, target_of):
    ours, theirs = REFERENCES[name]
    x, y = planted()
    target = target_of(y, n_folds=3)
    target = type(target)(target.subject, target.responses, target.splits[:n_folds])
    fits = fit_splits(torch.from_numpy(x), target.observed("cpu"), target=target, regression=ours(6))
    y = target.responses.values.astype(float)
    for fold, split in enumerate(target.splits):
        train, test = (rows.numpy() for rows in target.rows(split))
        predicted = theirs(6).fit(x[train], y[train]).predict(x[test])
        kept = fits["predicted"].values[target.held_out_in[target.judged] == fold]
        np.testing.assert_allclose(kept, predicted[np.argsort(test)], atol=1e-4)
        r = [np.corrcoef(predicted[:, column], y[test, column])[0, 1] for column in range(4)]
        np.testing.assert_allclose(fits["r"].values[fold], r, atol=1e-5)
        errors = []
        inner = inner_folds(split).numpy()
        for number in range(5):
            model = theirs(6).fit(x[train][inner != number], y[train][inner != number])
            miss = model.predict(x[train][inner == number]) - y[train][inner == number]
            errors.append(np.square(miss).mean(0))
        expected = 1 - np.mean(errors, axis=0) / y[train].var(0)
        np.testing.assert_allclose(fits["cv_score"].values[fold], expected, atol=1e-4)


def test_a_ridge_is_scikit_learn_s_at_the_alpha_it_keeps(target_of):
    x, y = planted(1)
    target = target_of(y)
    fits = fit_splits(torch.from_numpy(x), target.observed("cpu"), target=target, regression=regressions.Ridge())
    for fold, split in enumerate(target.splits):
        train, test = (rows.numpy() for rows in target.rows(split))
        centred = x[train] - x[train].mean(0)
        unit = np.square(centred).sum() / len(train)
        for neuroid, alpha in enumerate(fits["alpha"].values[fold]):
            predicted = Ridge(alpha=alpha * unit).fit(x[train], y[train, neuroid]).predict(x[test])
            r = np.corrcoef(predicted, y[test, neuroid])[0, 1]
            assert fits["r"].values[fold, neuroid] == pytest.approx(r, abs=1e-5)


@pytest.mark.parametrize("make", [pls, pcr])
def test_as_many_components_as_an_inner_fold_allows_and_no_more(make, target_of):
    """32 training stimuli: the largest inner fold holds out 7, and 25 centred stimuli span 24 directions."""
    names = tuple(f"s{number:03}" for number in range(42))
    split = Split("only", names[:32], names[32:])
    x, y = planted(2, n_stimuli=42)
    target = target_of(y)
    target = type(target)(target.subject, target.responses, (split,))
    make(24).check(split, where="mine")
    fit_splits(torch.from_numpy(x), target.observed("cpu"), target=target, regression=make(24))
    with pytest.raises(RequestError, match=r"mine: benchmark.components=25, but the 25 stimuli .* at most 24"):
        make(25).check(split, where="mine")
    with pytest.raises(RequestError, match="24 directions"):
        fit_splits(torch.from_numpy(x), target.observed("cpu"), target=target, regression=make(25))


def test_time_bins_and_folds_lie_where_a_score_looks_for_them(target_of):
    x, y = planted(3)
    target = target_of(y)
    observed = target.observed("cpu")
    bins = [
        fit_splits(torch.from_numpy(each), observed, target=target, regression=regressions.Ridge()) for each in (x, -x)
    ]
    part = part_dataset(bins, target, time_bins=(0.0, 50.0))
    assert part["r"].dims == part["cv_score"].dims == part["alpha"].dims == ("fold", "time_bin", "neuroid")
    assert part["predicted"].dims == ("time_bin", "stimulus", "neuroid")
    assert part["predicted"].dtype == np.float32
    np.testing.assert_array_equal(part["r"].sel(time_bin=50.0).values, bins[1]["r"].values)
    assert part["held_out_in"].dims == ("stimulus",)
    assert part["fold"].values.tolist() == [split.name for split in target.splits]
    assert not np.isnan(part["predicted"].values).any()
