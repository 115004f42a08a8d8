"""What a network shows of itself under the microscope: the measurements behind the flags.

Each looks at a few images, and at nothing an attack reports.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from alignment.attacks.base import draw_seeds
from alignment.attacks.objective import Objective
from alignment.attacks.threat import Logits, Moment

# of the largest logit: above the rounding of floats, below any noise worth averaging
REPEATS = 1e-5
# the same for images in other company, which makes libraries add up in another order
COMPANY = 1e-3
# of a sum of probabilities
SUMS_TO_ONE = 1e-4
# pixel units: far enough for float32, near enough for a network of many linear pieces
PROBE = 1e-4
DIRECTIONS = 4
ROUNDING = 1e-6


@dataclass(frozen=True)
class Specimen:
    """A model with a few images.

    Parameters
    ----------
    logits : of the model
    pixels : (image, 3, row, column) float32 in [0, 1]
    labels : (image,) int64
    seeds : one per image
    moment : which decisions count
    """

    logits: Logits
    pixels: Tensor
    labels: Tensor
    seeds: tuple[int, ...]
    moment: Moment

    def scores(self, pixels: Tensor | None = None, *, draw: int = 0) -> Tensor:
        """(image, time_bin, class) of the images, or of others in their place."""
        with torch.no_grad():
            named = draw_seeds(self.seeds, "flags", draw)
            return self.logits(self.pixels if pixels is None else pixels, seeds=named).detach()


def change_between_passes(specimen: Specimen) -> float:
    """Largest difference of logits between two passes with different seeds, as a share of the largest logit."""
    return _apart(specimen.scores(draw=0), specimen.scores(draw=1))


def change_in_company(specimen: Specimen) -> float:
    """Largest difference of logits between images alone and together, as a share of the largest logit."""
    named = draw_seeds(specimen.seeds, "flags", 0)
    with torch.no_grad():
        alone = [specimen.logits(specimen.pixels[at : at + 1], seeds=[seed]) for at, seed in enumerate(named)]
    together = specimen.scores()
    if any(scores.shape[1:] != together.shape[1:] for scores in alone):
        return float("inf")
    return _apart(torch.cat(alone), together)


def are_probabilities(specimen: Specimen) -> bool:
    """Whether every row of logits lies in [0, 1] and sums to 1."""
    scores = specimen.scores()
    inside = bool((scores >= -SUMS_TO_ONE).all() and (scores <= 1 + SUMS_TO_ONE).all())
    return inside and bool((scores.sum(-1) - 1).abs().max() <= SUMS_TO_ONE)


def largest_slopes(specimen: Specimen) -> Tensor:
    """(image,) largest absolute entry of the input gradient of the cross-entropy; what is not finite counts as 0."""
    return _objective(specimen, "ce").slope(specimen.pixels, 0)[1].flatten(1).abs().amax(1)


def slope_errors(specimen: Specimen) -> Tensor:
    """(image,) how far the gradient of the margin is from the slope that its values show.

    Along a few random directions of +-1 per pixel, d, the slope is (m(x + h d) - m(x - h d)) / 2 h, the gradient says
    g . d; the error is the length of their difference over that of the longer, 0 for a true gradient and 1 for none.
    Images are first drawn into [h, 1 - h], so that no network that clips its pixels is taken for another.
    """
    objective = _objective(specimen, "margin")
    inside = PROBE + (1 - 2 * PROBE) * specimen.pixels
    _, gradient = objective.slope(inside, 0)
    seen, said = [], []
    for number in range(DIRECTIONS):
        direction = _signs(specimen, number)
        up, down = (objective.value(inside + side * PROBE * direction, 0).margin for side in (1, -1))
        seen.append((up - down) / (2 * PROBE))
        said.append((gradient * direction).flatten(1).sum(1))
    slopes, claims = torch.stack(seen, dim=1), torch.stack(said, dim=1)
    # what rounding alone makes of a constant
    floor = ROUNDING * specimen.scores(inside).abs().flatten(1).amax(1) / PROBE
    longer = torch.maximum(slopes.norm(dim=1), claims.norm(dim=1))
    return (slopes - claims).norm(dim=1) / torch.maximum(longer, floor)


def depth_varies(specimen: Specimen, others: Tensor) -> bool:
    """Whether an image alone takes other operations, or gives other time bins, than another one alone.

    Parameters
    ----------
    specimen : a model with images
    others : (image, 3, row, column), more images of the same size, such as perturbed ones
    """
    seen: set[tuple[object, ...]] = set()
    named = draw_seeds(specimen.seeds, "flags", 0)
    for images in (specimen.pixels, others):
        for at, seed in zip(range(len(images)), named, strict=False):
            with torch.no_grad(), _Operations() as operations:
                scores = specimen.logits(images[at : at + 1], seeds=[seed])
            seen.add((scores.shape[1], *operations.names))
    return len(seen) > 1


class _Operations(TorchFunctionMode):
    """The names of the torch functions called, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.append(resolve_name(func) or repr(func))
        return func(*args, **(kwargs or {}))


def _objective(specimen: Specimen, loss: str) -> Objective:
    return Objective(specimen.logits, specimen.labels, specimen.seeds, ("flags",), specimen.moment, loss=loss)


def _signs(specimen: Specimen, number: int) -> Tensor:
    rows = []
    for seed in draw_seeds(specimen.seeds, "flags", "direction", number):
        draw = torch.Generator().manual_seed(seed)
        rows.append(torch.randint(0, 2, specimen.pixels.shape[1:], generator=draw) * 2.0 - 1)
    return torch.stack(rows).to(specimen.pixels)


def _apart(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    largest = float(torch.maximum(one.abs(), other.abs()).nan_to_num(posinf=0.0).max())
    difference = torch.where(one == other, 0.0, (one - other).abs()).nan_to_num(nan=float("inf"))
    return float(difference.max()) / largest if largest > 0 else float(difference.max())
