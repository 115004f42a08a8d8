"""Files and folders in the making: a name of their own beside the target, a rename at the end, and a sweep.

A process that is killed leaves what it was making; the name ends in `.partial`, so that it can be told and removed.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"
DAY_SECONDS = 24 * 3600
# the cache itself and the folder of each data set in it; simulated trees lie deeper and are whole
WHERE = (f"*{SUFFIX}", f"*/*{SUFFIX}")


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """An empty file beside `target`, to be written and renamed to it; removed where it was not renamed.

    Parameters
    ----------
    target : its folder is made where it is missing
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=f".{target.name}.", suffix=SUFFIX, delete=False
    ) as created:
        place = Path(created.name)
    try:
        yield place
    finally:
        place.unlink(missing_ok=True)


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` whose contents are renamed when they are whole; removed on every way out.

    Parameters
    ----------
    target : its parent is made where it is missing
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=SUFFIX))
    try:
        yield place
    finally:
        shutil.rmtree(place)


def sweep_partials(cache: Path) -> tuple[Path, ...]:
    """Remove what killed processes left in the making, files and folders, where nothing of it changed for a day.

    Parameters
    ----------
    cache : the folder of downloads and caches; nothing happens where there is none

    Returns
    -------
    What was removed; another user's files, which cannot be removed, stay
    """
    found = sorted({path for pattern in WHERE for path in cache.glob(pattern)})
    swept = []
    for path in found:
        try:
            if time.time() - _last_change(path) < DAY_SECONDS:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except (FileNotFoundError, PermissionError):
            # another process swept it first, or it belongs to somebody else
            continue
        swept.append(path)
    return tuple(swept)


def _last_change(path: Path) -> float:
    """Seconds since the epoch; of a folder, the latest of all that is in it."""
    return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
