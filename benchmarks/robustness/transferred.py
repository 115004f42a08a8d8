"""The benchmark: accuracy on images that were perturbed to fool another network."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from alignment.attacks.transfer import transfer
from alignment.errors import RequestError
from alignment.models.base import Model
from benchmarks.contracts import Part, Scored, Session
from benchmarks.neural.other import Other
from benchmarks.robustness.attacked import CLEAN, DRAWS, Protocol
from benchmarks.robustness.classification import Classification, as_array, surface_row
from benchmarks.robustness.images import at_work, block_parts, blocks, check_logits
from benchmarks.robustness.sets import attacks_of


class Transfer(Classification):
    """Share of images that stay correctly classified when they are perturbed against a source.

    Parameters
    ----------
    protocol : threat with one epsilon, and one attack
    source : the network that is attacked
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

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
        """`correct` (stage, image): of the clean image, then of the one perturbed against the source."""
        block, source = blocks(self.dataset)[int(part.layer)], self.source.model()
        protocol = self.protocol
        (attack,) = attacks_of(
            protocol.attack, n_classes=len(self.dataset.classes), steps=protocol.steps, stochastic=source.stochastic
        )
        with at_work(source, device=session.device), at_work(model, device=session.device):
            found = transfer(
                {source.name: source.logits},
                attack,
                targets={model.name: model.logits},
                pixels=block.pixels(self.dataset, source, device=session.device),
                labels=block.labels(device=session.device),
                threat=protocol.threat,
                seeds=block.seeds("attack", root=self.inference.seed),
                n_draws=DRAWS if model.stochastic else 1,
                batch_size=self.batch_size,
            )
        return xr.Dataset({"correct": (("stage", "image"), as_array(found[:, 0]))})

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Accuracy on perturbed images, clean accuracy beside it."""
        clean, left = np.concatenate([each["correct"].values for each in measured.values()], axis=1)
        found, raw = self.as_score(left)
        of_clean, clean_raw = self.as_score(clean)
        layer = f"{self.protocol.attack} on {self.source.label}"
        return Scored(
            found,
            raw,
            by_split={},
            layer=layer,
            time_bin=0.0,
            layer_share=1.0,
            surface=[surface_row(CLEAN, 0.0, clean), surface_row(layer, 0.0, left)],
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
