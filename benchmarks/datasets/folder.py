"""A user's own images and responses, in one folder.

    my_data/
      images/             one png, jpg, ... per stimulus, 8 bits a channel
      responses.npy       (presentation, neuroid) numbers; a row per showing, NaN where a neuroid was not recorded
      presentations.csv   a row per row of responses.npy: stimulus (file name, or its stem), and where known
                          repetition, session, split (train or test), repetitions (rows that are means: of how many)
      neuroids.csv        optional, a row per column of responses.npy: subject, roi, ncsnr (of single showings)
      splits.csv          optional: stimulus, and split (train or test) or fold (any label); else 5 fixed folds,
                          the same for every subject

or, in the place of the first three tables, `responses.nc`: netCDF with a variable `responses` whose dims are
presentation, neuroid and perhaps time_bin (ms), the columns above as coordinates along presentation and neuroid.

The ceiling comes from `ncsnr` where it is given, else from the repetitions (split-half), else there is none. Neuroids
of several subjects are scored subject by subject; a presentation that is NaN for all neuroids of a subject was not
shown to that subject. Time-resolved responses have no ceiling.
"""

import re
from pathlib import Path

from alignment.errors import RequestError
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.folder_files import read_folder
from benchmarks.datasets.options import check_options
from benchmarks.datasets.presented import Presented

NAME = "folder"


def open_folder(settings: DataSettings) -> Presented:
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
    place = _place(settings)
    name = f"{NAME}.{re.sub(r'[^A-Za-z0-9._-]', '-', place.resolve().name)}"
    check_options(settings.options, accepted=("visual_degrees",), name=NAME)
    degrees = _degrees(settings.options.get("visual_degrees"))
    files = read_folder(place)
    ids = tuple(sorted(set(files.responses["stimulus"].values.tolist())))
    sources = tuple(files.images.files[stimulus] for stimulus in ids)
    return Presented(
        name,
        StimulusSet(name, ids, files.images.read, visual_degrees=degrees, sources=sources),
        files.responses,
        own_splits=files.splits,
        folds_name=NAME,
        marks=() if degrees is None else (f"visual_degrees={degrees:g}",),
        said={"images without responses": len(files.images.files) - len(ids), "folder": str(place)},
    )


def build(settings: DataSettings, selection: str | None) -> Presented:
    """The data set of `data.folder=<dir>`; nothing can be selected of it."""
    if selection is not None:
        raise RequestError(f"{NAME}.{selection}: nothing follows {NAME}; name the place with data.{NAME}=<your folder>")
    return open_folder(settings)


def _place(settings: DataSettings) -> Path:
    place = settings.folder or (settings.root / NAME if settings.root else None)
    if place is None:
        raise RequestError(f"{NAME}: no folder is named; add data.{NAME}=<your folder>")
    return place


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
