"""Steering: what takes the place of a source's activation before it is fed back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from alignment.errors import RequestError, unknown
from alignment.models.lrm.modulation import Gains, Shape


@dataclass(frozen=True, eq=False)
class Signal:
    r"""A template in the place of what a source puts out: $v \leftarrow \alpha t + (1 - \alpha) v$.

    Because the source is normalised, a template counts up to a positive factor and a constant.

    Parameters
    ----------
    source : module whose activation is replaced, as named in the connections
    template : (1 or batch, *unit of the source), in the source's units, such as logits
    strength : factor on the feedback of every connection from this source; or a factor each for what is below 0 and
        above it, after normalisation and squashing
    mixing : alpha, the share of the template
    first_pass : whether the first pass is steered too, by the template alone, since nothing is fed back to it

    Raises
    ------
    RequestError
        A number that is not finite, or a share outside [0, 1].

    Examples
    --------
    >>> import torch
    >>> Signal("classifier.6", torch.zeros(1, 1000), strength=3).gains
    (3.0, 3.0)
    """

    source: str
    template: Tensor
    strength: float | tuple[float, float] = 1.0
    mixing: float = 1.0
    first_pass: bool = False

    def __post_init__(self) -> None:
        if not all(math.isfinite(gain) for gain in self.gains):
            raise RequestError(f"signal to {self.source}: strength is {self.strength}; give a finite number")
        if not 0 <= self.mixing <= 1:
            raise RequestError(f"signal to {self.source}: mixing is {self.mixing}; give a share of 0 to 1")

    @property
    def gains(self) -> Gains:
        """Below 0, and above it."""
        below, above = self.strength if isinstance(self.strength, tuple) else (self.strength, self.strength)
        return float(below), float(above)

    def blended(self, value: Tensor | None, *, like: Tensor) -> Tensor:
        """What is fed back where the source put out `value`, or nothing yet; of the batch and device of `like`."""
        batch = len(like)
        if len(self.template) not in (1, batch):
            raise RequestError(
                f"signal to {self.source}: {len(self.template)} templates for {batch} images; give one, or one for each"
            )
        template = self.template.to(like)
        if value is None or self.mixing == 1:
            return template.expand(batch, *template.shape[1:])
        return self.mixing * template + (1 - self.mixing) * value


def check_signals(signals: Sequence[Signal], shapes: Mapping[str, Shape]) -> None:
    """Whether a network with sources of these shapes can be steered so.

    Raises
    ------
    RequestError
        No such source (with near misses), two signals to one, or a template of another shape.
    """
    for signal in signals:
        if signal.source not in shapes:
            raise unknown("source of feedback", signal.source, shapes)
        shape, given = shapes[signal.source], signal.template
        # the size of a map depends on that of the image
        if not given.is_floating_point() or given.ndim != 1 + len(shape) or given.shape[1] != shape[0]:
            expected = f"(batch, {shape[0]}{', row, column' if len(shape) > 1 else ''})"
            raise RequestError(
                f"signal to {signal.source}: the template is {given.dtype} {tuple(given.shape)}, expected float "
                f"{expected}"
            )
    named = [signal.source for signal in signals]
    twice = [name for name in named if named.count(name) > 1]
    if twice:
        raise RequestError(f"two signals to {twice[0]}; give one to each source")
