"""Folders as rep_align's own scripts lay them out: written here with NumPy alone, and read; and the other way round."""

from pathlib import Path

import numpy as np
import pytest

from alignment.errors import AlignmentError, DataError, RequestError
from benchmarks.datasets.rep_align_files import read_rep_align, write_rep_align

AREAS = {"V1": np.arange(12.0).reshape(4, 3), "V4": -np.arange(8, dtype=np.float32).reshape(4, 2)}
NAMES = ["b.png", "a.png", "c.png", "b.png"]


def lay_out(folder: Path, split: str = "train", paths: list[str] | None = None) -> Path:
    """What rep_align's preprocessing leaves."""
    (folder / split / "brain_activities").mkdir(parents=True)
    (folder / split / "preprocessed").mkdir()
    for area, values in AREAS.items():
        np.save(folder / split / "brain_activities" / f"{area}.npy", values)
    where = [str(folder / "elsewhere" / name) for name in NAMES] if paths is None else paths
    np.save(folder / split / "preprocessed" / "img_paths.npy", np.array(where))
    return folder


def put_images(place: Path, names: list[str] = NAMES) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        (place / name).write_bytes(name.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put_images(tmp_path / "there" / "elsewhere")
    return lay_out(tmp_path / "there")


def test_areas_stand_side_by_side_and_rows_follow_the_paths(folder: Path):
    found = read_rep_align(folder, "train")
    assert [path.name for path in found.images] == NAMES
    assert found.images[0] == folder / "elsewhere" / "b.png" == found.images[3]
    np.testing.assert_array_equal(found.responses, np.concatenate([AREAS["V1"], AREAS["V4"]], axis=1))
    assert found.rois == ("V1",) * 3 + ("V4",) * 2


def test_the_order_asked_for_is_the_order_given(folder: Path):
    found = read_rep_align(folder, "train", ["V4", "V1"])
    np.testing.assert_array_equal(found.responses, np.concatenate([AREAS["V4"], AREAS["V1"]], axis=1))
    assert read_rep_align(folder, "train", ["V4"]).rois == ("V4", "V4")


@pytest.mark.parametrize("paths", [[f"/gone/{name}" for name in NAMES], [rf"C:\gone\{name}" for name in NAMES]])
def test_paths_that_lead_nowhere_are_found_by_name(tmp_path: Path, paths: list[str]):
    moved = lay_out(tmp_path / "moved", paths=paths)
    put_images(moved / "images")
    assert read_rep_align(moved, "train").images[0] == moved / "images" / "b.png"
    put_images(tmp_path / "mine")
    assert read_rep_align(moved, "train", images=tmp_path / "mine").images[1] == tmp_path / "mine" / "a.png"


def test_a_path_that_leads_somewhere_wins_over_a_name(folder: Path):
    put_images(folder / "images")
    assert read_rep_align(folder, "train").images[0] == folder / "elsewhere" / "b.png"


def test_what_is_written_is_what_numpy_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_images(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    images = [Path("pictures") / name for name in NAMES]
    written = write_rep_align(tmp_path / "out", "val", images=images, responses=AREAS)
    for area, values in AREAS.items():
        kept = np.load(tmp_path / "out" / "val" / "brain_activities" / f"{area}.npy")
        np.testing.assert_array_equal(kept, values)
        assert kept.dtype == values.dtype
    paths = np.load(tmp_path / "out" / "val" / "preprocessed" / "img_paths.npy")
    assert paths.tolist() == [str(tmp_path / "pictures" / name) for name in NAMES]
    assert sorted(written) == sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    found = read_rep_align(tmp_path / "out", "val")
    np.testing.assert_array_equal(found.responses, np.hstack(list(AREAS.values())))


def _replace(name: str, value: object):
    def change(folder: Path) -> None:
        path = folder / "train" / name
        if value is None:
            path.unlink()
        elif isinstance(value, bytes):
            path.write_bytes(value)
        else:
            np.save(path, value, allow_pickle=True)

    return change


V1, PATHS = "brain_activities/V1.npy", "preprocessed/img_paths.npy"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_replace(V1, AREAS["V1"][:3]), r"V1\.npy: 3 rows, and img_paths\.npy has 4; give one to each"),
        (_replace(V1, AREAS["V1"][0]), r"V1\.npy: shape is \(3,\), expected \(image, voxel\)"),
        (_replace(V1, np.array([[None]])), r"V1\.npy: cannot read the array \(truncated, pickled"),
        (_replace(V1, b"\x93NUMPY"), r"V1\.npy: cannot read the array"),
        (_replace(PATHS, None), r"img_paths\.npy: cannot read the paths \(No such file"),
        (_replace(PATHS, np.array(NAMES, dtype=object)), r"img_paths\.npy: cannot read the paths \(truncated, pickled"),
        (_replace(PATHS, np.arange(4)), r"img_paths\.npy: expected one npy array \(image,\) of text"),
        (_replace(PATHS, np.array(["/gone/z.png"] * 4)), r"no image /gone/z\.png \(1 such\), and no z\.png in"),
    ],
)
def test_faults_of_the_files_are_one_line(folder: Path, change, message: str):
    change(folder)
    with pytest.raises(DataError, match=message) as caught:
        read_rep_align(folder, "train")
    assert "\n" not in str(caught.value)


def test_one_name_for_images_of_different_folders_says_nothing(tmp_path: Path):
    moved = lay_out(tmp_path, paths=["/gone/one/b.png", "/gone/two/b.png", "/gone/a.png", "/gone/c.png"])
    put_images(moved / "images")
    with pytest.raises(DataError, match=r"different folders are called b\.png \(1 such names\)"):
        read_rep_align(moved, "train")


@pytest.mark.parametrize(
    ("split", "rois", "message"),
    [
        ("train", ["V5"], "unknown ROI in .* 'V5'"),
        ("train", ["V1", "V1"], "ROIs are V1, V1; name each once"),
        ("train", [], "ROIs are none"),
        ("val", None, r"val.brain_activities: no <ROI>\.npy in it"),
    ],
)
def test_faults_of_the_request_are_one_line(folder: Path, split: str, rois: list[str] | None, message: str):
    with pytest.raises(AlignmentError, match=message) as caught:
        read_rep_align(folder, split, rois)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "../val"}, r"'\.\./val' cannot name a file"),
        ({"responses": {"a/b": AREAS["V1"]}}, "'a/b' cannot name a file"),
        ({"responses": {}}, "4 images and 0 areas to write"),
        ({"images": []}, "0 images and 2 areas to write"),
        ({"responses": {"V1": AREAS["V1"][:3]}}, r"responses of V1 are float64 \(3, 3\), expected \(4 images, voxel\)"),
        ({"responses": {"V1": np.full((4, 2), "x")}}, "responses of V1 are <U1"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is(tmp_path: Path, change: dict, message: str):
    given = {"split": "val", "images": [Path(name) for name in NAMES], "responses": AREAS} | change
    with pytest.raises(RequestError, match=message) as caught:
        write_rep_align(tmp_path / "out", given["split"], images=given["images"], responses=given["responses"])
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()
