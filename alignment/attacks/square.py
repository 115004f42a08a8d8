"""Square: random search with squares, from class scores alone (Andriushchenko et al. 2020, ECCV).

It needs no gradient, so a network that only hides its gradients gains nothing against it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.gradient import check_counts
from alignment.attacks.objective import Objective
from alignment.attacks.threat import Logits, Threat
from alignment.errors import RequestError

# queries out of 10,000 after which the share of pixels in a window is halved (as published, for any number of queries)
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
SCHEDULE_LENGTH = 10_000
TILES = 5
SMALLEST_L2_SIDE = 3
DRAWN_AT_ONCE = 64
TINY = 1e-12


@dataclass(frozen=True)
class Square:
    """Random search in the ball: each query changes one square window, and is kept if the margin grows.

    For Linf the search starts from vertical stripes of +-epsilon, and a query moves one window of each channel by
    +-2 epsilon, back into the ball (Algorithms 1 and 2). For L2 it starts from 5 x 5 tiles, and a query moves what a
    second window holds, and what epsilon leaves unused, into the first (Algorithm 3). An image is left alone once it is
    misclassified.

    Parameters
    ----------
    queries : int
        Passes for each image at most, that of the start included and that of the clean image not.
    p_init : float in (0, 1]
        Share of pixels in the first windows, halved at nine points.
    rescaled : bool
        Whether these points, which are those of 10,000 queries, move with `queries`; as published they do, and in the
        ensemble of Croce & Hein 2020 they do not.

    Raises
    ------
    RequestError
        Fewer than one query, or a share outside (0, 1].

    Examples
    --------
    >>> def logits(pixels, *, seeds=None):
    ...     brightness = pixels.mean((1, 2, 3))
    ...     return torch.stack([brightness - 0.55, torch.zeros_like(brightness)], 1)[:, None]
    >>> bright, threat = torch.full((1, 3, 8, 8), 0.6), Threat("linf", 0.1)
    >>> moved = Square(queries=300).perturb(logits, bright, torch.tensor([0]), threat, seeds=[0])
    >>> bool(logits(moved)[0, 0, 0] < 0)
    True
    """

    queries: int = 5000
    p_init: float = 0.8
    rescaled: bool = True

    def __post_init__(self) -> None:
        check_counts(queries=self.queries)
        if not 0 < self.p_init <= 1:
            raise RequestError(f"p_init is {self.p_init:g}; give a share of pixels above 0 and at most 1")

    @property
    def name(self) -> str:
        """How tables call it."""
        return "square"

    def settings(self) -> dict[str, object]:
        """Every field."""
        return asdict(self)

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        """The image of highest margin, max_{i != y} z_i - z_y, found in the ball around each image and in [0, 1].

        With the moment "each" the margin is the mean over decisions, and an image is done when every decision is wrong.

        Parameters
        ----------
        logits : Logits
            Called without gradients, on the images that are not yet misclassified.
        pixels : Tensor (batch, 3, row, column) float32 in [0, 1]
        labels : Tensor (batch,) int64
        threat : Threat
        seeds : sequence of int
            One per image: what is tried on an image depends on its own seed, not on the images beside it.

        Returns
        -------
        Tensor like `pixels`
            Images that are misclassified as they are come back as they are.
        """
        objective = Objective(logits, labels, tuple(seeds), (self.name,), threat.moment, loss="margin")
        result, left = pixels.detach().clone(), (~objective.value(pixels, 0).broken).nonzero().squeeze(1)
        if not len(left):
            return result
        objective = objective.take(left)
        streams = _Streams(objective.seeds, channels=pixels.shape[1])
        best = _start(pixels[left], threat, streams)
        standing = objective.value(best, 1)
        margin, wrong = standing.margin, standing.broken
        for query in range(self.queries - 1):
            if wrong.any():
                result[left[wrong]] = best[wrong]
                others = (~wrong).nonzero().squeeze(1)
                left, best, margin, objective = left[others], best[others], margin[others], objective.take(others)
                streams.keep(others)
            if not len(left):
                return result
            tried = _proposal(pixels[left], best, threat, draws=streams.next(), share=self.share(query))
            standing = objective.value(tried, query + 2)
            wrong = standing.broken
            better = (standing.margin > margin) | wrong
            best = torch.where(better[:, None, None, None], tried, best)
            margin = torch.where(better, standing.margin, margin)
        result[left] = best
        return result

    def share(self, query: int) -> float:
        """Share of pixels in the window of a query after the start, the first being 0.

        Examples
        --------
        >>> [Square(queries=10_000).share(query) for query in (0, 10, 11, 9_999)]
        [0.8, 0.8, 0.4, 0.0015625]
        """
        place = int(query / self.queries * SCHEDULE_LENGTH) if self.rescaled else query
        return self.p_init / 2 ** sum(place > bound for bound in HALVED_AT)


class _Streams:
    """Uniform numbers in [0, 1), a stream for each image, drawn in blocks."""

    def __init__(self, seeds: Sequence[int], *, channels: int) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in draw_seeds(seeds, "square", "windows")]
        # the places of two windows, the orientation of a pattern, a sign for each channel
        self._width = 5 + channels
        self._block = torch.empty(len(seeds), 0, self._width, dtype=torch.float64)

    def next(self) -> Tensor:
        """(image, 5 + channel): the numbers of one query."""
        if not self._block.shape[1]:
            self._block = self.draw(DRAWN_AT_ONCE, self._width)
        numbers, self._block = self._block[:, 0], self._block[:, 1:]
        return numbers

    def draw(self, *shape: int) -> Tensor:
        """(image, *shape), on their own."""
        return torch.stack([torch.rand(shape, generator=each, dtype=torch.float64) for each in self._generators])

    def keep(self, rows: Tensor) -> None:
        """Drop the streams of images at other positions."""
        self._generators = [self._generators[row] for row in rows.tolist()]
        self._block = self._block[rows.cpu()]


def _start(origin: Tensor, threat: Threat, streams: _Streams) -> Tensor:
    """Stripes one pixel wide (Linf), or 5 x 5 tiles of the pattern of `_two_bumps` (L2)."""
    channels, rows, columns = origin.shape[1:]
    if threat.norm == "linf":
        return (origin + threat.epsilon * _signs(streams.draw(channels, 1, columns), origin)).clamp(0, 1)
    side = max(min(rows, columns) // TILES, 1)
    down, across = rows // side, columns // side
    signs = _signs(streams.draw(channels, down, across, 1, 1), origin)
    tiles = signs * _oriented(side, streams.draw(1, down, across), origin)
    delta = torch.zeros_like(origin)
    top, left = (rows - down * side) // 2, (columns - across * side) // 2
    tiled = tiles.transpose(3, 4).reshape(len(origin), channels, down * side, across * side)
    delta[:, :, top : top + down * side, left : left + across * side] = tiled
    return _scaled(origin, delta, threat.epsilon)


def _proposal(origin: Tensor, best: Tensor, threat: Threat, *, draws: Tensor, share: float) -> Tensor:
    """What one query tries, from draws (image, 5 + channel) in [0, 1)."""
    channels, rows, columns = origin.shape[1:]
    side = round(math.sqrt(share * rows * columns))
    if threat.norm == "linf":
        window = _Window.at(draws[:, :2], side=min(max(side, 1), rows, columns), image=origin)
        step = 2 * threat.epsilon * _signs(draws[:, 5:, None, None], origin)
        return torch.where(window.mask(), threat.project(best + step, origin), best)
    side = max(side, SMALLEST_L2_SIDE)
    side = min(side + (side % 2 == 0), rows, columns)
    into, out_of = (_Window.at(draws[:, pair], side=side, image=origin) for pair in (slice(0, 2), slice(2, 4)))
    delta = best - origin
    unused = (threat.epsilon**2 - delta.square().sum((1, 2, 3), keepdim=True)).clamp(min=0) / channels
    taken = (delta.square() * (into.mask() | out_of.mask())).sum((2, 3), keepdim=True)
    pattern = _oriented(side, draws[:, 4:5], origin) * _signs(draws[:, 5:, None, None], origin)
    pattern = _unit(pattern + _unit(into.read(delta))) * (taken + unused).sqrt()
    return _scaled(origin, into.write(delta * ~out_of.mask(), pattern), threat.epsilon)


@dataclass(frozen=True)
class _Window:
    """A square of each image: index tensors, (image, 1, 1, 1) for images, and for channels, rows and columns."""

    image: Tensor
    channel: Tensor
    row: Tensor
    column: Tensor
    shape: torch.Size

    @classmethod
    def at(cls, draws: Tensor, *, side: int, image: Tensor) -> "_Window":
        """A window of `side` pixels, uniform over its places, from draws (image, 2) in [0, 1)."""
        room = torch.tensor([edge - side + 1 for edge in image.shape[2:]])
        corner = (draws * room).long().to(image.device)
        inside = torch.arange(side, device=image.device)
        images, channels = (torch.arange(size, device=image.device) for size in image.shape[:2])
        return cls(
            images[:, None, None, None],
            channels[:, None, None],
            corner[:, 0, None, None, None] + inside[:, None],
            corner[:, 1, None, None, None] + inside,
            image.shape,
        )

    def mask(self) -> Tensor:
        """(image, 1, row, column) bool."""
        inside = torch.zeros(self.shape[0], 1, *self.shape[2:], dtype=torch.bool, device=self.row.device)
        inside[self.image, 0, self.row, self.column] = True
        return inside

    def read(self, images: Tensor) -> Tensor:
        """(image, channel, side, side)."""
        return images[self.image, self.channel, self.row, self.column]

    def write(self, images: Tensor, values: Tensor) -> Tensor:
        """`images`, now with `values` (image, channel, side, side) in the window."""
        images[self.image, self.channel, self.row, self.column] = values
        return images


def _oriented(side: int, draws: Tensor, like: Tensor) -> Tensor:
    """The pattern (..., side, side) of `_two_bumps`, or by half the draws (...) its transpose."""
    pattern = _two_bumps(side).to(like)
    return torch.where((draws < 0.5)[..., None, None].to(like.device), pattern, pattern.T)


def _two_bumps(side: int) -> Tensor:
    """(side, side), length 1: a bump in the upper half, its negative in the lower (the paper's eta)."""
    halves = [_bump(side // 2, side), -_bump(side - side // 2, side)]
    return torch.cat(halves) / math.sqrt(sum(len(half) > 0 for half in halves))


def _bump(rows: int, columns: int) -> Tensor:
    """(row, column), length 1: squares within squares, the k-th from the centre 1 / k^2 high."""
    count = max(rows, columns) // 2 + 1
    heights = (1 / torch.arange(1, count + 1, dtype=torch.float64).square()).flip(0).cumsum(0).flip(0)
    down, across = ((torch.arange(edge) - edge // 2).abs() for edge in (rows, columns))
    bump = heights[torch.maximum(down[:, None], across)]
    return bump / bump.norm().clamp(min=TINY)


def _scaled(origin: Tensor, delta: Tensor, epsilon: float) -> Tensor:
    length = delta.flatten(1).norm(dim=1).clamp(min=TINY)[:, None, None, None]
    return (origin + delta * (epsilon / length)).clamp(0, 1)


def _unit(windows: Tensor) -> Tensor:
    """Each window of each channel, scaled to length 1."""
    return windows / windows.square().sum((2, 3), keepdim=True).sqrt().clamp(min=TINY)


def _signs(draws: Tensor, like: Tensor) -> Tensor:
    return torch.where(draws < 0.5, -1.0, 1.0).to(like)
