"""Parts of a labelled data set."""

import numpy as np
import pytest

from alignment.errors import RequestError
from benchmarks.datasets.subsets import asked_subset, spread_subset

LABEL_OF = {f"{label}{number}": label for label, count in (("a", 30), ("b", 30), ("c", 3)) for number in range(count)}


def counts(chosen: tuple[str, ...]) -> list[int]:
    return [sum(stimulus[0] == label for stimulus in chosen) for label in "abc"]


def test_as_many_of_each_class_until_one_has_no_more() -> None:
    assert counts(spread_subset(LABEL_OF, n=9, name="mine")) == [3, 3, 3]
    assert counts(spread_subset(LABEL_OF, n=23, name="mine")) == [10, 10, 3]
    seven = counts(spread_subset(LABEL_OF, n=7, name="mine"))
    assert sorted(seven) == [2, 2, 3]
    assert spread_subset(LABEL_OF, n=len(LABEL_OF), name="mine") == tuple(LABEL_OF)


def test_a_smaller_subset_is_part_of_a_larger_one_and_no_order_matters() -> None:
    shuffled = {name: LABEL_OF[name] for name in np.random.default_rng(0).permutation(list(LABEL_OF)).tolist()}
    smaller: set[str] = set()
    for n in range(1, len(LABEL_OF) + 1):
        larger = spread_subset(LABEL_OF, n=n, name="mine")
        assert len(larger) == n
        assert smaller < set(larger)
        assert set(spread_subset(shuffled, n=n, name="mine")) == set(larger)
        smaller = set(larger)


def test_which_images_are_taken_depends_on_the_data_set_and_is_spread_within_a_class() -> None:
    mine, other = (spread_subset(LABEL_OF, n=30, name=name) for name in ("mine", "other"))
    assert mine != other
    places = [int(stimulus[1:]) for stimulus in mine if stimulus[0] == "a"]
    assert max(places) > 20


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ten", "", "٣", "1e3", "9999999999"])
def test_what_is_no_number_of_images(text: str) -> None:
    with pytest.raises(RequestError, match=f"^data.subset={text}: give a whole number above 0, or leave it out$"):
        asked_subset({"subset": text}, at_hand=10, where="here")


def test_no_more_than_there_are() -> None:
    assert asked_subset({"subset": "10"}, at_hand=10, where="here") == 10
    with pytest.raises(RequestError, match=r"^data\.subset=11: here holds 10 images; ask for at most so many$"):
        asked_subset({"subset": "11"}, at_hand=10, where="here")
