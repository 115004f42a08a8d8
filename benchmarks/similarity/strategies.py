"""How representations are summarised and compared: by their RDMs, or by kernels.

A strategy turns a (stimulus, unit) matrix into a flat summary, and compares summaries of the same stimuli on all of
them, on resamples, and with stimuli left out. Nothing is fitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alignment import rsa
from alignment.encoding import FeatureSource
from alignment.rsa import Bounds, Comparison, RDMs

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Strategy(Protocol):
    """One way to compare representations.

    Attributes
    ----------
    words : what the id of a benchmark says of it
    least_stimuli : how many different ones a comparison needs
    chance_is_zero : whether unrelated representations score 0 on average, so that a test against 0 means something
    ceilings : what a noise ceiling can be made of, any of "subjects" and "halves"
    """

    @property
    def words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def least_stimuli(self) -> int: ...  # noqa: D102
    @property
    def chance_is_zero(self) -> bool: ...  # noqa: D102
    @property
    def ceilings(self) -> tuple[str, ...]: ...  # noqa: D102

    def summarise(self, features: FeatureSource, *, device: str) -> Doubles:
        """Of (stimulus, unit), a flat summary."""
        ...

    def similarities(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """(model, subject) of summaries, one per row."""
        ...

    def resampled(self, models: Doubles, subjects: Doubles, counts: Counts) -> Doubles | None:
        """(resample, model, subject); None where a resample changes what is measured."""
        ...

    def deviations(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """(model, subject, stimulus), of `alignment.resampling.jackknife_deviations`."""
        ...

    def comparable(self, models: Doubles) -> Doubles:
        """Summaries from which entries of different rows can be put together into one."""
        ...

    def bounds(self, subjects: Doubles, *, n_stimuli: int) -> Bounds:
        """Of the noise ceiling, from how well other subjects do, each (subject,)."""
        ...

    def resampled_bounds(self, subjects: Doubles, counts: Counts) -> Bounds:
        """Each (resample, subject)."""
        ...

    def bound_deviations(self, subjects: Doubles, *, n_stimuli: int) -> Bounds:
        """Each (subject, stimulus)."""
        ...

    def agreement_p_value(self, subjects: Doubles, *, n_stimuli: int, seed: int) -> float:
        """Of the hypothesis that subjects share no geometry."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Everything of it that enters a number."""
        ...

    def card(self) -> Mapping[str, str]:
        """Formula, source, invariances, known failure."""
        ...


@dataclass(frozen=True)
class ByRDM:
    """Representational similarity analysis (Kriegeskorte, Mur & Bandettini 2008).

    Parameters
    ----------
    distance : a name of `alignment.rsa.DISTANCES`
    comparison : how RDMs are compared, and pooled for the noise ceiling
    """

    distance: str = "1-pearson"
    comparison: Comparison = field(default_factory=Comparison)
    least_stimuli: int = 3
    ceilings: tuple[str, ...] = ("subjects", "halves")

    @property
    def chance_is_zero(self) -> bool:
        """Squares are above 0 by chance."""
        return not self.comparison.squared

    @property
    def words(self) -> tuple[str, ...]:
        """Distance, comparator, and pooling where it is not the comparator's own."""
        squared = "-squared" if self.comparison.squared else ""
        pooling = "plain-mean" if self.comparison.pooling == "mean" else ""
        return ("rsa", self.distance, f"{self.comparison.comparator}{squared}", pooling)

    def summarise(self, features: FeatureSource, *, device: str) -> Doubles:
        """The upper triangle of the RDM."""
        return rsa.rdm(features, distance=self.distance, device=device).cpu().numpy()

    def similarities(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """By the comparator."""
        return self.comparison.of(_rdms(models, n_stimuli), _rdms(subjects, n_stimuli))

    def resampled(self, models: Doubles, subjects: Doubles, counts: Counts) -> Doubles:
        """Pairs of different stimuli as often as the product of their counts."""
        n_stimuli = counts.shape[1]
        return rsa.resampled_similarities(
            _rdms(models, n_stimuli), _rdms(subjects, n_stimuli), counts, comparison=self.comparison
        )

    def deviations(self, models: Doubles, subjects: Doubles, *, n_stimuli: int) -> Doubles:
        """Rows and columns left out."""
        return rsa.similarity_deviations(
            _rdms(models, n_stimuli), _rdms(subjects, n_stimuli), comparison=self.comparison
        )

    def comparable(self, models: Doubles) -> Doubles:
        """What the comparator sees of each RDM: z-scores, ranks, vectors of unit length."""
        measured = ~np.isnan(models[0])
        seen = np.full(models.shape, np.nan)
        seen[:, measured] = rsa.prepared(models[:, measured], Comparison(self.comparison.comparator))
        return seen

    def bounds(self, subjects: Doubles, *, n_stimuli: int) -> Bounds:
        """Leave one subject out."""
        return rsa.leave_one_out(_rdms(subjects, n_stimuli), self.comparison)

    def resampled_bounds(self, subjects: Doubles, counts: Counts) -> Bounds:
        """Pooled anew in each resample."""
        return rsa.resampled_bounds(_rdms(subjects, counts.shape[1]), counts, comparison=self.comparison)

    def bound_deviations(self, subjects: Doubles, *, n_stimuli: int) -> Bounds:
        """Pooled anew without each stimulus."""
        return rsa.bound_deviations(_rdms(subjects, n_stimuli), comparison=self.comparison)

    def agreement_p_value(self, subjects: Doubles, *, n_stimuli: int, seed: int) -> float:
        """By permuting stimuli; NaN where some pairs were not measured, which cannot be permuted."""
        if np.isnan(subjects).any():
            return float("nan")
        permutations = 1000 if n_stimuli <= 200 else 200
        return rsa.agreement_p_value(
            _rdms(subjects, n_stimuli), self.comparison, seed=seed, n_permutations=permutations
        )

    def settings(self) -> Mapping[str, Any]:
        """Distance, comparator, pooling."""
        return {
            "measure": "rsa",
            "distance": self.distance,
            "comparator": self.comparison.comparator,
            "pooling": self.comparison.pooling,
            "squared": self.comparison.squared,
        }

    def card(self) -> Mapping[str, str]:
        """What it is, and how it fails."""
        comparator = rsa.COMPARATORS[self.comparison.comparator].formula
        squared = ", squared" if self.comparison.squared else ""
        pooled = "plain mean" if self.comparison.pooling == "mean" else "mean of what the comparator sees"
        return {
            "measure": "RDM of a layer compared with the RDM of each subject, mean over subjects",
            "distance": f"{self.distance}: {rsa.DISTANCES[self.distance].formula}",
            "comparator": f"{self.comparison.comparator}{squared}: {comparator}",
            "ceiling": f"leave one subject out; upper: pool of all, lower: pool of the others ({pooled}); "
            "normalised = raw / upper",
            "source": "Kriegeskorte, Mur & Bandettini 2008, Front Syst Neurosci 2:4; Nili et al. 2014, PLoS Comput "
            "Biol 10:e1003553 (ceilings); Schütt et al. 2023, eLife 12:e82566 (inference)",
            "invariances": "rotation and uniform scale of the activations"
            + (", shift of each pattern" if self.distance == "1-pearson" else ", shift of all patterns"),
            "known failure": "weighs all units alike: a layer that holds the brain's dimensions among many others "
            "scores low; large categories dominate",
        }


def _rdms(vectors: Doubles, n_stimuli: int) -> RDMs:
    return RDMs(vectors, tuple(map(str, range(n_stimuli))))
