"""Do tests and intervals of representational similarity hold what they promise, as the tables make them?

Stimuli have latent features; each subject and the model see them through maps of their own, with noise of their own.
Without an effect, model and subjects see independent features; what subjects share among themselves stays.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from alignment.encoding import TensorFeatures
from alignment.resampling import Subjects, stimulus_counts
from alignment.rsa import Comparison
from alignment.samples import Samples
from benchmarks.similarity.judged import Fold, Group
from benchmarks.similarity.kernels import ByCKA
from benchmarks.similarity.strategies import ByRDM, Strategy
from benchmarks.similarity.surface import bounds_of, of_fold, samples_of

N_DRAWS = 400
N_RESAMPLES = 200
UNITS = 60
# standard error of a rate of 5 % over so many draws
CHANCE = np.sqrt(0.05 * 0.95 / N_DRAWS)

PEARSON, SPEARMAN = ByRDM(comparison=Comparison("pearson")), ByRDM(comparison=Comparison("spearman"))
CKA = ByCKA()

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Drawn:
    """Patterns (stimulus, unit) of two models and of each subject."""

    models: list[np.ndarray]
    subjects: list[np.ndarray]


class Population:
    """Subjects and two models with fixed maps; fresh stimuli each time."""

    def __init__(
        self, *, subjects: int, latent: int, shared: float, seed: int, stimuli: int = 60, unequal: bool = False
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.stimuli, self.latent, self.shared, self.unequal = stimuli, latent, shared, unequal
        self.models = self.random.standard_normal((2, latent, UNITS))
        self.maps = self.random.standard_normal((subjects, latent, UNITS))

    def draw(self, *, fresh_subjects: bool) -> Drawn:
        seen = self.random.standard_normal((self.stimuli, self.latent))
        own = [
            np.sqrt(self.shared) * seen
            + np.sqrt(1 - self.shared) * self.random.standard_normal((self.stimuli, self.latent))
            for _ in self.models
        ]
        maps = self.random.standard_normal(self.maps.shape) if fresh_subjects else self.maps
        # how well single subjects were measured
        strength = self.random.uniform(0.2, 1.8, len(maps)) if self.unequal else np.ones(len(maps))
        noise = np.sqrt(self.latent) * self.random.standard_normal((len(maps), self.stimuli, UNITS))
        subjects = [s * (seen @ each) + drawn for s, each, drawn in zip(strength, maps, noise, strict=True)]
        return Drawn([features @ each for features, each in zip(own, self.models, strict=True)], subjects)


def tabled(strategy: Strategy, drawn: Drawn, *, how: Subjects = "auto") -> list[Samples]:
    """Samples of each model."""
    fold, counts, models, subjects = prepared(strategy, drawn)
    n_subjects = len(drawn.subjects)
    found = of_fold(strategy, fold, models=[models], subjects=[subjects], counts=[counts], n_subjects=n_subjects)
    return [samples_of([found], [row], subjects=how, fitted=False) for row in range(len(models))]


def lower_bound(strategy: Strategy, drawn: Drawn) -> Samples:
    fold, counts, _, subjects = prepared(strategy, drawn)
    return bounds_of(strategy, [fold], summaries=[subjects], counts=[counts], subjects="auto")[0]


def prepared(strategy: Strategy, drawn: Drawn) -> tuple[Fold, np.ndarray, np.ndarray, np.ndarray]:
    """One fold of all stimuli, its resamples, and the summaries of models and of subjects."""
    n_stimuli = len(drawn.models[0])
    names = tuple(map(str, range(n_stimuli)))
    everyone = tuple(range(len(drawn.subjects)))
    fold = Fold("all", (Group(everyone, names),))
    counts = stimulus_counts(n_stimuli, "calibration", n_resamples=N_RESAMPLES, seed=0)
    models, subjects = (
        np.stack([strategy.summarise(TensorFeatures(torch.from_numpy(patterns)), device="cpu") for patterns in each])
        for each in (drawn.models, drawn.subjects)
    )
    return fold, counts, models, subjects


def coverage(samples: list[Samples]) -> float:
    """Of the mean over all draws, by the interval of each."""
    truth = np.mean([each.value for each in samples])
    reached = [abs(each.value - truth) <= stats.t.ppf(0.975, each.error()[1]) * each.error()[0] for each in samples]
    return float(np.mean(reached))


@pytest.mark.parametrize("latent", [5, 30])
@pytest.mark.parametrize(("subjects", "least", "most"), [(16, 0.01, 0.05 + 2 * CHANCE), (4, 0.01, 0.05 + 2 * CHANCE)])
@pytest.mark.parametrize("strategy", [PEARSON, SPEARMAN], ids=["pearson", "spearman"])
def test_unrelated_models_are_called_related_as_often_as_promised(strategy, subjects, least, most, latent) -> None:
    """Of 16 subjects the tests are about fresh ones, of 4 about these 4, which leaves nothing to chance but stimuli."""
    population = Population(subjects=subjects, latent=latent, shared=0.0, seed=subjects + latent)
    drawn = [tabled(strategy, population.draw(fresh_subjects=subjects >= 8)) for _ in range(N_DRAWS)]
    rate = np.mean([each.p_value() < 0.05 for each, _ in drawn])
    differing = np.mean([a.minus(b).p_value() < 0.05 for a, b in drawn])
    print(strategy.words, subjects, latent, "rejected", rate, "differences", differing)
    assert least <= rate <= most
    assert least <= differing <= most


def test_unrelated_kernels_are_called_related_as_often_as_promised() -> None:
    population = Population(subjects=16, latent=10, shared=0.0, seed=3)
    drawn = [tabled(CKA, population.draw(fresh_subjects=True))[0] for _ in range(N_DRAWS)]
    rate = np.mean([each.p_value() < 0.05 for each in drawn])
    print("cka rejected", rate, "coverage", coverage(drawn))
    assert 0.01 <= rate <= 0.05 + 2 * CHANCE
    assert 0.92 <= coverage(drawn) <= 0.98


def test_four_subjects_taken_as_a_sample_call_next_to_nothing_related() -> None:
    population = Population(subjects=4, latent=10, shared=0.0, seed=5)
    drawn = [tabled(PEARSON, population.draw(fresh_subjects=True), how="resampled")[0] for _ in range(N_DRAWS)]
    assert np.mean([each.p_value() < 0.05 for each in drawn]) <= 0.05


@pytest.mark.parametrize("subjects", [16, 4])
@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("strategy", [PEARSON, SPEARMAN], ids=["pearson", "spearman"])
def test_intervals_cover_the_truth(strategy, subjects, shared) -> None:
    """About fresh subjects where they are resampled; about fresh stimuli alone where they are fixed."""
    population = Population(subjects=subjects, latent=10, shared=shared, seed=subjects)
    drawn = [tabled(strategy, population.draw(fresh_subjects=subjects >= 8)) for _ in range(N_DRAWS)]
    of_model, of_difference = coverage([a for a, _ in drawn]), coverage([a.minus(b) for a, b in drawn])
    print(strategy.words, subjects, shared, "coverage", of_model, "of a difference", of_difference)
    assert 0.92 <= of_model <= 0.98
    assert 0.92 <= of_difference <= 0.98


@pytest.mark.parametrize("unequal", [False, True])
def test_the_lower_bound_and_the_distance_to_it_are_covered(unequal) -> None:
    """Subjects stand in each other's pools, so that their bounds are no independent sample."""
    population = Population(subjects=16, latent=8, shared=0.5, seed=7, stimuli=40, unequal=unequal)
    draws = [population.draw(fresh_subjects=True) for _ in range(N_DRAWS)]
    models, bounds = [tabled(PEARSON, each)[0] for each in draws], [lower_bound(PEARSON, each) for each in draws]
    lower, distance = coverage(bounds), coverage([a.minus(b) for a, b in zip(models, bounds, strict=True)])
    print("unequal" if unequal else "equal", "coverage of the lower bound", lower, "of the distance to it", distance)
    assert 0.92 <= lower <= 0.98
    assert 0.92 <= distance <= 0.98


def test_resamples_alone_would_call_next_to_nothing_related() -> None:
    """What is particular to a pair would enter three times: the reason for the jackknife in the error."""
    population = Population(subjects=16, latent=30, shared=0.0, seed=1)
    drawn = [tabled(PEARSON, population.draw(fresh_subjects=True), how="fixed")[0] for _ in range(200)]
    spread = np.var([each.value for each in drawn])
    bootstrap = np.mean([each.resampled.mean(0).var() for each in drawn])
    jackknife = np.mean([np.square(each.deviations.mean(0)).sum() for each in drawn])
    assert 2.4 < bootstrap / spread < 3.8
    assert 1.6 < jackknife / spread < 2.6
    assert 0.8 < np.mean([each.error()[0] ** 2 for each in drawn]) / spread < 1.4
