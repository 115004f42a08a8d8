"""RDMs where they enter: SciPy's order of pairs, selections, and every fault in one line."""

import numpy as np
import pytest
from scipy.spatial.distance import squareform

from alignment.errors import DataError
from alignment.rsa import RDMs
from alignment.rsa.rdms import pair_positions

IDS = tuple("abcdef")


def vectors(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((count, 15))


def test_pairs_are_in_the_order_of_scipy() -> None:
    rdms = RDMs(vectors(), IDS)
    for row, square in zip(rdms.dissimilarities, rdms.squares(), strict=True):
        np.testing.assert_array_equal(square, squareform(row))
    again = RDMs.from_squares(rdms.squares(), stimuli=IDS)
    np.testing.assert_array_equal(again.dissimilarities, rdms.dissimilarities)
    first, second = np.array([5, 1, 0]), np.array([2, 3, 1])
    places = pair_positions(first, second, count=6)
    np.testing.assert_array_equal(rdms.dissimilarities[:, places], rdms.squares()[:, first, second])


def test_a_selection_is_that_of_rows_and_columns() -> None:
    rdms = RDMs(vectors(), IDS, distance="1-pearson", subjects=("x", "y", "z"), sessions=("1", "1", "2"))
    chosen = rdms.select("eac").take([2, 0])
    order = [4, 0, 2]
    np.testing.assert_array_equal(chosen.squares(), rdms.squares()[[2, 0]][:, order][:, :, order])
    assert (chosen.subjects, chosen.sessions, chosen.distance) == (("z", "x"), ("2", "1"), "1-pearson")


def broken(at: tuple[int, ...], value: float) -> np.ndarray:
    values = vectors()
    values[at] = value
    return values


def lopsided(value: float) -> np.ndarray:
    square = squareform(vectors()[0])
    square[1, 4] = value
    return square


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RDMs(np.ones((1, 1)), ("a", "b")), "2 stimuli; at least 3"),
        (lambda: RDMs(vectors(), (*"abcde", "a")), "'a' is there twice"),
        (lambda: RDMs(vectors()[:, :14], IDS), r"expected float \(rdm, 15 pairs\)"),
        (lambda: RDMs(vectors()[:0], IDS), "none"),
        (lambda: RDMs(vectors(), IDS, subjects=("x",)), "1 subjects for 3 RDMs"),
        (lambda: RDMs(broken((1, 3), np.inf), IDS), "infinite"),
        (lambda: RDMs(broken((1,), np.nan), IDS), "every entry of subject2 is NaN"),
        (lambda: RDMs(broken((2, 3), np.nan), IDS), "NaN in other places in subject3 than in subject1"),
        (lambda: RDMs.from_squares(lopsided(9.0), stimuli=IDS), "not symmetric: 9 from 'b' to 'e'"),
        (lambda: RDMs.from_squares(lopsided(np.nan), stimuli=IDS), "not symmetric"),
        (lambda: RDMs.from_squares(lopsided(np.inf), stimuli=IDS), "infinite"),
        (lambda: RDMs.from_squares(np.ones((4, 5)), stimuli=IDS), "stimulus, stimulus"),
        (lambda: RDMs(vectors(), IDS).select(["a", "b", "z"]), "no stimulus 'z'"),
    ],
)
def test_faults_are_one_line(make, message) -> None:
    with pytest.raises(DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
