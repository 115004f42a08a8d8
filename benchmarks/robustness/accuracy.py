"""The benchmark: share of images that a network classifies correctly, at every decision it makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.checks import check_scores
from alignment.attacks.threat import Moment, decisive
from alignment.calibration import BINS, calibration_error, predictive_distribution
from alignment.models.base import Model, decision_times
from benchmarks.contracts import Part, Scored, Session
from benchmarks.robustness.classification import Classification, as_array, surface_row
from benchmarks.robustness.images import at_work, block_parts, blocks

# of a stochastic model: correctness is the mean over so many draws
DRAWS = 20
LOGITS = "logits"
# what draws are for, by which they are told from an attack's own
JUDGED = ("judge", "accuracy")
# figures beside the score
LIKELIHOOD, CALIBRATION = "negative log-likelihood (nats)", f"expected calibration error ({BINS} bins)"


class Accuracy(Classification):
    """Top-1 accuracy; beside it what the probabilities are worth, negative log-likelihood and calibration error.

    Parameters
    ----------
    moment : which decision of a network with time is the score: "last" time_bin, or "mean" of logits over them
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

    code_version = 2

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
        """Of each image: `correct` of the score, `over_time` (image, time_bin), and of its probabilities."""
        block = blocks(self.dataset)[int(part.layer)]
        pixels, labels = block.pixels(self.dataset, model, device=session.device), block.labels(device=session.device)
        seeds = block.seeds("accuracy", root=self.inference.seed)
        draws = DRAWS if model.stochastic else 1
        with at_work(model, device=session.device), torch.no_grad():
            logits = torch.stack(
                [self._logits(model, pixels, draw_seeds(seeds, *JUDGED, draw)) for draw in range(draws)]
            )
        check_scores(logits[0], labels)
        deciding = decisive(logits.flatten(0, 1), self.moment)[:, 0].unflatten(0, logits.shape[:2])
        probabilities = predictive_distribution(deciding)
        of_image = {
            "correct": _shares(deciding[:, :, None], labels)[:, 0],
            "log_likelihood": probabilities.gather(1, labels[:, None])[:, 0],
            "confidence": probabilities.max(1).values.exp(),
            "likeliest": (probabilities.argmax(1) == labels).float(),
        }
        return xr.Dataset(
            {name: ("image", as_array(values)) for name, values in of_image.items()}
            | {"over_time": (("image", "time_bin"), as_array(_shares(logits, labels)))},
            {"time_bin": list(decision_times(model, logits.shape[2]))},
        )

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Mean over images; the surface is accuracy at every time_bin."""
        joined = xr.concat(list(measured.values()), "image")
        found, raw = self.as_score(joined["correct"].values)
        over_time = joined["over_time"].values
        times = [float(time) for time in joined["time_bin"].values]
        surface = [surface_row(LOGITS, time, right) for time, right in zip(times, over_time.T, strict=True)]
        return Scored(
            found,
            raw,
            by_split={},
            layer=LOGITS,
            time_bin=times[-1],
            layer_share=1.0,
            surface=surface,
            figures=_figures(joined),
        )

    def card(self) -> dict[str, str]:
        """What it is."""
        return {
            "measure": "top-1 accuracy: share of test images whose highest logit is that of their class; of a "
            f"stochastic model the mean over {DRAWS} draws",
            "formula": "mean over images of [argmax logits = label]",
            "figures": "mean over images of -log p(class), p the mean over draws; calibration: Guo et al. 2017, ICML, "
            "eq. 3",
            "decision": f"{self.moment} time_bin" if self.moment == "last" else "mean of logits over time_bins",
            "source": "interval: Wilson 1927, J Am Stat Assoc 22; differences between models: bootstrap over images",
            "known failure": "says nothing of how a network errs, nor of images unlike the test set",
        }

    def _logits(self, model: Model, pixels: Tensor, seeds: Sequence[int]) -> Tensor:
        """(image, time_bin, class)."""
        step = self.batch_size
        parts = [slice(start, start + step) for start in range(0, len(pixels), step)]
        return torch.cat([model.logits(pixels[part], seeds=list(seeds[part])) for part in parts])


def _shares(logits: Tensor, labels: Tensor) -> Tensor:
    """(image, decision) float32, of the draws in which a decision is right, of logits (draw, image, decision, class).

    One made of NaN is not.
    """
    right = (logits.argmax(-1) == labels[:, None]) & ~logits.isnan().any(-1)
    return right.float().mean(0)


def _figures(joined: xr.Dataset) -> dict[str, float]:
    """None where a logit is not a number."""
    if not np.isfinite(joined["log_likelihood"]).all():
        return {}
    confidence, correct = (torch.from_numpy(joined[name].values) for name in ("confidence", "likeliest"))
    return {
        LIKELIHOOD: -float(joined["log_likelihood"].mean()),
        CALIBRATION: calibration_error(confidence, correct),
    }
