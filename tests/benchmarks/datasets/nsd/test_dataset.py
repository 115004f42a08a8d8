"""The data set judged on an independent reading of the same files."""

import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
import xarray as xr

from alignment.arrays import RESPONSE_DIMS
from alignment.errors import DataError, RequestError
from benchmarks.datasets.nsd import NSD, Tree

BETA = "betas_fithrf_GLMdenoise_RR"
Load = Callable[..., NSD]


def _trials(tree: Tree, subject: int, mask: np.ndarray, sessions: range) -> tuple[pd.DataFrame, np.ndarray]:
    """z-scored trials of a mask by nibabel and pandas, and the nsdId of each."""
    content = scipy.io.loadmat(tree.design)
    ids = content["subjectim"][subject - 1].astype(int)[content["masterordering"][0].astype(int) - 1] - 1
    frames = []
    for session in sessions:
        volume = np.asanyarray(nibabel.load(tree.betas(subject, BETA, session=session, source="nii")).dataobj)
        frame = pd.DataFrame(volume[mask].T / 300)
        frames.append((frame - frame.mean()) / frame.std(ddof=1).replace(0, np.nan))
    return pd.concat(frames, ignore_index=True), ids[: len(sessions) * 210]


def _mask(tree: Tree, subject: int) -> np.ndarray:
    return np.isin(np.asanyarray(nibabel.load(tree.roi(subject, "prf-visualrois")).dataobj), [1, 2])


@pytest.mark.parametrize(("subject", "sessions"), [(1, 6), (2, 5)])
def test_responses_equal_an_independent_average(tree: Tree, load: Load, subject: int, sessions: int) -> None:
    mask = _mask(tree, subject)
    trials, ids = _trials(tree, subject, mask, range(1, sessions + 1))
    mean = trials.groupby(ids).mean()
    usable = mean.notna().all().to_numpy()
    responses = load("V1").responses(f"subj{subject:02d}")
    assert responses.dims == ("stimulus", "neuroid", "time_bin")
    assert responses.dtype == np.float32
    got = responses.isel(time_bin=0).sel(stimulus=[f"nsd{i:05d}" for i in mean.index]).values
    assert np.allclose(got, mean.loc[:, usable], atol=1e-5)
    voxels = np.argwhere(mask)[usable]
    assert np.array_equal(np.stack([responses[axis].values for axis in "xyz"], axis=1), voxels)
    counts = pd.Series(ids).value_counts()
    assert responses["repetitions"].values.tolist() == [counts[int(s[3:])] for s in responses["stimulus"].values]
    assert len(responses.attrs["dropped"]) == (~usable).sum() > 0


def test_hdf5_and_nii_give_identical_responses_in_identical_order(load: Load) -> None:
    a, b = load("nsdgeneral", source="hdf5"), load("nsdgeneral", source="nii")
    for subject in a.subjects:
        xr.testing.assert_identical(a.responses(subject), b.responses(subject))
    assert a.fingerprint == b.fingerprint
    assert a.describe()["source"] == {"subj01": "hdf5", "subj02": "hdf5"}


def test_dropped_neuroids_are_named_with_their_reason(load: Load) -> None:
    dropped = load("V1").responses("subj01").attrs["dropped"]
    assert [text for text in dropped if "constant in every session" in text]
    assert all(text.startswith("subj01 voxel (") for text in dropped)
    assert np.isfinite(load("V1").responses("subj01").values).all()


def test_single_trials_keep_every_voxel_and_mark_what_was_not_measured(tree: Tree, load: Load) -> None:
    trials = load("V1").presentations("subj02")
    expected, ids = _trials(tree, 2, _mask(tree, 2), range(1, 6))
    assert trials.dims == RESPONSE_DIMS
    assert np.allclose(trials.values[:, :, 0], expected, atol=1e-5, equal_nan=True)
    assert trials["stimulus"].values.tolist() == [f"nsd{i:05d}" for i in ids]
    assert trials["session"].values[[0, 210]].tolist() == ["session01", "session02"]


def test_split_is_by_image_and_shared_images_are_the_test(tree: Tree, load: Load) -> None:
    data = load("V1")
    shared = {f"nsd{i - 1:05d}" for i in scipy.io.loadmat(tree.design)["sharedix"].ravel().astype(int)}
    owns = []
    for subject in data.subjects:
        (split,) = data.splits(subject)
        seen = set(data.responses(subject)["stimulus"].values)
        assert set(split.test) == shared & seen
        assert set(split.train) == seen - shared
        owns.append(set(split.train))
    assert not owns[0] & owns[1]


def test_stimuli_are_shared_first_then_each_subjects_own(load: Load) -> None:
    data = load("V1")
    first, second = (data.splits(subject)[0] for subject in data.subjects)
    groups = data.stimuli.groups
    assert groups == (60, len(first.train), len(second.train))
    assert data.stimuli.ids == (*sorted(first.test), *sorted(first.train), *sorted(second.train))
    alone = load("V1", subjects="2")
    assert alone.stimuli.blocks(50)[-1] == data.stimuli.blocks(50)[-1]
    assert data.stimuli.visual_degrees == 8.4


def test_images_are_the_rows_of_their_ids_also_after_pickling(tree: Tree, load: Load) -> None:
    import h5py

    stimuli = load("V1").stimuli
    name = stimuli.ids[5]
    with h5py.File(tree.stimuli) as file:
        expected = file["imgBrick"][int(name[3:])]
        assert file["imgBrick"].shape == (73_000, 64, 64, 3)
    assert expected.std() > 0
    assert np.array_equal(stimuli.image(name), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(stimuli.read))(name), expected)
    with pytest.raises(DataError, match="no image 'nsd73000'"):
        stimuli.read("nsd73000")


def test_ceiling_mixes_the_repetitions_of_the_test_images(load: Load) -> None:
    data = load("V1")
    responses, split = data.responses("subj02"), data.splits("subj02")[0]
    k = responses["repetitions"].sel(stimulus=list(split.test)).values
    n3, n2, n1 = ((k == n).sum() for n in (3, 2, 1))
    assert min(n3, n2, n1) > 0
    snr = responses["ncsnr"].values
    nc = 100 * snr**2 / (snr**2 + (n3 / 3 + n2 / 2 + n1) / (n3 + n2 + n1))
    ceiling = data.ceiling("subj02")
    whole = np.isfinite(data.presentations("subj02").values).all(axis=(0, 2))
    kept = {tuple(v) for v in np.stack([responses[a].values for a in "xyz"], axis=1)}
    trials = data.presentations("subj02")
    voxels = [tuple(v) for v in np.stack([trials[a].values for a in "xyz"], axis=1)]
    always = np.array([w for v, w in zip(voxels, whole, strict=True) if v in kept])
    assert always.sum() > 100
    assert np.allclose(ceiling["ceiling"].values[always], np.sqrt(nc / 100)[always])
    assert float(ceiling["p_value"]) < 0.01


def test_voxels_of_pure_noise_have_no_reliability(load: Load) -> None:
    data = load("VWFA-1")
    for subject in data.subjects:
        assert float(data.ceiling(subject)["p_value"]) > 0.05
        assert float(data.ceiling(subject)["ceiling"].median()) < 0.3


def test_second_load_reads_the_cache_and_a_changed_file_does_not(load: Load, broken: Tree) -> None:
    first = load("V1", folder=broken.root, subjects="1")
    responses = first.responses("subj01")
    (cached,) = first._cache.glob("*.npz")
    stamp = cached.stat().st_mtime_ns
    again = load("V1", folder=broken.root, subjects="1")
    xr.testing.assert_identical(again.responses("subj01"), responses)
    assert cached.stat().st_mtime_ns == stamp
    path = broken.betas(1, BETA, session=2, source="hdf5")
    other = broken.betas(1, BETA, session=3, source="hdf5").read_bytes()
    path.unlink()
    path.write_bytes(other)
    changed = load("V1", folder=broken.root, subjects="1")
    assert not np.array_equal(changed.responses("subj01").values, responses.values)
    assert changed.fingerprint != again.fingerprint


def test_a_relative_path_has_the_cache_entry_of_the_absolute_one(
    load: Load, broken: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load("V1", folder=broken.root, subjects="1")
    expected = data.responses("subj01")
    monkeypatch.chdir(broken.root.parent)
    xr.testing.assert_identical(load("V1", folder=Path(broken.root.name), subjects="1").responses("subj01"), expected)
    assert len(list(data._cache.glob("*.npz"))) == 1


def test_a_cache_cut_short_is_made_again(load: Load) -> None:
    data = load("V1", subjects="1")
    responses = data.responses("subj01")
    (cached,) = data._cache.glob("*.npz")
    cached.write_bytes(cached.read_bytes()[:1000])
    xr.testing.assert_identical(load("V1", subjects="1").responses("subj01"), responses)


def test_chosen_sessions_and_missing_ones(load: Load, broken: Tree) -> None:
    few = load("V1", subjects="1", sessions="2-4")
    assert few.responses("subj01")["repetitions"].values.max() <= 3
    assert int(few.responses("subj01")["repetitions"].sum()) == 3 * 210
    assert few.name == "nsd.V1"
    assert few.marks == ("sessions=2-4", "subjects=1")
    for source in ("hdf5", "nii"):
        broken.betas(1, BETA, session=3, source=source).unlink()
    partial = load("V1", folder=broken.root, subjects="1")
    assert partial.describe()["sessions_missing"] == {"subj01": [3]}
    assert partial.describe()["sessions"] == {"subj01": [1, 2, 4, 5, 6]}
    with pytest.raises(DataError, match=r"betas_session03\.hdf5: no such file"):
        load("V1", folder=broken.root, subjects="1", sessions="1-3")


@pytest.mark.parametrize(
    ("options", "marks"),
    [
        ({}, ()),
        ({"beta": "b3", "source": "nii", "split": "shared", "subjects": "2,1"}, ()),
        ({"subjects": "1", "sessions": "1-6"}, ("subjects=1",)),
        ({"sessions": "5,1-3"}, ("sessions=1-3+5",)),
        ({"nc_min": "10.0", "split": "test515"}, ("nc_min=10", "split=test515")),
    ],
)
def test_only_choices_that_change_a_number_mark_the_data_set(
    load: Load, options: dict[str, str], marks: tuple[str, ...]
) -> None:
    data = load("V1", **options)
    assert data.name == "nsd.V1"
    assert data.marks == marks
    assert data.describe()["marks"] == list(marks)


def test_nc_min_keeps_voxels_by_their_training_stimuli_alone(tree: Tree, load: Load) -> None:
    data, chosen = load("V1", subjects="1"), load("V1", subjects="1", nc_min="70")
    trials, ids = _trials(tree, 1, _mask(tree, 1), range(1, 7))
    train = np.isin(ids, [int(s[3:]) for s in data.splits("subj01")[0].train])
    noise = trials[train].groupby(ids[train]).var(ddof=1).mean().to_numpy()
    snr2 = np.maximum(0, 1 - noise) / noise
    expected = np.flatnonzero(100 * snr2 / (snr2 + 1 / 3) > 70)
    voxels = np.argwhere(_mask(tree, 1))
    kept = np.stack([data.responses("subj01")[a].values for a in "xyz"], axis=1)
    expected = [tuple(v) for v in voxels[expected] if tuple(v) in {tuple(k) for k in kept}]
    responses = chosen.responses("subj01")
    got = [tuple(v) for v in np.stack([responses[a].values for a in "xyz"], axis=1)]
    assert got == expected
    assert responses.attrs["below_nc_min"] == len(kept) - len(got) > 0


def test_subset_of_images_seen_three_times_by_all(tree: Tree, load: Load) -> None:
    data = load("V1", split="test515")
    (split,), (whole,) = data.splits("subj01"), load("V1").splits("subj01")
    assert set(split.test) < set(whole.test)
    assert split.train == whole.train
    for subject in data.subjects:
        assert set(data.responses(subject)["repetitions"].sel(stimulus=list(split.test)).values) == {3}


def test_a_subject_without_the_region_is_left_out_and_named(load: Load) -> None:
    with pytest.raises(DataError, match="subj01, subj02 has no voxel in EBA"):
        load("EBA")


@pytest.mark.parametrize("lacking", ["roi", "ctab"])
def test_a_region_means_the_same_family_for_all_subjects(broken: Tree, load: Load, lacking: str) -> None:
    """HCP_MMP1 has a V1 too: a subject without prf-visualrois is left out, and not scored on that one."""
    volume = np.asanyarray(nibabel.load(broken.roi(1, "HCP_MMP1")).dataobj).copy()
    volume[volume > 0] = 1
    for hemisphere in ("lh", "rh", ""):
        broken.roi(1, "HCP_MMP1", hemisphere=hemisphere).unlink()
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), broken.roi(1, "HCP_MMP1"))
    assert len(load("HCP_MMP1.V1", folder=broken.root, subjects="1").responses("subj01")["neuroid"])
    missing = getattr(broken, lacking)(1, "prf-visualrois")
    missing.unlink()
    data = load("V1", folder=broken.root)
    assert data.subjects == ("subj02",) and data.without_roi == ("subj01",)
    assert data.notes == (f"without subj01 (no {missing.name})",)
    for subjects in ("1,2", "1"):
        with pytest.raises(DataError, match=rf"subj01 has no {missing.name}; choose another roi or other subjects"):
            load("V1", folder=broken.root, subjects=subjects)
    getattr(broken, lacking)(2, "prf-visualrois").unlink()
    for roi in ("V1", "hV4"):
        with pytest.raises(DataError, match=rf"no subject has prf-visualrois.nii.gz .* where {roi} is; download them"):
            load(roi, folder=broken.root)


def test_notes_say_what_a_whole_copy_would_add(broken: Tree, load: Load) -> None:
    assert load("V1").notes == ()
    for session in (1, 3, 4):
        broken.betas(1, BETA, session=session, source="hdf5").unlink()
    notes = load("V1", folder=broken.root, source="hdf5").notes
    assert notes == ("sessions of subj01 that are not on disk: 1+3-4",)
    assert load("V1", folder=broken.root, source="hdf5").describe()["notes"] == list(notes)
    assert load("V1", folder=broken.root, source="hdf5", sessions="2,5").notes == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subject": "1"}, "takes no data.subject; did you mean subjects"),
        ({"subjects": "0"}, "data.subjects='0': expected different numbers from 1 to 8"),
        ({"subjects": "1,1"}, "different numbers"),
        ({"subjects": "one"}, "'one' is no number"),
        ({"beta": "b4"}, "unknown data.beta 'b4'"),
        ({"source": "mat"}, "unknown data.source 'mat'"),
        ({"nc_min": "100"}, "data.nc_min='100': expected percent"),
        ({"split": "random"}, "unknown data.split 'random'"),
        ({"roi": "V1"}, "takes no data.roi"),
    ],
)
def test_bad_options(load: Load, options: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        load("V1", **options)


def test_unknown_subject(load: Load) -> None:
    with pytest.raises(RequestError, match="unknown subject"):
        load("V1").responses("subj03")
    with pytest.raises(DataError, match="subj03"):
        load("V1", subjects="3")
