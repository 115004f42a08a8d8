"""A user's copy of ImageNet's validation images, or of any images in its layout: a folder of images for each class.

    val/
      n01440764/        images of the first class: JPEG, png, ... of any size; sub-folders are not looked at
      n01443537/
      ...
      classes.txt       optional: the folder names of all of a network's classes, one a line, in the order of its logits

Without `classes.txt` there must be 1,000 folders, and classes are in the order of their names, as torchvision's
`ImageFolder` has them and as networks trained on ImageNet expect. With it, classes may lack a folder.

Images are prepared as is usual for ImageNet: the shorter side is resized to 256 and the central 224x224 are cut out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from alignment.errors import DataError
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.class_names import FILE, read_class_names
from benchmarks.datasets.image_files import ImageFolder, decode
from benchmarks.datasets.labelled import LabelledImages
from benchmarks.datasets.options import check_options, refuse_selection
from benchmarks.datasets.places import own_folder
from benchmarks.datasets.subsets import OPTION, asked_subset, spread_subset, subset_marks

NAME = "imagenet_folder"
VERSION = 1
CLASSES = 1000
# of the validation set
IMAGES = 50_000
SHORTER_SIDE = 256
CROP = 224
PREPARED = f"shorter side resized to {SHORTER_SIDE} (bilinear, antialiased), central {CROP}x{CROP} cut out"
CITATION = "Russakovsky et al. 2015, Int J Comput Vis 115:211, doi:10.1007/s11263-015-0816-y, where it is ImageNet"


@dataclass(frozen=True)
class PreparedImages:
    """Images by id, prepared as is usual for ImageNet, read one at a time.

    Parameters
    ----------
    files : path of each id
    """

    files: Mapping[str, Path]

    def read(self, stimulus: str) -> np.ndarray:
        """(224, 224, 3) uint8 of the image with this id."""
        path = self.files[stimulus]
        return prepare(decode(path, name=str(path)))


def build(settings: DataSettings, selection: str | None) -> LabelledImages:
    """The images of `data.imagenet_folder=<folder>`; this module's first lines give the layout.

    Parameters
    ----------
    settings : `folder`, or `root`/imagenet_folder. Option `subset`: only so many images, the same ones every time, as
        many of each class as of any other, to within one
    selection : None, for nothing can be selected

    Returns
    -------
    Images (224, 224, 3) uint8, known by `<folder>/<file>`. What is not the 1,000 classes or not the 50,000 images of
    the validation set is marked

    Raises
    ------
    RequestError
        No folder was named, something is selected, or an option is unknown or no number of images that there is.
    DataError
        A folder is not there or has no image; there are not 1,000 folders; one is not listed in `classes.txt`.
    """
    refuse_selection(selection, name=NAME)
    check_options(settings.options, accepted=(OPTION,), name=NAME)
    place = own_folder(settings, name=NAME)
    folders = _class_folders(place)
    classes = _classes(place, tuple(folders))
    files = {
        f"{label}/{name}": path for label, folder in folders.items() for name, path in ImageFolder(folder).files.items()
    }
    label_of = {stimulus: stimulus.partition("/")[0] for stimulus in files}
    n = asked_subset(settings.options, at_hand=len(files), where=str(place))
    ids = spread_subset(label_of, n=n, name=NAME)
    images = PreparedImages({stimulus: files[stimulus] for stimulus in ids})
    return LabelledImages(
        NAME,
        StimulusSet(
            NAME,
            ids,
            images.read,
            labels=tuple(label_of[stimulus] for stimulus in ids),
            sources=tuple(images.files.values()),
        ),
        classes,
        version=VERSION,
        marks=_marks(classes=len(classes), at_hand=len(files), taken=n),
        said={"images at hand": len(files), "prepared": PREPARED, "folder": str(place), "citation": CITATION},
    )


def prepare(image: np.ndarray) -> np.ndarray:
    """The central square of an image whose shorter side was made 256 pixels.

    Parameters
    ----------
    image : (row, column, 3) uint8

    Returns
    -------
    (224, 224, 3) uint8, after Pillow's bilinear, antialiased resizing; the longer side is rounded down

    Examples
    --------
    >>> prepare(np.zeros((300, 500, 3), np.uint8)).shape
    (224, 224, 3)
    """
    rows, columns = image.shape[:2]
    shorter = min(rows, columns)
    height, width = SHORTER_SIDE * rows // shorter, SHORTER_SIDE * columns // shorter
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    top, left = round((height - CROP) / 2), round((width - CROP) / 2)
    return np.array(resized.crop((left, top, left + CROP, top + CROP)))


def _class_folders(place: Path) -> dict[str, Path]:
    """The folders of classes by name, sorted."""
    if not place.is_dir():
        raise DataError(f"{place}: no such folder; name the one that holds a folder for each class with data.{NAME}=")
    inside = sorted(place.iterdir(), key=lambda path: path.name)
    return {path.name: path for path in inside if path.is_dir() and not path.name.startswith(".")}


def _classes(place: Path, folders: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all classes, in the order of the logits of a network that fits."""
    listed = place / FILE
    if not listed.exists():
        if len(folders) != CLASSES:
            raise DataError(
                f"{place}: {len(folders)} folders, expected {CLASSES}, one for each class{_hint(place)}; name the "
                f"folder that holds them, or list the network's classes in {listed}, in the order of its logits"
            )
        return folders
    classes = read_class_names(listed)
    strange = sorted(set(folders) - set(classes))
    if strange:
        raise DataError(
            f"{listed}: folder {strange[0]!r} is not in it ({len(strange)} such); list it, or remove the folder"
        )
    if not folders:
        raise DataError(f"{place}: no folder in it; put one there for each class that has images")
    return classes


def _hint(place: Path) -> str:
    inside = [name for name in ("val", "validation") if (place / name).is_dir()]
    return f" ({place / inside[0]} may be meant)" if inside else ""


def _marks(*, classes: int, at_hand: int, taken: int) -> tuple[str, ...]:
    marks = [f"classes={classes}"] if classes != CLASSES else []
    marks += [f"images={at_hand}"] if at_hand != IMAGES else []
    return (*marks, *subset_marks(taken, of=at_hand))
