"""What cluttered images are made of: handwritten digits and garments, 28x28, and two conventions for their pixels."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alignment import fingerprint
from alignment.errors import DataError, RequestError, unknown

EDGE = 28
PER_DOMAIN = 10
DOMAINS = ("digit", "garment")
DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
CLASSES = DIGITS + GARMENTS
FLOAT, UINT8 = "float", "uint8"
CONVENTIONS = (FLOAT, UINT8)
# training images of each domain that the paper validates on
VALIDATION = 5000


@dataclass(frozen=True)
class Objects:
    """Digits and garments to draw from, such as the training images of MNIST and Fashion-MNIST.

    Parameters
    ----------
    digits, garments : (image, 28, 28) uint8, bright on black
    digit_classes, garment_classes : (image,) int, 0 to 9

    Raises
    ------
    DataError
        They have other types, shapes or classes, or there are none.

    Examples
    --------
    >>> few = Objects(np.zeros((2, 28, 28), np.uint8), np.array([3, 4]), np.ones((1, 28, 28), np.uint8), np.array([1]))
    >>> few.category(0, 1), CLASSES[few.category(1, 0)]
    (4, 'Trouser')
    """

    digits: npt.NDArray[np.uint8]
    digit_classes: npt.NDArray[np.int64]
    garments: npt.NDArray[np.uint8]
    garment_classes: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        for domain, images, classes in zip(DOMAINS, self.images, self.classes, strict=True):
            if images.dtype != np.uint8 or images.shape[1:] != (EDGE, EDGE) or not len(images):
                raise DataError(
                    f"{domain}s are {images.dtype} {images.shape}; give at least one as uint8 (image, {EDGE}, {EDGE})"
                )
            if classes.shape != images.shape[:1] or classes.dtype.kind not in "iu":
                raise DataError(
                    f"classes of {domain}s are {classes.dtype} {classes.shape}; give a whole number to each of "
                    f"{len(images)} images"
                )
            if classes.min() < 0 or classes.max() >= PER_DOMAIN:
                raise DataError(
                    f"classes of {domain}s are {classes.min()} to {classes.max()}; give 0 to {PER_DOMAIN - 1}"
                )

    @property
    def images(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Of each domain."""
        return self.digits, self.garments

    @property
    def classes(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Of each domain, 0 to 9."""
        return self.digit_classes, self.garment_classes

    def category(self, domain: int, exemplar: int) -> int:
        """Position in `CLASSES` of an object."""
        return PER_DOMAIN * domain + int(self.classes[domain][exemplar])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of images and classes, in their order."""
        return fingerprint.of_parts(*[fingerprint.of_array(each) for each in (*self.images, *self.classes)])


class Split(NamedTuple):
    """Objects to train on, and objects to validate on."""

    training: Objects
    validation: Objects


def training_split(objects: Objects, *, convention: str = FLOAT, validation: int = VALIDATION) -> Split:
    """Training images of both domains, parted as the published code does.

    Parameters
    ----------
    objects : training images, in their official order
    convention : "float" takes the first of each domain to validate on, as the code of 2021 did, which made the
        published numbers; "uint8" takes the last, as the code of 2024 does
    validation : how many of each domain

    Raises
    ------
    RequestError
        There is no such convention, or an image is left on no side.

    Examples
    --------
    >>> images, classes = np.zeros((5, 28, 28), np.uint8), np.arange(5)
    >>> training_split(Objects(images, classes, images, classes), validation=2).validation.digit_classes
    array([0, 1])
    """
    check_convention(convention)
    n = min(map(len, objects.images))
    if not 0 < validation < n:
        raise RequestError(f"{validation} images of {n} to validate on; give 1 to {n - 1}")
    first, last = slice(validation), slice(validation, None)
    if convention == UINT8:
        first, last = slice(-validation, None), slice(-validation)
    parts = [
        Objects(
            objects.digits[part], objects.digit_classes[part], objects.garments[part], objects.garment_classes[part]
        )
        for part in (last, first)
    ]
    return Split(*parts)


def check_convention(convention: str) -> None:
    """Whether pixels can be handled so.

    Raises
    ------
    RequestError
        There is no such convention.
    """
    if convention not in CONVENTIONS:
        raise unknown("convention", convention, CONVENTIONS)
