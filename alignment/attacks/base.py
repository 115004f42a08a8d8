"""What every attack offers, whoever wrote it, and the seeds it draws from."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from alignment.attacks.threat import Logits, Threat
from alignment.seeds import derive


@runtime_checkable
class Attack(Protocol):
    """A search for perturbed images that are misclassified; what it claims is checked by `judge`."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    def settings(self) -> Mapping[str, object]:
        """Everything but the threat that can change what it finds."""
        ...

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        """Perturbed images, the shape of `pixels`.

        Parameters
        ----------
        logits : of the model under attack
        pixels : (batch, 3, row, column) float32 in [0, 1]
        labels : (batch,) int64
        threat : what is allowed
        seeds : one per image; together with the name of the attack they fix every draw for that image
        """
        ...


@runtime_checkable
class Traced(Protocol):
    """An attack by ascent that can show how far it got, step by step."""

    def trace(self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]) -> Tensor:
        """(1 + step, batch) the highest margin so far of its first ascent; arguments as for `Attack.perturb`.

        The margin is the highest other logit less that of the true class, whatever loss the attack raises: the
        cross-entropy of a confident network makes nearly all of its rise at the end.
        """
        ...


def draw_seeds(seeds: Sequence[int], *names: str | int) -> list[int]:
    """A seed per image for one purpose, which depends on the image's own seed and the names only.

    Examples
    --------
    >>> draw_seeds([3, 4], "start") == [draw_seeds([3], "start")[0], draw_seeds([4], "start")[0]]
    True
    """
    return [derive(seed, *names) for seed in seeds]
