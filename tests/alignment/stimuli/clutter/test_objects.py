"""Which objects are trained on and which validate, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from alignment.errors import DataError, RequestError
from alignment.stimuli.clutter import CLASSES, Clutter, Objects, training_split


@pytest.mark.parametrize(("convention", "held_out"), [("float", slice(None, 7)), ("uint8", slice(-7, None))])
def test_each_convention_holds_out_its_own(blobs: Objects, convention: str, held_out: slice) -> None:
    training, validation = training_split(blobs, convention=convention, validation=7)
    for whole, kept, rest in zip(blobs.images, validation.images, training.images, strict=True):
        np.testing.assert_array_equal(kept, whole[held_out])
        assert len(rest) == 33
        together = np.concatenate([kept, rest] if convention == "float" else [rest, kept])
        np.testing.assert_array_equal(together, whole)
    np.testing.assert_array_equal(validation.garment_classes, blobs.garment_classes[held_out])


def test_classes_are_digits_then_garments(blobs: Objects) -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 20
    assert (CLASSES[blobs.category(0, 13)], CLASSES[blobs.category(1, 13)]) == ("3", "Dress")


def test_a_fingerprint_is_of_all_that_makes_the_images(blobs: Objects) -> None:
    one = Clutter(blobs)
    assert one.fingerprint == Clutter(replace(blobs)).fingerprint
    others = [
        Clutter(blobs, seed=1),
        Clutter(blobs, convention="uint8"),
        Clutter(replace(blobs, digits=blobs.digits[::-1].copy())),
        Clutter(replace(blobs, garment_classes=blobs.garment_classes[::-1].copy())),
    ]
    assert len({one.fingerprint, *(each.fingerprint for each in others)}) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digits": np.zeros((40, 28, 28))}, r"^digits are float64 \(40, 28, 28\); give at least one as uint8"),
        ({"garments": np.zeros((40, 32, 32), np.uint8)}, r"^garments are uint8 \(40, 32, 32\)"),
        ({"digits": np.zeros((0, 28, 28), np.uint8)}, r"^digits are uint8 \(0, 28, 28\); give at least one"),
        (
            {"digit_classes": np.zeros(39, int)},
            r"^classes of digits are int64 \(39,\); give a whole number to each of 40",
        ),
        ({"garment_classes": np.full(40, 10)}, r"^classes of garments are 10 to 10; give 0 to 9$"),
    ],
)
def test_what_is_no_object_is_refused(blobs: Objects, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(blobs, **change)


def test_a_side_without_images_is_refused(blobs: Objects) -> None:
    with pytest.raises(RequestError, match=r"^40 images of 40 to validate on; give 1 to 39$"):
        training_split(blobs, validation=40)
    with pytest.raises(RequestError, match="unknown convention 'int8'"):
        training_split(blobs, convention="int8", validation=3)
