"""Fingerprints: a hash of content, so that a name is never a key."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DIGEST_CHARACTERS = 32


def of_parts(*parts: str | bytes) -> str:
    """Hash of a sequence of texts or bytes; where one ends and the next begins matters.

    Examples
    --------
    >>> of_parts("ab", "c") == of_parts("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:DIGEST_CHARACTERS]


def of_array(array: np.ndarray) -> str:
    """Hash of an array's type, shape and values (strings and numbers)."""
    values = np.ascontiguousarray(array)
    if values.dtype.hasobject:
        return of_parts("object", repr(values.shape), *[str(value) for value in values.ravel()])
    return of_parts(values.dtype.str, repr(values.shape), values.view(np.uint8).tobytes() if values.size else b"")


def of_settings(settings: Mapping[str, Any] | Sequence[Any]) -> str:
    """Hash of JSON-like settings; the order of keys does not matter."""
    return of_parts(json.dumps(settings, sort_keys=True, default=str))


def of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, full length, as published checksums are written."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
