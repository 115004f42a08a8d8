"""Errors a user can act on; each message is one line: what, where, what to do.

AlignmentError
├── RequestError   the request names something that does not exist or cannot be (the command exits with 2)
└── DataError      a file, a download or the environment is not as needed        (the command exits with 3)
"""

import difflib
from collections.abc import Iterable


class AlignmentError(Exception):
    """Base of every error this project raises on purpose."""


class RequestError(AlignmentError):
    """The request cannot be met as it was written."""


class DataError(AlignmentError):
    """A file, a download or the environment is not as it must be."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """`; did you mean a, b?`, or an empty string when nothing is close.

    Examples
    --------
    >>> near_misses("resnet81", ["resnet18", "alexnet"])
    '; did you mean resnet18?'
    """
    close = difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.6)
    return f"; did you mean {', '.join(close)}?" if close else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> RequestError:
    """The error for a name that is not known, with its near misses, or with the choices when these are few."""
    names = sorted(set(known))
    hint = near_misses(name, names)
    if not hint and 0 < len(names) <= 12:
        hint = f"; known: {', '.join(names)}"
    return RequestError(f"unknown {kind} {name!r}{hint}")
