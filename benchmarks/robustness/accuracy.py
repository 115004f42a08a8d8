"""The benchmark: share of images that a network classifies correctly, at every decision it makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from alignment.attacks.classify import Classifier
from alignment.attacks.threat import Moment
from alignment.models.base import Model
from benchmarks.contracts import Part, Scored, Session
from benchmarks.robustness.classification import Classification, as_array, surface_row
from benchmarks.robustness.images import at_work, block_parts, blocks

# of a stochastic model: correctness is the mean over so many draws
DRAWS = 20
LOGITS = "logits"


class Accuracy(Classification):
    """Top-1 accuracy.

    Parameters
    ----------
    moment : which decision of a network with time is the score: "last" time_bin, or "mean" of logits over them
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

    def __init__(self, *args: Any, moment: Moment = "last", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.moment: Moment = moment

    @property
    def summary(self) -> str:
        """One line."""
        return f"accuracy on {self.dataset.name}"

    @property
    def words(self) -> tuple[str, ...]:
        """`accuracy`, and the moment where it is not the last."""
        return ("accuracy", self.moment if self.moment != "last" else "")

    def settings(self) -> dict[str, Any]:
        """The moment, and the draws of a stochastic model."""
        return {"moment": self.moment, "draws": DRAWS}

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Blocks of images."""
        return block_parts(self.dataset)

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """`correct` (image,) of the score, and `over_time` (image, time_bin)."""
        block = blocks(self.dataset)[int(part.layer)]
        pixels, labels = block.pixels(self.dataset, model, device=session.device), block.labels(device=session.device)
        seeds = block.seeds("accuracy", root=self.inference.seed)
        with at_work(model, device=session.device):
            over_time = self._expected(model, pixels, labels, seeds=seeds, moment="each")
            correct = over_time[:, -1:]
            if self.moment != "last":
                correct = self._expected(model, pixels, labels, seeds=seeds, moment=self.moment)
        return xr.Dataset({"correct": ("image", correct[:, 0]), "over_time": (("image", "time_bin"), over_time)})

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Mean over images; the surface is accuracy at every time_bin."""
        data = list(measured.values())
        found, raw = self.as_score(np.concatenate([each["correct"].values for each in data]))
        over_time = np.concatenate([each["over_time"].values for each in data])
        surface = [surface_row(LOGITS, float(bin_), over_time[:, bin_]) for bin_ in range(over_time.shape[1])]
        return Scored(
            found,
            raw,
            by_split={},
            layer=LOGITS,
            time_bin=float(over_time.shape[1] - 1),
            layer_share=1.0,
            surface=surface,
        )

    def card(self) -> dict[str, str]:
        """What it is."""
        return {
            "measure": "top-1 accuracy: share of test images whose highest logit is that of their class; of a "
            f"stochastic model the mean over {DRAWS} draws",
            "formula": "mean over images of [argmax logits = label]",
            "decision": f"{self.moment} time_bin" if self.moment == "last" else "mean of logits over time_bins",
            "source": "interval: Wilson 1927, J Am Stat Assoc 22; differences between models: bootstrap over images",
            "known failure": "says nothing of how a network errs, nor of images unlike the test set",
        }

    def _expected(
        self, model: Model, pixels: Tensor, labels: Tensor, *, seeds: Sequence[int], moment: Moment
    ) -> np.ndarray:
        draws = DRAWS if model.stochastic else 1
        classifier = Classifier(model.logits, moment, self.batch_size)
        return as_array(classifier.expected(pixels, labels, seeds=seeds, purpose="accuracy", n_draws=draws))
