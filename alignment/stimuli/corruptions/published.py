"""Parameters of corruptions as published for two sizes of image, and the rule for all others.

Sources: Hendrycks & Dietterich 2019 (ICLR), and the code that made its data sets, `make_imagenet_c.py` (224 px) and
`make_cifar_c.py` (32 px) of github.com/hendrycks/robustness.
"""

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float64]
Values = TypeVar("Values")

SEVERITIES = (1, 2, 3, 4, 5)
IMAGENET_EDGE = 224
CIFAR_EDGE = 32


class Parameters(NamedTuple, Generic[Values]):
    """What a corruption takes at one severity and size.

    Attributes
    ----------
    values : as published for the nearer of the two sizes
    scale : factor for every value that is a length in pixels; 1 at the two sizes
    """

    values: Values
    scale: float


@dataclass(frozen=True)
class Published(Generic[Values]):
    """Parameters at severities 1 to 5.

    An image whose shorter edge is 224 px has those of ImageNet-C, one of 32 px those of CIFAR-10-C. Any other has the
    set whose size is nearer by ratio (32 px up to an edge of 84), with lengths in pixels multiplied by edge / 224 or
    edge / 32: blurs, grains and shifts keep their size relative to the image. Amplitudes, shares of pixels, ratios and
    JPEG qualities stay as they are. (The tables that the authors made for 64 and 299 px are not used.)

    Examples
    --------
    >>> table = Published(imagenet=(3, 4, 6, 8, 10), cifar=(1, 2, 3, 4, 5))
    >>> table.at(5, np.zeros((224, 300, 3))), table.at(1, np.zeros((64, 64, 3)))
    (Parameters(values=10, scale=1.0), Parameters(values=1, scale=2.0))
    """

    imagenet: tuple[Values, Values, Values, Values, Values]
    cifar: tuple[Values, Values, Values, Values, Values]

    def at(self, severity: int, image: Image) -> Parameters[Values]:
        """For an image (row, column, 3)."""
        edge = min(image.shape[:2])
        if edge**2 < IMAGENET_EDGE * CIFAR_EDGE:
            return Parameters(self.cifar[severity - 1], edge / CIFAR_EDGE)
        return Parameters(self.imagenet[severity - 1], edge / IMAGENET_EDGE)
