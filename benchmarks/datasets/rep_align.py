"""Brain responses in the data folder of rep_align, as a data set; and any data set as such a folder.

The layout is that of `benchmarks.datasets.rep_align_files`. A path that occurs twice in a split is an image that was
shown twice.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import xarray as xr

from alignment import fingerprint
from alignment.arrays import responses_array
from alignment.errors import DataError, RequestError, unknown
from alignment.stimuli import StimulusSet
from alignment.whole_files import whole_file
from benchmarks.datasets.base import DataSet, DataSettings, Split
from benchmarks.datasets.image_files import decode
from benchmarks.datasets.options import check_options
from benchmarks.datasets.places import own_folder
from benchmarks.datasets.presented import Presented
from benchmarks.datasets.rep_align_files import (
    IMAGES,
    NAME,
    TRAIN,
    VALIDATION,
    RepAlignSplit,
    read_rep_align,
    write_rep_align,
)

WITHOUT_ROI = "all"
SUBJECT = "subject1"


def build(settings: DataSettings, selection: str | None) -> Presented:
    """The data set of `data.rep_align=<folder>`: fitted on `train`, judged on `val`.

    Parameters
    ----------
    settings : `folder`, or `root`/rep_align
    selection : areas, joined by `+`, such as "V4" or "V1+V2"; all of them when None

    Raises
    ------
    RequestError
        No folder was named, no such area, or an option is given, for there are none.
    DataError
        A file is missing, damaged or does not fit the others; an image is in both splits.
    """
    check_options(settings.options, accepted=(), name=NAME)
    folder = own_folder(settings, name=NAME)
    rois = None if selection is None else selection.split("+")
    train, val = (read_rep_align(folder, half, rois) for half in (TRAIN, VALIDATION))
    if train.rois != val.rois:
        raise DataError(f"{folder}: {TRAIN} and {VALIDATION} differ in areas or voxels; give the same ones in both")
    _check_apart(train, val)
    trained, judged = _ids(TRAIN, train), _ids(VALIDATION, val)
    files = dict(zip((*trained, *judged), (*train.images, *val.images), strict=True))
    ids, name = tuple(sorted(files)), NAME if selection is None else f"{NAME}.{selection}"
    return Presented(
        name,
        StimulusSet(name, ids, _Reader(files).read, sources=tuple(files[stimulus] for stimulus in ids)),
        _presentations((*trained, *judged), np.concatenate([train.responses, val.responses]), rois=train.rois),
        own_splits=(Split(VALIDATION, tuple(sorted(set(trained))), tuple(sorted(set(judged)))),),
        folds_name=NAME,
        marks=(f"{NAME}={re.sub(r'[^A-Za-z0-9._-]', '-', folder.resolve().name)}",),
        said={"folder": str(folder)},
    )


def export_rep_align(dataset: DataSet, folder: Path, *, subject: str, split: str | None = None) -> tuple[Path, ...]:
    """A data set in rep_align's folder: mean responses, stimuli to fit on as `train`, to judge on as `val`.

    Parameters
    ----------
    dataset : with responses that are not time-resolved
    folder : made where it is missing; images go to `<folder>/images` as png
    subject : whose responses
    split : of the data set; may be left out where there is one only

    Returns
    -------
    The files of responses and paths

    Raises
    ------
    RequestError
        Responses are time-resolved, no such split, or a name cannot be that of a file.
    DataError
        A file cannot be written.
    """
    responses = dataset.responses(subject)
    if responses.sizes["time_bin"] > 1:
        raise RequestError(f"{dataset.name}: {responses.sizes['time_bin']} time bins, and {NAME} knows one; choose one")
    halves = _split_of(dataset, subject, split)
    rois = responses["roi"].values.astype(str) if "roi" in responses.coords else None
    names = [WITHOUT_ROI] if rois is None else list(dict.fromkeys(rois.tolist()))
    written: list[Path] = []
    for half, ids in ((TRAIN, halves.train), (VALIDATION, halves.test)):
        values = responses.sel(stimulus=list(ids)).values[..., 0]
        parts = {roi: values if rois is None else values[:, rois == roi] for roi in names}
        images = [_write_image(folder / IMAGES, dataset.stimuli, stimulus) for stimulus in ids]
        written += write_rep_align(folder, half, images=images, responses=parts)
    return tuple(written)


@dataclass(frozen=True)
class _Reader:
    """Images by id."""

    files: Mapping[str, Path]

    def read(self, stimulus: str) -> np.ndarray:
        """(row, column, 3) uint8."""
        return decode(self.files[stimulus], name=str(self.files[stimulus]))


def _ids(split: str, found: RepAlignSplit) -> list[str]:
    """`<split>/<file name>` of each row."""
    files: dict[str, Path] = {}
    for path in found.images:
        if files.setdefault(path.name, path) != path:
            raise DataError(f"{NAME}: {files[path.name]} and {path} have one name in {split}; rename one")
    return [f"{split}/{path.name}" for path in found.images]


def _check_apart(train: RepAlignSplit, val: RepAlignSplit) -> None:
    """An image that is fitted and judged on has one path in both splits, or one name and one content."""
    fitted = {path.name: path for path in train.images}
    leaked = [path for path in dict.fromkeys(val.images) if path.name in fitted and _is_same(path, fitted[path.name])]
    if leaked:
        raise DataError(f"{NAME}: {leaked[0]} is in {TRAIN} and {VALIDATION} ({len(leaked)} such); keep it in one")


def _is_same(one: Path, other: Path) -> bool:
    return one == other or fingerprint.of_file(one) == fingerprint.of_file(other)


def _presentations(stimulus: Sequence[str], values: np.ndarray, *, rois: Sequence[str]) -> xr.DataArray:
    array = responses_array(values, stimulus=stimulus, neuroid={"subject": [SUBJECT] * len(rois), "roi": list(rois)})
    return array.assign_coords(
        neuroid=np.arange(len(rois)), repetitions=("presentation", np.ones(len(stimulus), dtype=np.int64))
    )


def _split_of(dataset: DataSet, subject: str, name: str | None) -> Split:
    splits = {each.name: each for each in dataset.splits(subject)}
    if name is None and len(splits) == 1:
        return next(iter(splits.values()))
    if name not in splits:
        raise unknown(f"split of {dataset.name}", name or "", splits)
    return splits[name]


def _write_image(folder: Path, stimuli: StimulusSet, stimulus: str) -> Path:
    from PIL import Image

    path = folder / f"{quote(stimulus, safe='')}.png"
    with whole_file(path) as partial:
        Image.fromarray(stimuli.image(stimulus)).save(partial, format="png")
    return path
