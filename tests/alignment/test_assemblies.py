"""Assemblies laid out as Brain-Score's BrainIO writes them, and there and back."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.arrays import check_responses, responses_array
from alignment.assemblies import read_assembly, write_assembly
from alignment.errors import DataError


def as_brainio_writes(assembly: xr.DataArray, path: Path, *, compressed: bool = True) -> Path:
    """What its `write_netcdf` does: indexes become flat coordinates; the variable is `data`, or has no name."""
    assembly = assembly.reset_index([dim for dim in assembly.dims if dim in assembly.indexes])
    if compressed:
        dataset = assembly.to_dataset(name="data", promote_attrs=True)
        encoding = {name: {"zlib": True, "complevel": 1} for name in dataset.data_vars}
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    else:
        assembly.to_netcdf(path, engine="h5netcdf")
    return path


def monkeys(*, id_name: str = "stimulus_id") -> xr.DataArray:
    """6 presentations of 3 images to 4 sites, two bins of 70 ms, in the old order of dims, with multi-indexes."""
    values = np.random.default_rng(0).poisson(3, (4, 6, 2))
    assembly = xr.DataArray(
        values,
        dims=("neuroid", "presentation", "time_bin"),
        coords={
            id_name: ("presentation", ["im1", "im2", "im3"] * 2),
            "repetition": ("presentation", [4, 4, 4, 7, 7, 7]),
            "object_name": ("presentation", ["car", "face", "car"] * 2),
            "neuroid_id": ("neuroid", ["Chabo_1", "Chabo_2", "Tito_1", "Tito_2"]),
            "region": ("neuroid", ["IT", "V4", "IT", "IT"]),
            "animal": ("neuroid", ["Chabo", "Chabo", "Tito", "Tito"]),
            "x": ("neuroid", [0.1, 0.2, 0.3, 0.4]),
            "time_bin_start": ("time_bin", [70, 140]),
            "time_bin_end": ("time_bin", [140, 210]),
        },
        attrs={"identifier": "dicarlo.Test2026", "stimulus_set_identifier": "hvm"},
    )
    return assembly.set_index(
        presentation=[id_name, "repetition", "object_name"],
        neuroid=["neuroid_id", "region", "animal", "x"],
        time_bin=["time_bin_start", "time_bin_end"],
    )


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("id_name", ["stimulus_id", "image_id"])
def test_a_recording_becomes_responses(tmp_path: Path, compressed: bool, id_name: str) -> None:
    assembly = monkeys(id_name=id_name)
    found = read_assembly(as_brainio_writes(assembly, tmp_path / "assy.nc", compressed=compressed))
    assert check_responses(found) is found
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.values, assembly.values.transpose(1, 0, 2))
    held = {name: found[name].values.tolist() for name in found.coords}
    assert held == {
        "stimulus": ["im1", "im2", "im3"] * 2,
        "repetition": [4, 4, 4, 7, 7, 7],
        "session": [""] * 6,
        "object_name": ["car", "face", "car"] * 2,
        "neuroid_id": ["Chabo_1", "Chabo_2", "Tito_1", "Tito_2"],
        "roi": ["IT", "V4", "IT", "IT"],
        "subject": ["Chabo", "Chabo", "Tito", "Tito"],
        "x": [0.1, 0.2, 0.3, 0.4],
        "time_bin": [70.0, 140.0],
        "time_bin_start": [70, 140],
        "time_bin_end": [140, 210],
    }
    assert found.attrs == {"identifier": "dicarlo.Test2026", "stimulus_set_identifier": "hvm"}


def test_people_without_time_bins_keep_their_own_names(tmp_path: Path) -> None:
    assembly = xr.DataArray(
        np.arange(8.0).reshape(4, 2),
        dims=("presentation", "neuroid"),
        coords={
            "stimulus_id": ("presentation", [3, 5, 3, 3]),
            "session": ("presentation", [1, 1, 2, 2]),
            "subject": ("neuroid", [1, 2]),
            "animal": ("neuroid", ["human", "human"]),
            "roi": ("neuroid", ["EBA", "FFA"]),
            "region": ("neuroid", ["IT", "IT"]),
        },
    )
    found = read_assembly(as_brainio_writes(assembly, tmp_path / "assy.nc"))
    assert found.shape == (4, 2, 1)
    assert found["time_bin"].values.tolist() == [0.0]
    assert found["stimulus"].values.tolist() == ["3", "5", "3", "3"]
    assert found["repetition"].values.tolist() == [0, 0, 1, 2]
    assert found["session"].values.tolist() == ["1", "1", "2", "2"]
    for name in ("subject", "animal", "roi", "region"):
        assert found[name].values.tolist() == assembly[name].values.tolist()
    back = read_assembly(write_assembly(tmp_path / "again.nc", found, identifier="lab.Two2026"))
    xr.testing.assert_identical(back, found.assign_attrs(identifier="lab.Two2026"))


def test_files_of_other_tools_are_read(tmp_path: Path) -> None:
    """Metadata as plain variables, text as fixed-width bytes, units, one bin without a start, extras in a group."""
    path = tmp_path / "assy.nc"
    dataset = xr.Dataset(
        {
            "spikes": (("presentation", "neuroid", "time_bin"), np.ones((2, 3, 1))),
            "stimulus_id": ("presentation", np.array(["a", "b"], "S")),
            "depth": ("neuroid", [1.0, 2.0, 3.0], {"units": "ms"}),
            "time_bin_start": ("time_bin", [np.nan]),
            "time_bin_end": ("time_bin", [np.nan]),
        },
        attrs={"identifier": "lab.One2026"},
    )
    dataset.to_netcdf(path, engine="h5netcdf")
    xr.Dataset({"noise": ("site", [1.0])}).to_netcdf(path, engine="h5netcdf", mode="a", group="extra")
    found = read_assembly(path)
    assert found["stimulus"].values.tolist() == ["a", "b"]
    assert found["depth"].values.tolist() == [1.0, 2.0, 3.0]
    assert found["time_bin"].values.tolist() == [0.0]
    assert found.attrs["identifier"] == "lab.One2026"


def test_brainio_finds_what_it_needs_in_our_files(tmp_path: Path) -> None:
    responses = responses_array(
        np.arange(12.0).reshape(2, 3, 2),
        stimulus=["a", "b"],
        session=["x", "y"],
        time_bins=(70, 140),
        neuroid={"roi": ["IT"] * 3, "subject": ["m"] * 3, "neuroid_id": ["1", "2", "3"]},
    ).assign_coords(time_bin_end=("time_bin", [140, 210]))
    path = write_assembly(
        tmp_path / "new" / "assy_lab_Three2026.nc",
        responses.set_index(presentation=["stimulus", "session"]),
        identifier="lab.Three2026",
        stimulus_set_identifier="hvm",
    )
    with h5py.File(path) as file:
        assert {"identifier": "lab.Three2026", "stimulus_set_identifier": "hvm"}.items() <= dict(file.attrs).items()
    # the way its loader opens a file
    with xr.open_dataarray(path, engine="h5netcdf") as array:
        assert array.dims == ("presentation", "neuroid", "time_bin")
        assert array.attrs["identifier"] == "lab.Three2026"
        assert array["stimulus_id"].values.tolist() == ["a", "b"]
        assert array["region"].values.tolist() == ["IT"] * 3
        assert array["time_bin_start"].values.tolist() == [70, 140]
        assert not array.indexes
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_responses_there_and_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(3))
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    columns = [data.draw(st.lists(text, min_size=size, max_size=size)) for size in (shape[0], shape[0], shape[1])]
    resolved = shape[2] > 1 or data.draw(st.booleans())
    starts = np.cumsum(data.draw(st.lists(st.integers(1, 99), min_size=shape[2], max_size=shape[2])))
    responses = responses_array(
        np.random.default_rng(0).standard_normal(shape),
        stimulus=columns[0],
        session=columns[1],
        time_bins=starts if resolved else (0.0,),
        neuroid={"roi": columns[2], "ncsnr": np.arange(shape[1]) / 7},
    )
    if resolved:
        edges = {"time_bin_start": ("time_bin", starts), "time_bin_end": ("time_bin", starts + 10)}
        responses = responses.assign_coords(edges)
    path = tmp_path_factory.mktemp("assembly") / "assembly.nc"
    found = read_assembly(write_assembly(path, responses, identifier="lab.Any2026"))
    xr.testing.assert_identical(found, responses.assign_attrs(identifier="lab.Any2026"))


def test_what_is_no_assembly_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "assy.nc"
    plain = xr.DataArray(np.ones((2, 3)), dims=("presentation", "neuroid"))
    named = plain.assign_coords(stimulus_id=("presentation", ["a", "b"]))
    binned = named.expand_dims(time_bin=2, axis=2)
    cases = [
        (
            plain.rename(neuroid="site").to_dataset(name="data"),
            "0 variables of real numbers along presentation and neuroid",
        ),
        (xr.Dataset({"a": named, "b": named}), "2 variables of real numbers"),
        (named.astype(str).to_dataset(name="data"), "0 variables of real numbers"),
        (plain.to_dataset(name="data"), "no coordinate stimulus_id"),
        (named.rename(stimulus_id="image_id").isel(neuroid=[]).to_dataset(name="data"), "empty"),
        (plain.assign_coords(stimulus_id=("neuroid", list("abc"))).to_dataset(name="data"), "no `stimulus` coordinate"),
        (named.assign_coords(stimulus=("presentation", [1, 2])).to_dataset(name="data"), "rename the other"),
        (binned.to_dataset(name="data"), "no coordinate time_bin_start"),
        (
            binned.assign_coords(time_bin_start=("time_bin", [0, np.nan])).to_dataset(name="data"),
            "not a number in some of 2 time bins",
        ),
        (
            plain.assign_coords(stimulus_id=("presentation", [1.0, np.nan])).to_dataset(name="data"),
            "1 presentations have no stimulus id",
        ),
    ]
    for dataset, message in cases:
        dataset.to_netcdf(path, engine="h5netcdf", mode="w")
        with pytest.raises(DataError, match=message) as caught:
            read_assembly(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    path.write_bytes(b"CDF\x01")
    with pytest.raises(DataError, match="not a netCDF-4 file"):
        read_assembly(path)
    with pytest.raises(DataError, match="no such assembly"):
        read_assembly(tmp_path / "none.nc")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    responses = responses_array(np.ones((2, 3, 2)), stimulus=["a", "b"], time_bins=(1, 2), neuroid={"roi": ["IT"] * 3})
    whole = responses.assign_coords(time_bin_end=("time_bin", [2, 3]))
    for array, message in [
        (responses, "no coordinate time_bin_end"),
        (whole.assign_coords(stimulus_id=("presentation", [1, 2])), "both stimulus and stimulus_id are there"),
        (whole.assign_attrs(about={"a": 1}), "cannot hold these responses"),
        (whole.isel(time_bin=0), "dims are"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            write_assembly(tmp_path / "assy.nc", array, identifier="lab.None2026")
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
