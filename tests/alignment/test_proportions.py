"""Wilson intervals against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from alignment.errors import RequestError
from alignment.proportions import wilson


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (1, 3), (183, 1000), (915, 1000)])
def test_it_is_scipys(right: int, images: int) -> None:
    found = wilson(np.arange(images) < right)
    theirs = stats.binomtest(right, images).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((right / images, theirs.low, theirs.high), abs=1e-12)


def test_expected_correctness_counts_by_its_mean() -> None:
    assert wilson([0.25, 0.75] * 20).high == pytest.approx(wilson([0, 1] * 20).high)


@pytest.mark.parametrize("correct", [[], [1.5, 0], [[1, 0]], [np.nan, 1]])
def test_what_is_no_share_is_refused(correct: list[float]) -> None:
    with pytest.raises(RequestError, match=r"give a share in \[0, 1\]"):
        wilson(correct)


def test_overlapping_folds_count_as_fewer_images() -> None:
    assert wilson([1, 0, 1, 1] * 20, overlap=2).low == pytest.approx(wilson([1, 0, 1, 1] * 10).low)
