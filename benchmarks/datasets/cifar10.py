"""CIFAR-10: 32x32 colour photographs of ten classes, 10,000 of them to test on (Krizhevsky 2009).

From a folder that holds the binary version, `cifar-10-binary.tar.gz` or the `cifar-10-batches-bin/` it unpacks to, or a
part of the images in `cifar10_subset.npz`; else the binary version is downloaded.
"""

from pathlib import Path

from alignment.fetch import fetch
from alignment.models.cifar_resnet import CLASSES
from alignment.stimuli import StimulusSet
from benchmarks.datasets import cifar10_files
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.cifar10_files import TEST, UNPACKED, Packed, Part, Unpacked
from benchmarks.datasets.options import check_options, refuse_selection
from benchmarks.datasets.places import published_folder
from benchmarks.datasets.sources import Source, SourcedImages, SourceImages
from benchmarks.datasets.subsets import OPTION, asked_subset, subset_marks

NAME = "cifar10"
VERSION = 1
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CITATION = "Krizhevsky 2009, Learning multiple layers of features from tiny images, University of Toronto"
LICENCE = "not stated"

ARCHIVE = SOURCE.rpartition("/")[2]
PART = "cifar10_subset.npz"
PART_FOLDER = "cifar10_subset"


def build(settings: DataSettings, selection: str | None) -> SourcedImages:
    """The test images, in the official order; the first so many where fewer are asked for or at hand.

    Parameters
    ----------
    settings : `folder`, or `root`/cifar10, or `cache`/cifar10 holds the files or receives the download; where nothing
        is there yet, the part in `root`/cifar10_subset will do. Option `subset`: only the first so many images
    selection : None, for nothing can be selected

    Raises
    ------
    RequestError
        Something is selected, or an option is unknown or no number of images that there is.
    DataError
        A folder was named and is not there; a file is damaged, has another checksum or cannot be fetched.
    """
    refuse_selection(selection, name=NAME)
    check_options(settings.options, accepted=(OPTION,), name=NAME)
    source = _source(settings)
    images = SourceImages(source)
    targets = images.test.targets
    n = asked_subset(settings.options, at_hand=len(targets), where=str(source.files[0]))
    labels = tuple(CLASSES[target] for target in targets[:n])
    return SourcedImages(
        NAME,
        StimulusSet(NAME, images.ids(n), images.read, labels=labels, sources=source.files[:1]),
        CLASSES,
        version=VERSION,
        marks=subset_marks(n, of=cifar10_files.RECORDS),
        said={
            "test images at hand": len(targets),
            "files": ", ".join(map(str, source.files)),
            "source": SOURCE,
            "citation": CITATION,
            "licence": LICENCE,
        },
        files=source.files,
        source=source,
    )


def _source(settings: DataSettings) -> Source:
    """The files at hand, the complete ones first; where there are none, the archive is fetched."""
    folder = published_folder(settings, name=NAME)
    for place in (folder / UNPACKED, folder):
        if (place / TEST).exists():
            return Unpacked(place)
    parts = [] if (folder / ARCHIVE).exists() else [part for part in _parts(settings, folder) if part.exists()]
    if parts:
        return Part(parts[0])
    return Packed(fetch(SOURCE, sha256=SHA256, folder=folder))


def _parts(settings: DataSettings, folder: Path) -> tuple[Path, ...]:
    """Where a part may lie; not beside a folder that was named, for that one is meant."""
    beside = () if settings.folder else (folder.with_name(PART_FOLDER) / PART,)
    return (folder / PART, *beside)
