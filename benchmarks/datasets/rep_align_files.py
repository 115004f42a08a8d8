"""Reading and writing the data folder of rep_align (gpogoncheff/rep_align): images, and the voxels of some areas.

    <folder>/<split>/brain_activities/<ROI>.npy           (image, voxel) float
    <folder>/<split>/preprocessed/img_paths.npy           (image,) text, the image of each row
    <folder>/images/                                      where images lie that are not where their paths say

rep_align has the splits `train` and `val`. Its paths are absolute, so a folder that was moved or sent to someone finds
its images by their file names.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alignment.errors import DataError, RequestError, unknown
from alignment.whole_files import whole_file
from benchmarks.datasets.npy_files import read_array

NAME = "rep_align"
TRAIN, VALIDATION = "train", "val"
RESPONSES = "brain_activities"
PATHS = Path("preprocessed") / "img_paths.npy"
IMAGES = "images"
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RepAlignSplit(NamedTuple):
    """One split of a folder.

    Attributes
    ----------
    images : file of each row
    responses : (image, voxel) float, the areas side by side
    rois : area of each voxel
    """

    images: tuple[Path, ...]
    responses: np.ndarray
    rois: tuple[str, ...]


def read_rep_align(
    folder: Path, split: str, rois: Sequence[str] | None = None, *, images: Path | None = None
) -> RepAlignSplit:
    """One split of rep_align's folder.

    Parameters
    ----------
    folder : holds `<split>/brain_activities` and `<split>/preprocessed`
    split : `train` or `val`
    rois : areas, put side by side in this order; all that are there, sorted, when not given
    images : where an image that is not at its path is looked for, by its file name; `<folder>/images` when not given

    Raises
    ------
    RequestError
        No such area, or one is asked for twice.
    DataError
        A file is missing or damaged, the rows of two differ in number, or an image is not found.
    """
    place = folder / split / RESPONSES
    known = sorted(path.stem for path in place.glob("*.npy"))
    if not known:
        raise DataError(f"{place}: no <ROI>.npy in it; name the folder that holds {split}/{RESPONSES}/<ROI>.npy")
    chosen = tuple(known if rois is None else rois)
    for roi in chosen:
        if roi not in known:
            raise unknown(f"ROI in {place}", roi, known)
    if len(set(chosen)) < len(chosen) or not chosen:
        raise RequestError(f"{place}: ROIs are {', '.join(chosen) or 'none'}; name each once, and at least one")
    parts = [read_array(place / f"{roi}.npy", dims=("image", "voxel")) for roi in chosen]
    paths = _read_paths(folder / split / PATHS)
    for roi, part in zip(chosen, parts, strict=True):
        if len(part) != len(paths):
            raise DataError(f"{place / roi}.npy: {len(part)} rows, and {PATHS.name} has {len(paths)}; give one to each")
    return RepAlignSplit(
        _found(paths, folder / IMAGES if images is None else images, where=folder / split / PATHS),
        np.hstack(parts),
        tuple(roi for roi, part in zip(chosen, parts, strict=True) for _ in range(part.shape[1])),
    )


def write_rep_align(
    folder: Path, split: str, *, images: Sequence[Path], responses: Mapping[str, np.ndarray]
) -> tuple[Path, ...]:
    """One split as rep_align reads it.

    Parameters
    ----------
    folder : made where it is missing
    split : `train` or `val`
    images : file of each row; written as absolute paths
    responses : area -> (image, voxel) real numbers

    Returns
    -------
    The files that were written; areas that are there already under other names stay

    Raises
    ------
    RequestError
        A name cannot be that of a file, there is no area, or rows and images differ in number.
    DataError
        A file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = Path(folder) / "one.png"
    ...     _ = image.write_bytes(b"")
    ...     _ = write_rep_align(Path(folder), "val", images=[image], responses={"V4": np.ones((1, 2))})
    ...     read_rep_align(Path(folder), "val").rois
    ('V4', 'V4')
    """
    for name in (split, *responses):
        if not PLAIN.fullmatch(name):
            raise RequestError(f"{NAME}: {name!r} cannot name a file; use letters, digits, '.', '_' and '-'")
    if not responses or not len(images):
        raise RequestError(f"{NAME}: {len(images)} images and {len(responses)} areas to write; give some of each")
    for roi, values in responses.items():
        if values.ndim != 2 or len(values) != len(images) or values.dtype.kind not in "fiu":
            raise RequestError(
                f"{NAME}: responses of {roi} are {values.dtype} {values.shape}, expected ({len(images)} images, voxel) "
                "real numbers"
            )
    written = {folder / split / RESPONSES / f"{roi}.npy": values for roi, values in responses.items()}
    written[folder / split / PATHS] = np.array([str(Path(image).absolute()) for image in images])
    for path, array in written.items():
        with whole_file(path) as partial, partial.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    return tuple(written)


def _read_paths(path: Path) -> list[str]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "truncated, pickled or not npy"
        raise DataError(f"{path}: cannot read the paths ({reason}); replace the file") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "U" or array.ndim != 1 or not array.size:
        raise DataError(f"{path}: expected one npy array (image,) of text; save np.array([path, ...])")
    return [str(each) for each in array]


def _found(paths: Sequence[str], images: Path, *, where: Path) -> tuple[Path, ...]:
    """Each path where it is a file, else the file of its name in `images`."""
    missing = {text: images / _file_name(text) for text in dict.fromkeys(paths) if not Path(text).is_file()}
    absent = [text for text, path in missing.items() if not path.is_file()]
    if absent:
        raise DataError(
            f"{where}: no image {absent[0]} ({len(absent)} such), and no {_file_name(absent[0])} in {images}; put the "
            "images there"
        )
    shared = [path.name for path, count in Counter(missing.values()).items() if count > 1]
    if shared:
        raise DataError(
            f"{where}: images of different folders are called {shared[0]} ({len(shared)} such names), so a name does "
            "not say which is meant; put the images back where their paths say"
        )
    return tuple(missing.get(text, Path(text)) for text in paths)


def _file_name(path: str) -> str:
    """The last part of a path, with the separators of any system."""
    return re.split(r"[\\/]", path)[-1]
