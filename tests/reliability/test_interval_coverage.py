"""Do the intervals of a score cover what they are about, and are they no wider than they need be?

200 experiments are simulated with a fitted model and neuroids that stay fixed; the truth is the mean score, and its
spread the sampling sd, over many further sets of fresh stimuli, computed with NumPy alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from alignment.ceiling import (
    noise_ceiling_from_ncsnr,
    resampled_ceiling_from_ncsnr,
    resampled_split_half_ceiling,
    split_half_ceiling,
)
from alignment.correlation import pearson, weighted_pearson
from alignment.resampling import resampled_medians, stimulus_counts
from alignment.samples import Samples
from alignment.score import Score, paired_difference, score

N_SIMULATIONS = 200
N_RESAMPLES = 200
N_TRUTH = 600
MINIMUM_COVERAGE = 0.92
WIDEST = 1.7


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The matrices are too small for threads to help."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Scenario:
    name: str
    n_stimuli: int
    r: tuple[float, ...]
    n_folds: int = 1
    shared_noise: float = 0.3
    heavy_tailed: bool = False


def spread_around(r: float, n_neuroids: int) -> tuple[float, ...]:
    """Unequal r, as mixed signal-to-noise ratios give."""
    spread = 0.15 * np.random.default_rng(1).standard_normal(n_neuroids)
    return tuple(np.clip(r + spread, 0, 0.9))


SCENARIOS = (
    Scenario("null", 60, (0.0,) * 100),
    Scenario("null, independent noise", 60, (0.0,) * 200, shared_noise=0.0),
    Scenario("weak", 100, spread_around(0.2, 100)),
    Scenario("medium, few neuroids", 300, spread_around(0.4, 30), shared_noise=0.5),
    Scenario("strong", 100, spread_around(0.6, 200)),
    Scenario("strong, heavy-tailed", 150, spread_around(0.6, 60), heavy_tailed=True),
    Scenario("half the neuroids without signal", 150, (0.0, 0.7) * 50),
    Scenario("few strong neuroids", 100, tuple(0.9 * (np.arange(300) / 300) ** 2)),
    Scenario("five folds, null", 240, (0.0,) * 40, n_folds=5),
    Scenario("five folds, strong", 240, spread_around(0.5, 40), n_folds=5),
)


def unit_columns(random: np.random.Generator, n_features: int, n_neuroids: int) -> np.ndarray:
    matrix = random.standard_normal((n_features, n_neuroids))
    return matrix / np.linalg.norm(matrix, axis=0)


class Experiment:
    """Fresh stimuli for one fitted model: predictions from ten features, responses with noise shared by neuroids."""

    def __init__(self, scenario: Scenario, random: np.random.Generator):
        self.scenario, self.random, self.r = scenario, random, np.array(scenario.r)
        self.weights, self.loadings = (unit_columns(random, n, len(self.r)) for n in (10, 5))

    def fold(self) -> tuple[np.ndarray, np.ndarray]:
        n, share = self.scenario.n_stimuli, self.scenario.shared_noise
        features = self.random.standard_normal((n, 10))
        if self.scenario.heavy_tailed:
            features = (np.exp(0.7 * features) - np.exp(0.245)) / np.sqrt(np.exp(0.98) - np.exp(0.49))
        predicted = features @ self.weights
        own = self.random.standard_normal(predicted.shape)
        noise = np.sqrt(share) * self.random.standard_normal((n, 5)) @ self.loadings + np.sqrt(1 - share) * own
        return predicted, self.r * predicted + np.sqrt(1 - self.r**2) * noise

    def folds(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        predicted, observed = zip(*(self.fold() for _ in range(self.scenario.n_folds)), strict=True)
        return list(predicted), list(observed)

    def true_medians(self, n: int) -> np.ndarray:
        return np.array(
            [np.median(np.mean([numpy_r(*self.fold()) for _ in range(self.scenario.n_folds)], 0)) for _ in range(n)]
        )

    def counts(self) -> list[np.ndarray]:
        return [
            stimulus_counts(self.scenario.n_stimuli, "coverage", fold, n_resamples=N_RESAMPLES, seed=0)
            for fold in range(self.scenario.n_folds)
        ]


def numpy_r(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x - x.mean(0), y - y.mean(0)
    return (x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0))


def scored(scenario: Scenario, folds: tuple[list[np.ndarray], list[np.ndarray]], counts: list[np.ndarray]) -> Score:
    predicted, observed = folds
    values = np.mean([pearson(*fold) for fold in zip(predicted, observed, strict=True)], axis=0)
    resampled = resampled_medians(predicted, observed, counts)
    return score([values], None, resampled=[resampled], n_stimuli=scenario.n_stimuli * scenario.n_folds)


def check(estimates: list, truth: np.ndarray) -> tuple[float, float]:
    """Coverage of the mean, and mean width over 3.92 sampling sd."""
    covered = np.mean([e.low <= truth.mean() <= e.high for e in estimates])
    width = np.mean([e.high - e.low for e in estimates]) / (3.92 * truth.std(ddof=1))
    assert all(e.low <= e.value <= e.high for e in estimates)
    assert covered >= MINIMUM_COVERAGE, f"coverage {covered:.3f}, width {width:.2f}"
    assert width <= WIDEST, f"coverage {covered:.3f}, width {width:.2f}"
    return float(covered), float(width)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_raw_interval_covers_the_expected_score_on_fresh_stimuli(scenario: Scenario) -> None:
    experiment = Experiment(scenario, np.random.default_rng(0))
    truth = experiment.true_medians(N_TRUTH // min(2, scenario.n_folds))
    counts = experiment.counts()
    covered, width = check([scored(scenario, experiment.folds(), counts).raw for _ in range(N_SIMULATIONS)], truth)
    print(f"{scenario.name}: coverage {covered:.3f}, width {width:.2f}")


def trials_of(random: np.random.Generator, signal: np.ndarray, ncsnr: np.ndarray, n_repetitions: int) -> np.ndarray:
    noise = random.standard_normal((*signal.shape, n_repetitions)) / ncsnr[:, None]
    trials = signal[..., None] + noise
    trials[::3, :, -1] = np.nan
    return trials


def test_normalised_interval_with_a_split_half_ceiling() -> None:
    random = np.random.default_rng(3)
    ncsnr = random.uniform(0.3, 1.2, 30)
    weights = unit_columns(random, 10, 30)
    other = unit_columns(random, 10, 30)
    counts = stimulus_counts(100, "coverage", n_resamples=N_RESAMPLES, seed=0)

    def experiment(n_resamples: int) -> Score:
        predicted = random.standard_normal((100, 10)) @ weights
        signal = (predicted + random.standard_normal((100, 10)) @ other) / np.sqrt(2)
        trials = trials_of(random, signal, ncsnr, 4)
        observed, used = np.nanmean(trials, axis=2), counts[:n_resamples]
        return score(
            [pearson(predicted, observed)],
            [split_half_ceiling(trials, seed=0, n_splits=2).ceiling],
            resampled=[resampled_medians([predicted], [observed], [used])],
            resampled_ceiling=[resampled_split_half_ceiling(trials, used, seed=0, n_splits=2)],
            n_stimuli=100,
        )

    scores = [experiment(N_RESAMPLES) for _ in range(N_SIMULATIONS)]
    further = [experiment(2) for _ in range(N_TRUTH // 2)]
    for part in ("raw", "ceiling", "normalised"):
        truth = np.array([getattr(s, part).value for s in further])
        print(part, check([getattr(s, part) for s in scores], truth))
    assert np.mean([s.normalised.value for s in further]) == pytest.approx(1 / np.sqrt(2), abs=0.03)


def test_normalised_interval_with_a_known_ncsnr_reaches_one_for_the_true_model() -> None:
    random = np.random.default_rng(4)
    ncsnr = random.uniform(0.3, 1.2, 60)
    weights = unit_columns(random, 10, 60)
    repetitions = np.array([1, 2, 3, 3, 3] * 40)
    counts = stimulus_counts(200, "coverage", n_resamples=N_RESAMPLES, seed=0)
    ceiling = noise_ceiling_from_ncsnr(ncsnr, repetitions)
    resampled_ceiling = resampled_ceiling_from_ncsnr(ncsnr, repetitions, counts)

    def experiment() -> tuple[np.ndarray, np.ndarray]:
        signal = random.standard_normal((200, 10)) @ weights
        return signal, signal + random.standard_normal(signal.shape) / ncsnr / np.sqrt(repetitions)[:, None]

    truth = np.array([np.median(numpy_r(*experiment())) for _ in range(N_TRUTH)]) / np.median(ceiling)
    assert truth.mean() == pytest.approx(1, abs=0.03)
    normalised = []
    for _ in range(N_SIMULATIONS):
        predicted, observed = experiment()
        measured = score(
            [pearson(predicted, observed)],
            [ceiling],
            resampled=[resampled_medians([predicted], [observed], [counts])],
            resampled_ceiling=[resampled_ceiling],
            n_stimuli=200,
        )
        assert measured.status == "ok"
        normalised.append(measured.normalised)
    print("normalised", check(normalised, truth))


@pytest.mark.parametrize("spread", [0.02, 0.15], ids=["alike subjects", "unlike subjects"])
def test_interval_with_subjects_resampled_covers_the_population(spread: float) -> None:
    n_subjects, n_neuroids = 8, 20
    random = np.random.default_rng(5)
    counts = stimulus_counts(80, "coverage", n_resamples=N_RESAMPLES, seed=0)
    weights = unit_columns(random, 10, n_neuroids)

    def experiment() -> tuple[np.ndarray, np.ndarray]:
        predicted = np.tile(random.standard_normal((80, 10)) @ weights, n_subjects)
        r = np.repeat(np.clip(0.4 + spread * random.standard_normal(n_subjects), 0, 0.95), n_neuroids)
        return predicted, r * predicted + np.sqrt(1 - r**2) * random.standard_normal(predicted.shape)

    raws = []
    for _ in range(N_SIMULATIONS):
        predicted, observed = experiment()
        values = pearson(predicted, observed).reshape(n_subjects, n_neuroids)
        resampled = weighted_pearson(predicted, observed, counts).reshape(-1, n_subjects, n_neuroids)
        measured = score(list(values), None, resampled=list(np.median(resampled, axis=2).T), n_stimuli=80)
        assert measured.subjects_resampled
        raws.append(measured.raw)
    further = [np.median(numpy_r(*experiment()).reshape(n_subjects, -1), 1).mean() for _ in range(N_TRUTH)]
    print(spread, check(raws, np.array(further)))


def test_paired_difference_finds_small_differences_and_no_false_ones() -> None:
    random = np.random.default_rng(6)
    counts = stimulus_counts(100, "coverage", n_resamples=N_RESAMPLES, seed=0)
    experiment = Experiment(Scenario("pairs", 100, (0.5,) * 40), random)

    def p_value(noise_a: float, noise_b: float) -> float:
        predicted, observed = experiment.fold()
        models = [predicted + noise * random.standard_normal(predicted.shape) for noise in (noise_a, noise_b)]
        first, second = (
            Samples(
                np.median(pearson(model, observed), keepdims=True),
                resampled_medians([model], [observed], [counts])[None],
                n_stimuli=100,
            )
            for model in models
        )
        return paired_difference(first, second)[1]

    false = np.mean([p_value(0.5, 0.5) < 0.05 for _ in range(N_SIMULATIONS)])
    found = np.mean([p_value(0.2, 0.7) < 0.05 for _ in range(N_SIMULATIONS // 4)])
    print("false", false, "found", found)
    assert false <= 0.08
    assert found >= 0.9
