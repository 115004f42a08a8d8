"""Both formats hold the same integers and give them in the same order."""

import h5py
import nibabel
import numpy as np
import pytest

from benchmarks.datasets.nsd import Tree
from benchmarks.datasets.nsd.betas import percent_signal_change, read_hdf5, read_nii, shape_hdf5, shape_nii, z_score

BETA = "betas_fithrf_GLMdenoise_RR"


@pytest.mark.parametrize("subject", [1, 2])
def test_hdf5_transposed_is_nii_bit_for_bit(tree: Tree, subject: int) -> None:
    for session in tree.sessions(subject, BETA, source="hdf5"):
        with h5py.File(tree.betas(subject, BETA, session=session, source="hdf5")) as file:
            hdf5 = file["betas"][:]
            assert file["betas"].dtype == np.int16
            assert file["betas"].compression is None
            assert file["betas"].chunks == (hdf5.shape[0], 1, 1, 1)
        nii = nibabel.load(tree.betas(subject, BETA, session=session, source="nii"))
        stored = np.asanyarray(nii.dataobj)
        assert stored.dtype == np.int16
        assert len(set(stored.shape)) == 4
        assert np.array_equal(hdf5.T, stored)


def test_header_gives_the_official_affine(tree: Tree) -> None:
    image = nibabel.load(tree.betas(1, BETA, session=1, source="nii"))
    expected = np.diag([1.8, 1.8, 1.8, 1.0])
    expected[:3, 3] = -1.8 * ((1 + np.array(image.shape[:3])) / 2 - 1)
    assert np.allclose(image.affine, expected)
    assert np.allclose(image.header.get_zooms(), (1.8, 1.8, 1.8, 4 / 3))


def test_both_readers_give_any_voxels_in_the_order_asked_for(tree: Tree) -> None:
    paths = {source: tree.betas(2, BETA, session=3, source=source) for source in ("hdf5", "nii")}
    whole = np.asanyarray(nibabel.load(paths["nii"]).dataobj)
    assert shape_hdf5(paths["hdf5"]) == shape_nii(paths["nii"]) == whole.shape
    voxels = np.argwhere(np.ones(whole.shape[:3], dtype=bool))
    voxels = np.random.default_rng(0).permutation(voxels)[:200]
    expected = np.stack([whole[x, y, z] for x, y, z in voxels], axis=1)
    assert np.array_equal(read_hdf5(paths["hdf5"], voxels), expected)
    assert np.array_equal(read_nii(paths["nii"], voxels), expected)


def test_no_voxels_is_no_columns(tree: Tree) -> None:
    none = np.empty((0, 3), dtype=int)
    assert read_hdf5(tree.betas(1, BETA, session=1, source="hdf5"), none).shape == (210, 0)


def test_percent_signal_change_is_a_300th_of_what_is_stored() -> None:
    assert np.allclose(percent_signal_change(np.array([32767, -300, 0], np.int16)), [109.2233333, -1, 0])


def test_z_score_is_scipys_with_one_degree_less_and_nan_where_constant() -> None:
    from scipy import stats

    stored = np.random.default_rng(1).integers(-900, 900, (50, 4)).astype(np.int16)
    stored[:, 1], stored[:, 3] = 0, 7
    scored = z_score(stored)
    assert np.allclose(scored[:, [0, 2]], stats.zscore(stored[:, [0, 2]] / 300, axis=0, ddof=1))
    assert np.isnan(scored[:, [1, 3]]).all()
