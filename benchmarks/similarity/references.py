"""Published RDMs as rows of a table: models of which nothing but the RDM is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from torch import Tensor, nn

from alignment import fingerprint
from alignment.errors import RequestError
from alignment.models.base import DEFAULT_VISUAL_DEGREES, STEP
from alignment.rsa import RDMs

LAYER = "rdm"


@dataclass(eq=False)
class Reference:
    """A `Model` that can be compared by its RDM and in no other way.

    Parameters
    ----------
    name : as published
    rdms : its RDM, one row
    """

    name: str
    rdms: RDMs
    layers: tuple[str, ...] = (LAYER,)
    time_unit: str = STEP
    image_size: tuple[int, int] | None = None
    visual_degrees: float = DEFAULT_VISUAL_DEGREES
    classes: tuple[str, ...] | None = None
    stochastic: bool = False
    module: nn.Module | None = None
    time_bins: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: {LAYER: (0.0,)})

    @property
    def fingerprint(self) -> str:
        """Hash of the RDM and its stimuli."""
        return fingerprint.of_parts("reference", fingerprint.of_array(self.rdms.dissimilarities), *self.rdms.stimuli)

    def record(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        time_bins: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> NoReturn:
        """Impossible."""
        raise RequestError(f"{self.name} is a published RDM: nothing can be recorded from it")

    def logits(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> NoReturn:
        """Impossible."""
        raise RequestError(f"{self.name} is a published RDM: it has no logits")
