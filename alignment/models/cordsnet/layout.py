"""The shape of a CordsNet in space and in time: areas, maps, Euler steps, milliseconds."""

from dataclasses import dataclass

from alignment.errors import RequestError

DEPTHS = (2, 4, 6, 8)
WIDTHS = (64, 128, 256, 512)
LEAST_EDGE = 4
# of the rates, in ms: with the published alpha of 0.2 a step lasts 2 ms
TIME_CONSTANT = 10.0


@dataclass(frozen=True)
class Layout:
    """The maps of a network of 2 to 8 areas.

    Two areas in a row have the same maps; each further pair has twice the channels and half the rows and columns.

    Parameters
    ----------
    depth : number of areas, 2, 4, 6 or 8
    image_size : (row, column) in pixels; every area has a bias map, so that a network fits one size only
    n_classes : number of logits
    n_channels : of the image; 3, or 1 for a network of grey images

    Raises
    ------
    RequestError
        A depth, size or number that no network can have.

    Examples
    --------
    >>> layout = Layout(8, image_size=(224, 224), n_classes=1000)
    >>> layout.maps[0], layout.maps[7], layout.units
    ((64, 56, 56), (512, 7, 7), 752640)
    """

    depth: int
    image_size: tuple[int, int]
    n_classes: int
    n_channels: int = 3

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise RequestError(f"cordsnet: depth is {self.depth}; give {', '.join(map(str, DEPTHS))} areas")
        if len(self.image_size) != 2 or min(self.image_size) < LEAST_EDGE:
            raise RequestError(
                f"cordsnet: image_size is {self.image_size}; give (row, column), each {LEAST_EDGE} or more"
            )
        if self.n_classes < 1:
            raise RequestError(f"cordsnet: n_classes is {self.n_classes}; give 1 or more")
        if self.n_channels not in (1, 3):
            raise RequestError(f"cordsnet: n_channels is {self.n_channels}; give 3 for colour or 1 for grey images")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each area."""
        return tuple(WIDTHS[area // 2] for area in range(self.depth))

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the convolution into each area: 2 where the maps become smaller."""
        return tuple(2 if area % 2 == 0 and area else 1 for area in range(self.depth))

    @property
    def maps(self) -> tuple[tuple[int, int, int], ...]:
        """(channel, row, column) of each area: a quarter of the image's edge, halved at each stride, rounded up."""
        edges = tuple(_halved(_halved(edge)) for edge in self.image_size)
        found = []
        for width, stride in zip(self.widths, self.strides, strict=True):
            edges = tuple(map(_halved, edges)) if stride == 2 else edges
            found.append((width, edges[0], edges[1]))
        return tuple(found)

    @property
    def units(self) -> int:
        """Rates of all areas."""
        return sum(channels * rows * columns for channels, rows, columns in self.maps)


@dataclass(frozen=True)
class Clock:
    """How a differential equation is stepped through.

    Parameters
    ----------
    alpha : step in units of the time constant, above 0 and at most 1 (at 1, a recurrent network in discrete time)
    steps : with the image on
    blank_steps : before it, with zero input, from rates of 0

    Raises
    ------
    RequestError
        One is out of its range.

    Examples
    --------
    >>> Clock(alpha=0.2, steps=3, blank_steps=100).times
    (2.0, 4.0, 6.0)
    """

    alpha: float = 0.2
    steps: int = 100
    blank_steps: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise RequestError(f"cordsnet: alpha is {self.alpha}; give a step above 0 and at most 1 time constant")
        for name, value, least in (("steps", self.steps, 1), ("blank_steps", self.blank_steps, 0)):
            if value < least:
                raise RequestError(f"cordsnet: {name} is {value}; give {least} or more")

    @property
    def times(self) -> tuple[float, ...]:
        """Of the steps with the image on, in ms since its onset."""
        # rounded: 3 * 0.1 is not 0.3, and a user writes 0.3
        return tuple(round((step + 1) * self.alpha * TIME_CONSTANT, 9) for step in range(self.steps))


PUBLISHED_CLOCK = Clock()


def _halved(edge: int) -> int:
    return -(-edge // 2)
