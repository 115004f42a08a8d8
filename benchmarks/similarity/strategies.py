"""How representations are summarised and compared: by their RDMs, or by kernels.

A strategy turns a (stimulus, unit) matrix into a flat summary, and compares summaries of the same stimuli on all of
them, on resamples, and with stimuli left out. Nothing is fitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alignment import invariances, rsa
from alignment.encoding import FeatureSource
from alignment.rsa import CROSSNOBIS, Bounds, Comparison, RDMs

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

# distances that are freed of noise, and what measures the same where there is none: in a layer
_WITHOUT_NOISE: Mapping[str, str] = {CROSSNOBIS: "squared-euclidean/units"}


class Strategy(Protocol):
    """One way to compare representations.

    Attributes
    ----------
    words : what the id of a benchmark says of it
    least_stimuli : how many different ones a comparison needs
    chance_is_zero : whether unrelated representations score 0 on average, so that a test against 0 means something
    ceilings : what a noise ceiling can be made of, any of "subjects" and "halves"
    invariances : changes of the activations, of `alignment.invariances`, that leave a similarity as it is
    over_repetitions : whether the brain's summary is made of single trials, by `similarity.repeated`; that of a layer
        never is
    """

    @property
    def words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def least_stimuli(self) -> int: ...  # noqa: D102
    @property
    def chance_is_zero(self) -> bool: ...  # noqa: D102
    @property
    def ceilings(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def invariances(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def over_repetitions(self) -> bool: ...  # noqa: D102

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
    distance : a name of `benchmarks.choices.CHOICES["distance"]`
    comparison : how RDMs are compared, and pooled for the noise ceiling
    """

    distance: str = "1-pearson"
    comparison: Comparison = field(default_factory=Comparison)
    least_stimuli: int = 3

    @property
    def ceilings(self) -> tuple[str, ...]:
        """Of a square, halves do not tell what the whole would be: they say nothing of its sign."""
        return ("subjects",) if self.comparison.squared else ("subjects", "halves")

    @property
    def invariances(self) -> tuple[str, ...]:
        """Those of the distance: no comparator sees the scale of an RDM."""
        return invariances.OF_DISTANCES[self.distance]

    @property
    def over_repetitions(self) -> bool:
        """Where the distance is freed of noise."""
        return self.distance in _WITHOUT_NOISE

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
        """The upper triangle of the RDM, of patterns without noise."""
        distance = _WITHOUT_NOISE.get(self.distance, self.distance)
        return rsa.rdm(features, distance=distance, device=device).cpu().numpy()

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
        distance = _WITHOUT_NOISE.get(self.distance, self.distance)
        card = {
            "measure": "RDM of a layer compared with the RDM of each subject, mean over subjects",
            "distance": f"{distance}: {rsa.DISTANCES[distance].formula}",
            "comparator": f"{self.comparison.comparator}{squared}: {comparator}",
            "formula": "s(a, b), s the comparator, a and b the distances of every two patterns x and y of the layer "
            "and of the subject",
            "pooling": pooled,
            "source": "Kriegeskorte, Mur & Bandettini 2008, Front Syst Neurosci 2:4; Nili et al. 2014, PLoS Comput "
            "Biol 10:e1003553 (ceilings); Schütt et al. 2023, eLife 12:e82566 (inference)",
            "invariances": invariances.said_of(self.invariances),
            "known failure": "weighs all units alike: a layer that holds the brain's dimensions among many others "
            "scores low; large categories dominate",
        }
        return _with_crossnobis(card) if self.over_repetitions else card


def _with_crossnobis(card: Mapping[str, str]) -> Mapping[str, str]:
    """What differs where distances of the brain are cross-validated and `card` is that of the distances of a layer."""
    return {
        **card,
        "distance": f"{CROSSNOBIS} of the responses: mean over pairs of repetitions f and g of "
        "(x_f - y_f)^T P (x_g - y_g) / p, P the precision of the noise of all judged stimuli, shrunk towards its "
        f"diagonal; of a layer, which has no noise, {card['distance']}",
        "source": f"{card['source']}; Walther et al. 2016, NeuroImage 137:188; Diedrichsen & Kriegeskorte 2017, PLoS "
        "Comput Biol 13:e1005508 (crossnobis)",
        "known failure": f"{card['known failure']}; dissimilarities of the brain can be below 0, those of a layer "
        "cannot; neither is blind to unequal means: what drives a whole population is far from the rest whatever its "
        "pattern; repetitions must have independent noise",
    }


def _rdms(vectors: Doubles, n_stimuli: int) -> RDMs:
    return RDMs(vectors, tuple(map(str, range(n_stimuli))))
