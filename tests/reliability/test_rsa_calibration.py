"""Do tests and intervals of representational similarity hold what they promise?

Stimuli have latent features; each subject and the model see them through maps of their own, with noise of their own.
Without an effect, model and subjects see independent features; what subjects share among themselves stays.
"""

import numpy as np
import pytest
from scipy import stats

from alignment.resampling import stimulus_counts
from alignment.rsa import Comparison, RDMs, resampled_similarities, similarity_deviations
from alignment.samples import Samples

N_DRAWS = 1000
N_RESAMPLES = 300
UNITS = 60

pytestmark = pytest.mark.slow


class Population:
    """Subjects and a model with fixed maps; fresh stimuli each time."""

    def __init__(self, *, stimuli: int, subjects: int, latent: int, shared: float, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.stimuli, self.latent, self.shared = stimuli, latent, shared
        self.model = self.random.standard_normal((latent, UNITS))
        self.maps = self.random.standard_normal((subjects, latent, UNITS))
        self.names = tuple(map(str, range(stimuli)))

    def draw(self, *, fresh_subjects: bool) -> tuple[RDMs, RDMs]:
        seen = self.random.standard_normal((self.stimuli, self.latent))
        other = self.random.standard_normal((self.stimuli, self.latent))
        own = np.sqrt(self.shared) * seen + np.sqrt(1 - self.shared) * other
        maps = self.random.standard_normal(self.maps.shape) if fresh_subjects else self.maps
        noise = np.sqrt(self.latent) * self.random.standard_normal((len(maps), self.stimuli, UNITS))
        subjects = np.stack([self.rdm(seen @ each + drawn) for each, drawn in zip(maps, noise, strict=True)])
        return RDMs(self.rdm(own @ self.model)[None], self.names), RDMs(subjects, self.names)

    def rdm(self, patterns: np.ndarray) -> np.ndarray:
        z = patterns - patterns.mean(1, keepdims=True)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        return (1 - z @ z.T)[np.triu_indices(self.stimuli, k=1)]


def samples(population: Population, *, fresh_subjects: bool, how: str) -> Samples:
    model, subjects = population.draw(fresh_subjects=fresh_subjects)
    comparison = Comparison("pearson")
    counts = stimulus_counts(population.stimuli, "calibration", n_resamples=N_RESAMPLES, seed=0)
    return Samples(
        comparison.of(model, subjects)[0],
        resampled_similarities(model, subjects, counts, comparison=comparison)[:, 0].T,
        n_stimuli=population.stimuli,
        deviations=similarity_deviations(model, subjects, comparison=comparison)[0],
        subjects=how,
    )


@pytest.mark.parametrize("latent", [5, 30])
@pytest.mark.parametrize(("subjects", "least", "most"), [(16, 0.02, 0.07), (4, 0.0, 0.05)])
def test_unrelated_models_are_called_related_as_often_as_promised(subjects, least, most, latent) -> None:
    population = Population(stimuli=60, subjects=subjects, latent=latent, shared=0.0, seed=subjects + latent)
    drawn = [samples(population, fresh_subjects=True, how="resampled") for _ in range(N_DRAWS)]
    rate = np.mean([each.p_value() < 0.05 for each in drawn])
    print(subjects, latent, "rejected", rate)
    assert least <= rate <= most


@pytest.mark.parametrize(("subjects", "how"), [(16, "resampled"), (4, "fixed")])
@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_intervals_cover_the_truth(subjects, how, shared) -> None:
    """About fresh subjects where they are resampled; about fresh stimuli alone where they are fixed."""
    population = Population(stimuli=60, subjects=subjects, latent=10, shared=shared, seed=subjects)
    drawn = [samples(population, fresh_subjects=how == "resampled", how=how) for _ in range(N_DRAWS)]
    truth = np.mean([each.value for each in drawn])
    errors = np.array([each.error()[0] for each in drawn])
    freedom = drawn[0].error()[1]
    reached = np.abs([each.value - truth for each in drawn]) <= stats.t.ppf(0.975, freedom) * errors
    spread = np.std([each.value for each in drawn])
    print(subjects, how, shared, "coverage", reached.mean(), "error over spread", np.mean(errors) / spread)
    assert 0.92 <= reached.mean() <= 0.98


def test_resamples_alone_would_call_next_to_nothing_related() -> None:
    """What is particular to a pair would enter three times: the reason for the jackknife in the error."""
    population = Population(stimuli=60, subjects=16, latent=30, shared=0.0, seed=1)
    drawn = [samples(population, fresh_subjects=True, how="fixed") for _ in range(200)]
    spread = np.var([each.value for each in drawn])
    bootstrap = np.mean([each.resampled.mean(0).var() for each in drawn])
    jackknife = np.mean([np.square(each.deviations.mean(0)).sum() for each in drawn])
    assert 2.4 < bootstrap / spread < 3.8
    assert 1.6 < jackknife / spread < 2.6
    assert 0.8 < np.mean([each.error()[0] ** 2 for each in drawn]) / spread < 1.4
