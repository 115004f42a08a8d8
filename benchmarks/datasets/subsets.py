"""A part of a labelled data set: how many images were asked for, and which these are."""

from collections.abc import Mapping

from alignment import seeds
from alignment.errors import RequestError

OPTION = "subset"
# Which images a subset holds is part of the data set, so the root is fixed and never the seed of a run.
ROOT = 0
DIGITS = 10


def asked_subset(options: Mapping[str, str], *, at_hand: int, where: str) -> int:
    """How many images `data.subset` asks for; all that are at hand where it was not given.

    Parameters
    ----------
    options : what the user asked of the data set, as typed
    at_hand : how many images there are
    where : what a message calls the place that holds them

    Raises
    ------
    RequestError
        It is no whole number above 0, or more than there are.

    Examples
    --------
    >>> asked_subset({"subset": "200"}, at_hand=1000, where="cifar10"), asked_subset({}, at_hand=1000, where="cifar10")
    (200, 1000)
    """
    text = options.get(OPTION)
    if text is None:
        return at_hand
    if not (text.isascii() and text.isdecimal() and len(text) < DIGITS) or int(text) < 1:
        raise RequestError(f"data.{OPTION}={text}: give a whole number above 0, or leave it out")
    if int(text) > at_hand:
        raise RequestError(f"data.{OPTION}={text}: {where} holds {at_hand} images; ask for at most so many")
    return int(text)


def spread_subset(label_of: Mapping[str, str], *, n: int, name: str) -> tuple[str, ...]:
    """The same n images every time, as many of each class as of any other, to within one.

    Images are ranked within their class by a hash of (name, id); those of rank 0 come first, then those of rank 1, and
    so on, each rank in the order of the hash. A smaller subset is therefore part of a larger one.

    Parameters
    ----------
    label_of : class of each id
    n : at most as many as there are ids
    name : of the data set; another name gives another subset

    Returns
    -------
    n ids, in the order of `label_of`

    Examples
    --------
    >>> chosen = spread_subset({"a1": "a", "a2": "a", "a3": "a", "b1": "b"}, n=2, name="mine")
    >>> sorted(stimulus[0] for stimulus in chosen)
    ['a', 'b']
    """
    hashed = {stimulus: seeds.derive(ROOT, "subset", name, stimulus) for stimulus in label_of}
    ranks: dict[str, int] = {}
    ranked: list[tuple[int, int, str]] = []
    for stimulus in sorted(label_of, key=lambda each: (hashed[each], each)):
        rank = ranks.get(label_of[stimulus], 0)
        ranks[label_of[stimulus]] = rank + 1
        ranked.append((rank, hashed[stimulus], stimulus))
    chosen = {stimulus for _, _, stimulus in sorted(ranked)[:n]}
    return tuple(stimulus for stimulus in label_of if stimulus in chosen)


def subset_marks(taken: int, *, of: int) -> tuple[str, ...]:
    """What an id says of a subset: nothing where it is the whole of the `of` images.

    Examples
    --------
    >>> subset_marks(200, of=10_000), subset_marks(10_000, of=10_000)
    (('subset=200',), ())
    """
    return (f"{OPTION}={taken}",) if taken < of else ()
