"""Reading labels and classes from a user's folder, every fault named with its file."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from alignment.errors import DataError
from benchmarks.datasets.class_names import FILE, classes_of_labels, read_class_names
from benchmarks.datasets.folder_tables import read_table, refuse_beside, resolve
from benchmarks.datasets.image_files import ImageFolder
from benchmarks.datasets.labelled import check_labels

TABLE = "labels.csv"
COLUMNS = ("stimulus", "label")
# tables of responses and RDMs, which mean nothing beside labels
FOREIGN = ("presentations.csv", "neuroids.csv", "splits.csv", "stimuli.csv", "rdms.csv")


@dataclass(frozen=True)
class FolderLabels:
    """Labels in a user's folder.

    Attributes
    ----------
    ids : file names of the labelled images, in the order of the table
    labels : class of each
    classes : in the order of a network's logits
    images : the image files
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    images: ImageFolder


def read_labels(path: Path) -> FolderLabels:
    """Read the labels in `path`, the classes beside it, and find the images.

    Parameters
    ----------
    path : `labels.csv` in a folder that has `images/` and perhaps `classes.txt` as well

    Raises
    ------
    DataError
        A file is missing, damaged, or does not fit the others; an image is labelled twice; a label is no class, or
        the order of the classes cannot be guessed; a table is there that belongs to another layout.
    """
    refuse_beside(path, FOREIGN, why="belongs to another layout, and the folder holds labels")
    images = ImageFolder(path.with_name("images"))
    rows = read_table(path, columns=COLUMNS, required="stimulus")
    if "label" not in rows:
        raise DataError(f"{path}: no column 'label'; add it")
    ids = tuple(resolve(rows["stimulus"].tolist(), images, path=path))
    labels = tuple(rows["label"].str.strip())
    again = [stimulus for stimulus, count in Counter(ids).items() if count > 1]
    if again:
        raise DataError(f"{path}: {again[0]!r} has several rows ({len(again)} such); give each image one label")
    listed = path.with_name(FILE)
    if not listed.exists():
        return FolderLabels(ids, labels, classes_of_labels(labels, where=str(listed)), images)
    classes = read_class_names(listed)
    check_labels(labels, classes, where=str(path), ids=ids)
    return FolderLabels(ids, labels, classes, images)
