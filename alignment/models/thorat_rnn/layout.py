"""Which flows a network has: the flags of Thorat, Aldegheri & Kietzmann 2021, and the maps they switch."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from alignment.errors import RequestError

RECEIVERS = ("input", "conv1", "conv2", "fc")
PATHS = ("bias", "gain")
N_CLASSES = 20
# of one image: the input, the convolutions before and after pooling, the fully connected layer
SHAPES = {"input": (1, 100, 100), "conv1": (8, 96, 96), "conv2": (16, 28, 28), "fc": (128,)}
POOLED = {"conv1": (8, 32, 32), "conv2": (16, 9, 9)}


class Map(NamedTuple):
    """A learned map that carries a flow.

    Attributes
    ----------
    name : of the published weights, without the suffix of its path
    sender, receiver : layers; a layer that sends to itself is lateral, any other sends top-down
    """

    name: str
    sender: str
    receiver: str

    @property
    def is_lateral(self) -> bool:
        """Whether a layer sends to itself."""
        return self.sender == self.receiver

    def module(self) -> nn.Module:
        """The map with random weights; a linear one puts out all units of the receiver in a row."""
        if self.sender == "fc":
            shape = SHAPES[self.receiver]
            units = shape[0] if len(shape) == 1 else shape[0] * shape[1] * shape[2]
            return nn.Linear(SHAPES["fc"][0], units)
        channels, width = SHAPES[self.sender][0], SHAPES[self.receiver][0]
        if self.is_lateral:
            return nn.Conv2d(channels, width, 5, padding=2)
        kernel, stride = TRANSPOSED[self.name]
        return nn.ConvTranspose2d(channels, width, kernel, stride)


# kernel and stride that take a pooled map to the size of its receiver
TRANSPOSED = {"c1x": (7, 3), "c2x": (20, 10), "c2c1": (16, 10)}
MAPS = (
    Map("c1x", "conv1", "input"),
    Map("c2x", "conv2", "input"),
    Map("fc1x", "fc", "input"),
    Map("c1c1", "conv1", "conv1"),
    Map("c2c1", "conv2", "conv1"),
    Map("fc1c1", "fc", "conv1"),
    Map("c2c2", "conv2", "conv2"),
    Map("fc1c2", "fc", "conv2"),
    Map("fc1fc1", "fc", "fc"),
)


@dataclass(frozen=True)
class Layout:
    """What flows, and how often.

    Attributes
    ----------
    bias : whether flows are added to what a layer is driven by
    gain : whether flows multiply what a layer puts out
    lateral : whether layers send to themselves
    top_down : whether layers send to those below them, down to the image
    sweeps : passes over the layers, the first of them without flows
    lean : whether maps that carry nothing are left out; the published weights have all of them

    Raises
    ------
    RequestError
        There is no sweep.

    Examples
    --------
    >>> Layout().code, Layout(bias=True, gain=False).code
    ('0111', '1011')
    >>> [each.name for each in Layout(lateral=False).maps("conv1", "gain")], Layout(gain=False).maps("fc", "gain")
    (['c2c1', 'fc1c1'], ())
    """

    bias: bool = False
    gain: bool = True
    lateral: bool = True
    top_down: bool = True
    sweeps: int = 4
    lean: bool = False

    def __post_init__(self) -> None:
        if self.sweeps < 1:
            raise RequestError(f"thorat_rnn: {self.sweeps} sweeps; give 1 or more")

    @property
    def code(self) -> str:
        """The flags b, g, l, t as in the names of published files."""
        return "".join(str(int(flag)) for flag in (self.bias, self.gain, self.lateral, self.top_down))

    def maps(self, receiver: str, path: str) -> tuple[Map, ...]:
        """The maps whose flow reaches a layer on a path; none where a flag is off or there is one sweep."""
        if self.sweeps == 1 or not (self.bias if path == "bias" else self.gain):
            return ()
        return tuple(
            each for each in MAPS if each.receiver == receiver and (self.lateral if each.is_lateral else self.top_down)
        )

    @property
    def flows(self) -> tuple[tuple[str, str], ...]:
        """(receiver, path) of all that is computed."""
        return tuple((receiver, path) for receiver in RECEIVERS for path in PATHS if self.maps(receiver, path))
