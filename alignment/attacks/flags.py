"""When a robust accuracy cannot be believed, and why.

An attack that fails for want of a usable gradient leaves a model that only looks robust (Athalye, Carlini & Wagner
2018, ICML). Every flag names one symptom; an honest network has none of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.attacks.base import Attack, Traced
from alignment.attacks.checks import check_images
from alignment.attacks.judge import Verdict
from alignment.attacks.symptoms import (
    COMPANY,
    REPEATS,
    Specimen,
    are_probabilities,
    change_between_passes,
    change_in_company,
    depth_varies,
    largest_slopes,
    slope_errors,
)
from alignment.attacks.threat import Logits
from alignment.errors import RequestError

GRADIENT_FREE = ("square",)
# below this the cross-entropy of a decision is as good as flat: a margin of 46 nats
FLAT = 1e-20
MOST_FLAT = 0.05
# median over images; ReLUs and the ties of max-pooling make 0.02 to 0.2 of it
MOST_SLOPE_ERROR = 0.4
# of the images, and as a number of them
BEATEN_BY, BEATEN_AT_LEAST = 0.01, 2
# an ascent that has not begun to level off makes a tenth of its rise in the last tenth of its steps
LAST_PART, MOST_RISE = 0.1, 0.07
LEAST_STEPS = 10
DEPTHS_AT_MOST = 8


class Flag(NamedTuple):
    """Why a robust accuracy is unreliable.

    Attributes
    ----------
    kind : one word or two, the same for every network with this symptom
    reason : one line for a table's reader
    """

    kind: str
    reason: str


def flags(
    logits: Logits,
    verdict: Verdict,
    attacks: Sequence[Attack],
    *,
    pixels: Tensor,
    labels: Tensor,
    seeds: Sequence[int],
    stochastic: bool = False,
    at_most: int = 32,
) -> tuple[Flag, ...]:
    """Every symptom of a model whose robust accuracy means less than it says.

    Parameters
    ----------
    logits : of the model
    verdict : of `judge`
    attacks, pixels, labels, seeds, stochastic
        As they were given to `judge`. A model that is declared stochastic is not flagged for being so, and its draws
        are held fixed for the other symptoms.
    at_most : images looked at, correctly classified ones where there are any

    Returns
    -------
    Flags of these kinds, in this order:

    - `rejected`: an attack gave no usable image for some of its images;
    - `randomised`: two passes over the same pixels differ, though the model was judged as deterministic;
    - `batch`: an image has other logits alone than beside others;
    - `depth`: the operations, or the time bins, depend on the image (a loop that stops by itself);
    - `probabilities`: rows of logits lie in [0, 1] and sum to 1;
    - `flat`: the input gradient of more than 5 % of images is 0, below 1e-20 or not finite;
    - `slope`: gradients are not the slope of the output (median error above 0.4 of its size; a stopped gradient in a
      loop, a rounding with a gradient made up);
    - `gradient-free`: an attack without gradients broke more than 1 % of the images, and 2 at least, after those with;
    - `rising`: in the last tenth of the steps, the margin of images that withstood the attacks made more than 7 % of
      all its rise (median over images), under every attack that can show its steps.

    Examples
    --------
    >>> from alignment.attacks.gradient import FGSM
    >>> from alignment.attacks.judge import judge
    >>> from alignment.attacks.threat import Threat
    >>> def logits(pixels, *, seeds=None):
    ...     brightness = 8 * pixels.mean((1, 2, 3))
    ...     return torch.stack([brightness, 8 - brightness], dim=1).softmax(1)[:, None]
    >>> images, labels = torch.full((1, 3, 2, 2), 0.51), torch.zeros(1, dtype=torch.int64)
    >>> verdict = judge(logits, [FGSM()], images, labels, Threat(), seeds=[0])
    >>> [flag.kind for flag in flags(logits, verdict, [FGSM()], pixels=images, labels=labels, seeds=[0])]
    ['probabilities']
    """
    check_images(pixels, labels, seeds)
    if verdict.attacks != tuple(attack.name for attack in attacks) or len(verdict.perturbed) != len(pixels):
        raise RequestError("the verdict is on other images or attacks; give those it was made with")
    rows = _first(verdict.clean.amin(1) > 0, at_most)
    specimen = _specimen(logits, verdict, rows, pixels=pixels, labels=labels, seeds=seeds)
    counts = [int(count) for count in verdict.rejected.sum(1)]
    found = [refused(verdict.attacks, counts, n_images=len(verdict.robust))]
    random = None if stochastic else _randomised(specimen)
    if random is None:
        few = _specimen(logits, verdict, rows[:DEPTHS_AT_MOST], pixels=pixels, labels=labels, seeds=seeds)
        found += [_batch(specimen), _depth(few, verdict.perturbed[rows[:DEPTHS_AT_MOST], -1])]
    found += [random, _probabilities(specimen), _flat(specimen)]
    if random is None:
        found.append(_slope(specimen))
    found.append(gradient_free(verdict.attacks, verdict.correct))
    left = torch.nonzero(verdict.robust.amax(1) > 0).flatten()[:at_most]
    if len(left):
        survivors = _specimen(logits, verdict, left, pixels=pixels, labels=labels, seeds=seeds)
        found.append(_rising(survivors, verdict, attacks))
    return tuple(flag for flag in found if flag is not None)


def flags_of_truncation(full: Verdict, truncated: Verdict) -> tuple[Flag, ...]:
    """The flag `through-time`, where an attack with truncated gradients leaves less than one with full gradients.

    Parameters
    ----------
    full : the verdict on a model's own logits
    truncated : that on `alignment.attacks.time.truncated` of it, with the same attacks, images and threat

    Returns
    -------
    No flag, or one: the gradients through all passes lead attacks astray.

    Raises
    ------
    RequestError
        The verdicts are on other images, attacks or threats.
    """
    if (full.threat, full.attacks, full.correct.shape) != (
        truncated.threat,
        truncated.attacks,
        truncated.correct.shape,
    ):
        raise RequestError("the two verdicts are on other images, attacks or threats; judge both logits alike")
    found = through_time(full.robust, truncated.robust)
    return () if found is None else (found,)


def through_time(full: Tensor, truncated: Tensor) -> Flag | None:
    """The flag `through-time` of all images of a data set, whose blocks were judged one by one.

    Parameters
    ----------
    full, truncated : (image, decision) correctness under the attacks with either gradient
    """
    fewer = (full - truncated).double().sum(0)
    if not _beaten(fewer, len(full)):
        return None
    share = float(fewer.max()) / len(full)
    return Flag(
        "through-time",
        f"gradients cut off before the last pass break {share:.1%} more images than full ones; the full gradients are "
        "masked",
    )


def gradient_free(attacks: Sequence[str], correct: Tensor) -> Flag | None:
    """The flag `gradient-free` of all images of a data set, whose blocks were judged one by one.

    Parameters
    ----------
    attacks : names, in order
    correct : (1 + attack, image, decision), as of a `Verdict`
    """
    n_images = correct.shape[1]
    after = after_gradients(attacks)
    more = (correct[after] - correct[-1]).double().sum(0)
    if not after or not _beaten(more, n_images):
        return None
    share = float(more.max()) / n_images
    return Flag(
        "gradient-free", f"attacks without gradients break {share:.1%} of images that withstood those with them"
    )


def after_gradients(attacks: Sequence[str]) -> int:
    """Position in `Verdict.correct` of what the last attack with gradients leaves; 0 where there is none.

    Examples
    --------
    >>> after_gradients(["apgd-ce", "fab-t", "square"])
    2
    """
    return 1 + max((at for at, name in enumerate(attacks) if name not in GRADIENT_FREE), default=-1)


def refused(attacks: Sequence[str], counts: Sequence[int], *, n_images: int) -> Flag | None:
    """The flag `rejected` of all images of a data set, whose blocks were judged one by one.

    Parameters
    ----------
    attacks : names, in order
    counts : of images for which each gave no usable answer
    n_images : of how many
    """
    worst = max(range(len(counts)), key=lambda at: counts[at])
    if not counts[worst]:
        return None
    return Flag("rejected", f"{attacks[worst]} gave no usable image for {counts[worst]} of {n_images} images")


def _randomised(specimen: Specimen) -> Flag | None:
    change = change_between_passes(specimen)
    if change <= REPEATS:
        return None
    return Flag(
        "randomised",
        f"two passes over the same images differ by {change:.2g} of the largest logit; judge the model as stochastic",
    )


def _batch(specimen: Specimen) -> Flag | None:
    change = change_in_company(specimen)
    if change <= COMPANY:
        return None
    return Flag(
        "batch", f"an image alone and in a batch has logits that differ by {change:.2g} of the largest; they must not"
    )


def _depth(specimen: Specimen, perturbed: Tensor) -> Flag | None:
    if not depth_varies(specimen, perturbed):
        return None
    return Flag("depth", "what is computed depends on the image, such as when a loop stops; gradients do not see that")


def _probabilities(specimen: Specimen) -> Flag | None:
    if not are_probabilities(specimen):
        return None
    return Flag("probabilities", "the model gives probabilities, whose gradients vanish; let it give logits")


def _flat(specimen: Specimen) -> Flag | None:
    share = float((largest_slopes(specimen) < FLAT).double().mean())
    if share <= MOST_FLAT:
        return None
    return Flag(
        "flat", f"the loss of {share:.0%} of images has no usable input gradient (0, below {FLAT:g} or not finite)"
    )


def _slope(specimen: Specimen) -> Flag | None:
    error = float(slope_errors(specimen).median())
    if error <= MOST_SLOPE_ERROR:
        return None
    return Flag(
        "slope", f"gradients differ from the slope of the output by {error:.0%} of its size (median over images)"
    )


def _beaten(more: Tensor, n_images: int) -> bool:
    return float(more.max()) >= max(BEATEN_AT_LEAST, BEATEN_BY * n_images)


def _rising(specimen: Specimen, verdict: Verdict, attacks: Sequence[Attack]) -> Flag | None:
    traced = [attack for attack in attacks if isinstance(attack, Traced)]
    shares = [(_late_rise(specimen, verdict, attack), attack.name) for attack in traced]
    known = [(share, name) for share, name in shares if share is not None]
    if not known or min(known)[0] <= MOST_RISE:
        return None
    share, name = min(known)
    return Flag("rising", f"{name} still gains ground: {share:.0%} of its rise in the last tenth of its steps")


def _late_rise(specimen: Specimen, verdict: Verdict, attack: Traced) -> float | None:
    margins = attack.trace(specimen.logits, specimen.pixels, specimen.labels, verdict.threat, seeds=specimen.seeds)
    steps = len(margins) - 1
    if steps < LEAST_STEPS:
        return None
    total, late = (margins[-1] - margins[at] for at in (0, -1 - round(LAST_PART * steps)))
    return float(torch.where(total > 0, late / total, 0.0).median())


def _first(wanted: Tensor, at_most: int) -> Tensor:
    rows = torch.nonzero(wanted).flatten()[:at_most]
    return rows if len(rows) else torch.arange(len(wanted), device=wanted.device)[:at_most]


def _specimen(
    logits: Logits, verdict: Verdict, rows: Tensor, *, pixels: Tensor, labels: Tensor, seeds: Sequence[int]
) -> Specimen:
    own = tuple(seeds[row] for row in rows.tolist())
    return Specimen(logits, pixels[rows], labels[rows], own, verdict.threat.moment)
