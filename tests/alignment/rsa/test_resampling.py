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
    resampled_bounds,
    resampled_similarities,
    similarity_deviations,
)
from alignment.rsa.weighted_ranks import Order, balances_of_rows

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


def test_balances_are_twice_the_centred_midranks_of_scipy_on_repeated_entries() -> None:
    random = np.random.default_rng(0)
    for values in (random.random(30), random.integers(0, 6, 30).astype(float)):
        weights = random.integers(0, 4, (5, 30)).astype(float)
        drawn = torch.from_numpy(weights)
        whole = torch.from_numpy(np.unique(values, return_inverse=True)[1]).expand(5, -1)
        found = {
            "sorted once": Order.of(torch.from_numpy(values)).balances(drawn),
            "by a table": balances_of_rows(whole.contiguous(), drawn),
            "sorted in each": balances_of_rows(whole * 99 * 24, drawn),
            "beyond 32 bits": balances_of_rows(whole * 2**33, drawn),
        }
        for row, w in enumerate(weights.astype(int)):
            ranks = stats.rankdata(np.repeat(values, w))
            there = w > 0
            expected = 2 * (ranks - ranks.mean())[np.cumsum(w)[there] - w[there]]
            for balances in found.values():
                np.testing.assert_array_equal(balances[row].numpy()[there], expected)


@pytest.mark.parametrize("comparator", THEIRS)
def test_many_resamples_of_many_pairs_are_the_same_one_by_one(comparator) -> None:
    """What is taken together to bound memory enters no number."""
    random = np.random.default_rng(0)
    names = tuple(map(str, range(80)))
    of = RDMs(np.round(random.random((13, 3160)), 3), names)
    models, subjects, comparison = of.take(range(10)), of.take([10, 11, 12]), Comparison(comparator)
    drawn = stimulus_counts(80, "test", n_resamples=1100, seed=0)
    together = resampled_similarities(models, subjects, drawn, comparison=comparison)
    bounds = resampled_bounds(subjects, drawn, comparison=comparison)
    for index in (0, 200, 1099):
        alone = drawn[index : index + 1]
        found = resampled_similarities(models, subjects, alone, comparison=comparison)[0]
        np.testing.assert_allclose(found, together[index], rtol=0, atol=1e-12)
        lower, upper = resampled_bounds(subjects, alone, comparison=comparison)
        np.testing.assert_allclose([lower[0], upper[0]], [bounds.lower[index], bounds.upper[index]], rtol=0, atol=1e-12)


def test_sums_beyond_what_float32_holds_stay_exact() -> None:
    """Two stimuli that stand thousands of times give a weight above 2^24."""
    models, subjects = rdms(2, 1, tied=True), rdms(3, 2, tied=True)
    drawn = np.ones((1, COUNT), np.int64)
    drawn[0, :2] = 7001
    found = resampled_similarities(models, subjects, drawn, comparison=Comparison("spearman"))[0]
    rows, columns = np.triu_indices(COUNT, k=1)
    weights = drawn[0, rows] * drawn[0, columns]
    a, b = (np.array([_centred_ranks(row, weights) for row in of.dissimilarities]) for of in (models, subjects))
    lengths = [np.sqrt((weights * each**2).sum(1)) for each in (a, b)]
    np.testing.assert_allclose(found, (weights * a) @ b.T / np.outer(*lengths), rtol=0, atol=1e-12)


def _centred_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.array([(weights[values < one].sum() - weights[values > one].sum()) / 2 for one in values])


def test_two_factor_errors_agree_with_the_bootstraps_of_rsatoolbox() -> None:
    """Same scheme, other draws: means and deviations agree within their errors, with no subject drawn here."""
    from rsatoolbox.inference import eval_dual_bootstrap
    from rsatoolbox.model import ModelFixed

    models, subjects, comparison = rdms(2, 10), rdms(6, 11), Comparison("pearson")
    drawn = stimulus_counts(COUNT, "test", n_resamples=4000, seed=1)
    ours = resampled_similarities(models, subjects, drawn, comparison=comparison)
    bounds = resampled_bounds(subjects, drawn, comparison=comparison)
    np.random.seed(0)  # noqa: NPY002  their draws come from the global generator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = eval_dual_bootstrap(
            [ModelFixed(f"m{i}", row) for i, row in enumerate(models.dissimilarities)],
            to_rsatoolbox(subjects),
            method="corr",
            N=250,
        )
    both, people, stimuli = (theirs.evaluations[:, :, 0, 0, position] for position in range(3))
    whole = compare(models, subjects, comparator="pearson")
    n_subjects = len(subjects)
    variances = {
        "stimuli": (stimuli, ours.mean(2).var(0)),
        "subjects": (people, whole.var(1) / n_subjects),
        "both": (both, ours.mean(2).var(0) + ours.var(2).mean(0) / n_subjects),
    }
    for evaluated, variance in variances.values():
        assert np.sqrt(variance) == pytest.approx(evaluated.std(0), rel=0.2)
        assert ours.mean((0, 2)) == pytest.approx(evaluated.mean(0), abs=4 * evaluated.std(0).max() / 15)
    their_bounds = theirs.noise_ceiling[:, :, 0, 2]
    assert bounds.lower.mean(1).std() == pytest.approx(their_bounds[0].std(), rel=0.2)
    assert bounds.upper.mean() == pytest.approx(their_bounds[1].mean(), abs=4 * their_bounds[1].std() / 15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b: resampled_similarities(a, b, np.ones((2, 5), int), comparison=Comparison()), "counts: shape"),
        (lambda a, b: resampled_similarities(a, b, np.eye(12, dtype=int), comparison=Comparison()), "fewer than 3"),
        (lambda a, b: resampled_bounds(a, np.ones((1, 12), int), comparison=Comparison()), "one subject has no others"),
        (lambda a, b: Comparison("spearmann"), "did you mean spearman"),
        (lambda a, b: Comparison(pooling="best"), "pooling"),
    ],
)
def test_bad_requests_are_one_line(call, message) -> None:
    with pytest.raises(RequestError, match=message):
        call(rdms(1, 0), rdms(2, 0))
