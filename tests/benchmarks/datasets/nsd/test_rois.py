"""Regions by family, label, union and `family.label`, judged on the label volumes as nibabel reads them."""

import nibabel
import numpy as np
import pytest

from alignment.errors import RequestError
from benchmarks.datasets.nsd import Tree, rois
from benchmarks.datasets.nsd.rois import read_ctab, read_region


def _volume(tree: Tree, family: str) -> np.ndarray:
    return np.asanyarray(nibabel.load(tree.roi(1, family)).dataobj)


@pytest.mark.parametrize(
    ("roi", "family", "values"),
    [
        ("V1", "prf-visualrois", [1, 2]),
        ("V2", "prf-visualrois", [3, 4]),
        ("V3", "prf-visualrois", [5, 6]),
        ("V4", "prf-visualrois", [7]),
        ("hV4", "prf-visualrois", [7]),
        ("V1d", "prf-visualrois", [2]),
        ("ventral", "streams", [5]),
        ("floc-faces", "floc-faces", [1, 2, 3, 4, 5]),
        ("FFA-1", "floc-faces", [2]),
        ("nsdgeneral", "nsdgeneral", [1]),
        ("Kastner2015.hV4", "Kastner2015", [7]),
        ("FFC", "HCP_MMP1", [18]),
        ("HCP_MMP1.PHA1", "HCP_MMP1", [126]),
    ],
)
def test_region_is_where_its_labels_are(tree: Tree, roi: str, family: str, values: list[int]) -> None:
    region = read_region(tree, 1, roi)
    expected = np.argwhere(np.isin(_volume(tree, family), values))
    assert len(expected)
    assert np.array_equal(region.voxels, expected)


def test_cortex_without_a_label_and_no_cortex_are_outside(tree: Tree) -> None:
    volume = _volume(tree, "nsdgeneral")
    assert set(np.unique(volume)) == {-1, 0, 1}
    assert len(read_region(tree, 1, "nsdgeneral").voxels) == (volume == 1).sum() < (volume != 0).sum()


def test_labels_and_hemispheres(tree: Tree) -> None:
    region = read_region(tree, 1, "V1")
    assert set(region.labels) == {"V1v", "V1d"}
    left = np.asanyarray(nibabel.load(tree.roi(1, "prf-visualrois", hemisphere="lh")).dataobj)
    right = np.asanyarray(nibabel.load(tree.roi(1, "prf-visualrois", hemisphere="rh")).dataobj)
    both = _volume(tree, "prf-visualrois")
    assert np.array_equal(both, np.where(left != -1, left, right))
    assert np.array_equal(region.hemisphere == "left", left[tuple(region.voxels.T)] > 0)
    assert set(region.hemisphere) == {"left", "right"}


def test_a_label_without_voxels_is_an_empty_region(tree: Tree) -> None:
    assert not len(read_region(tree, 1, "EBA").voxels)


def test_colour_table_has_trailing_blanks_and_a_zero_line(tree: Tree) -> None:
    assert "\t" in tree.ctab(1, "floc-words").read_text()
    assert read_ctab(tree, 1, "floc-words") == {
        1: "OWFA", 2: "VWFA-1", 3: "VWFA-2", 4: "mfs-words", 5: "mTL-words"
    }  # fmt: skip


def test_unknown_region_names_near_misses(tree: Tree) -> None:
    with pytest.raises(RequestError, match=r"unknown roi .*'FFA1'; did you mean FFA-1"):
        read_region(tree, 1, "FFA1")
    with pytest.raises(RequestError, match="did you mean ventral"):
        read_region(tree, 1, "ventrall")
    with pytest.raises(RequestError):
        read_region(tree, 1, "floc-faces.V1")


def test_unknown_region_unlike_any_other_names_some(tree: Tree) -> None:
    with pytest.raises(RequestError, match=r"'xyzzy'; known: V1, V2, V3, V4, ventral, .* and \d+ more$"):
        read_region(tree, 1, "xyzzy")


def test_all_regions_are_listed(tree: Tree) -> None:
    names = rois(tree.root)
    assert {"V1", "V4", "hV4", "ventral", "floc-faces", "FFA-1", "nsdgeneral", "IPS0", "FFC"} <= set(names)
    assert len(names) == len(set(names))
