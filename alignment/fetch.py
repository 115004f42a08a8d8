"""Downloads that get their name only after their checksum holds.

A file is written under a temporary name in its folder, checked, then renamed: an interrupted transfer never leaves a
half file under the final name. A file that is already there is checked and returned without any network.
"""

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch

from alignment import fingerprint
from alignment.errors import DataError, RequestError

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30
NOT_THERE = 404
RECORD_SUFFIX = ".sha256"


class NotUpstreamError(DataError):
    """The server answers, and has no such file."""


def fetch(url: str, *, sha256: str, folder: Path, name: str | None = None) -> Path:
    """A file of known checksum, downloaded unless it is already there.

    Parameters
    ----------
    url : http or https address
    sha256 : 64 hexadecimal digits
    folder : where the file goes; made where it is missing; nothing is written outside it
    name : file name in `folder`; the last part of the address when not given

    Returns
    -------
    Path of the file, whose sha256 is the one asked for

    Raises
    ------
    RequestError
        The name has separators or dots only, the address is not http(s), or `sha256` is not a checksum.
    DataError
        The file there, or the one received, has another checksum; there is no network; the folder cannot be written.
    """
    target = _target(url, folder, name)
    expected = sha256.lower()
    if len(expected) != 64 or set(expected) - set("0123456789abcdef"):
        raise RequestError(f"sha256 of {target.name} is {sha256!r}, expected 64 hexadecimal digits")
    if target.exists():
        return check_file(target, sha256=expected)
    return _download(url, target, sha256=expected)


def fetch_recorded(url: str, *, folder: Path, name: str | None = None) -> Path:
    """A file whose checksum nobody published: recorded when first downloaded, checked ever after.

    The record is `<name>.sha256` beside the file. The first transfer is trusted, so the address should name a fixed
    version (a commit, not a branch). A file put there by hand, without a record, is returned as it is.

    Parameters
    ----------
    url, folder, name : as for `fetch`

    Returns
    -------
    Path of the file

    Raises
    ------
    RequestError, DataError
        As for `fetch`; the checksum is the recorded one.
    """
    target = _target(url, folder, name)
    record = target.with_name(target.name + RECORD_SUFFIX)
    expected = _recorded(record)
    if target.exists():
        return target if expected is None else check_file(target, sha256=expected)
    return _download(url, target, sha256=expected, record=record)


def check_file(path: Path, *, sha256: str) -> Path:
    """Return `path` if its bytes have this checksum.

    Raises
    ------
    DataError
        They have not; both checksums are named.
    """
    try:
        found = fingerprint.of_file(path)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check the file and its permissions") from None
    if found != sha256.lower():
        raise DataError(f"{path}: sha256 is {found}, expected {sha256}; delete it and fetch it again")
    return path


def _target(url: str, folder: Path, name: str | None) -> Path:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise RequestError(f"cannot download {url!r}: not an http or https address")
    chosen = unquote(parts.path.rpartition("/")[2]) if name is None else name
    if not chosen or chosen in (".", "..") or set(chosen) & set("/\\\0"):
        raise RequestError(f"cannot download {url!r} as {chosen!r}: a file name without separators is needed")
    return Path(folder) / chosen


def _recorded(record: Path) -> str | None:
    if not record.exists():
        return None
    words = record.read_text(encoding="ascii", errors="replace").split()
    if not words or len(words[0]) != 64:
        raise DataError(f"{record}: no sha256 in it; delete it and the file beside it, and fetch again")
    return words[0].lower()


def _download(url: str, target: Path, *, sha256: str | None, record: Path | None = None) -> Path:
    """Transfer to a temporary name, check, record, rename; the temporary file is removed on every way out."""
    made = [folder for folder in target.parents if not folder.exists()]
    temporary = _temporary(target)
    try:
        _transfer(url, temporary, target)
        found = fingerprint.of_file(temporary)
        if sha256 is not None and found != sha256:
            raise DataError(f"{url}: received sha256 {found}, expected {sha256}; nothing was kept, try again later")
        if record is not None and sha256 is None:
            _write_record(record, f"{found}  {target.name}\n")
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        _remove_empty(made)
    return target


def _remove_empty(folders: Sequence[Path]) -> None:
    """Folders, innermost first, as far as nothing lies in them."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _transfer(url: str, temporary: Path, target: Path) -> None:
    downloader = pooch.HTTPDownloader(chunk_size=CHUNK_BYTES, timeout=TIMEOUT_SECONDS)
    try:
        downloader(url, str(temporary), None)
    # every failure of the transport, and a full disk, is an OSError
    except OSError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == NOT_THERE:
            raise NotUpstreamError(f"cannot download {url} (HTTP 404, not there); put the file at {target}") from None
        reason = f"HTTP {status}" if status else error.strerror or _broken_off(error) or "no network?"
        raise DataError(f"cannot download {url} ({reason}); put the file at {target}") from None


def _broken_off(error: OSError) -> str:
    return "the transfer broke off" if type(error).__name__ == "ChunkedEncodingError" else ""


def _temporary(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise DataError(f"cannot write in {target.parent} ({error.strerror}); name another folder") from None
    os.close(handle)
    return Path(name)


def _write_record(record: Path, text: str) -> None:
    temporary = _temporary(record)
    try:
        temporary.write_text(text, encoding="ascii")
        temporary.chmod(0o644)
        temporary.replace(record)
    finally:
        temporary.unlink(missing_ok=True)
