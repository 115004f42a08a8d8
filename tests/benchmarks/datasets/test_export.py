"""Exports read back: by the tools they are for, and by this one."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import xarray as xr
from rsatoolbox.rdm import load_rdm

from alignment.assemblies import read_assembly
from alignment.errors import DataError, RequestError
from alignment.rsa import RDMs, read_rdm_file
from benchmarks.datasets.export import export
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.datasets.labelled import labelled
from benchmarks.datasets.presented import presented

BENCH = Path(sys.executable).parent / "bench"
IMAGES = {f"image{i}": np.full((4, 4, 3), i, np.uint8) for i in range(20)}


def test_rdms_are_rsatoolbox_s(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((4, 190))
    rdms = RDMs(values, tuple(IMAGES), subjects=("a", "a", "b", "b"), sessions=("1", "2", "1", "2"))
    (path,) = export(rdm_dataset("given", IMAGES, rdms=rdms), tmp_path / "out")
    theirs = load_rdm(str(path))
    np.testing.assert_allclose(theirs.dissimilarities, values)
    assert list(theirs.rdm_descriptors["subject"]) == ["a", "a", "b", "b"]
    again = read_rdm_file(path)
    assert (again.stimuli, again.sessions) == (rdms.stimuli, rdms.sessions)


def test_responses_are_assemblies(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    data = presented(
        "mine", IMAGES, responses=values, stimulus=[*IMAGES, *IMAGES], subject=["x"] * 4 + ["y"] * 2, ncsnr=[0.5] * 6
    )
    paths = export(data, tmp_path)
    assert [path.name for path in paths] == ["mine.x.nc", "mine.y.nc"]
    with xr.open_dataset(paths[0], engine="h5netcdf") as file:
        assert set(file["data"].dims) == {"presentation", "neuroid"}
        assert file["stimulus_id"].values.tolist() == list(IMAGES)
        assert file["neuroid_id"].values.tolist() == ["0", "1", "2", "3"]
    read = read_assembly(paths[0])
    np.testing.assert_allclose(read.values[..., 0], (values[:20, :4] + values[20:, :4]) / 2, rtol=1e-6)
    assert read["ncsnr"].values.tolist() == [0.5] * 4


def test_labels_are_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"^mine holds labelled images, and nothing measured; export responses or RDMs$"
    ):
        export(labelled("mine", IMAGES, ["cat", "dog"] * 10), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def two_subjects(first: str, second: str, name: str = "mine"):
    values = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    return presented(name, IMAGES, responses=values, stimulus=list(IMAGES), subject=[first] * 2 + [second] * 2)


def test_names_stay_in_the_folder_and_can_be_read_back(tmp_path: Path) -> None:
    subjects = ("x/../../../../escaped", "monkey 1", "..", "é%2F", "a\\b", "%C3%A9/")
    folder = tmp_path / "one" / "two" / "out"
    for first, second in zip(subjects[::2], subjects[1::2], strict=True):
        paths = export(two_subjects(first, second, name="../mine"), folder)
        assert {unquote(path.name) for path in paths} == {f"../mine.{first}.nc", f"../mine.{second}.nc"}
        for path in paths:
            assert read_assembly(path).attrs["identifier"] == unquote(path.name).removesuffix(".nc")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {folder}
    assert len({path.name.lower() for path in files}) == len(subjects)
    values = RDMs(np.random.default_rng(0).random((1, 190)), tuple(IMAGES))
    (path,) = export(rdm_dataset("../../given", IMAGES, rdms=values), folder)
    assert path == folder / "..%2F..%2Fgiven.hdf5"
    assert path.is_file()


def test_subjects_whose_files_would_meet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^mine: subjects 'Ann' and 'ann' differ in case alone.*; rename one$"):
        export(two_subjects("Ann", "ann"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


DATA = """
import numpy as np
from benchmarks.datasets.presented import presented

images = {f"image{i}": np.full((4, 4, 3), i, np.uint8) for i in range(20)}

def data(settings, selection):
    return presented("mine", images, responses=np.random.default_rng(0).normal(size=(20, 3)), stimulus=list(images))
"""


@pytest.mark.parametrize("place", ["/proc/x", "taken", "taken/below"])
def test_a_place_that_cannot_be_written_is_a_line_about_it(tmp_path: Path, place: str) -> None:
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "taken").write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    words = ("data", "export", "benchmark=./data.py:data", f"to={place}")
    done = subprocess.run([str(BENCH), *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("bench: error: cannot write")
    assert line.endswith("; name another place")
    assert sorted(tmp_path.rglob("*")) == before
