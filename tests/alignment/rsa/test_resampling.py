"""Resamples against RDMs that are repeated for real, by this project's comparators and by rsatoolbox."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from alignment.errors import DataError, RequestError
from alignment.resampling import stimulus_counts
from alignment.rsa import RDMs, compare, to_rsatoolbox
from alignment.rsa.pooling import Comparison, leave_one_out
from alignment.rsa.resampling import (
    bound_deviations,
    dual_bootstrap,
    resampled_bounds,
    resampled_similarities,
    similarity_deviations,
)
from alignment.rsa.weighted import midranks_of_integers, weighted_midranks

COUNT = 12
IDS = tuple(f"s{i}" for i in range(COUNT))
COMPARATORS = ("pearson", "cosine", "spearman", "rho-a", "kendall-tau-a", "whitened-cosine")
THEIRS = {"pearson": "corr", "cosine": "cosine", "spearman": "spearman", "rho-a": "rho-a"}


def rdms(rows: int, seed: int, *, tied: bool = False) -> RDMs:
    """Correlated rows, so that bounds are not all about 0; with few different values when tied."""
    random = np.random.default_rng(seed)
    values = random.random(COUNT * (COUNT - 1) // 2) + 0.6 * random.random((rows, COUNT * (COUNT - 1) // 2))
    return RDMs(np.round(values * 3) if tied else values, IDS)


def repeated(of: RDMs, counts: np.ndarray) -> RDMs:
    chosen = np.repeat(np.arange(COUNT), counts)
    squares = of.squares()[:, chosen][:, :, chosen]
    squares[:, chosen[:, None] == chosen] = np.nan
    return RDMs.from_squares(squares, stimuli=[f"{i}" for i in range(len(chosen))], subjects=of.subjects)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    drawn = stimulus_counts(COUNT, "test", n_resamples=6, seed=0)
    return np.vstack([drawn, np.ones((1, COUNT), np.int64)])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("comparator", COMPARATORS)
def test_similarities_are_those_of_repeated_rdms(comparator, tied, counts) -> None:
    models, subjects = rdms(3, 1, tied=tied), rdms(4, 2, tied=tied)
    found = resampled_similarities(models, subjects, counts, comparison=Comparison(comparator))
    expected = [compare(repeated(models, row), repeated(subjects, row), comparator=comparator) for row in counts]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("pooling", ["optimal", "mean"])
@pytest.mark.parametrize("comparator", COMPARATORS)
def test_bounds_are_those_of_repeated_rdms(comparator, pooling, counts) -> None:
    subjects, comparison = rdms(4, 3, tied=comparator == "rho-a"), Comparison(comparator, pooling=pooling)
    found = resampled_bounds(subjects, counts, comparison=comparison)
    expected = [leave_one_out(repeated(subjects, row), comparison) for row in counts]
    np.testing.assert_allclose(found.lower, [each.lower for each in expected], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.upper, [each.upper for each in expected], rtol=0, atol=1e-9)


@pytest.mark.parametrize("comparator", THEIRS)
def test_bounds_are_those_of_rsatoolbox(comparator, counts) -> None:
    from rsatoolbox.inference import boot_noise_ceiling

    subjects = rdms(5, 4)
    found = resampled_bounds(subjects, counts, comparison=Comparison(comparator))
    for index, row in enumerate(counts):
        theirs = boot_noise_ceiling(to_rsatoolbox(repeated(subjects, row)), method=THEIRS[comparator])
        assert (found.lower[index].mean(), found.upper[index].mean()) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("comparator", COMPARATORS)
def test_all_copies_of_a_left_out_subject_leave_together(comparator, counts) -> None:
    subjects, comparison = rdms(3, 5), Comparison(comparator)
    present = np.array([[2, 1, 0], [0, 3, 0], [1, 1, 1], [1, 2, 0], [0, 1, 2], [2, 0, 1], [1, 0, 2]])
    found = resampled_bounds(subjects, counts, comparison=comparison, subject_counts=present)
    everyone = repeated(subjects, counts[0]).take([0, 0, 1])
    pooled = leave_one_out(everyone, comparison).upper
    np.testing.assert_allclose(found.upper[0], [pooled[0], pooled[2], np.nan], rtol=0, atol=1e-9)
    alone = compare(everyone.take([0]), everyone.take([2]), comparator=comparator)[0, 0]
    # two copies of the first against the second, and the second against them
    np.testing.assert_allclose(found.lower[0], [alone, alone, np.nan], rtol=0, atol=1e-9)
    assert np.isnan(found.lower[1]).all() and np.isnan(found.upper[1, [0, 2]]).all()


def test_the_jackknife_is_that_of_rdms_without_a_stimulus() -> None:
    models, subjects, comparison = rdms(2, 6), rdms(3, 7), Comparison("spearman")
    left_out = np.array(
        [
            compare(models.select(kept), subjects.select(kept), comparator="spearman")
            for kept in ([name for name in IDS if name != gone] for gone in IDS)
        ]
    )
    deviations = similarity_deviations(models, subjects, comparison=comparison)
    expected = np.square(left_out - left_out.mean(0)).sum(0) * (COUNT - 1) / COUNT
    np.testing.assert_allclose(np.square(deviations).sum(-1), expected, atol=1e-12)
    bounds = [leave_one_out(subjects.select([n for n in IDS if n != gone]), comparison).lower for gone in IDS]
    expected = np.square(bounds - np.mean(bounds, 0)).sum(0) * (COUNT - 1) / COUNT
    np.testing.assert_allclose(np.square(bound_deviations(subjects, comparison=comparison).lower).sum(-1), expected)


def test_pairs_that_were_not_measured_stay_out(counts) -> None:
    models, subjects = rdms(2, 8), rdms(3, 9)
    for each in (models, subjects):
        each.dissimilarities[:, [3, 17]] = np.nan
    for comparator in ("pearson", "spearman"):
        found = resampled_similarities(models, subjects, counts, comparison=Comparison(comparator))
        expected = compare(repeated(models, counts[0]), repeated(subjects, counts[0]), comparator=comparator)
        np.testing.assert_allclose(found[0], expected, atol=1e-9)
    with pytest.raises(DataError, match="2 pairs are NaN in one"):
        resampled_similarities(rdms(1, 8), subjects, counts, comparison=Comparison())


def test_a_square_is_taken_of_each_similarity(counts) -> None:
    models, subjects = rdms(1, 1), rdms(2, 2)
    plain = resampled_similarities(models, subjects, counts, comparison=Comparison("spearman"))
    squared = resampled_similarities(models, subjects, counts, comparison=Comparison("spearman", squared=True))
    np.testing.assert_allclose(squared, plain**2, atol=1e-12)


def test_weighted_midranks_are_those_of_scipy_on_repeated_entries() -> None:
    random = np.random.default_rng(0)
    for values in (random.random(30), random.integers(0, 6, 30).astype(float)):
        weights = random.integers(0, 4, (5, 30)).astype(float)
        found = weighted_midranks(values, torch.from_numpy(weights)).numpy()
        whole = np.unique(values, return_inverse=True)[1]
        tabled = midranks_of_integers(torch.from_numpy(np.tile(whole, (5, 1))), torch.from_numpy(weights)).numpy()
        sorted_ = midranks_of_integers(torch.from_numpy(np.tile(whole * 99, (5, 1))), torch.from_numpy(weights)).numpy()
        for row, w, ranks in zip(range(5), weights.astype(int), found, strict=True):
            expected = stats.rankdata(np.repeat(values, w))
            there = w > 0
            firsts = np.cumsum(w)[there] - w[there]
            for each in (ranks, tabled[row], sorted_[row]):
                np.testing.assert_array_equal(each[there], expected[firsts])


def test_the_three_bootstraps_agree_with_rsatoolbox_in_distribution() -> None:
    """Same scheme, other draws: means and standard deviations over resamples agree within their errors."""
    from rsatoolbox.inference import eval_dual_bootstrap
    from rsatoolbox.model import ModelFixed

    models, subjects = rdms(2, 10), rdms(6, 11)
    ours = dual_bootstrap(models, subjects, comparison=Comparison("pearson"), n_resamples=4000, seed=1)
    np.random.seed(0)  # noqa: NPY002  their draws come from the global generator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = eval_dual_bootstrap(
            [ModelFixed(f"m{i}", row) for i, row in enumerate(models.dissimilarities)],
            to_rsatoolbox(subjects),
            method="corr",
            N=250,
        )
    for position, kind in enumerate(("both", "subjects", "stimuli")):
        drawn = theirs.evaluations[:, :, 0, 0, position]
        assert ours.evaluations[kind].mean(0) == pytest.approx(drawn.mean(0), abs=4 * drawn.std(0).max() / 15)
        assert ours.evaluations[kind].std(0) == pytest.approx(drawn.std(0), rel=0.2)
    drawn = theirs.noise_ceiling[:, :, 0, 2]
    assert ours.lower["stimuli"].std() == pytest.approx(drawn[0].std(), rel=0.2)
    assert ours.upper["stimuli"].mean() == pytest.approx(drawn[1].mean(), abs=4 * drawn[1].std() / 15)
    again = dual_bootstrap(models, subjects, comparison=Comparison("pearson"), n_resamples=4000, seed=1)
    np.testing.assert_array_equal(again.evaluations["both"], ours.evaluations["both"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b: resampled_similarities(a, b, np.ones((2, 5), int), comparison=Comparison()), "counts: shape"),
        (lambda a, b: resampled_similarities(a, b, np.eye(12, dtype=int), comparison=Comparison()), "fewer than 3"),
        (lambda a, b: resampled_bounds(a, np.ones((1, 12), int), comparison=Comparison()), "one subject has no others"),
        (
            lambda a, b: resampled_bounds(
                b, np.ones((1, 12), int), comparison=Comparison(), subject_counts=np.ones((1, 9), int)
            ),
            "subject_counts",
        ),
        (lambda a, b: Comparison("spearmann"), "did you mean spearman"),
        (lambda a, b: Comparison(pooling="best"), "pooling"),
    ],
)
def test_bad_requests_are_one_line(call, message) -> None:
    with pytest.raises(RequestError, match=message):
        call(rdms(1, 0), rdms(2, 0))
