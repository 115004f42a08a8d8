"""Representations compared by their Gram matrices: centred kernel alignment and Procrustes similarity."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from alignment import rsa
from alignment.cka import Bias, cka, jackknife_cka, weighted_cka
from alignment.encoding import FeatureSource
from alignment.errors import RequestError
from alignment.grams import linear_gram, rbf_gram
from alignment.invariances import OF_SHAPE, said_of
from alignment.jackknife import deletion_groups
from alignment.procrustes import jackknife_procrustes, procrustes_similarity_of_grams
from alignment.resampling import jackknife_deviations
from alignment.rsa import Bounds, RDMs, bounds_of_cosines
from benchmarks.similarity.strategies import Counts, Doubles

PERMUTATIONS = 200
# a Procrustes similarity takes a decomposition for each group of stimuli left out
MOST_GROUPS = 25


@dataclass(frozen=True)
class ByCKA:
    """Centred kernel alignment (Kornblith et al. 2019), biased or unbiased.

    Parameters
    ----------
    kernel : "linear" or "rbf"
    bias : of the estimate, in the number of stimuli
    sigma_fraction : bandwidth of the radial kernel, as a fraction of the median distance
    """

    kernel: str = "linear"
    bias: Bias = "unbiased"
    sigma_fraction: float = 0.5
    least_stimuli: int = 4
    ceilings: tuple[str, ...] = ("subjects",)
    invariances: tuple[str, ...] = OF_SHAPE
    over_repetitions: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Kernel with its bandwidth, centring by HSIC's estimator."""
        width = f"{self.sigma_fraction:g}median" if self.kernel == "rbf" else ""
        return ("cka", f"{self.kernel}{width}", self.bias)

    @property
    def chance_is_zero(self) -> bool:
        """The biased estimate is above 0 for unrelated features."""
        return self.bias == "unbiased"

    def summarise(self, features: FeatureSource, *, device: str) -> Doubles:
        """The Gram matrix, row by row."""
        make: Callable[..., Tensor] = (
            linear_gram if self.kernel == "linear" else partial(rbf_gram, sigma_fraction=self.sigma_fraction)
        )
        return make(features, device=device).cpu().numpy().reshape(-1)

    def similarities(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """Every pair."""
        return _every_pair(models, subjects, partial(cka, bias=self.bias))

    def resampled(self, models: Doubles, subjects: Doubles, counts: Counts) -> Doubles | None:
        """Unbiased alone: copies of a stimulus would raise a biased one."""
        if self.bias == "biased":
            return None
        found = _every_pair(models, subjects, lambda a, b: weighted_cka(a, b, counts))
        return found.transpose(2, 0, 1)

    def deviations(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """Rows and columns left out."""
        return jackknife_deviations(_every_pair(models, subjects, partial(jackknife_cka, bias=self.bias)))

    def comparable(self, models: Doubles) -> NoReturn:
        """Kernels are not put together from blocks: they need responses, whose layers are chosen in training."""
        raise RequestError("Gram matrices of several layers cannot be put together; name one layer")

    def bounds(self, subjects: Doubles, *, n_stimuli: int) -> Bounds:
        """CKA is the cosine of centred Gram matrices, so that pools need not be formed."""
        alike = self.similarities(subjects, subjects, n_stimuli=n_stimuli)
        return bounds_of_cosines(alike, np.ones(len(subjects)))

    def resampled_bounds(self, subjects: Doubles, counts: Counts) -> Bounds:
        """From the subjects' similarities in each resample."""
        alike = self.resampled(subjects, subjects, counts)
        if alike is None:
            unresampled = np.full((len(counts), len(subjects)), np.nan)
            return Bounds(unresampled, unresampled)
        return bounds_of_cosines(alike, np.ones((len(counts), len(subjects))))

    def bound_deviations(self, subjects: Doubles, *, n_stimuli: int) -> Bounds:
        """From the subjects' similarities without each stimulus."""
        left_out = _every_pair(subjects, subjects, partial(jackknife_cka, bias=self.bias)).transpose(2, 0, 1)
        bounds = bounds_of_cosines(left_out, np.ones((n_stimuli, len(subjects))))
        return Bounds(jackknife_deviations(bounds.lower.T), jackknife_deviations(bounds.upper.T))

    def agreement_p_value(self, subjects: Doubles, *, n_stimuli: int, seed: int) -> float:
        """By permuting stimuli, on the squared distances that the Gram matrices hold."""
        return agreement_of_grams(subjects, n_stimuli=n_stimuli, seed=seed)

    def settings(self) -> Mapping[str, Any]:
        """Kernel and bias."""
        return {"measure": "cka", "kernel": self.kernel, "bias": self.bias, "sigma_fraction": self.sigma_fraction}

    def card(self) -> Mapping[str, str]:
        """What it is, and how it fails."""
        estimator = "HSIC_1 of Song et al. 2012 (unbiased)" if self.bias == "unbiased" else "HSIC_0 of Gretton 2005"
        kernel = "linear" if self.kernel == "linear" else f"radial, {self.sigma_fraction:g} of the median distance"
        return {
            "measure": "centred kernel alignment of a layer with each subject's responses, on held-out stimuli, "
            "averaged over splits, mean over subjects",
            "formula": f"HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), {estimator}; kernel {kernel}",
            "pooling": "mean of centred Gram matrices of unit length",
            "source": "Kornblith et al. 2019, ICML; Murphy, Zylberberg & Fyshe 2024 (unbiased)",
            "invariances": said_of(self.invariances),
            "known failure": "a few directions of large variance decide it"
            if self.bias == "unbiased"
            else "depends on the number of stimuli: near 1 for unrelated noise with more units than stimuli",
        }


@dataclass(frozen=True)
class ByProcrustes:
    """Procrustes similarity (Williams et al. 2021; Ding, Denain & Steinhardt 2021): 1 - half the squared distance."""

    least_stimuli: int = 3
    chance_is_zero: bool = False
    ceilings: tuple[str, ...] = ()
    invariances: tuple[str, ...] = OF_SHAPE
    over_repetitions: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """One kind."""
        return ("procrustes",)

    def summarise(self, features: FeatureSource, *, device: str) -> Doubles:
        """The Gram matrix, row by row."""
        return linear_gram(features, device=device).cpu().numpy().reshape(-1)

    def similarities(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """Every pair."""
        return _every_pair(models, subjects, procrustes_similarity_of_grams)

    def resampled(self, models: Doubles, subjects: Doubles, counts: Counts) -> None:
        """Not: it depends on the number of stimuli, and copies raise it."""
        return

    def deviations(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """Groups of stimuli left out, each group's deviation at its first stimulus."""
        groups = deletion_groups(n_stimuli, "procrustes", n_groups=MOST_GROUPS, seed=0)
        firsts = np.array([np.flatnonzero(groups == group)[0] for group in range(groups.max() + 1)])
        left_out = _every_pair(
            models, subjects, lambda a, b: jackknife_procrustes(_features(a), _features(b), groups=groups)
        )
        deviations = np.zeros((*left_out.shape[:2], n_stimuli))
        deviations[..., firsts] = jackknife_deviations(left_out)
        return deviations

    def comparable(self, models: Doubles) -> NoReturn:
        """As for CKA."""
        raise RequestError("Gram matrices of several layers cannot be put together; name one layer")

    def bounds(self, subjects: Doubles, *, n_stimuli: int) -> NoReturn:
        """Pools of shapes are not formed."""
        raise RequestError("no noise ceiling of Procrustes similarities is defined here")

    def resampled_bounds(self, subjects: Doubles, counts: Counts) -> NoReturn:
        """As `bounds`."""
        raise RequestError("no noise ceiling of Procrustes similarities is defined here")

    def bound_deviations(self, subjects: Doubles, *, n_stimuli: int) -> NoReturn:
        """As `bounds`."""
        raise RequestError("no noise ceiling of Procrustes similarities is defined here")

    def agreement_p_value(self, subjects: Doubles, *, n_stimuli: int, seed: int) -> float:
        """As for CKA."""
        return agreement_of_grams(subjects, n_stimuli=n_stimuli, seed=seed)

    def settings(self) -> Mapping[str, Any]:
        """One kind."""
        return {"measure": "procrustes", "groups": MOST_GROUPS}

    def card(self) -> Mapping[str, str]:
        """What it is, and how it fails."""
        return {
            "measure": "Procrustes similarity of a layer to each subject's responses, on held-out stimuli, averaged "
            "over splits, mean over subjects",
            "formula": "||X^T Y||_* of centred features of unit Frobenius norm = 1 - d^2 / 2, d Procrustes distance",
            "source": "Williams, Kunz, Kornblith & Linderman 2021, NeurIPS; Ding, Denain & Steinhardt 2021, NeurIPS",
            "invariances": said_of(self.invariances),
            "known failure": "depends on the number of stimuli: above 0 for unrelated noise; see the null rows",
        }


def agreement_of_grams(grams: Doubles, *, n_stimuli: int, seed: int) -> float:
    """Probability of subjects as alike as these without a common geometry, from squared distances."""
    squares = grams.reshape(len(grams), n_stimuli, n_stimuli)
    diagonal = np.diagonal(squares, axis1=1, axis2=2)
    distances = diagonal[:, :, None] + diagonal[:, None, :] - 2 * squares
    rows, columns = np.triu_indices(n_stimuli, k=1)
    rdms = RDMs(np.maximum(distances[:, rows, columns], 0), tuple(map(str, range(n_stimuli))))
    return rsa.agreement_p_value(rdms, rsa.Comparison("pearson"), seed=seed, n_permutations=PERMUTATIONS)


def _every_pair(models: Doubles, subjects: Doubles, compare: Callable[[Tensor, Tensor], Any]) -> Doubles:
    """(model, subject, ...) of what a comparison of two Gram matrices gives."""
    return np.array([[compare(_square(model), _square(subject)) for subject in subjects] for model in models])


def _square(summary: Doubles) -> Tensor:
    edge = round(len(summary) ** 0.5)
    return torch.from_numpy(np.ascontiguousarray(summary)).reshape(edge, edge)


def _features(gram: Tensor) -> Tensor:
    """Features (stimulus, axis) that have this Gram matrix."""
    eigenvalues, vectors = torch.linalg.eigh(gram)
    return vectors * eigenvalues.clamp(min=0).sqrt()
