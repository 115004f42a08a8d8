"""The benchmark: what attacks within a threat leave of a network's accuracy, and whether that can be believed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment.attacks.base import Attack
from alignment.attacks.flags import (
    GRADIENT_FREE,
    LEAST_STEPS,
    after_gradients,
    flags,
    gradient_free,
    refused,
    through_time,
)
from alignment.attacks.judge import Verdict, curve, judge
from alignment.attacks.threat import Logits, Moment, Norm, Threat
from alignment.attacks.time import truncated
from alignment.errors import RequestError
from alignment.models.base import Model, decision_times
from benchmarks.contracts import Part, Scored, Session
from benchmarks.robustness.chance import Chance, Resting
from benchmarks.robustness.classification import Classification, as_array, surface_row
from benchmarks.robustness.images import at_work, block_parts, blocks, check_logits
from benchmarks.robustness.sets import ONE_DRAW, attacks_of

CLEAN, TRUNCATED = "clean", "truncated gradients"
# of a stochastic model: to choose the worst image, and again to report
DRAWS = 20


@dataclass(frozen=True)
class Protocol:
    """What is allowed, and who tries.

    Attributes
    ----------
    norm, moment : of the threat
    epsilons : radii in pixel units, as they are written ("8/255") and their values, increasing; the last is the score
    attack : a name of `benchmarks.robustness.sets.SETS`
    steps : of the attacks that have steps; None: as published
    """

    norm: Norm = "linf"
    moment: Moment = "last"
    epsilons: tuple[tuple[str, float], ...] = (("8/255", 8 / 255),)
    attack: str = "standard"
    steps: int | None = None

    @property
    def threat(self) -> Threat:
        """The largest of its balls."""
        return Threat(self.norm, self.epsilons[-1][1], self.moment)

    def settings(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)

    @property
    def words(self) -> tuple[str, ...]:
        """Norm, radii, attacks, steps, moment."""
        radii = "+".join(text for text, _ in self.epsilons)
        steps = f"{self.steps}steps" if self.steps else ""
        return ("robust", self.norm, radii, self.attack, steps, self.moment if self.moment != "last" else "")


class Robustness(Classification):
    """Share of images that no attack of a set makes a network misclassify, within a threat.

    Parameters
    ----------
    protocol : threat and attacks
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

    code_version = 2

    def __init__(self, *args: Any, protocol: Protocol, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.protocol = protocol

    @property
    def summary(self) -> str:
        """One line."""
        return f"accuracy on {self.dataset.name} that attacks leave ({self.protocol.attack})"

    @property
    def words(self) -> tuple[str, ...]:
        """Those of the protocol."""
        return self.protocol.words

    def settings(self) -> dict[str, Any]:
        """The protocol, and the draws of a stochastic model."""
        return {**self.protocol.settings(), "draws": DRAWS}

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Blocks of images."""
        return block_parts(self.dataset)

    def check_model(self, model: Model) -> None:
        """Its classes fit data and attacks, and it decides at each time_bin where that is asked for."""
        decisions = check_logits(model, self.dataset)
        self.attacks(model)
        if self.protocol.moment == "each" and decisions == 1:
            raise RequestError(f"{model.name} makes one decision; leave benchmark.moment=each out")

    def attacks(self, model: Model) -> tuple[Attack, ...]:
        """Those of the set, for a model with so many classes."""
        return attacks_of(
            self.protocol.attack,
            n_classes=len(model.classes or ()),
            steps=self.protocol.steps,
            stochastic=model.stochastic,
        )

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Attack one block of images at every epsilon.

        Returns
        -------
        Dataset
            `correct` (epsilon, stage, image, decision), of the clean image and of the worst after each attack, with the
            times of the decisions;
            `broken_by`, `distance` (epsilon, image, decision); `rejected` (epsilon, attack); at the largest epsilon,
            of a network with time, `truncated` (image, decision), what the attacks leave with gradients through
            as few passes as reach the image; attribute `flags`, JSON list of (kind, reason), of the first block
        """
        number = int(part.layer)
        block = blocks(self.dataset)[number]
        pixels, labels = block.pixels(self.dataset, model, device=session.device), block.labels(device=session.device)
        trial = _Trial(pixels, labels, block.seeds("attack", root=self.inference.seed), model, self.batch_size)
        constant, attacks = isinstance(model, Chance), self.attacks(model)
        if constant:
            # no image moves logits that do not depend on it
            attacks = tuple(Resting(attack.name) for attack in attacks)
        with at_work(model, device=session.device):
            verdicts = trial.verdicts(self.protocol, attacks)
            kept = _kept(verdicts).assign_coords(decision=list(self._times(model)))
            if has_time(model):
                kept["truncated"] = (("image", "decision"), trial.truncated(self.protocol.threat, attacks))
            symptoms = trial.flags(verdicts[-1], attacks) if number == 0 and not constant else ()
        steps = max(getattr(attack, "steps", 1) for attack in attacks)
        if steps < LEAST_STEPS and not any(attack.name in GRADIENT_FREE for attack in attacks) and not constant:
            symptoms = (*symptoms, ("short", f"no attack has {LEAST_STEPS} steps; a longer one may leave much less"))
        return kept.assign_attrs(flags=json.dumps([list(flag) for flag in symptoms]), stochastic=int(model.stochastic))

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Accuracy left at the largest epsilon, clean accuracy beside it, and the curve over epsilons and attacks."""
        data = list(measured.values())
        correct = np.concatenate([each["correct"].values for each in data], axis=2)
        names = [str(name) for name in data[0]["stage"].values]
        cut = np.concatenate([each["truncated"].values for each in data]) if "truncated" in data[0] else None
        reasons = self._reasons(correct[-1], names[1:], data, truncated=cut)
        # of several decisions, the last is the score
        robust, clean = correct[-1, -1, :, -1], correct[-1, 0, :, -1]
        found, raw = self.as_score(robust, status="unreliable" if reasons else "ok")
        times = tuple(map(float, data[0]["decision"].values))
        surface, last = self._surface(correct, names, times=times, truncated=cut), times[-1]
        of_clean, clean_raw = self.as_score(clean)
        random = self.protocol.attack == "standard" and bool(data[0].attrs["stochastic"])
        attack, share = _foremost(np.concatenate([each["broken_by"].values for each in data], axis=1)[-1, :, -1])
        return Scored(
            found,
            raw,
            by_split={},
            layer=("none" if attack is None else names[1 + attack]) + (" (rand)" if random else ""),
            time_bin=last,
            layer_share=share,
            surface=surface,
            clean=of_clean.raw,
            clean_raw=clean_raw,
            flags=reasons,
            figures={f"left: {row['layer']}": row["raw"] for row in surface if row["time_bin"] == last},
            details={
                "rejected": np.sum([each["rejected"].values for each in data], axis=0).tolist(),
                "distance": _distances(data),
            },
        )

    def card(self) -> dict[str, str]:
        """Threat, attacks, sources, known failure."""
        threat = self.protocol
        return {
            "measure": "share of images classified correctly whatever the attacks of the set try, each on the "
            f"survivors of those before it; of a stochastic model the expected share over {DRAWS} fresh draws",
            "formula": "mean over images of min over images x' within epsilon, as far as the attacks find it, of "
            "[argmax logits(x') = label]",
            "threat": f"{threat.norm}, epsilon {', '.join(text for text, _ in threat.epsilons)} in pixel units, "
            f"decision: {threat.moment} time_bin",
            "attacks": ", ".join(self._describe(len(self.dataset.classes), stochastic=False)),
            **self._card_of_stochastic(),
            "source": "Croce & Hein 2020, ICML (standard, rand); Madry et al. 2018, ICLR (PGD); Athalye, Carlini & "
            "Wagner 2018, ICML (what flags look for)",
            "known failure": "an upper bound: a stronger attack may leave less; a number with a flag is unreliable; an "
            "L2 radius means less the more pixels a network takes",
        }

    def _card_of_stochastic(self) -> dict[str, str]:
        if self.protocol.attack in ONE_DRAW:
            return {}
        return {"attacks on a stochastic model": ", ".join(self._describe(len(self.dataset.classes), stochastic=True))}

    def _describe(self, n_classes: int, *, stochastic: bool) -> list[str]:
        protocol = self.protocol
        found = attacks_of(protocol.attack, n_classes=n_classes, steps=protocol.steps, stochastic=stochastic)
        return [f"{attack.name} ({_settings(attack)})" for attack in found]

    def _reasons(
        self, correct: np.ndarray, attacks: Sequence[str], data: Sequence[xr.Dataset], *, truncated: np.ndarray | None
    ) -> tuple[str, ...]:
        """What speaks against the number: of the network as the first block shows it, then of all images."""
        shown: dict[str, str] = {kind: reason for each in data for kind, reason in json.loads(each.attrs["flags"])}
        found = [flag for flag in shown.items() if flag[0] not in ("gradient-free", "rejected")]
        rejected = np.sum([each["rejected"].values[-1] for each in data], axis=0)
        more = [refused(attacks, rejected.tolist(), n_images=correct.shape[1])]
        more.append(gradient_free(attacks, torch.from_numpy(correct)))
        if truncated is not None:
            full = torch.from_numpy(correct[after_gradients(attacks)])
            more.append(through_time(full, torch.from_numpy(truncated)))
        found += [(flag.kind, flag.reason) for flag in more if flag is not None]
        return tuple(f"{kind}: {reason}" for kind, reason in found)

    def _times(self, model: Model) -> tuple[float, ...]:
        """Of the decisions that are judged."""
        times = decision_times(model, check_logits(model, self.dataset))
        return times if self.protocol.moment == "each" else times[-1:]

    def _surface(
        self, correct: np.ndarray, names: Sequence[str], *, times: Sequence[float], truncated: np.ndarray | None
    ) -> list[dict[str, Any]]:
        """Clean, then every epsilon after every attack, at every decision; the attack stands in the layer's place."""
        judged = [(CLEAN, correct[0, 0])]
        for number, (text, _) in enumerate(self.protocol.epsilons):
            judged += [(f"{name} @ {text}", correct[number, stage]) for stage, name in enumerate(names[1:], start=1)]
        if truncated is not None:
            judged.append((f"{TRUNCATED} @ {self.protocol.epsilons[-1][0]}", truncated))
        return [
            surface_row(label, time, right)
            for label, of_images in judged
            for time, right in zip(times, of_images.T, strict=True)
        ]


@dataclass(frozen=True)
class _Trial:
    """A block of images and the model that is tried on them."""

    pixels: Tensor
    labels: Tensor
    seeds: Sequence[int]
    model: Model
    batch_size: int

    def verdicts(self, protocol: Protocol, attacks: Sequence[Attack]) -> tuple[Verdict, ...]:
        """One for each epsilon."""
        return curve(
            self.model.logits,
            attacks,
            self.pixels,
            self.labels,
            protocol.threat,
            epsilons=[value for _, value in protocol.epsilons],
            seeds=self.seeds,
            stochastic=self.model.stochastic,
            n_draws=DRAWS,
            batch_size=self.batch_size,
        )

    def truncated(self, threat: Threat, attacks: Sequence[Attack]) -> np.ndarray:
        """(image, decision) correctness under the attacks that use gradients, cut off as early as can be."""
        logits: Logits = truncated(self.model)
        using = [attack for attack in attacks if attack.name not in GRADIENT_FREE] or list(attacks)
        found = judge(
            logits,
            using,
            self.pixels,
            self.labels,
            threat,
            seeds=self.seeds,
            stochastic=self.model.stochastic,
            n_draws=DRAWS,
            batch_size=self.batch_size,
        )
        return as_array(found.robust)

    def flags(self, verdict: Verdict, attacks: Sequence[Attack]) -> tuple[tuple[str, str], ...]:
        """Symptoms of the model on these images."""
        return flags(
            self.model.logits,
            verdict,
            attacks,
            pixels=self.pixels,
            labels=self.labels,
            seeds=self.seeds,
            stochastic=self.model.stochastic,
        )


def has_time(model: Model) -> bool:
    """Whether gradients can be cut off before the last passes."""
    return model.module is not None and any(len(model.time_bins[layer]) > 1 for layer in model.layers)


def _kept(verdicts: Sequence[Verdict]) -> xr.Dataset:
    """What of the verdicts at all epsilons is stored."""

    def stacked(name: str) -> np.ndarray:
        return as_array(torch.stack([getattr(each, name) for each in verdicts]))

    rejected = np.stack([as_array(each.rejected.sum(1)) for each in verdicts])
    return xr.Dataset(
        {
            "correct": (("epsilon", "stage", "image", "decision"), stacked("correct")),
            "broken_by": (("epsilon", "image", "decision"), stacked("broken_by")),
            "distance": (("epsilon", "image", "decision"), stacked("distance")),
            "rejected": (("epsilon", "attack"), rejected),
        },
        coords={"stage": [CLEAN, *verdicts[0].attacks]},
    )


def _distances(data: Sequence[xr.Dataset]) -> float | None:
    """Median distance of the images that were broken at the largest epsilon, in pixel units."""
    distance, broken_by = (
        np.concatenate([each[name].values[-1, :, -1] for each in data]) for name in ("distance", "broken_by")
    )
    broken = distance[broken_by >= 0]
    return float(np.median(broken)) if len(broken) else None


def _settings(attack: Attack) -> str:
    return ", ".join(f"{name} {value}" for name, value in attack.settings().items() if value is not None)


def _foremost(broken_by: np.ndarray) -> tuple[int | None, float]:
    """The attack that broke most images, and its share of those that were broken."""
    broken = broken_by[broken_by >= 0]
    if not len(broken):
        return None, 1.0
    counts = np.bincount(broken)
    return int(counts.argmax()), float(counts.max() / len(broken))
