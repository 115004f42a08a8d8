"""Whether sorting names by their letters puts them in the order of the numbers in them."""

import re
from collections.abc import Iterable


def out_of_order(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names of which the first comes before the second by letters, and after it by number; None where none do.

    Parameters
    ----------
    names : in any order

    Examples
    --------
    >>> out_of_order(["image2", "image10"]), out_of_order(["image02", "image10"])
    (('image10', 'image2'), None)
    """
    lettered = sorted(names)
    counted = sorted(lettered, key=_by_number)
    return next((pair for pair in zip(lettered, counted, strict=True) if pair[0] != pair[1]), None)


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
