"""One place for everything computed: content keys, whole files or none.

An entry is written under a temporary name, flushed to disk and renamed, so a `kill -9` at any moment leaves no
half file under a final name. Entries are immutable: the key is a hash of all that enters the content, so writing one
twice is harmless.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import xarray as xr

from alignment.errors import DataError

STALE_SECONDS = 24 * 3600


class Store:
    """Entries by key under one folder, which is made at the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str, *, suffix: str = ".nc") -> Path:
        """Where an entry lies, whether or not it exists."""
        return self.root / key[:2] / f"{key}{suffix}"

    def has(self, key: str, *, suffix: str = ".nc") -> bool:
        """Whether the entry is there, whole."""
        return self.path(key, suffix=suffix).is_file()

    def put(self, key: str, data: bytes | memoryview, *, suffix: str = ".nc") -> Path:
        """Write an entry, all of it or nothing."""
        return write_whole(self.path(key, suffix=suffix), data)

    def read(self, key: str, *, suffix: str = ".nc") -> bytes:
        """The bytes of an entry."""
        return self.path(key, suffix=suffix).read_bytes()

    def put_dataset(self, key: str, dataset: xr.Dataset) -> Path:
        """Write a Dataset as netCDF."""
        return self.put(key, dataset.to_netcdf(engine="h5netcdf"))

    @contextlib.contextmanager
    def dataset(self, key: str) -> Iterator[xr.Dataset]:
        """A lazily read Dataset, closed on leaving.

        Raises
        ------
        DataError
            The entry cannot be read; it says which file to delete.
        """
        path = self.path(key)
        with reading(path), xr.open_dataset(path, engine="h5netcdf") as opened:
            yield opened


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say which entry is damaged where reading it fails, be it on opening or later.

    Raises
    ------
    DataError
        The entry cannot be read; it says which file to delete.
    """
    try:
        yield
    # HDF5 raises any of these on a damaged file
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"store entry {path} cannot be read ({reason}); delete it to recompute it") from None


def write_whole(path: Path, data: bytes | memoryview, *, exclusive: bool = False) -> Path:
    """Write a file under a temporary name beside it, flush it to disk, then give it its name.

    With `exclusive` the first writer wins and a later one changes nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            with contextlib.suppress(FileExistsError):
                os.link(partial, path)
        else:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _flush_folder(path.parent)
    return path


def sweep(root: Path) -> int:
    """Remove partial files a killed process left more than a day ago; returns how many."""
    return sum(_sweep_one(path) for path in root.rglob(".*.partial"))


def _sweep_one(path: Path) -> bool:
    try:
        if time.time() - path.stat().st_mtime <= STALE_SECONDS:
            return False
        path.unlink()
    except FileNotFoundError:
        # whoever was writing it has given it its name
        return False
    return True


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
