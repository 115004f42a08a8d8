"""Image files as arrays of pixels, decoded one at a time and only in ways that leave no choice open."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from alignment.errors import DataError, near_misses

EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def decode(file: Path | BinaryIO, *, name: str) -> np.ndarray:
    """Pixels of one image file.

    Parameters
    ----------
    file : a path, or an open binary file
    name : what errors call it

    Returns
    -------
    (row, column, 3) uint8, RGB

    Raises
    ------
    DataError
        The file is damaged or no image, has more than 8 bits a channel, or is see-through somewhere.
    """
    try:
        with Image.open(file) as image:
            if image.mode not in EIGHT_BIT:
                raise DataError(f"{name}: {image.mode} image; save it with 8 bits a channel, as it was shown")
            if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                raise DataError(f"{name}: image is see-through; flatten it on the background it was shown on")
            # a copy, for Pillow's own pixels are read-only and torch warns of those
            return np.array(image.convert("RGB"))
    # Pillow's decoders raise any of these on damaged files
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: cannot decode the image ({str(error).splitlines()[0]}); replace the file") from None


class ImageFolder:
    """The image files of one folder, found by file name or by stem.

    Parameters
    ----------
    folder : holds the image files themselves; sub-folders and hidden files are not looked at

    Raises
    ------
    DataError
        There is no such folder, or no image in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; put the images there, one file per stimulus")
        Image.init()
        known = Image.registered_extensions()
        self.files: Mapping[str, Path] = {
            path.name: path
            for path in sorted(folder.iterdir())
            if path.is_file() and not path.name.startswith(".") and path.suffix.lower() in known
        }
        if not self.files:
            raise DataError(f"{folder}: no image in it; put png or jpg files there, one per stimulus")
        self._stems: dict[str, list[str]] = {}
        for name, path in self.files.items():
            self._stems.setdefault(path.stem, []).append(name)

    def resolve(self, stimulus: str) -> str:
        """The file name meant by a file name or a stem.

        Raises
        ------
        DataError
            No such image (with near misses), or several files share the stem.
        """
        if stimulus in self.files:
            return stimulus
        names = self._stems.get(stimulus, [])
        if len(names) > 1:
            raise DataError(f"stimulus {stimulus!r}: {' and '.join(names)} are in {self.folder}; give the file name")
        if not names:
            hint = near_misses(stimulus, [*self.files, *self._stems])
            raise DataError(f"stimulus {stimulus!r}: no image of that name in {self.folder}{hint}")
        return names[0]

    def read(self, name: str) -> np.ndarray:
        """(row, column, 3) uint8 of the image with this file name."""
        return decode(self.files[name], name=str(self.files[name]))
