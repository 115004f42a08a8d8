"""Names of classes, and their order, which is that of a network's logits."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from alignment.errors import DataError
from benchmarks.datasets.name_order import out_of_order

FILE = "classes.txt"


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in a text file, one a line, in the order of a network's logits.

    Raises
    ------
    DataError
        The file cannot be read, a line is blank, or as `check_class_names`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the class names ({error}); write one a line, as UTF-8") from None
    names = tuple(line.strip() for line in lines)
    if "" in names:
        raise DataError(f"{path}: line {names.index('') + 1} is blank; write one class name a line")
    check_class_names(names, where=str(path))
    return names


def check_class_names(names: Sequence[str], *, where: str) -> None:
    """Whether there are two classes or more, each of another name.

    Raises
    ------
    DataError
        There are not; the message begins with `where`.
    """
    if len(names) < 2:
        raise DataError(f"{where}: {len(names)} classes; at least 2 are needed to tell apart")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(f"{where}: class {name!r} is there {count} times; give each class a name of its own")


def classes_of_labels(labels: Sequence[str], *, where: str) -> tuple[str, ...]:
    """The labels that occur, sorted as text, as torchvision sorts the folders of classes.

    Raises
    ------
    DataError
        Numbers would come in another order (10 before 2), so that the order must be said; the message begins with
        `where`, which names the place to say it.

    Examples
    --------
    >>> classes_of_labels(["dog", "cat", "dog"], where="mine")
    ('cat', 'dog')
    """
    names = sorted(set(labels))
    pair = out_of_order(names)
    if pair:
        raise DataError(
            f"{where}: not given, and class {pair[0]!r} comes before {pair[1]!r} by name but not by number; "
            "list the classes in the order of the network's logits"
        )
    return tuple(names)
