"""Reading CIFAR-10: the binary version, packed or unpacked, or a part of it in one npz; never its pickles.

A binary file is a row of records of 3,073 bytes: the label, then a 32x32 image as a red, a green and a blue plane, each
row by row.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alignment.errors import DataError
from alignment.models.cifar_resnet import CLASSES
from benchmarks.datasets.sources import ImagesAndTargets

TEST = "test_batch.bin"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
UNPACKED = "cifar-10-batches-bin"
EDGE = 32
RECORD_BYTES = 1 + 3 * EDGE * EDGE
# images in each binary file; the test set is one of them
RECORDS = 10_000


@dataclass(frozen=True)
class Packed:
    """The published archive; its members are read in memory and nothing is extracted.

    Parameters
    ----------
    path : the tar.gz, whose checksum holds
    """

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The archive."""
        return (self.path,)

    def test(self) -> ImagesAndTargets:
        """The test images."""
        return self._read([TEST])

    def train(self) -> ImagesAndTargets:
        """The training images."""
        return self._read(TRAIN)

    def _read(self, names: Sequence[str]) -> ImagesAndTargets:
        members = self._members([f"{UNPACKED}/{name}" for name in names])
        return _joined([_records(data, where=f"{self.path}: {name}") for name, data in members.items()])

    def _members(self, names: Sequence[str]) -> dict[str, bytes]:
        """Bytes of regular members of these very names, in the order of `names`."""
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(self.path, "r|gz") as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isreg() and member.name in names else None
                    if file is not None:
                        # one byte more than there should be tells a longer member, however long it is
                        found[member.name] = file.read(RECORDS * RECORD_BYTES + 1)
                    if len(found) == len(names):
                        break
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(f"{self.path}: cannot read the archive ({error}); replace it") from None
        absent = [name for name in names if name not in found]
        if absent:
            raise DataError(f"{self.path}: no file {absent[0]} in it; replace it with the binary version")
        return {name: found[name] for name in names}


@dataclass(frozen=True)
class Unpacked:
    """The files of the archive in a folder.

    Parameters
    ----------
    folder : that holds `test_batch.bin` and, for training images, `data_batch_1.bin` to `data_batch_5.bin`
    """

    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The test file and those training files that are there."""
        return tuple(self.folder / name for name in (TEST, *TRAIN) if (self.folder / name).exists())

    def test(self) -> ImagesAndTargets:
        """The test images."""
        return self._read([TEST])

    def train(self) -> ImagesAndTargets:
        """The training images; all five files must be there."""
        return self._read(TRAIN)

    def _read(self, names: Sequence[str]) -> ImagesAndTargets:
        return _joined([_records(_bytes(self.folder / name), where=str(self.folder / name)) for name in names])


@dataclass(frozen=True)
class Part:
    """The first test and training images, in one npz.

    Parameters
    ----------
    path : the npz; `test_images` (image, 32, 32, 3) uint8, `test_labels` (image,) and `train_images`, `train_labels`
        likewise; the class names in `names`, where they are given, must be the official ones in their order
    """

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The npz."""
        return (self.path,)

    def test(self) -> ImagesAndTargets:
        """The test images that are there."""
        return self._read("test", most=RECORDS)

    def train(self) -> ImagesAndTargets:
        """The training images that are there."""
        return self._read("train", most=RECORDS * len(TRAIN))

    def _read(self, part: str, *, most: int) -> ImagesAndTargets:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                images, labels = archive[f"{part}_images"], archive[f"{part}_labels"]
                names = tuple(archive["names"].tolist()) if "names" in archive else CLASSES
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.path}: cannot read {part}_images and {part}_labels ({error}); replace it") from None
        if images.dtype != np.uint8 or images.shape[1:] != (EDGE, EDGE, 3) or not 0 < len(images) <= most:
            raise DataError(
                f"{self.path}: {part}_images are {images.dtype} {images.shape}, expected uint8 (image, 32, 32, 3) of "
                f"1 to {most} images"
            )
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise DataError(
                f"{self.path}: {part}_labels are {labels.dtype} {labels.shape}, expected a whole number to each of "
                f"{len(images)} images"
            )
        if names != CLASSES:
            raise DataError(f"{self.path}: names are {', '.join(map(str, names))}, expected {', '.join(CLASSES)}")
        return ImagesAndTargets(images, _targets(labels, where=f"{self.path}: {part}_labels"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); put the file of the binary version there") from None


def _records(data: bytes, *, where: str) -> ImagesAndTargets:
    """Images and classes of one binary file.

    Raises
    ------
    DataError
        It has not the size of a file of the binary version, or a label is none.
    """
    if len(data) != RECORDS * RECORD_BYTES:
        size = f"{len(data):,}" if len(data) < RECORDS * RECORD_BYTES else "more"
        raise DataError(f"{where}: {size} bytes, expected {RECORDS * RECORD_BYTES:,}; use the binary version")
    rows = np.frombuffer(data, np.uint8).reshape(RECORDS, RECORD_BYTES)
    planes = rows[:, 1:].reshape(RECORDS, 3, EDGE, EDGE)
    return ImagesAndTargets(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), _targets(rows[:, 0], where=where))


def _targets(labels: np.ndarray, *, where: str) -> np.ndarray:
    beyond = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if len(beyond):
        raise DataError(
            f"{where}: label of image {beyond[0]} is {labels[beyond[0]]}, expected 0 to {len(CLASSES) - 1}; replace it"
        )
    return labels.astype(np.int64)


def _joined(parts: Sequence[ImagesAndTargets]) -> ImagesAndTargets:
    images, targets = zip(*parts, strict=True)
    return ImagesAndTargets(np.concatenate(images), np.concatenate(targets))
