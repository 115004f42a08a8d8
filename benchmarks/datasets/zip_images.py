"""Numbered images inside a zip."""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from alignment.errors import DataError
from benchmarks.datasets.image_files import decode


class ZipImages:
    """Numbered images inside a zip, under any folder prefix, decoded one at a time; nothing is extracted.

    Parameters
    ----------
    path : the zip; entries such as `image0001.jpg` or `images_201025/image0001.jpg`

    Raises
    ------
    DataError
        The zip is damaged, holds no numbered image, or a number is missing or there twice.
    """

    _ENTRY = re.compile(r"\D*(\d+)\.(?:jpe?g|png)", re.IGNORECASE)

    def __init__(self, path: Path) -> None:
        self.path = path
        numbered: dict[int, str] = {}
        for entry in self._archive.namelist():
            place = PurePosixPath(entry)
            match = self._ENTRY.fullmatch(place.name)
            # archives made on a Mac carry a shadow of each file
            if match is None or place.name.startswith("._") or "__MACOSX" in place.parts:
                continue
            number = int(match[1])
            if number in numbered:
                raise DataError(f"{path}: image {number} is there twice ({numbered[number]}, {entry}); replace the zip")
            numbered[number] = entry
        if not numbered:
            raise DataError(f"{path}: no numbered image in it, such as image0001.jpg; replace the zip")
        gaps = set(range(min(numbered), max(numbered) + 1)) - set(numbered)
        if gaps:
            raise DataError(f"{path}: image {min(gaps)} is missing ({len(gaps)} are); replace the zip")
        self.entries: Mapping[str, str] = {PurePosixPath(numbered[n]).stem: numbered[n] for n in sorted(numbered)}

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        # The few megabytes of compressed images are held: an open file's position would be shared by forked workers.
        try:
            return zipfile.ZipFile(io.BytesIO(self.path.read_bytes()))
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path}: cannot read the zip ({error}); replace the file") from None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_archive"}

    def read(self, stimulus: str) -> np.ndarray:
        """(row, column, 3) uint8 of the image with this id."""
        name = f"{self.path}: {self.entries[stimulus]}"
        try:
            encoded = self._archive.read(self.entries[stimulus])
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{name}: cannot read the entry ({error}); replace the zip") from None
        return decode(io.BytesIO(encoded), name=name)
