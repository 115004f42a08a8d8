"""A user's own images, and responses, RDMs or labels, in one folder.

    my_data/
      images/             one png, jpg, ... per stimulus, 8 bits a channel
      responses.npy       (presentation, neuroid) numbers; a row per showing, NaN where a neuroid was not recorded
      presentations.csv   a row per row of responses.npy: stimulus (file name, or its stem), and where known
                          repetition, session, split (train or test), repetitions (rows that are means: of how many)
      neuroids.csv        optional, a row per column of responses.npy: subject, roi, ncsnr (of single showings)
      splits.csv          optional: stimulus, and split (train or test) or fold (any label); else 5 fixed folds,
                          the same for every subject

or, in the place of the first three tables, `responses.nc`: netCDF with a variable `responses` whose dims are
presentation, neuroid and perhaps time_bin (ms), the columns above as coordinates along presentation and neuroid;
or `assembly.nc`: a netCDF assembly of Brain-Score, `splits.csv` beside it as above.

The ceiling comes from `ncsnr` where it is given, else from the repetitions (split-half), else there is none. Neuroids
of several subjects are scored subject by subject; a presentation that is NaN for all neuroids of a subject was not
shown to that subject. Time-resolved responses have no ceiling.

A folder that holds RDMs in the place of responses:

    my_rdms/
      images/       as above
      rdms.npy      (rdm, stimulus, stimulus), symmetric, or (rdm, pair), the upper triangle row by row; NaN for a pair
                    that was not measured, the same pairs in every RDM
      stimuli.csv   a row per row of an RDM: stimulus (file name, or its stem); not needed where there are as many
                    images as rows, numbered alike, and the rows are in the order of their names
      rdms.csv      optional, a row per RDM: subject, session; else every RDM is of another subject

or, in the place of the last three, `rdms.hdf5` as rsatoolbox writes it: stimuli in the pattern descriptor `stimulus`,
RDM descriptors `subject` and `session` where they are there. A subject's RDM is the mean over sessions. A score
needs 15 stimuli: a layer is chosen on 5 folds of them. What was not measured is left out of the RDMs of models as well.

A folder that holds labels, for networks that classify:

    my_labels/
      images/       as above
      labels.csv    a row per image: stimulus (file name, or its stem), label (name of its class)
      classes.txt   optional: names of all of a network's classes, one a line, in the order of its logits; else the
                    labels that occur, sorted as text
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from alignment.errors import DataError, RequestError
from alignment.stimuli import StimulusSet
from benchmarks.datasets import folder_labels, folder_rdms, folder_responses
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.given_rdms import GivenRDMs
from benchmarks.datasets.image_files import ImageFolder
from benchmarks.datasets.labelled import LabelledImages
from benchmarks.datasets.options import check_options
from benchmarks.datasets.places import own_folder
from benchmarks.datasets.presented import Presented

NAME = "folder"
Opened = Presented | GivenRDMs | LabelledImages


def open_folder(settings: DataSettings) -> Opened:
    """The data set in a folder; this module's first lines give the layout.

    Parameters
    ----------
    settings : `folder` (`data.folder=<dir>`), or `root`/folder; option `visual_degrees`: width of an image when shown

    Raises
    ------
    RequestError
        No folder was named, or an option is unknown or no number.
    DataError
        A file is missing, damaged, or does not fit the others.
    """
    place = own_folder(settings, name=NAME)
    own = re.sub(r"[^A-Za-z0-9._-]", "-", place.resolve().name)
    check_options(settings.options, accepted=("visual_degrees",), name=NAME)
    degrees = _degrees(settings.options.get("visual_degrees"))
    path = _measured(place)
    return OPENERS[path.name](path, own=own, degrees=degrees)


def _open_responses(path: Path, *, own: str, degrees: float | None) -> Presented:
    found, name = folder_responses.read_responses(path), f"{NAME}.{own}"
    ids = tuple(sorted(set(found.responses["stimulus"].values.tolist())))
    return Presented(
        name,
        _stimuli(name, ids, found.images, degrees=degrees),
        found.responses,
        own_splits=found.splits,
        folds_name=NAME,
        marks=_marks(own, degrees),
        said={"images without responses": len(found.images.files) - len(ids), "folder": str(path.parent)},
    )


def _open_rdms(path: Path, *, own: str, degrees: float | None) -> GivenRDMs:
    found, name = folder_rdms.read_rdms(path), f"{NAME}.{own}"
    ids = found.rdms.stimuli
    return GivenRDMs(
        name,
        _stimuli(name, ids, found.images, degrees=degrees),
        found.rdms,
        marks=_marks(own, degrees),
        said={"images without a row": len(found.images.files) - len(ids), "folder": str(path.parent)},
    )


def _open_labels(path: Path, *, own: str, degrees: float | None) -> LabelledImages:
    found, name = folder_labels.read_labels(path), f"{NAME}.{own}"
    return LabelledImages(
        name,
        _stimuli(name, found.ids, found.images, degrees=degrees, labels=found.labels),
        found.classes,
        marks=_marks(own, degrees),
        said={"images without a label": len(found.images.files) - len(found.ids), "folder": str(path.parent)},
    )


# by the one file that holds what was measured or named
OPENERS: Mapping[str, Callable[..., Opened]] = {
    **dict.fromkeys(folder_responses.READERS, _open_responses),
    **dict.fromkeys(folder_rdms.READERS, _open_rdms),
    folder_labels.TABLE: _open_labels,
}


def _stimuli(
    name: str,
    ids: tuple[str, ...],
    images: ImageFolder,
    *,
    degrees: float | None,
    labels: tuple[str, ...] | None = None,
) -> StimulusSet:
    sources = tuple(images.files[stimulus] for stimulus in ids)
    return StimulusSet(name, ids, images.read, visual_degrees=degrees, labels=labels, sources=sources)


def _marks(own: str, degrees: float | None) -> tuple[str, ...]:
    """Of the id: every folder is `folder` to whoever types it."""
    return (f"{NAME}={own}", *(() if degrees is None else (f"visual_degrees={degrees:g}",)))


def build(settings: DataSettings, selection: str | None) -> Opened:
    """The data set of `data.folder=<dir>`; nothing can be selected of it."""
    if selection is not None:
        raise RequestError(f"{NAME}.{selection}: nothing follows {NAME}; name the place with data.{NAME}=<your folder>")
    return open_folder(settings)


def _measured(place: Path) -> Path:
    """The one file that holds responses, RDMs or labels."""
    if not place.is_dir():
        raise DataError(f"{place}: no such folder; make it, with images/ and one of {', '.join(OPENERS)} in it")
    there = [name for name in OPENERS if (place / name).exists()]
    if not there:
        raise DataError(f"{place}: none of {', '.join(OPENERS)} in it; put one of them there")
    if len(there) > 1:
        raise DataError(f"{place}: {' and '.join(there)} are there; keep one")
    return place / there[0]


def _degrees(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        degrees = float(text)
    except ValueError:
        degrees = float("nan")
    if not 0 < degrees < 360:
        raise RequestError(f"data.visual_degrees={text}: expected the width of an image in degrees, such as 8.4")
    return degrees
