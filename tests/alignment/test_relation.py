"""Correlations over models, against SciPy and a regression by hand."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from alignment.errors import RequestError
from alignment.relation import Scores, relation


def drawn(n: int, *, rho: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z, x = rng.normal(size=(2, n))
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n) + z, z


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_the_value_is_scipys(kind: str) -> None:
    x, y, _ = drawn(12)
    theirs = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[kind](x, y)
    found = relation(Scores(x), Scores(y), kind=kind)
    assert found.value == pytest.approx(theirs.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.03)
    assert found.low < found.value < found.high
    assert (found.n_models, found.partial) == (12, False)


def test_few_models_are_permuted_exactly() -> None:
    x, y, _ = drawn(6)
    r = abs(np.corrcoef(x, y)[0, 1])
    exact = np.mean([abs(np.corrcoef(paired, y)[0, 1]) >= r - 1e-12 for paired in permutations(x)])
    assert relation(Scores(x), Scores(y)).p_value == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_what_a_third_score_explains_is_taken_out(kind: str) -> None:
    x, y, z = drawn(40)
    x = x + 3 * z
    ranked = [stats.rankdata(each) if kind == "spearman" else each for each in (x, y, z)]
    design = np.stack([np.ones(40), ranked[2]], axis=1)
    left = [each - design @ np.linalg.lstsq(design, each, rcond=None)[0] for each in ranked[:2]]
    found = relation(Scores(x), Scores(y), given=Scores(z), kind=kind)
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-10)
    assert found.partial
    assert found.value < relation(Scores(x), Scores(y), kind=kind).value


def test_uncertain_images_widen_the_interval() -> None:
    x, y, _ = drawn(15)
    rng = np.random.default_rng(1)
    noisy = Scores(x, x[:, None] + rng.normal(size=(15, 200)))
    widths = [found.high - found.low for found in (relation(each, Scores(y)) for each in (Scores(x), noisy))]
    assert widths[1] > 1.1 * widths[0]


def test_intervals_cover_the_truth_about_as_often_as_promised() -> None:
    rho, reached = 0.6, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=12)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=12)
        found = relation(Scores(x), Scores(y), n_resamples=200)
        reached += found.low <= rho <= found.high
    assert 0.91 <= reached / 200 <= 0.995


def test_a_perfect_line_has_no_interval() -> None:
    line = np.arange(5.0)
    found = relation(Scores(line), Scores(2 * line))
    assert found.value == pytest.approx(1)
    assert np.isnan(found.low) and np.isnan(found.high)


@pytest.mark.parametrize("n_models", [5, 8])
def test_a_partial_correlation_of_nothing_is_found_as_often_as_promised(n_models: int) -> None:
    found = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=n_models)
        x, y = (Scores(z + rng.normal(size=n_models)) for _ in range(2))
        found.append(relation(x, y, given=Scores(z), n_resamples=2).p_value)
    # the sd of a share of 400 at 5 % is 1.1 %
    assert np.mean(np.array(found) < 0.05) <= 0.075
    assert 0.4 < np.mean(found) < 0.6


def test_what_follows_from_the_third_score_is_refused() -> None:
    x, y, _ = drawn(8)
    with pytest.raises(RequestError, match="x follows from the score held fixed"):
        relation(Scores(x), Scores(y), given=Scores(2 * x + 1))


def test_too_little_to_relate_is_refused() -> None:
    x, y, z = drawn(4)
    with pytest.raises(RequestError, match="3 models: a correlation that means something needs 4"):
        relation(Scores(x[:3]), Scores(y[:3]))
    with pytest.raises(RequestError, match="4 models: a correlation that means something needs 5"):
        relation(Scores(x), Scores(y), given=Scores(z))
    with pytest.raises(RequestError, match="y is 1 for all 4 models"):
        relation(Scores(x), Scores(np.ones(4)))
    with pytest.raises(RequestError, match="scores of other models"):
        relation(Scores(x), Scores(y[:3]))
