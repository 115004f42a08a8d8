"""The folder of rep_align as a data set that benchmarks score, and data sets written as such a folder."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from alignment.errors import AlignmentError, DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.presented import Presented, presented
from benchmarks.datasets.rep_align import build, export_rep_align
from benchmarks.datasets.rep_align_files import write_rep_align

N_TRAIN, N_VAL, VOXELS = 12, 8, 5


def draw_images(place: Path, n: int, *, first: int = 0) -> list[Path]:
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{first + number:02}.png" for number in range(n)]
    for shade, path in enumerate(paths, start=first):
        Image.fromarray(np.full((4, 5, 3), shade, np.uint8)).save(path)
    return paths


def responses_to(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"V1": rng.normal(size=(n, VOXELS)), "V4": rng.normal(size=(n, 3))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "my nsd"
    for split, n, first in (("train", N_TRAIN, 0), ("val", N_VAL, N_TRAIN)):
        images = draw_images(place / "images", n, first=first)
        write_rep_align(place, split, images=images, responses=responses_to(n, seed=first))
    return place


def opened(folder: Path, selection: str | None = None, **options: str) -> Presented:
    return build(DataSettings(folder=folder, options=options), selection)


def test_train_is_fitted_on_and_val_is_judged_on(folder: Path):
    data = opened(folder)
    (subject,) = data.subjects
    (split,) = data.splits(subject)
    assert split.train == tuple(f"train/{number:02}.png" for number in range(N_TRAIN))
    assert split.test == tuple(f"val/{number:02}.png" for number in range(N_TRAIN, N_TRAIN + N_VAL))
    found = data.responses(subject)
    assert found["roi"].values.tolist() == ["V1"] * VOXELS + ["V4"] * 3
    for half, ids, seed in (("train", split.train, 0), ("val", split.test, N_TRAIN)):
        expected = np.concatenate(list(responses_to(len(ids), seed=seed).values()), axis=1)
        np.testing.assert_allclose(found.sel(stimulus=list(ids)).values[..., 0], expected, rtol=1e-6, err_msg=half)
    assert data.stimuli.image("val/13.png")[0, 0, 0] == 13
    assert data.name == "rep_align" and data.marks == ("rep_align=my-nsd",)


@pytest.mark.parametrize(("selection", "rois"), [("V4", ["V4"] * 3), ("V4+V1", ["V4"] * 3 + ["V1"] * VOXELS)])
def test_areas_can_be_chosen(folder: Path, selection: str, rois: list[str]):
    data = opened(folder, selection)
    assert data.name == f"rep_align.{selection}"
    assert data.responses(data.subjects[0])["roi"].values.tolist() == rois


def test_a_folder_that_was_moved_is_the_same_data(folder: Path, tmp_path: Path):
    before = opened(folder)
    fingerprint = before.stimuli.fingerprint
    moved = Path(shutil.move(folder, tmp_path / "other place"))
    after = opened(moved)
    assert after.stimuli.fingerprint == fingerprint
    assert after.responses("subject1").equals(before.responses("subject1"))
    # which folder it is stands in the id of a benchmark
    assert after.marks != before.marks


def test_an_image_that_was_shown_twice_is_averaged(tmp_path: Path):
    train, val = draw_images(tmp_path / "images", 6), draw_images(tmp_path / "images", 6, first=6)
    shown = [*train, train[0]]
    values = np.arange(14.0).reshape(7, 2)
    write_rep_align(tmp_path, "train", images=shown, responses={"V1": values})
    write_rep_align(tmp_path, "val", images=val, responses={"V1": np.ones((6, 2))})
    found = opened(tmp_path).responses("subject1").sel(stimulus="train/00.png")
    np.testing.assert_allclose(found.values[..., 0], (values[0] + values[6]) / 2)


def test_an_image_in_both_halves_is_refused_whatever_its_place(folder: Path, tmp_path: Path):
    leaked = draw_images(tmp_path / "copies", 1, first=3)
    values = responses_to(N_VAL, seed=1)
    images = [*leaked, *draw_images(folder / "images", N_VAL - 1, first=N_TRAIN)]
    write_rep_align(folder, "val", images=images, responses=values)
    with pytest.raises(DataError, match=r"copies/03\.png is in train and val \(1 such\); keep it in one"):
        opened(folder)
    # another image of the same name is none of those that were fitted on
    Image.fromarray(np.full((4, 5, 3), 200, np.uint8)).save(leaked[0])
    assert opened(folder).stimuli.image("val/03.png")[0, 0, 0] == 200


def test_two_images_of_one_name_in_a_half_are_refused(folder: Path, tmp_path: Path):
    images = [*draw_images(folder / "images", N_TRAIN - 1), *draw_images(tmp_path / "more", 1)]
    write_rep_align(folder, "train", images=images, responses=responses_to(N_TRAIN, seed=0))
    with pytest.raises(DataError, match=r"images/00\.png and .*more/00\.png have one name in train; rename one"):
        opened(folder)


def test_halves_with_other_voxels_are_refused(folder: Path):
    images = draw_images(folder / "images", N_VAL, first=N_TRAIN)
    write_rep_align(folder, "val", images=images, responses={"V4": np.ones((N_VAL, 4))})
    with pytest.raises(DataError, match="train and val differ in areas or voxels") as caught:
        opened(folder, "V4")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("selection", "options", "message"),
    [("V9", {}, "unknown ROI in .* 'V9'"), (None, {"subjects": "1"}, "rep_align takes no data.subjects")],
)
def test_faults_of_the_request_are_one_line(folder: Path, selection: str | None, options: dict, message: str):
    with pytest.raises(RequestError, match=message) as caught:
        opened(folder, selection, **options)
    assert "\n" not in str(caught.value)


def test_no_folder_is_one_line(tmp_path: Path):
    with pytest.raises(AlignmentError, match=r"no <ROI>\.npy in it; name the folder that holds train") as caught:
        opened(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def some_data(**changes: object) -> Presented:
    rng = np.random.default_rng(0)
    images = {f"a/{number}": rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for number in range(30)}
    shown = [name for name in images for _ in range(2)]
    values = rng.normal(size=(60, 4))
    return presented("mine", images, responses=values, stimulus=shown, **changes)


def test_any_data_set_goes_there_and_back(tmp_path: Path):
    data = some_data()
    subject = data.subjects[0]
    with pytest.raises(RequestError, match="unknown split of mine ''"):
        export_rep_align(data, tmp_path / "out", subject=subject)
    written = export_rep_align(data, tmp_path / "out", subject=subject, split=data.splits(subject)[1].name)
    assert [path.name for path in written] == ["all.npy", "img_paths.npy"] * 2
    back, split = opened(tmp_path / "out"), data.splits(subject)[1]
    for half, ids in (("train", split.train), ("val", split.test)):
        there = [f"{half}/{name.replace('/', '%2F')}.png" for name in ids]
        found = back.responses("subject1").sel(stimulus=there).values
        np.testing.assert_allclose(found, data.responses(subject).sel(stimulus=list(ids)).values)
        assert np.array_equal(back.stimuli.image(there[0]), data.stimuli.image(ids[0]))


def test_areas_become_files_and_time_is_refused(tmp_path: Path, folder: Path):
    data = opened(folder)
    written = export_rep_align(data, tmp_path / "out", subject="subject1")
    assert sorted({path.name for path in written}) == ["V1.npy", "V4.npy", "img_paths.npy"]
    np.testing.assert_allclose(
        np.load(tmp_path / "out" / "val" / "brain_activities" / "V4.npy"),
        responses_to(N_VAL, seed=N_TRAIN)["V4"],
        rtol=1e-6,
    )

    once = data.presentations
    twice = xr.concat([once, once.assign_coords(time_bin=[1.0])], dim="time_bin")
    with pytest.raises(RequestError, match="2 time bins, and rep_align knows one"):
        export_rep_align(replace(data, presentations=twice), tmp_path / "timed", subject="subject1")


def test_the_command_writes_such_folders_and_reads_them(tmp_path: Path):
    """Two simulated people, one folder each."""
    bench = Path(sys.executable).parent / "bench"
    written = subprocess.run(
        [bench, "data", "export", "benchmark=nsd-smoke.V4", f"to={tmp_path / 'out'}", "layout=rep_align"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    folders = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert folders == ["subj01", "subj02"]
    again = build(DataSettings(folder=tmp_path / "out" / "subj01"), None)
    (subject,) = again.subjects
    assert again.responses(subject).sizes["neuroid"] > 10 and len(again.splits(subject)) == 1
    refused = subprocess.run(
        [bench, "data", "export", "benchmark=digits", f"to={tmp_path / 'no'}", "layout=rep_align"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert refused.returncode == 2 and "holds no responses" in refused.stderr and not (tmp_path / "no").exists()
