import re

import pytest
import torch

from alignment.attacks.checks import check_images, check_scores
from alignment.errors import AlignmentError, DataError, RequestError

PIXELS = torch.full((2, 3, 4, 4), 0.5)
LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("pixels", "labels", "seeds", "error", "message"),
    [
        (PIXELS[:, :1], LABELS, [0, 1], RequestError, "pixels are torch.float32 (2, 1, 4, 4)"),
        (PIXELS[0, :2], LABELS, [0, 1], RequestError, "expected float32 (image, 3, row, column)"),
        (PIXELS.double(), LABELS, [0, 1], RequestError, "pixels are torch.float64"),
        (PIXELS, LABELS.int(), [0, 1], RequestError, "labels are torch.int32 (2,)"),
        (PIXELS, LABELS[:, None], [0, 1], RequestError, "labels are torch.int64 (2, 1)"),
        (PIXELS, LABELS[:1], [0, 1], RequestError, "2 images and 1 labels"),
        (PIXELS, LABELS, [0], RequestError, "2 images and 1 seeds"),
        (PIXELS[:0], LABELS[:0], [], RequestError, "0 images and 0 seeds; give at least one image"),
        (PIXELS * 255, LABELS, [0, 1], DataError, "from 127.5 to 127.5; scale them to [0, 1]"),
        (PIXELS - 0.6, LABELS, [0, 1], DataError, "scale them to [0, 1]"),
        (PIXELS * float("nan"), LABELS, [0, 1], DataError, "from nan to nan"),
        (PIXELS, torch.tensor([0, -1]), [0, 1], DataError, "labels: -1 of image 1 is negative"),
    ],
)
def test_bad_images_are_named(pixels, labels, seeds, error: type[AlignmentError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as raised:
        check_images(pixels, labels, seeds)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("shape", "labels", "error", "message"),
    [
        ((2, 10), LABELS, RequestError, "logits are (2, 10), expected (2 images, time_bin, class)"),
        ((3, 1, 10), LABELS, RequestError, "expected (2 images"),
        ((2, 0, 10), LABELS, RequestError, "expected (2 images"),
        ((2, 1, 1), torch.tensor([0, 0]), RequestError, "the model has 1 class"),
        ((2, 1, 10), torch.tensor([0, 10]), DataError, "labels: 10 of image 1 is beyond the model's 10 classes"),
    ],
)
def test_bad_scores_are_named(shape, labels, error: type[AlignmentError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_scores(torch.zeros(shape), labels)


def test_good_input_passes() -> None:
    check_images(PIXELS, LABELS, [0, 1])
    check_scores(torch.zeros(2, 3, 2), LABELS)
