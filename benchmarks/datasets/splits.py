"""Splits that belong to a data set: the same whatever the order of its stimuli, the machine or the seed of a run."""

from collections import Counter
from collections.abc import Sequence

from alignment import fingerprint, seeds
from alignment.errors import DataError
from benchmarks.datasets.base import Split

# The folds are part of the data set, so their root is fixed and never the seed of a run.
ROOT = 0
MIN_PER_FOLD = 3


def k_folds(ids: Sequence[str], *, n: int, name: str) -> tuple[Split, ...]:
    """Cut stimuli into n folds of equal size (to within one); each fold is the test set once.

    Stimuli are ranked by a hash of (name, id), and rank i goes to fold i mod n.

    Parameters
    ----------
    ids : unique stimulus ids, in any order
    n : number of folds, at least 2
    name : of the data set; another name gives other folds

    Returns
    -------
    One Split per fold, "fold0" and so on, ids sorted

    Raises
    ------
    DataError
        Ids repeat, or there are fewer than 3 stimuli per fold (r needs three).

    Examples
    --------
    >>> folds = k_folds([str(i) for i in range(10)], n=2, name="mine")
    >>> [len(fold.test) for fold in folds]
    [5, 5]
    """
    if len(set(ids)) != len(ids):
        raise DataError(f"{name}: stimulus ids are not unique; give every stimulus its own id")
    if n < 2 or len(ids) < MIN_PER_FOLD * n:
        raise DataError(f"{name}: {len(ids)} stimuli are too few for {n} folds; at least {MIN_PER_FOLD * n} are needed")
    ranked = sorted(ids, key=lambda stimulus: (seeds.derive(ROOT, "fold", name, stimulus), stimulus))
    return by_label({stimulus: f"fold{rank % n}" for rank, stimulus in enumerate(ranked)})


def by_label(fold_of: dict[str, str]) -> tuple[Split, ...]:
    """One Split per fold label, in sorted order of the labels; its stimuli are the test set, all others train."""
    ids = sorted(fold_of)
    return tuple(
        Split(
            label,
            train=tuple(stimulus for stimulus in ids if fold_of[stimulus] != label),
            test=tuple(stimulus for stimulus in ids if fold_of[stimulus] == label),
        )
        for label in sorted(set(fold_of.values()))
    )


def restrict(splits: Sequence[Split], ids: Sequence[str], *, name: str) -> tuple[Split, ...]:
    """The same splits with only the stimuli a subject saw.

    Raises
    ------
    DataError
        A split is left with fewer than 3 stimuli to fit or to judge on.
    """
    seen = set(ids)
    kept = []
    for split in splits:
        train = tuple(stimulus for stimulus in split.train if stimulus in seen)
        test = tuple(stimulus for stimulus in split.test if stimulus in seen)
        if min(len(train), len(test)) < MIN_PER_FOLD:
            raise DataError(
                f"{name}: split {split.name!r} has {len(train)} train and {len(test)} test stimuli; each needs at "
                f"least {MIN_PER_FOLD}, so give splits.csv (or splits=) with enough stimuli of every subject"
            )
        kept.append(Split(split.name, train=train, test=test))
    return tuple(kept)


def check_splits(splits: Sequence[Split], *, ids: Sequence[str], name: str) -> tuple[Split, ...]:
    """Refuse splits whose scores would be inflated, overwritten or undefined.

    Parameters
    ----------
    splits : of one subject
    ids : the stimuli there are responses to
    name : of the data set, for messages

    Returns
    -------
    The splits, unchanged

    Raises
    ------
    DataError
        There is no split, or two of one name; an id is repeated or unknown; a stimulus is both fitted and judged on in
        a split, or judged on in two; fewer than 3 stimuli are fitted or judged on.

    Examples
    --------
    >>> leaking = Split("all", train=("a", "b", "c"), test=("a", "b", "c"))
    >>> check_splits([leaking], ids=["a", "b", "c"], name="mine")
    Traceback (most recent call last):
    ...
    alignment.errors.DataError: mine: split 'all' has 'a' in train and test (3 such); put each stimulus in one of them
    """
    if not splits:
        raise DataError(f"{name}: no splits; give at least one, with stimuli to fit and to judge on")
    known, judged_in = set(ids), dict[str, str]()
    for split in splits:
        _check_split(split, known=known, name=f"{name}: split {split.name!r}")
        again = sorted(judged_in.keys() & set(split.test))
        if split.name in judged_in.values():
            raise DataError(f"{name}: two splits are called {split.name!r}; give each a name of its own")
        if again:
            raise DataError(
                f"{name}: {again[0]!r} is judged on in splits {judged_in[again[0]]!r} and {split.name!r} "
                f"({len(again)} such); let test sets be disjoint"
            )
        judged_in |= dict.fromkeys(split.test, split.name)
    return tuple(splits)


def _check_split(split: Split, *, known: set[str], name: str) -> None:
    for part, members in (("train", split.train), ("test", split.test)):
        repeated = sorted(stimulus for stimulus, count in Counter(members).items() if count > 1)
        if repeated:
            raise DataError(f"{name} has {repeated[0]!r} more than once in {part}; list each stimulus once")
        strange = sorted(set(members) - known)
        if strange:
            raise DataError(
                f"{name} has {strange[0]!r} in {part}, to which there are no responses ({len(strange)} such); "
                "leave such stimuli out"
            )
    both = sorted(set(split.train) & set(split.test))
    if both:
        raise DataError(
            f"{name} has {both[0]!r} in train and test ({len(both)} such); put each stimulus in one of them"
        )
    if min(len(split.train), len(split.test)) < MIN_PER_FOLD:
        raise DataError(
            f"{name} has {len(split.train)} train and {len(split.test)} test stimuli; each needs at least "
            f"{MIN_PER_FOLD}"
        )


def judged_stimuli(splits: Sequence[Split]) -> tuple[str, ...]:
    """Every stimulus that some split judges on, sorted."""
    return tuple(sorted({stimulus for split in splits for stimulus in split.test}))


def digest(splits: Sequence[Split]) -> str:
    """Hash of names and members of splits."""
    return fingerprint.of_settings([[split.name, split.train, split.test] for split in splits])
