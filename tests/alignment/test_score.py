"""The score formula by hand, resamples against NumPy, and what goes into a record."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats

from alignment.errors import RequestError
from alignment.resampling import (
    pseudo_values,
    resampled_correlations,
    resampled_medians,
    shared_training,
    standard_error,
    stimulus_counts,
)
from alignment.samples import Estimate, Samples
from alignment.score import Score, false_discovery, paired_difference, score


def test_counts_are_a_bootstrap_fixed_by_seed_and_names() -> None:
    counts = stimulus_counts(50, "nsd", "fold0", n_resamples=4000, seed=1)
    assert counts.shape == (4000, 50)
    assert np.all(counts.sum(1) == 50)
    np.testing.assert_array_equal(counts, stimulus_counts(50, "nsd", "fold0", n_resamples=4000, seed=1))
    assert not np.array_equal(counts, stimulus_counts(50, "nsd", "fold1", n_resamples=4000, seed=1))
    assert not np.array_equal(counts, stimulus_counts(50, "nsd", "fold0", n_resamples=4000, seed=2))
    np.testing.assert_allclose(counts.mean(0), 1, atol=0.1)
    np.testing.assert_allclose(counts.var(0).mean(), 1 - 1 / 50, atol=0.02)


def test_resamples_average_folds_per_neuroid_before_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    predicted = [random.standard_normal((n, 9)) for n in (20, 25)]
    observed = [x + random.standard_normal(x.shape) for x in predicted]
    counts = [stimulus_counts(n, "test", n, n_resamples=8, seed=0) for n in (20, 25)]
    expected = np.zeros((8, 9))
    for x, y, of_fold in zip(predicted, observed, counts, strict=True):
        for row, count in enumerate(of_fold):
            a, b = np.repeat(x, count, axis=0), np.repeat(y, count, axis=0)
            expected[row] += [stats.pearsonr(a[:, i], b[:, i]).statistic / 2 for i in range(9)]
    np.testing.assert_allclose(resampled_correlations(predicted, observed, counts), expected, atol=2e-6)
    np.testing.assert_allclose(resampled_medians(predicted, observed, counts), np.median(expected, axis=1), atol=2e-6)
    monkeypatch.setattr("alignment.resampling.VALUES_AT_ONCE", 30)
    np.testing.assert_allclose(resampled_medians(predicted, observed, counts), np.median(expected, axis=1), atol=2e-6)


def test_standard_error_of_a_mean_is_the_textbook_one() -> None:
    random = np.random.default_rng(1)
    sample = random.standard_normal(40)
    counts = stimulus_counts(40, "mean", n_resamples=20_000, seed=0)
    error, freedom = standard_error(np.array([sample.mean()]), (counts @ sample / 40)[None], n_stimuli=40)
    assert error == pytest.approx(stats.sem(sample), rel=0.02)
    assert freedom == 39


def test_two_factor_error_of_a_grand_mean_is_that_of_the_analysis_of_variance() -> None:
    """Subjects x stimuli, additive effects and interaction: the variance of a grand mean has unbiased mean squares."""
    random = np.random.default_rng(2)
    table = random.standard_normal((12, 1)) + 2 * random.standard_normal((1, 60)) + 3 * random.standard_normal((12, 60))
    counts = stimulus_counts(60, "table", n_resamples=20_000, seed=0)
    error, freedom = standard_error(table.mean(1), table @ counts.T / 60, n_stimuli=60)
    rows, columns = 60 * table.mean(1).var(ddof=1), 12 * table.mean(0).var(ddof=1)
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    residual = (rest**2).sum() / (11 * 59)
    assert error**2 == pytest.approx((rows + columns - residual) / (12 * 60), rel=0.04)
    assert freedom == 11


def test_a_shift_of_the_resamples_widens_the_error_within_bounds() -> None:
    around = np.random.default_rng(3).standard_normal((1, 1000))
    around = (around - around.mean()) / around.std(ddof=1) * np.sqrt(99 / 100)
    assert standard_error(np.zeros(1), around, n_stimuli=100)[0] == pytest.approx(1)
    assert standard_error(np.full(1, 0.5), around, n_stimuli=100)[0] == pytest.approx(np.sqrt(1.25))
    assert standard_error(np.full(1, 9.0), around, n_stimuli=100)[0] == pytest.approx(1.25)


def resamples(centres: list[float], spread: float, n: int = 400) -> list[np.ndarray]:
    random = np.random.default_rng(4)
    return [centre + spread * random.standard_normal(n) for centre in centres]


def test_normalised_is_the_ratio_of_means_of_medians_over_the_same_neuroids() -> None:
    values = [np.array([0.1, 0.3, 0.9]), np.array([0.2, 0.4])]
    ceiling = [np.array([0.5, 0.8, 0.95]), np.array([0.6, 0.7])]
    measured = score(
        values,
        ceiling,
        resampled=resamples([0.3, 0.3], 0.01),
        resampled_ceiling=resamples([0.8, 0.65], 0.001),
        n_stimuli=100,
        ceiling_p_value=0.002,
    )
    assert measured.raw.value == pytest.approx((0.3 + 0.3) / 2)
    assert measured.ceiling is not None
    assert measured.normalised is not None
    assert measured.ceiling.value == pytest.approx((0.8 + 0.65) / 2)
    assert measured.normalised.value == pytest.approx(0.3 / 0.725)
    assert (measured.status, measured.p_value) == ("ok", 0.002)
    assert (measured.n_stimuli, measured.n_neuroids, measured.n_subjects) == (100, 5, 2)
    assert measured.subjects_resampled is False


def test_interval_of_the_ratio_is_that_of_resampled_ratios() -> None:
    shared, own = np.random.default_rng(5).standard_normal((2, 20_000)) * 0.01
    raws, uppers = 0.4 + shared + own, 0.8 + 2 * shared
    measured = score([np.array([0.4])], [np.array([0.8])], resampled=[raws], resampled_ceiling=[uppers], n_stimuli=1000)
    assert measured.normalised is not None
    low, high = np.quantile(raws / uppers, [0.025, 0.975])
    assert measured.normalised.low == pytest.approx(low, abs=1e-3)
    assert measured.normalised.high == pytest.approx(high, abs=1e-3)


def test_nothing_is_clipped() -> None:
    below = score([np.array([-0.2])], None, resampled=resamples([-0.2], 0.01), n_stimuli=50)
    assert below.raw.value == -0.2
    assert below.raw.low < -0.2 < below.raw.high < 0
    above = score(
        [np.array([0.9])],
        [np.array([0.6])],
        resampled=resamples([0.9], 0.01),
        resampled_ceiling=resamples([0.6], 0.01),
        n_stimuli=50,
    )
    assert above.normalised is not None
    assert above.normalised.value == pytest.approx(1.5)
    assert above.status == "flagged"


def test_statuses_without_a_usable_ceiling() -> None:
    raw = {"resampled": resamples([0.1], 0.01), "n_stimuli": 50}
    missing = score([np.array([0.1])], None, **raw)
    assert (missing.status, missing.ceiling, missing.normalised, missing.p_value) == ("no_ceiling", None, None, None)
    for ceiling, p_value in ((0.3, 0.2), (0.3, math.nan), (0.0, None)):
        weak = score(
            [np.array([0.1])],
            [np.array([ceiling])],
            resampled_ceiling=resamples([ceiling], 0.2),
            ceiling_p_value=p_value,
            **raw,
        )
        assert (weak.status, weak.normalised) == ("undefined", None)
        assert weak.ceiling is not None


def test_eight_subjects_are_resampled() -> None:
    values = np.random.default_rng(6).normal(0.3, 0.1, (8, 1))
    measured = score(list(values), None, resampled=resamples(list(values[:, 0]), 1e-6), n_stimuli=1000)
    assert measured.subjects_resampled is True
    expected = stats.t.interval(0.95, 7, loc=values.mean(), scale=stats.sem(values[:, 0]))
    assert (measured.raw.low, measured.raw.high) == pytest.approx(expected, rel=1e-3)


def test_what_does_not_match_is_named() -> None:
    good = resamples([0.1], 0.01)
    with pytest.raises(RequestError, match="values: subject 0"):
        score([np.array([0.1, np.nan])], None, resampled=good, n_stimuli=9)
    with pytest.raises(RequestError, match="same subjects and neuroids"):
        score([np.array([0.1])], [np.array([0.1, 0.2])], resampled=good, resampled_ceiling=good, n_stimuli=9)
    with pytest.raises(RequestError, match="resampled_ceiling: missing"):
        score([np.array([0.1])], [np.array([0.1])], resampled=good, n_stimuli=9)
    with pytest.raises(RequestError, match="1 subjects"):
        score([np.array([0.1])], None, resampled=[*good, *good], n_stimuli=9)
    with pytest.raises(RequestError, match="no subject"):
        score([], None, resampled=[], n_stimuli=9)


def test_paired_models_differ_where_their_marginal_intervals_overlap() -> None:
    random = np.random.default_rng(7)
    common = 0.05 * random.standard_normal(1000)
    a, b = 0.32 + common + 0.003 * random.standard_normal((2, 1000)) - np.array([[0], [0.02]])
    first, second = (Samples(np.array([v]), r[None], n_stimuli=200) for v, r in ((0.32, a), (0.30, b)))
    difference, p_value = paired_difference(first, second)
    marginal = score([np.array([0.32])], None, resampled=[a], n_stimuli=200).raw
    assert difference.value == pytest.approx(0.02)
    assert 0 < difference.low < difference.value < difference.high
    assert marginal.low < 0.30
    z = 0.02 / np.std(a - b, ddof=1)
    assert p_value == pytest.approx(2 * stats.t.sf(z, 199), rel=0.5)
    same, certain = paired_difference(first, first)
    assert (same, certain) == (Estimate(0, 0, 0), 1.0)


def test_false_discovery_is_benjamini_hochberg() -> None:
    p_values = np.array([0.001, 0.04, 0.03, 0.5])
    order = np.argsort(p_values)
    stepped = np.minimum.accumulate((p_values[order] * 4 / np.arange(1, 5))[::-1])[::-1]
    np.testing.assert_allclose(false_discovery(list(p_values))[order], stepped)


def test_a_score_survives_json() -> None:
    measured = Score(
        raw=Estimate(0.5, 0.4, 0.6),
        ceiling=Estimate(0.8, math.nan, math.inf),
        normalised=None,
        lower=None,
        status="undefined",
        p_value=0.3,
        p_zero=0.01,
        p_lower=None,
        n_stimuli=100,
        n_neuroids=20,
        n_subjects=1,
        subjects_resampled=False,
    )
    text = json.dumps(measured.to_dict(), allow_nan=False)
    again = Score.from_dict(json.loads(text))
    assert again.ceiling is not None
    assert math.isnan(again.ceiling.low)
    assert math.isnan(again.ceiling.high)
    assert dataclasses.replace(again, ceiling=None) == dataclasses.replace(measured, ceiling=None)
    with pytest.raises(RequestError, match="status"):
        Score.from_dict({**measured.to_dict(), "status": "fine"})
    with pytest.raises(RequestError, match="fields"):
        Score.from_dict({"raw": None})


def test_folds_that_train_on_each_other_have_the_variance_of_nadeau_and_bengio() -> None:
    """Equation 9: (1 / J + n_test / n_train) in the place of 1 / J."""
    values, resampled = np.array([0.3]), np.random.default_rng(2).normal(0.3, 0.1, (1, 500))
    alone, _ = standard_error(values, resampled, n_stimuli=100)
    for folds in (2, 5, 10):
        wider, freedom = standard_error(values, resampled, n_stimuli=100, overlap=shared_training(folds))
        shift = abs(resampled.mean() - 0.3)
        expected = (1 / folds + 1 / (folds - 1)) / (1 / folds)
        assert (wider**2 - shift**2) / (alone**2 - shift**2) == pytest.approx(expected)
        assert freedom == 99
    both = Samples(values, resampled, n_stimuli=100, overlap=2.25)
    assert both.minus(Samples(values, resampled + 0.1, n_stimuli=100)).overlap == 2.25


def test_pseudo_values_give_the_jackknife_over_subjects() -> None:
    """Of a statistic that is no mean: its delete-one variance, by definition."""
    sample = np.random.default_rng(3).exponential(size=12)
    left_out = np.array([np.delete(sample, i).var() for i in range(12)])
    found = pseudo_values(sample.var(), left_out)
    expected = 11 / 12 * np.square(left_out - left_out.mean()).sum()
    assert found.var(ddof=1) / 12 == pytest.approx(expected)
    still = np.zeros((12, 50))
    error, _ = standard_error(np.full(12, sample.var()), still, n_stimuli=100, pseudo_values=found)
    assert error == pytest.approx(np.sqrt(expected))
    samples = Samples(sample, still, n_stimuli=100, pseudo_values=found)
    difference = samples.minus(Samples(sample / 2, still, n_stimuli=100))
    assert difference.pseudo_values == pytest.approx(found - sample / 2)
    with pytest.raises(RequestError, match=r"pseudo_values: shape \(3,\) is not \(12,\)"):
        Samples(sample, still, n_stimuli=100, pseudo_values=found[:3])
