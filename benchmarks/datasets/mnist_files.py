"""Reading the raw files of MNIST and Fashion-MNIST with torchvision, from any of the folders they may lie in."""

import gzip
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alignment.errors import DataError
from alignment.fetch import fetch
from alignment.whole_files import whole_file
from benchmarks.datasets.sources import ImagesAndTargets

EDGE = 28
CLASSES = 10
TEST, TRAIN = "t10k", "train"
KINDS = {"images": "images-idx3-ubyte", "labels": "labels-idx1-ubyte"}


class Published(NamedTuple):
    """The four files of a set.

    Attributes
    ----------
    folder : that torchvision keeps them in, below its root
    address : where they are downloaded from, with the slash at its end
    sha256 : of each file there, by its name without `.gz`
    """

    folder: str
    address: str
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class RawFiles:
    """The files of one set in a folder, unpacked.

    Parameters
    ----------
    folder : that holds `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte` and, for training images, `train-...`
    """

    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are there, the test images first."""
        names = [file_name(part, kind) for part in (TEST, TRAIN) for kind in KINDS]
        return tuple(self.folder / name for name in names if (self.folder / name).exists())

    def test(self) -> ImagesAndTargets:
        """The test images, (image, 28, 28, 3) uint8."""
        return _coloured(self.grey(TEST))

    def train(self) -> ImagesAndTargets:
        """The training images, (image, 28, 28, 3) uint8."""
        return _coloured(self.grey(TRAIN))

    def grey(self, part: str) -> ImagesAndTargets:
        """Images of a part, (image, 28, 28) uint8, and their classes.

        Raises
        ------
        DataError
            A file is not there or damaged, or there is not one class to each image.
        """
        from torchvision.datasets.mnist import read_image_file, read_label_file

        places = {kind: self.folder / file_name(part, kind) for kind in KINDS}
        readers = {"images": read_image_file, "labels": read_label_file}
        read = {}
        for kind, place in places.items():
            try:
                read[kind] = readers[kind](str(place)).numpy()
            except OSError as error:
                raise DataError(
                    f"cannot read {place} ({error.strerror or error}); put the unpacked file there"
                ) from None
            # whichever of these torchvision and torch meet in a file that is cut short or none of its kind
            except (AssertionError, ValueError, RuntimeError, TypeError, KeyError):
                raise DataError(f"{place}: damaged, or not of this kind; replace it") from None
        images, labels = read["images"], read["labels"]
        if images.shape[1:] != (EDGE, EDGE) or not len(images) or labels.shape != images.shape[:1]:
            raise DataError(
                f"{places['images']}: images are {images.shape} and labels {labels.shape}, expected (image, {EDGE}, "
                f"{EDGE}) and a label to each; replace both files"
            )
        if labels.max() >= CLASSES:
            raise DataError(f"{places['labels']}: a label is {labels.max()}, expected 0 to {CLASSES - 1}; replace it")
        return ImagesAndTargets(images, labels.astype(np.int64))


def file_name(part: str, kind: str) -> str:
    """Of an unpacked file.

    Examples
    --------
    >>> file_name("train", "labels")
    'train-labels-idx1-ubyte'
    """
    return f"{part}-{KINDS[kind]}"


def raw_files(published: Published, folder: Path, *, also: tuple[Path, ...] = ()) -> RawFiles:
    """The files at hand, or else downloaded and unpacked.

    Parameters
    ----------
    published : which
    folder : that holds them, or torchvision's folder of them, or receives them in torchvision's layout
    also : other folders where they may be at hand

    Raises
    ------
    DataError
        An archive has another checksum, cannot be fetched or cannot be unpacked.
    """
    target = folder / published.folder / "raw"
    for place in (target, folder / "raw", folder, *also):
        if (place / file_name(TEST, "images")).exists():
            return RawFiles(place)
    for name, sha256 in published.sha256.items():
        archive = fetch(f"{published.address}{name}.gz", sha256=sha256, folder=target)
        _unpack(archive, target / name)
    return RawFiles(target)


def _unpack(archive: Path, target: Path) -> None:
    try:
        with whole_file(target) as partial, gzip.open(archive) as packed, partial.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{archive}: cannot unpack it ({error}); delete it and fetch it again") from None


def _coloured(grey: ImagesAndTargets) -> ImagesAndTargets:
    return ImagesAndTargets(np.repeat(grey.images[..., None], 3, axis=3), grey.targets)
