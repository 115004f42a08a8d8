"""The benchmark: accuracy on images that were perturbed to fool another network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from alignment.attacks.classify import Classifier
from alignment.attacks.threat import Moment
from alignment.attacks.transfer import perturbed
from alignment.errors import RequestError
from alignment.models.base import Model, decision_times
from benchmarks.contracts import Part, Scored, Session
from benchmarks.neural.other import Other
from benchmarks.robustness.attacked import CLEAN, DRAWS, Protocol
from benchmarks.robustness.classification import Classification, as_array, surface_row
from benchmarks.robustness.images import at_work, block_parts, blocks, check_logits
from benchmarks.robustness.sets import attacks_of

EACH: Moment = "each"


class Transfer(Classification):
    """Share of images that stay correctly classified when they are perturbed against a source.

    Parameters
    ----------
    protocol : threat with one epsilon, and one attack
    source : the network that is attacked
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

    code_version = 2

    def __init__(self, *args: Any, protocol: Protocol, source: Other, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.protocol = protocol
        self.source = source

    @property
    def summary(self) -> str:
        """One line."""
        return f"accuracy on {self.dataset.name} that an attack on {self.source.label} leaves"

    @property
    def words(self) -> tuple[str, ...]:
        """`transfer-from-resnet18-linf-8/255-pgd`."""
        return ("transfer", "from", self.source.label, *self.protocol.words[1:])

    def settings(self) -> dict[str, Any]:
        """The protocol, the source's fingerprint, and the draws of a stochastic model."""
        return {**self.protocol.settings(), "source": self.source.fingerprint, "draws": DRAWS}

    def check(self) -> None:
        """Targets are there, and the source is of their classes."""
        super().check()
        check_logits(self.source.model(), self.dataset)

    def check_model(self, model: Model) -> None:
        """It is of the data set's classes and takes images of the source's size."""
        super().check_model(model)
        source = self.source.model()
        if model.image_size != source.image_size:
            sizes = [each.image_size and "x".join(map(str, each.image_size)) for each in (source, model)]
            raise RequestError(
                f"{source.name} takes images of {sizes[0] or 'any size'}, {model.name} of {sizes[1] or 'any size'}; "
                "perturbed pixels transfer between models of one size only"
            )

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Blocks of images."""
        return block_parts(self.dataset)

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """`correct` (stage, image) of the score, and `over_time` (stage, image, time_bin), of every decision.

        The first stage is the clean image, the second the one perturbed against the source.
        """
        block, source = blocks(self.dataset)[int(part.layer)], self.source.model()
        protocol, seeds = self.protocol, block.seeds("attack", root=self.inference.seed)
        labels = block.labels(device=session.device)
        clean = block.pixels(self.dataset, source, device=session.device)
        (attack,) = attacks_of(
            protocol.attack, n_classes=len(self.dataset.classes), steps=protocol.steps, stochastic=source.stochastic
        )
        with at_work(source, device=session.device), at_work(model, device=session.device):
            moved = perturbed(
                source.logits,
                attack,
                pixels=clean,
                labels=labels,
                threat=protocol.threat,
                seeds=seeds,
                batch_size=self.batch_size,
            )
            judged = {
                name: np.stack(
                    [self._judged(model, images, labels, moment=moment, seeds=seeds) for images in (clean, moved)]
                )
                for name, moment in (("correct", protocol.moment), ("over_time", EACH))
            }
        return xr.Dataset(
            {
                "correct": (("stage", "image"), judged["correct"][:, :, 0]),
                "over_time": (("stage", "image", "time_bin"), judged["over_time"]),
            },
            {"time_bin": list(decision_times(model, judged["over_time"].shape[2]))},
        )

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Accuracy on perturbed images, clean accuracy beside it; the surface is both at every decision."""
        data = list(measured.values())
        clean, left = np.concatenate([each["correct"].values for each in data], axis=1)
        over_time = np.concatenate([each["over_time"].values for each in data], axis=1)
        times = data[0]["time_bin"].values.tolist()
        found, raw = self.as_score(left)
        of_clean, clean_raw = self.as_score(clean)
        layer = f"{self.protocol.attack} on {self.source.label}"
        return Scored(
            found,
            raw,
            by_split={},
            layer=layer,
            time_bin=times[-1],
            layer_share=1.0,
            surface=[
                surface_row(label, time, right)
                for label, of_stage in zip((CLEAN, layer), over_time, strict=True)
                for time, right in zip(times, of_stage.T, strict=True)
            ],
            clean=of_clean.raw,
            clean_raw=clean_raw,
        )

    def card(self) -> dict[str, str]:
        """What it is, its source, and where it fails."""
        protocol = self.protocol
        return {
            "measure": "share of images classified correctly once an attack on another network moved them; all are "
            f"moved, whether {self.source.label} errs or not",
            "formula": "mean over images of [argmax logits(x') = label], x' found on the source's gradients",
            "threat": f"{protocol.norm}, epsilon {protocol.epsilons[-1][0]} in pixel units",
            "decision": f"{protocol.moment} time_bin",
            "source": "Szegedy et al. 2014, ICLR; Liu et al. 2017, ICLR (transfer)",
            "known failure": "a weak attack on the source leaves much, however alike the two networks are; attacks "
            "that stop at the source's boundary transfer poorly",
        }

    def _judged(
        self, model: Model, images: Tensor, labels: Tensor, *, moment: Moment, seeds: Sequence[int]
    ) -> np.ndarray:
        """(image, decision), the share of draws in which each is right."""
        n_draws = DRAWS if model.stochastic else 1
        classifier = Classifier(model.logits, moment, self.batch_size)
        return as_array(classifier.expected(images, labels, seeds=seeds, purpose="transfer", n_draws=n_draws))
