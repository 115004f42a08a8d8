"""What a model explains of responses that another does not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import xarray as xr
from torch import Tensor

from alignment.encoding import FeatureSource, gram_equivalent
from alignment.encoding.variance_partitioning import SHARES, VariancePartition, explained_variance, partition
from alignment.invariances import OF_SHAPE, said_of
from alignment.models import check_layers
from alignment.models.base import Model
from benchmarks.choices import recording_words
from benchmarks.datasets.base import Split
from benchmarks.neural.other import Chosen, Other
from benchmarks.neural.regressions import BY_ERROR, Ridge, gram_memory
from benchmarks.neural.scoring import Evaluated, Outcome, resampled_medians_of
from benchmarks.neural.target import Shown, Target, inner_folds
from benchmarks.recordings import Recording

# of a partition: kept name -> attribute
BY_FOLD = {"alone": "a", "other": "b", "joint": "joint", "share": "share", "cv_score": "cv_score_a"}
PREDICTED = {"predicted_joint": "predicted_joint", "predicted_other": "predicted_b"}


@dataclass(frozen=True)
class Unique:
    """Median over neuroids of the held-out explained variance of both models less that of the other alone.

    Each model is represented by the layer that predicts best alone in training: which of two models is the other one
    does not matter to the partition.

    Attributes
    ----------
    ridge : of each model and of both; features are centred and not scaled
    other : the model whose share is taken out
    """

    ridge: Ridge
    other: Other = field(repr=False)

    name = "unique"
    has_ceiling = False
    invariances = OF_SHAPE

    @property
    def summary(self) -> str:
        """One line."""
        return f"explained variance beyond what {self.other.label} explains, on held-out stimuli, median over neuroids"

    def words(self, recording: Recording) -> tuple[str, ...]:
        """`unique-over-pixels-ridge-loo-avg4x4`."""
        return (self.name, "over", self.other.label, *self.ridge.words, *recording_words(recording))

    def settings(self) -> dict[str, object]:
        """Those of the ridge, the candidate shares, and the fingerprint of the other model."""
        return {"ridge": self.ridge.settings(), "shares": SHARES, "against": self.other.fingerprint}

    def check(self, splits: Sequence[Split], *, where: str) -> None:
        """The other model can be loaded, and has layers."""
        check_layers(self.other.model())

    def beside(self) -> tuple[Model, ...]:
        """The other model."""
        return (self.other.model(),)

    def memory(self, n_stimuli: int, n_neuroids: int) -> int:
        """Of one fit, and the features of both models apart and together."""
        return gram_memory(n_stimuli, 2 * n_neuroids) + 4 * 8 * n_stimuli**2

    def measure(self, bins: Sequence[Tensor | FeatureSource], target: Target, *, shown: Shown) -> list[xr.Dataset]:
        """What is kept of a layer: parts of variance (fold, neuroid), and predictions to resample them.

        `alone`, `other`, `joint`, explained variance of the layer, the other model and both; `share` of the layer in
        the joint model; `cv_score` of the layer alone; `predicted_joint`, `predicted_other` (stimulus, neuroid);
        `other_layer`, `other_time_bin` (fold,), the cell of the other model.
        """
        others = self.other.chosen(target, shown=shown, ridge=self.ridge)
        return [self._partitioned(gram_equivalent(x, device=shown.device), others, target) for x in bins]

    def _partitioned(self, x: Tensor, others: Sequence[Chosen], target: Target) -> xr.Dataset:
        y = target.observed(str(x.device))
        by_fold: dict[str, list[np.ndarray]] = {name: [] for name in BY_FOLD}
        predicted = {name: np.full(y.shape, np.nan, dtype=np.float32) for name in PREDICTED}
        for split, other in zip(target.splits, others, strict=True):
            parts = self._partition(x, other.features, y, split=split, target=target)
            for name, attribute in BY_FOLD.items():
                by_fold[name].append(getattr(parts, attribute))
            for name, attribute in PREDICTED.items():
                predicted[name][target.rows(split).test.numpy()] = getattr(parts, attribute).cpu().numpy()
        return xr.Dataset(
            {
                **{name: (("fold", "neuroid"), np.stack(values)) for name, values in by_fold.items()},
                **{name: (("stimulus", "neuroid"), values[target.judged]) for name, values in predicted.items()},
                "other_layer": ("fold", [other.cell.layer for other in others]),
                "other_time_bin": ("fold", [other.cell.time_bin for other in others]),
            }
        )

    def _partition(self, x: Tensor, other: Tensor, y: Tensor, *, split: Split, target: Target) -> VariancePartition:
        train, test = target.rows(split)
        return partition(
            x,
            other,
            y,
            train=train,
            test=test,
            alphas=self.ridge.alphas,
            selection=self.ridge.selection,
            folds=inner_folds(split) if self.ridge.selection == "kfold" else None,
        )

    def outcome(self, folds: Sequence[xr.Dataset], judged: Evaluated, counts: Sequence[np.ndarray]) -> Outcome:
        """Median over neuroids of what is unique, averaged over folds; of the other parts as figures."""
        unique = [_unique(of_fold) for of_fold in folds]
        resampled = [partial(_resampled, of_fold, y) for of_fold, y in zip(folds, judged.observed, strict=True)]
        return Outcome(
            value=float(np.median(np.mean(unique, axis=0))),
            resampled=resampled_medians_of(resampled, counts, n_columns=len(unique[0])),
            by_fold=[float(np.median(of_fold)) for of_fold in unique],
            details={"other_chosen": _cells(folds)},
            figures=_parts(folds),
        )

    def card(self) -> dict[str, str]:
        """What it is, and where it fails."""
        shares = ", ".join(f"{share:g}" for share in SHARES)
        return {
            "measure": f"unique = joint - {self.other.label}: explained variance 1 - squared error / squared deviation "
            f"on held-out stimuli of a banded ridge on both models, less that of a ridge on {self.other.label}; "
            "averaged over splits, median over neuroids, mean over subjects",
            "joint model": f"share of the model in the variance of the features 0, {shares} or 1, by neuroid, chosen "
            "with alpha inside the training stimuli",
            "alphas": self.ridge.card()["alphas"],
            "layer": f"{BY_ERROR.format('neuroids')}, for either model alone",
            "ceiling": "none: a noise ceiling bounds all of the variance that can be explained, and how much of it is "
            "left to a second model depends on the first",
            "formula": "R(both) - R(other), R = 1 - |y - f|^2 / |y - mean(y)|^2 of the prediction f",
            "invariances": f"of either model: {said_of(self.invariances)}",
            "source": "de Heer et al. 2017, J Neurosci 37; Lescroart & Gallant 2019, Neuron 101 (partitioning); "
            "Nunez-Elizalde, Huth & Gallant 2019, NeuroImage 197 (banded ridge)",
            "known failure": "a joint model that overfits takes from the unique part, which can fall below 0; what "
            "both models owe to confounds of the stimuli counts as shared",
            "cost": f"{len(SHARES) + 2} ridges for each layer, time_bin and split",
        }


def _unique(of_fold: xr.Dataset) -> np.ndarray:
    return of_fold["joint"].values - of_fold["other"].values


def _resampled(of_fold: xr.Dataset, observed: np.ndarray, counts: np.ndarray) -> np.ndarray:
    joint, other = (
        explained_variance(of_fold[name].values, observed, counts) for name in ("predicted_joint", "predicted_other")
    )
    return joint - other


def _parts(folds: Sequence[xr.Dataset]) -> dict[str, float]:
    """Medians over neuroids of each part of the variance, averaged over folds; medians need not add up."""
    alone, other, joint = (
        np.mean([of_fold[name].values for of_fold in folds], axis=0) for name in ("alone", "other", "joint")
    )
    parts = {
        "explained by both": joint,
        "explained by the model alone": alone,
        "explained by the other alone": other,
        "unique to the model": joint - other,
        "unique to the other": joint - alone,
        "shared": alone + other - joint,
    }
    return {name: float(np.median(values)) for name, values in parts.items()}


def _cells(folds: Sequence[xr.Dataset]) -> list[dict[str, object]]:
    """The cell of the other model in each fold."""
    return [
        {"layer": str(of_fold["other_layer"].values), "time_bin": float(of_fold["other_time_bin"].values)}
        for of_fold in folds
    ]
