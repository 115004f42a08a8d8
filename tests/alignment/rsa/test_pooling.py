"""Bounds and agreement against rsatoolbox, SciPy and the published numbers."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from alignment.errors import RequestError
from alignment.rsa import RDMs, to_rsatoolbox
from alignment.rsa.pooling import Comparison, agreement_p_value, leave_one_out, pool

IDS = tuple("abcdefghij")
METHODS = {
    "pearson": "corr",
    "spearman": "spearman",
    "rho-a": "rho-a",
    "cosine": "cosine",
    "whitened-cosine": "cosine_cov",
    "whitened-pearson": "corr_cov",
}


def subjects(seed: int = 0, *, shared: float = 1.0, rows: int = 4) -> RDMs:
    random = np.random.default_rng(seed)
    return RDMs(shared * random.random(45) + random.random((rows, 45)), IDS)


@pytest.mark.parametrize("comparator", METHODS)
def test_bounds_are_those_of_rsatoolbox(comparator) -> None:
    from rsatoolbox.inference import boot_noise_ceiling

    bounds = leave_one_out(subjects(), Comparison(comparator))
    theirs = boot_noise_ceiling(to_rsatoolbox(subjects()), method=METHODS[comparator])
    assert (bounds.lower.mean(), bounds.upper.mean()) == pytest.approx(theirs, abs=1e-9)


def test_no_rdm_beats_the_optimal_pool() -> None:
    """Among many near it, for the comparators whose best pool has a closed form."""
    random = np.random.default_rng(1)
    for comparator in ("pearson", "spearman", "cosine"):
        comparison, data = Comparison(comparator), subjects(2)
        best = pool(data, comparison)
        top = comparison.of(best, data).mean()
        scale = 0.05 * best.dissimilarities.std()
        for _ in range(200):
            moved = RDMs(best.dissimilarities + scale * random.standard_normal((1, 45)), IDS)
            assert comparison.of(moved, data).mean() < top + 1e-12


def test_plain_pooling_takes_dissimilarities_as_they_are() -> None:
    data = RDMs(subjects(3).dissimilarities * [[1], [1], [1], [50]], IDS)
    comparison = Comparison("pearson", pooling="mean")
    pooled = pool(data, comparison).dissimilarities[0]
    np.testing.assert_allclose(pooled, data.dissimilarities.mean(0))
    expected = [stats.pearsonr(pooled, row).statistic for row in data.dissimilarities]
    np.testing.assert_allclose(leave_one_out(data, comparison).upper, expected)


def test_agreement_is_found_where_it_is_and_not_where_it_is_not() -> None:
    p_values = [
        agreement_p_value(subjects(seed, shared=0.0), Comparison("spearman"), seed=seed, n_permutations=99)
        for seed in range(60)
    ]
    assert np.mean(np.array(p_values) <= 0.1) <= 0.25
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert agreement_p_value(subjects(0), Comparison("rho-a"), seed=0, n_permutations=199) == pytest.approx(1 / 200)
    with pytest.raises(RequestError, match="two subjects"):
        agreement_p_value(subjects(rows=1), Comparison(), seed=0)


def test_subjects_of_the_78_images_do_not_agree(shared_data: Path) -> None:
    """The published bounds, squared and with the plain mean, look like signal: they are what chance gives."""
    published = {"EVC": (0.006817660885847, 0.063974694194841), "IT": (0.002784925615650, 0.064733251165980)}
    for roi, bounds in published.items():
        squares = np.load(shared_data / "algonauts2019_78" / f"fmri_{roi}_RDMs.npz", allow_pickle=False)["arr_0"]
        data = RDMs.from_squares(squares, stimuli=[f"{i}" for i in range(78)])
        found = leave_one_out(data, Comparison("spearman", pooling="mean", squared=True))
        assert (found.lower.mean(), found.upper.mean()) == pytest.approx(bounds, abs=1e-9)
        assert agreement_p_value(data, Comparison("spearman"), seed=0, n_permutations=199) > 0.05
