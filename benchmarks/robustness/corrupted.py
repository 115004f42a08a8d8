"""The benchmark: what common corruptions leave of a network's accuracy."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from alignment.attacks.classify import Classifier
from alignment.models.base import Model, decision_times
from alignment.stimuli.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    corruption_id,
    mean_corruption_error,
    published_alexnet_errors,
)
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.imagenet_folder import CLASSES
from benchmarks.datasets.imagenet_folder import NAME as IMAGENET
from benchmarks.robustness.accuracy import DRAWS
from benchmarks.robustness.classification import Classification, as_array, surface_row
from benchmarks.robustness.images import at_work, blocks

CLEAN = "clean"
# of the images on which AlexNet's errors were published
PUBLISHED_SIZE = (224, 224)


class CommonCorruptions(Classification):
    """Mean accuracy over kinds and severities of corruption, of the last decision of a network with time.

    Parameters
    ----------
    kinds : of `alignment.stimuli.corruptions.CORRUPTIONS`
    severities : of 1 to 5
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

    code_version = 2

    def __init__(
        self,
        *args: Any,
        kinds: Sequence[str] = tuple(CORRUPTIONS),
        severities: Sequence[int] = SEVERITIES,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kinds = tuple(kinds)
        self.severities = tuple(severities)

    @property
    def summary(self) -> str:
        """One line."""
        return f"accuracy on {self.dataset.name} under {len(self.kinds)} common corruptions"

    @property
    def words(self) -> tuple[str, ...]:
        """Kinds and severities where they are not all, and what is not made of what the published ones are."""
        kinds = "+".join(map(corruption_id, self.kinds))
        made = [corruption_id(kind) for kind in self.kinds if corruption_id(kind) != kind]
        severities = "+".join(map(str, self.severities))
        return (
            "corruptions",
            "-".join(("all", *made)) if self.kinds == tuple(CORRUPTIONS) else kinds,
            f"severity{severities}" if self.severities != tuple(SEVERITIES) else "",
        )

    def settings(self) -> dict[str, Any]:
        """Kinds, severities, and the draws of a stochastic model."""
        return {"kinds": list(self.kinds), "severities": list(self.severities), "draws": DRAWS}

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Every kind on every block of images, and the images as they are."""
        count = len(blocks(self.dataset))
        return tuple(Part(kind, str(number)) for kind in (CLEAN, *self.kinds) for number in range(count))

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """`correct` (severity, image, time_bin) of each decision under one kind; a clean image has severity 0."""
        kind, block = part.subject, blocks(self.dataset)[int(part.layer)]
        images = block.pixels(self.dataset, model, device="cpu")
        labels, drawn = block.labels(device=session.device), block.seeds("corruption", root=self.inference.seed)
        classifier = Classifier(model.logits, "each", self.batch_size)
        severities = (0,) if kind == CLEAN else self.severities
        found = []
        with at_work(model, device=session.device):
            for severity in severities:
                shown = images if kind == CLEAN else corrupt(images, kind=kind, severity=severity, seeds=drawn)
                right = classifier.expected(
                    shown.to(session.device),
                    labels,
                    seeds=block.seeds("corrupted", kind, severity, root=self.inference.seed),
                    purpose="corruptions",
                    n_draws=DRAWS if model.stochastic else 1,
                )
                found.append(as_array(right))
        times = list(decision_times(model, found[0].shape[1]))
        kept = xr.Dataset(
            {"correct": (("severity", "image", "time_bin"), np.stack(found))},
            {"severity": list(severities), "time_bin": times},
        )
        return kept.assign_attrs(image_size=[*images.shape[2:]])

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Mean accuracy over kinds and severities, clean accuracy beside it; the surface is every kind and severity."""
        over_time = {
            kind: np.concatenate([data["correct"].values for part, data in measured.items() if part.subject == kind], 1)
            for kind in (CLEAN, *self.kinds)
        }
        times = next(iter(measured.values()))["time_bin"].values.tolist()
        surface = self._surface(over_time, times)
        by_kind = {kind: correct[..., -1] for kind, correct in over_time.items()}
        clean = by_kind.pop(CLEAN)[0]
        found, raw = self.as_score(np.mean([correct.mean(0) for correct in by_kind.values()], axis=0))
        of_clean, clean_raw = self.as_score(clean)
        sizes = {tuple(int(edge) for edge in data.attrs["image_size"]) for data in measured.values()}
        errors = {kind: (1 - correct.mean(1, dtype=np.float64)).tolist() for kind, correct in by_kind.items()}
        worst = max(errors, key=lambda kind: float(np.mean(errors[kind])))
        return Scored(
            found,
            raw,
            by_split={},
            layer=f"worst: {corruption_id(worst)}",
            time_bin=times[-1],
            layer_share=1.0,
            surface=surface,
            clean=of_clean.raw,
            clean_raw=clean_raw,
            figures={
                "mean corruption error": float(np.mean(list(errors.values()))),
                **(self._relative(errors) if sizes == {PUBLISHED_SIZE} else {}),
                **{f"accuracy: {corruption_id(kind)}": 1 - float(np.mean(of_kind)) for kind, of_kind in errors.items()},
            },
        )

    def card(self) -> dict[str, str]:
        """What it is, its source, and where it fails."""
        return {
            "measure": "top-1 accuracy on corrupted images, mean over kinds and severities",
            "formula": "mean over images, kinds and severities of [argmax logits(corrupted image) = label]",
            "kinds": ", ".join(map(corruption_id, self.kinds)),
            "severities": ", ".join(map(str, self.severities)),
            "source": "Hendrycks & Dietterich 2019, ICLR, generated at the size the network takes",
            "mCE": "errors over those of AlexNet that were published, of 1000-way ImageNet at 224 px with all kinds "
            "and severities; elsewhere none was published, so there is none",
            "known failure": "frost is drawn by procedure, not pasted from the published photographs; images are not "
            "stored as JPEG afterwards, as those of ImageNet-C were; the interval treats images alone as drawn",
        }

    def _surface(self, over_time: Mapping[str, np.ndarray], times: Sequence[float]) -> list[dict[str, Any]]:
        """Clean, then every kind and severity, at every decision; these stand in the layer's place."""
        judged = [(CLEAN, over_time[CLEAN][0])]
        for kind in self.kinds:
            severities = zip(self.severities, over_time[kind], strict=True)
            judged += [(f"{corruption_id(kind)} @ severity {severity}", correct) for severity, correct in severities]
        return [
            surface_row(label, time, right)
            for label, correct in judged
            for time, right in zip(times, correct.T, strict=True)
        ]

    def _relative(self, errors: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """The mCE, where AlexNet's errors are of the same task."""
        whole = self.kinds == tuple(CORRUPTIONS) and self.severities == tuple(SEVERITIES)
        if not whole or self.dataset.name != IMAGENET or len(self.dataset.classes) != CLASSES:
            return {}
        label = "mCE (frost-procedural)"
        return {label: mean_corruption_error(errors, published_alexnet_errors())}
