"""Where the files of a data set lie."""

from pathlib import Path

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings


def published_folder(settings: DataSettings, *, name: str) -> Path:
    """The folder that holds, or will hold, the files: the one named, or `root`/name, or `cache`/name.

    Raises
    ------
    DataError
        A folder was named and is not there.

    Examples
    --------
    >>> published_folder(DataSettings(root=Path("data")), name="mine").as_posix()
    'data/mine'
    """
    if settings.folder is None:
        return (settings.root or settings.cache) / name
    if not settings.folder.is_dir():
        raise DataError(f"{settings.folder}: no such folder; make it, and {name} is downloaded into it")
    return settings.folder


def own_folder(settings: DataSettings, *, name: str) -> Path:
    """The folder of a user's own files: the one named, or `root`/name.

    Raises
    ------
    RequestError
        There is neither.

    Examples
    --------
    >>> own_folder(DataSettings(root=Path("data")), name="folder").as_posix()
    'data/folder'
    """
    place = settings.folder or (settings.root / name if settings.root else None)
    if place is None:
        raise RequestError(f"{name}: no folder is named; add data.{name}=<your folder>")
    return place
