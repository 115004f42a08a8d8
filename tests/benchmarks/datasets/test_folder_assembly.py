"""A user's own folder with responses in an assembly of Brain-Score."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from alignment.errors import DataError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.folder import open_folder
from benchmarks.datasets.presented import Presented

STIMULI = 30
NAMES = [f"image{number:03d}" for number in range(STIMULI)]


def opened(folder: Path) -> Presented:
    return open_folder(DataSettings(folder=folder))


def assembly(folder: Path, *, dims: tuple[str, ...] = ("neuroid", "presentation")) -> xr.DataArray:
    """The folder's responses with flat coordinates, as Brain-Score writes them."""
    shown, values = pd.read_csv(folder / "presentations.csv"), np.load(folder / "responses.npy")
    stems = shown["stimulus"].str.removesuffix(".png")
    cube = values[..., None] * [1.0, 2.0]
    array = xr.DataArray(cube, dims=("presentation", "neuroid", "time_bin")).assign_coords(
        stimulus_id=("presentation", stems.tolist()),
        repetition=("presentation", stems.groupby(stems).cumcount().to_numpy()),
        object_name=("presentation", ["face"] * len(shown)),
        neuroid_id=("neuroid", [f"site{number}" for number in range(8)]),
        subject=("neuroid", ["ann"] * 5 + ["bob"] * 3),
        region=("neuroid", ["IT"] * 8),
        time_bin_start=("time_bin", [70, 170]),
        time_bin_end=("time_bin", [170, 270]),
    )
    return (array if "time_bin" in dims else array.isel(time_bin=0, drop=True)).transpose(*dims)


def as_assembly(folder: Path, array: xr.DataArray) -> Path:
    """The folder with the assembly alone."""
    array.rename("data").to_dataset().to_netcdf(folder / "assembly.nc", engine="h5netcdf")
    for name in ("responses.npy", "presentations.csv"):
        (folder / name).unlink()
    return folder


def test_an_assembly_is_the_same_data(folder: Path) -> None:
    before = opened(folder)
    expected, ceiling = before.responses("subject1"), before.ceiling("subject1")
    mine = opened(as_assembly(folder, assembly(folder)))
    assert mine.subjects == ("ann", "bob")
    for subject, columns in (("ann", slice(0, 5)), ("bob", slice(5, 8))):
        responses = mine.responses(subject)
        np.testing.assert_array_equal(responses.values, expected.values[:, columns])
        assert responses["stimulus"].values.tolist() == expected["stimulus"].values.tolist()
        assert responses["repetitions"].values.tolist() == expected["repetitions"].values.tolist()
        assert set(responses["roi"].values) == {"IT"}
    ann = mine.ceiling("ann")
    assert ann is not None
    assert ceiling is not None
    np.testing.assert_allclose(ann["ceiling"], ceiling["ceiling"][:5], atol=0.02)


def test_time_bins_are_kept(folder: Path) -> None:
    mine = opened(as_assembly(folder, assembly(folder, dims=("presentation", "neuroid", "time_bin"))))
    responses = mine.responses("ann")
    assert responses.sizes["time_bin"] == 2
    np.testing.assert_allclose(responses.values[..., 1], responses.values[..., 0] * 2, rtol=1e-6)
    assert mine.ceiling("ann") is None


def test_splits_stand_beside_an_assembly(folder: Path) -> None:
    as_assembly(folder, assembly(folder))
    pd.DataFrame({"stimulus": NAMES, "fold": ["a", "b"] * 15}).to_csv(folder / "splits.csv", index=False)
    assert [split.name for split in opened(folder).splits("ann")] == ["a", "b"]


def test_an_image_that_is_not_there_is_named_with_the_file(folder: Path) -> None:
    as_assembly(folder, assembly(folder))
    (folder / "images" / "image007.png").unlink()
    with pytest.raises(DataError, match=r"assembly\.nc: stimulus 'image007': no image of that name in") as raised:
        opened(folder)
    assert "\n" not in str(raised.value)


def test_one_file_of_responses_alone(folder: Path) -> None:
    (folder / "assembly.nc").touch()
    with pytest.raises(DataError, match=r"responses\.npy and assembly\.nc are there; keep one"):
        opened(folder)
