"""Regions of interest: voxels by the name of a family, of a label, or of a union of labels.

A label volume holds -1 outside cortex (of that hemisphere, in lh./rh. files), 0 for cortex without a label and the
label otherwise, so a region is `> 0`, never `!= 0`. What a number means is read from the colour table on disk.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alignment.errors import DataError, RequestError, near_misses, unknown
from benchmarks.datasets.nsd.betas import read_volume
from benchmarks.datasets.nsd.layout import N_SUBJECTS, Tree, subject_name

# the first family that knows a name is meant; `family.label` names any other (HCP_MMP1 has its own V1)
FAMILIES = (
    "nsdgeneral",
    "prf-visualrois",
    "streams",
    "floc-faces",
    "floc-bodies",
    "floc-places",
    "floc-words",
    "Kastner2015",
    "HCP_MMP1",
    "prf-eccrois",
    "corticalsulc",
    "MTL",
    "thalamus",
)
UNIONS: Mapping[str, tuple[str, ...]] = {
    "V1": ("V1v", "V1d"),
    "V2": ("V2v", "V2d"),
    "V3": ("V3v", "V3d"),
    "V4": ("hV4",),
}
UNIONS_FAMILY = "prf-visualrois"
HEMISPHERES = {"lh": "left", "rh": "right"}
# listed where a name is unlike any other, as far as a copy has them
COMMON = ("V1", "V2", "V3", "V4", "ventral", "lateral", "nsdgeneral", "floc-faces", "floc-places", "floc-bodies")
CTAB_LINE = re.compile(r"^\s*(\d+)\s+(\S+)")


Families = Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Region:
    """Voxels of one region of one subject, in C order of (X, Y, Z).

    Attributes
    ----------
    voxels : (voxel, 3) int64, x, y, z
    labels : (voxel,) text, the label of each voxel
    hemisphere : (voxel,) text, "left", "right", or "" where the subject has no lh./rh. files
    dims : shape of the volume
    """

    voxels: np.ndarray
    labels: np.ndarray
    hemisphere: np.ndarray
    dims: tuple[int, ...]


def read_ctab(tree: Tree, subject: int, family: str) -> dict[int, str]:
    """Names of the positive labels of a family; empty where the family has no colour table."""
    path = tree.ctab(subject, family)
    if not path.exists():
        return {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path}: not readable ({error.strerror or error}); download it again") from None
    found = [match for match in map(CTAB_LINE.match, lines) if match]
    if not found:
        raise DataError(f"{path}: no line of the form `<number> <name>`; download it again")
    return {int(match[1]): match[2] for match in found if int(match[1]) > 0}


def families(tree: Tree, subject: int) -> dict[str, dict[int, str]]:
    """Families with a label volume for this subject, in the order they are searched, with their labels."""
    return {name: read_ctab(tree, subject, name) for name in FAMILIES if tree.roi(subject, name).exists()}


def region_names(tree: Tree, subject: int) -> tuple[str, ...]:
    """Every name that `find` accepts for this subject, without the `family.label` forms."""
    return names_of(families(tree, subject))


def names_of(known: Families) -> tuple[str, ...]:
    """Every name of a family, a label or a union."""
    names: dict[str, None] = {}
    for family, labels in known.items():
        names |= dict.fromkeys([family, *(_unions(labels) if family == UNIONS_FAMILY else ()), *labels.values()])
    return tuple(names)


def rois(root: Path) -> tuple[str, ...]:
    """Every region of any subject of the copy of the data set below `root`, in the order they are searched."""
    tree = Tree.at(root)
    names = [region_names(tree, subject) for subject in range(1, N_SUBJECTS + 1)]
    return tuple(dict.fromkeys(name for each in names for name in each))


def _unions(labels: Mapping[int, str]) -> list[str]:
    return [name for name, parts in UNIONS.items() if set(parts) & set(labels.values())]


def find(tree: Tree, subject: int, roi: str) -> tuple[str, Mapping[int, str]]:
    """The family and the labels that a name means; all labels of a family by its own name.

    Raises
    ------
    RequestError
        No family or label of that name on disk, with near misses.
    """
    place = f"{subject_name(subject)} in {tree.volumes(subject) / 'roi'}"
    return choose(families(tree, subject), roi, place=place)


def choose(known: Families, roi: str, *, place: str) -> tuple[str, Mapping[int, str]]:
    """The family and the labels that a name means, the first family that knows it.

    Raises
    ------
    RequestError
        No family or label of that name, with near misses, or else some of the names there are.
    """
    if roi in known:
        return roi, known[roi]
    family, dot, label = roi.partition(".")
    searched = {family: known[family]} if dot and family in known else known
    wanted = label if dot and family in known else roi
    for name, labels in searched.items():
        if name == UNIONS_FAMILY and wanted in _unions(labels):
            return name, {value: text for value, text in labels.items() if text in UNIONS[wanted]}
        chosen = {value: text for value, text in labels.items() if text == wanted}
        if chosen:
            return name, chosen
    names = names_of(known)
    if near_misses(roi, names) or len(names) <= len(COMMON):
        raise unknown(f"roi of {place}", roi, names)
    common = [name for name in COMMON if name in names] or names[: len(COMMON)]
    raise RequestError(
        f"unknown roi of {place} {roi!r}; known: {', '.join(common)} and {len(names) - len(common)} more"
    )


def meant_by(tree: Tree, subjects: Sequence[int], roi: str) -> str:
    """What a name means, as `family` or `family.label`, the same for all subjects.

    The first family that knows the name in the files of any of them is meant: a subject without that family's files
    lacks the region, and is not given a region of the same name that another family has.

    Raises
    ------
    RequestError
        No subject has a family or label of that name, with near misses.
    DataError
        It is one of `UNIONS`, or a part of one, and no subject has their family.
    """
    names: dict[str, dict[str, None]] = {}
    for subject in subjects:
        for family, labels in families(tree, subject).items():
            names.setdefault(family, {}).update(dict.fromkeys(labels.values()))
    known = {family: dict(enumerate(names[family])) for family in FAMILIES if family in names}
    if any(roi in (union, *parts) for union, parts in UNIONS.items()) and not known.get(UNIONS_FAMILY):
        raise DataError(
            f"{tree.root}: no subject has {UNIONS_FAMILY}.nii.gz and its colour table, which say where {roi} is; "
            "download them, or name another family's region, such as HCP_MMP1.V1"
        )
    family, _ = choose(known, roi, place=str(tree.root))
    return roi if roi == family else f"{family}.{roi.removeprefix(f'{family}.')}"


def lacking(tree: Tree, subject: int, region: str) -> str:
    """What a subject's files lack for a region, or an empty text; no volume is read.

    Parameters
    ----------
    region : as `meant_by` gives it
    """
    family, _, label = region.partition(".")
    volume, table = tree.roi(subject, family), tree.ctab(subject, family)
    if not volume.exists():
        return volume.name
    if not label:
        return ""
    if not table.exists():
        return table.name
    return "" if label in names_of({family: read_ctab(tree, subject, family)}) else f"{label} in {table.name}"


def read_region(tree: Tree, subject: int, roi: str) -> Region:
    """Find and read a region; it may be empty in this subject.

    Raises
    ------
    RequestError
        No such region, with near misses.
    DataError
        The label volume is missing or unreadable, or its hemispheres have another shape.
    """
    family, labels = find(tree, subject, roi)
    path = tree.roi(subject, family)
    volume = read_volume(path)
    whole = roi == family
    inside = volume > 0 if whole else np.isin(volume, list(labels))
    voxels = np.argwhere(inside)
    names = np.array([labels.get(int(value), f"{family}:{int(value)}") for value in volume[inside]], dtype=str)
    if whole and not labels:
        names = np.full(len(voxels), family)
    return Region(
        voxels, names, _hemisphere(tree, subject, family=family, voxels=voxels, dims=volume.shape), volume.shape
    )


def _hemisphere(tree: Tree, subject: int, *, family: str, voxels: np.ndarray, dims: tuple[int, ...]) -> np.ndarray:
    side = np.full(len(voxels), "", dtype="<U5")
    for prefix, name in reversed(HEMISPHERES.items()):
        path = tree.roi(subject, family, hemisphere=prefix)
        if not path.exists():
            continue
        volume = read_volume(path)
        if volume.shape != dims:
            raise DataError(f"{path}: volume is {volume.shape}, the combined file {dims}; download both again")
        # the combined file takes the left label where the left file has cortex, so left is written last
        side[volume[tuple(voxels.T)] > -1] = name
    return side
