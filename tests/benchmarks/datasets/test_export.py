"""Exports read back: by the tools they are for, and by this one."""

from pathlib import Path

import numpy as np
import xarray as xr
from rsatoolbox.rdm import load_rdm

from alignment.assemblies import read_assembly
from alignment.rsa import RDMs, read_rdm_file
from benchmarks.datasets.export import export
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.datasets.presented import presented

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
