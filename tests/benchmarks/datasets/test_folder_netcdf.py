"""A user's own folder with responses in netCDF."""

from collections.abc import Callable
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
NAMES = [f"image{number:03d}.png" for number in range(STIMULI)]


def opened(folder: Path, **options: str) -> Presented:
    return open_folder(DataSettings(folder=folder, options=options))


def on_disk(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Presentations and responses."""
    return pd.read_csv(folder / "presentations.csv"), np.load(folder / "responses.npy")


def netcdf(folder: Path, *, resolved: bool = False, dims: tuple[str, ...] = ()) -> xr.Dataset:
    shown, values = on_disk(folder)
    cube = np.stack([values, values * 2], axis=2) if resolved else values
    all_dims = ("presentation", "neuroid", "time_bin")[: cube.ndim]
    array = xr.DataArray(cube, dims=all_dims, name="responses").assign_coords(
        stimulus=("presentation", [name.removesuffix(".png") for name in shown["stimulus"]]),
        subject=("neuroid", ["ann"] * 5 + ["bob"] * 3),
        onset=("presentation", np.arange(len(shown)) * 0.5),
    )
    if resolved:
        array = array.assign_coords(time_bin=("time_bin", [50.0, 100.0], {"units": "ms"}))
    return array.transpose(*dims or all_dims).to_dataset()


def as_netcdf(folder: Path, dataset: xr.Dataset) -> Path:
    (folder / "responses.npy").unlink()
    dataset.to_netcdf(folder / "responses.nc", engine="h5netcdf")
    return folder


def test_netcdf_is_the_same_data(folder: Path) -> None:
    expected = opened(folder).responses("subject1")
    mine = opened(as_netcdf(folder, netcdf(folder, dims=("neuroid", "presentation"))))
    assert mine.subjects == ("ann", "bob")
    np.testing.assert_array_equal(mine.responses("ann").values, expected.values[:, :5])
    np.testing.assert_array_equal(mine.responses("bob").values, expected.values[:, 5:])
    assert mine.responses("bob")["neuroid"].values.tolist() == [5, 6, 7]


def test_time_resolved_netcdf(folder: Path) -> None:
    mine = opened(as_netcdf(folder, netcdf(folder, resolved=True)))
    responses = mine.responses("ann")
    assert responses["time_bin"].values.tolist() == [50.0, 100.0]
    np.testing.assert_allclose(responses.values[..., 1], responses.values[..., 0] * 2, rtol=1e-5)
    assert mine.ceiling("ann") is None


def _netcdf(change: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[Path], None]:
    return lambda folder: as_netcdf(folder, change(netcdf(folder))) and None


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (_netcdf(lambda data: data.rename(responses="r")), r"no variable `responses` \(found: r\)"),
    (_netcdf(lambda data: data.rename(presentation="trial")), "dims of `responses`"),
    (_netcdf(lambda data: data.drop_vars("stimulus")), "no coordinate `stimulus` along presentation"),
    (_netcdf(lambda data: data.rename(subject="Subjct")), "unknown coordinate 'Subjct' along neuroid; did you mean"),
    (
        lambda folder: [(folder / "responses.npy").unlink(), (folder / "responses.nc").write_bytes(b"x" * 99)],
        r"responses\.nc: cannot read netCDF",
    ),
]


@pytest.mark.parametrize(("spoil", "fault"), FAULTS)
def test_faults_are_one_line(folder: Path, spoil: Callable[[Path], object], fault: str) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=fault) as raised:
        opened(folder)
    assert "\n" not in str(raised.value)
