"""Whether images that were perturbed to fool one model fool another."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from alignment.attacks.base import Attack
from alignment.attacks.checks import check_images
from alignment.attacks.classify import DEFAULT_BATCH, Classifier
from alignment.attacks.judge import admit
from alignment.attacks.threat import Logits, Threat
from alignment.errors import RequestError


def transfer(
    sources: Mapping[str, Logits],
    attack: Attack,
    *,
    targets: Mapping[str, Logits] | None = None,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    seeds: Sequence[int],
    n_draws: int = 1,
    batch_size: int = DEFAULT_BATCH,
) -> Tensor:
    """Correctness of each target on images perturbed against each source.

    Every image is perturbed, whether the source classifies it correctly or not. An attack that stops at the boundary
    of its source (`APGD` without `keep_going`, FAB-T, Square) transfers poorly; PGD does not stop there.

    Parameters
    ----------
    sources : name -> logits; the attack is run against each
    attack : which
    targets : name -> logits; the sources themselves when not given
    pixels : (image, 3, row, column) float32 in [0, 1]
    labels : (image,) int64
    threat : what is allowed; with the moment "last" or "mean", so that each model makes one decision
    seeds : one per image
    n_draws : of stochastic targets, over which correctness is averaged
    batch_size : images at once

    Returns
    -------
    (1 + source, target, image) float32; row 0 are the clean images, row 1 + i those perturbed against source i

    Raises
    ------
    RequestError, DataError
        The moment "each"; no source; or as for `judge`.

    Examples
    --------
    >>> from alignment.attacks.gradient import FGSM
    >>> def bright(pixels, *, seeds=None):
    ...     return torch.stack([pixels.mean((1, 2, 3)), 1 - pixels.mean((1, 2, 3))], dim=1)[:, None]
    >>> def red(pixels, *, seeds=None):
    ...     return torch.stack([pixels[:, 0].mean((1, 2)), 1 - pixels[:, 0].mean((1, 2))], dim=1)[:, None]
    >>> images, labels = torch.full((1, 3, 2, 2), 0.52), torch.zeros(1, dtype=torch.int64)
    >>> found = transfer(
    ...     {"bright": bright, "red": red}, FGSM(), pixels=images, labels=labels, threat=Threat(), seeds=[0]
    ... )
    >>> found[1:, :, 0]
    tensor([[0., 0.],
            [1., 0.]])
    """
    check_images(pixels, labels, seeds)
    if threat.moment == "each":
        raise RequestError("a transfer needs one decision per model; take the moment last or mean")
    if not sources:
        raise RequestError("no model to transfer from; name at least one")
    judged = sources if targets is None else targets
    classifiers = [Classifier(logits, threat.moment, batch_size) for logits in judged.values()]
    shown = [pixels]
    for logits in sources.values():
        shown.append(
            perturbed(logits, attack, pixels=pixels, labels=labels, threat=threat, seeds=seeds, batch_size=batch_size)
        )

    def correct(classifier: Classifier, images: Tensor) -> Tensor:
        return classifier.expected(images, labels, seeds=seeds, purpose="transfer", n_draws=n_draws)[:, 0]

    return torch.stack([torch.stack([correct(classifier, images) for classifier in classifiers]) for images in shown])


def perturbed(
    logits: Logits,
    attack: Attack,
    *,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    seeds: Sequence[int],
    batch_size: int = DEFAULT_BATCH,
) -> Tensor:
    """Every image as an attack moves it against a source, within the threat: (image, 3, row, column).

    Parameters are those of `transfer`; `logits` are the source's.

    Examples
    --------
    >>> from alignment.attacks.gradient import FGSM
    >>> def bright(pixels, *, seeds=None):
    ...     return torch.stack([pixels.mean((1, 2, 3)), 1 - pixels.mean((1, 2, 3))], dim=1)[:, None]
    >>> images, labels = torch.full((1, 3, 1, 1), 0.5), torch.zeros(1, dtype=torch.int64)
    >>> moved = perturbed(bright, FGSM(), pixels=images, labels=labels, threat=Threat("linf", 0.25), seeds=[0])
    >>> moved.flatten()
    tensor([0.2500, 0.2500, 0.2500])
    """
    found = []
    for rows in torch.arange(len(pixels), device=pixels.device).split(batch_size):
        own = [seeds[row] for row in rows.tolist()]
        answer = attack.perturb(logits, pixels[rows], labels[rows], threat, seeds=own)
        found.append(admit(answer, pixels[rows], threat)[0])
    return torch.cat(found)
