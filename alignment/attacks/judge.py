"""The judge: attacks propose, it projects, re-classifies and counts, so that no attack can lie."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from alignment.attacks.base import Attack, draw_seeds
from alignment.attacks.checks import check_images
from alignment.attacks.classify import DEFAULT_BATCH, Classifier
from alignment.attacks.gradient import check_counts
from alignment.attacks.threat import Logits, Threat, distances
from alignment.errors import RequestError


@dataclass(frozen=True)
class Verdict:
    """What is left of a model's accuracy, image by image.

    A decision is that of the last time_bin or of the mean over time_bins, or there is one for each time_bin
    (`Threat.moment`). Correctness is 0 or 1, and of a stochastic model the share of draws that are correct.

    Attributes
    ----------
    threat : what was allowed
    attacks : names, in the order in which they were run
    correct : (1 + attack, image, decision) float32; of the clean image, then of the worst image found up to each attack
    broken_by : (image, decision) int64, the position of the attack that found the worst image; -1 where none did
        better than the clean image, be it robust or wrong from the start
    perturbed : (image, decision, 3, row, column) float32, the worst image within the threat; the clean one where
        `broken_by` is -1
    distance : (image, decision) float32, how far that is from the clean one, in the norm of the threat
    rejected : (attack, image) bool, whether an attack's answer was of the wrong shape or not finite
    chosen : (image, decision) float32, the correctness by which the worst image was chosen; of a stochastic model it
        comes from other draws than `correct`, and is too low, as any least of several estimates is
    """

    threat: Threat
    attacks: tuple[str, ...]
    correct: Tensor
    broken_by: Tensor
    perturbed: Tensor
    distance: Tensor
    rejected: Tensor
    chosen: Tensor

    @property
    def clean(self) -> Tensor:
        """(image, decision) correctness of the clean images."""
        return self.correct[0]

    @property
    def robust(self) -> Tensor:
        """(image, decision) correctness of the worst images found."""
        return self.correct[-1]

    @property
    def accuracies(self) -> Tensor:
        """(1 + attack, decision) float64: clean accuracy, then what is left after each attack."""
        return self.correct.double().mean(1)


def judge(
    logits: Logits,
    attacks: Sequence[Attack],
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    seeds: Sequence[int],
    stochastic: bool = False,
    n_draws: int = 20,
    batch_size: int = DEFAULT_BATCH,
    since: Verdict | None = None,
) -> Verdict:
    """Run attacks in order and keep, for each image and decision, the worst image found within the threat.

    An answer that is not of the shape of its images, or not finite, is rejected and counted; any other is projected
    into ball and pixel range and classified again. Of a deterministic model each attack gets only the decisions that
    are still right. Of a stochastic one each attack gets every image, since one lucky pass proves nothing: the worst
    image is chosen by its expected correctness over `n_draws` draws, and reported by that over as many fresh ones, so
    that the report is no least of noisy numbers.

    With the moment "each" no single image is the worst for all time_bins: every attack is run at each time_bin on its
    own, and what it finds counts at all of them.

    Parameters
    ----------
    logits : of the model, such as `model.logits`
    attacks : in order
    pixels : (image, 3, row, column) float32 in [0, 1]
    labels : (image,) int64
    threat : what is allowed
    seeds : one per image; they fix every draw, so that neither order nor batch changes a verdict
    stochastic : whether the same pixels can give other logits
    n_draws : of a stochastic model, to choose and again to report
    batch_size : images at once
    since : a verdict of the same attacks at a smaller epsilon, whose worst images lie in this ball as well

    Raises
    ------
    RequestError, DataError
        Images, labels and seeds that do not fit each other or the model; no attack; a `since` of something else.

    Examples
    --------
    >>> from alignment.attacks.gradient import FGSM
    >>> def logits(pixels, *, seeds=None):
    ...     brightness = pixels.mean((1, 2, 3))
    ...     return torch.stack([brightness, 1 - brightness], dim=1)[:, None]
    >>> images = torch.tensor([0.45, 0.51, 0.6]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    >>> verdict = judge(logits, [FGSM()], images, torch.zeros(3, dtype=torch.int64), Threat(), seeds=[0, 1, 2])
    >>> verdict.accuracies[:, 0].tolist(), verdict.broken_by[:, 0].tolist()
    ([0.6666666666666666, 0.3333333333333333], [-1, 0, -1])
    """
    check_images(pixels, labels, seeds)
    check_counts(n_draws=n_draws, batch_size=batch_size)
    if not attacks:
        raise RequestError("no attack; name at least one")
    classifier = Classifier(logits, threat.moment, batch_size)
    trial = _Trial(classifier, pixels, labels, tuple(seeds), threat, n_draws if stochastic else 0)
    names = tuple(attack.name for attack in attacks)
    if since is None:
        clean, worst = trial.begin()
    else:
        _check_since(since, names, pixels=pixels, threat=threat)
        clean, worst = since.clean, _Worst(since.perturbed.clone(), since.chosen.clone(), since.broken_by.clone())
    correct, rejected = [clean], []
    for position, attack in enumerate(attacks):
        rejected.append(trial.run(attack, position, worst))
        correct.append(trial.report(worst))
    distance = [distances(found, pixels, norm=threat.norm) for found in worst.perturbed.unbind(1)]
    return Verdict(
        threat,
        names,
        torch.stack(correct),
        worst.broken_by,
        worst.perturbed,
        torch.stack(distance, dim=1),
        torch.stack(rejected),
        worst.chosen,
    )


def curve(
    logits: Logits,
    attacks: Sequence[Attack],
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    epsilons: Sequence[float],
    seeds: Sequence[int],
    stochastic: bool = False,
    n_draws: int = 20,
    batch_size: int = DEFAULT_BATCH,
) -> tuple[Verdict, ...]:
    """Verdicts over a range of epsilons, each of which starts from what the one before found.

    What broke an image at a smaller epsilon lies in the larger balls, so that robust accuracy can only fall; that of a
    stochastic model up to the noise of its draws. Where epsilons lie close together, most of the work is done once.

    Parameters
    ----------
    threat : its norm and moment count, its epsilon does not
    epsilons : in any order, each above 0
    logits, attacks, pixels, labels, seeds, stochastic, n_draws, batch_size
        As for `judge`.

    Returns
    -------
    One verdict per epsilon, by increasing epsilon
    """
    if not epsilons:
        raise RequestError("no epsilon; give at least one")
    verdicts: list[Verdict] = []
    for ball in [replace(threat, epsilon=epsilon) for epsilon in sorted(set(epsilons))]:
        verdict = judge(
            logits,
            attacks,
            pixels,
            labels,
            ball,
            seeds=seeds,
            stochastic=stochastic,
            n_draws=n_draws,
            batch_size=batch_size,
            since=verdicts[-1] if verdicts else None,
        )
        verdicts.append(verdict)
    return tuple(verdicts)


def admit(answer: object, pixels: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
    """What of an attack's answer may be classified.

    Parameters
    ----------
    answer : what the attack returned
    pixels : (batch, 3, row, column), the clean images
    threat : what is allowed

    Returns
    -------
    points : like `pixels`, within ball and pixel range; the clean image where the answer is rejected
    rejected : (batch,) bool; every image when the shape is wrong, else those with a value that is not finite
    """
    if not isinstance(answer, Tensor) or answer.shape != pixels.shape or answer.is_complex():
        return pixels, torch.ones(len(pixels), dtype=torch.bool, device=pixels.device)
    found = answer.detach().to(pixels)
    rejected = ~found.flatten(1).isfinite().all(1)
    kept = torch.where(rejected.view(-1, *[1] * (pixels.ndim - 1)), pixels, found)
    return threat.project(kept, pixels), rejected


@dataclass
class _Worst:
    """The worst image found so far, for each image and decision."""

    perturbed: Tensor
    chosen: Tensor
    broken_by: Tensor

    def offer(self, rows: Tensor, points: Tensor, correct: Tensor, *, position: int) -> None:
        for decision in range(self.chosen.shape[1]):
            better = correct[:, decision] < self.chosen[rows, decision]
            self.perturbed[rows[better], decision] = points[better]
            self.chosen[rows[better], decision] = correct[better, decision]
            self.broken_by[rows[better], decision] = position


@dataclass(frozen=True)
class _Trial:
    """One model, its images and what is allowed; `n_draws` is 0 for a deterministic model."""

    classifier: Classifier
    pixels: Tensor
    labels: Tensor
    seeds: tuple[int, ...]
    threat: Threat
    n_draws: int

    def begin(self) -> tuple[Tensor, _Worst]:
        """Correctness of the clean images, and they as the worst found so far."""
        rows = torch.arange(len(self.pixels), device=self.pixels.device)
        chosen = self._expected(rows, self.pixels, "choose")
        n_decisions = chosen.shape[1]
        perturbed = self.pixels[:, None].repeat(1, n_decisions, *[1] * (self.pixels.ndim - 1))
        worst = _Worst(perturbed, chosen, torch.full_like(chosen, -1, dtype=torch.int64))
        return self.report(worst), worst

    def report(self, worst: _Worst) -> Tensor:
        """Correctness of the worst images, of a stochastic model on draws that chose nothing."""
        if not self.n_draws:
            return worst.chosen.clone()
        rows = torch.arange(len(self.pixels), device=self.pixels.device)
        found = worst.perturbed.unbind(1)
        shares = [self._expected(rows, images, "report")[:, at] for at, images in enumerate(found)]
        return torch.stack(shares, dim=1)

    def run(self, attack: Attack, position: int, worst: _Worst) -> Tensor:
        """Offer what an attack finds; (image,) whether an answer was rejected."""
        rejected = torch.zeros(len(self.pixels), dtype=torch.bool, device=self.pixels.device)
        for decision in range(worst.chosen.shape[1]):
            left = torch.ones_like(rejected) if self.n_draws else worst.chosen[:, decision] > 0
            if not left.any():
                continue
            for rows in torch.nonzero(left).flatten().split(self.classifier.batch_size):
                points, refused = self._ask(attack, rows, decision)
                rejected[rows] |= refused
                worst.offer(rows, points, self._expected(rows, points, "choose"), position=position)
        return rejected

    def _ask(self, attack: Attack, rows: Tensor, decision: int) -> tuple[Tensor, Tensor]:
        logits, threat, seeds = self.classifier.logits, self.threat, self._seeds(rows)
        if threat.moment == "each":
            logits, threat = _AtTime(logits, decision), replace(threat, moment="last")
            seeds = draw_seeds(seeds, "time_bin", decision)
        # indexing copies: what an attack does to its arguments stays with it
        answer = attack.perturb(logits, self.pixels[rows], self.labels[rows], threat, seeds=seeds)
        return admit(answer, self.pixels[rows], self.threat)

    def _expected(self, rows: Tensor, images: Tensor, purpose: str) -> Tensor:
        labels, n_draws = self.labels[rows], max(self.n_draws, 1)
        return self.classifier.expected(images, labels, seeds=self._seeds(rows), purpose=purpose, n_draws=n_draws)

    def _seeds(self, rows: Tensor) -> list[int]:
        return [self.seeds[row] for row in rows.tolist()]


@dataclass(frozen=True)
class _AtTime:
    """The logits of one time_bin alone."""

    logits: Logits
    time_bin: int

    def __call__(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return self.logits(pixels, seeds=seeds)[:, self.time_bin : self.time_bin + 1]


def _check_since(since: Verdict, names: tuple[str, ...], *, pixels: Tensor, threat: Threat) -> None:
    same = (since.threat.norm, since.threat.moment, since.attacks) == (threat.norm, threat.moment, names)
    if not same or since.perturbed.shape[0] != len(pixels) or since.perturbed.shape[2:] != pixels.shape[1:]:
        raise RequestError("since is a verdict on other images, attacks, norm or moment; judge these from the start")
    if since.threat.epsilon > threat.epsilon:
        raise RequestError(
            f"since is a verdict at epsilon {since.threat.epsilon:g}, above {threat.epsilon:g}; its images lie outside"
        )
