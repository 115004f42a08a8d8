"""A user's own folder."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.folder import build, open_folder
from benchmarks.datasets.presented import Presented

STIMULI, NEUROIDS, REPETITIONS = 30, 8, 4
NAMES = [f"image{number:03d}.png" for number in range(STIMULI)]


def write_images(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for shade, name in enumerate(NAMES):
        Image.fromarray(np.full((6, 6, 3), shade, np.uint8)).save(folder / "images" / name)


def simulated() -> tuple[pd.DataFrame, np.ndarray]:
    """Presentations in mixed order, and their responses: signal variance 4, noise variance 1."""
    random = np.random.default_rng(0)
    shown = pd.DataFrame({"stimulus": np.tile(NAMES, REPETITIONS)}).sample(frac=1, random_state=0, ignore_index=True)
    signal = pd.DataFrame(random.normal(size=(STIMULI, NEUROIDS)) * 2, index=NAMES)
    return shown, signal.loc[shown["stimulus"]].to_numpy() + random.normal(size=(len(shown), NEUROIDS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """npy and csv, four repetitions, nothing optional."""
    place = tmp_path / "my data"
    write_images(place)
    shown, values = simulated()
    shown.to_csv(place / "presentations.csv", index=False)
    np.save(place / "responses.npy", values)
    return place


def opened(folder: Path, **options: str) -> Presented:
    return open_folder(DataSettings(folder=folder, options=options))


def write_csv(path: Path, **columns: object) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def test_means_are_those_of_pandas(folder: Path) -> None:
    shown, values = simulated()
    expected = pd.DataFrame(values).groupby(shown["stimulus"].values).mean()
    mine = opened(folder)
    responses = mine.responses("subject1")
    assert mine.name == "folder.my-data"
    assert mine.subjects == ("subject1",)
    assert responses.dims == ("stimulus", "neuroid", "time_bin")
    assert responses.dtype == np.float32
    np.testing.assert_allclose(responses.sel(stimulus=expected.index.tolist()).values[..., 0], expected, rtol=1e-5)
    assert set(responses["repetitions"].values) == {REPETITIONS}
    assert responses["stimulus"].values.tolist() == list(dict.fromkeys(shown["stimulus"]))


def test_stimuli_are_the_images_shown(folder: Path) -> None:
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(folder / "images" / "never_shown.png")
    mine = opened(folder, visual_degrees="8.4")
    assert mine.stimuli.ids == tuple(NAMES)
    assert [mine.stimuli.image(name)[0, 0, 0] for name in NAMES] == list(range(STIMULI))
    assert mine.stimuli.visual_degrees == 8.4
    assert opened(folder).stimuli.visual_degrees is None
    assert mine.describe()["images without responses"] == 1


def test_five_folds_by_default_whatever_the_folder_is_called(folder: Path) -> None:
    splits = opened(folder).splits("subject1")
    assert len(splits) == 5
    assert sorted(stimulus for split in splits for stimulus in split.test) == NAMES
    before = opened(folder)
    fingerprint = before.fingerprint
    moved = folder.rename(folder.with_name("other"))
    assert opened(moved).splits("subject1") == splits
    assert opened(moved).fingerprint == fingerprint


def test_repetitions_give_a_ceiling(folder: Path) -> None:
    ceiling = opened(folder).ceiling("subject1")
    assert ceiling is not None
    assert abs(ceiling["ceiling"].median().item() - np.sqrt(4 / (4 + 1 / REPETITIONS))) < 0.02
    assert ceiling["p_value"] < 0.05


def test_ncsnr_gives_the_closed_form(folder: Path) -> None:
    ncsnr = np.linspace(0, 2, NEUROIDS)
    write_csv(folder / "neuroids.csv", ncsnr=ncsnr)
    ceiling = opened(folder).ceiling("subject1")
    assert ceiling is not None
    np.testing.assert_allclose(ceiling["ceiling"], np.sqrt(ncsnr**2 / (ncsnr**2 + 1 / REPETITIONS)))
    assert ceiling["p_value"] < 0.05


def test_rows_that_are_means_say_of_how_many(folder: Path) -> None:
    random = np.random.default_rng(0)
    counts = [1, 2, 4] * 10
    write_csv(folder / "presentations.csv", stimulus=NAMES, repetitions=counts)
    write_csv(folder / "neuroids.csv", ncsnr=[1.0] * NEUROIDS)
    np.save(folder / "responses.npy", random.normal(size=(STIMULI, NEUROIDS)))
    mine = opened(folder)
    assert mine.responses("subject1")["repetitions"].values.tolist() == counts
    ceiling = mine.ceiling("subject1")
    assert ceiling is not None
    np.testing.assert_allclose(ceiling["ceiling"], np.sqrt(1 / (1 + (1 + 1 / 2 + 1 / 4) / 3)))
    assert np.isnan(ceiling["p_value"])


def test_no_repetition_no_ceiling(folder: Path) -> None:
    write_csv(folder / "presentations.csv", stimulus=NAMES)
    np.save(folder / "responses.npy", np.random.default_rng(0).normal(size=(STIMULI, NEUROIDS)))
    assert opened(folder).ceiling("subject1") is None


def test_split_table_with_train_and_test(folder: Path) -> None:
    write_csv(folder / "splits.csv", stimulus=NAMES, split=["train"] * 20 + ["test"] * 10)
    mine = opened(folder)
    (split,) = mine.splits("subject1")
    assert split.train == tuple(NAMES[:20])
    assert split.test == tuple(NAMES[20:])
    assert mine.fingerprint != opened_without(folder, "splits.csv").fingerprint


def opened_without(folder: Path, name: str) -> Presented:
    (folder / name).unlink()
    return opened(folder)


def test_split_table_with_folds_by_stem(folder: Path) -> None:
    stems = [name.removesuffix(".png") for name in NAMES]
    write_csv(folder / "splits.csv", stimulus=stems, fold=["b", "a", "c"] * 10)
    splits = opened(folder).splits("subject1")
    assert [split.name for split in splits] == ["a", "b", "c"]
    assert splits[0].test == tuple(NAMES[1::3])


def test_split_column_of_the_presentations(folder: Path) -> None:
    shown, _ = simulated()
    shown["split"] = np.where(shown["stimulus"] < NAMES[12], "test", "train")
    shown.to_csv(folder / "presentations.csv", index=False)
    (split,) = opened(folder).splits("subject1")
    assert split.test == tuple(NAMES[:12])


def test_the_ceiling_is_that_of_the_test_stimuli(folder: Path) -> None:
    shown, values = simulated()
    shown["split"] = np.where(shown["stimulus"] < NAMES[15], "test", "train")
    noisy = shown["split"].to_numpy() == "train"
    values[noisy] = np.random.default_rng(1).normal(size=(noisy.sum(), NEUROIDS)) * 50
    shown.to_csv(folder / "presentations.csv", index=False)
    np.save(folder / "responses.npy", values)
    ceiling = opened(folder).ceiling("subject1")
    assert ceiling is not None
    assert ceiling["ceiling"].median() > 0.9


def netcdf(folder: Path, *, resolved: bool = False, dims: tuple[str, ...] = ()) -> xr.Dataset:
    shown, values = simulated()
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


def test_subjects_who_saw_different_stimuli(folder: Path) -> None:
    shown, values = simulated()
    first = shown["stimulus"].to_numpy() < NAMES[20]
    values[~first, :4] = np.nan
    values[shown["stimulus"].to_numpy() < NAMES[10], 4:] = np.nan
    np.save(folder / "responses.npy", values)
    write_csv(folder / "neuroids.csv", subject=["ann"] * 4 + ["bob"] * 4)
    mine = opened(folder)
    assert sorted(mine.responses("ann")["stimulus"].values) == NAMES[:20]
    assert sorted(mine.responses("bob")["stimulus"].values) == NAMES[10:]
    for subject, seen in (("ann", NAMES[:20]), ("bob", NAMES[10:])):
        assert sorted(stimulus for split in mine.splits(subject) for stimulus in split.test) == seen
        assert mine.ceiling(subject) is not None


def test_missing_trials_and_broken_neuroids(folder: Path) -> None:
    shown, values = simulated()
    values[:, 2] = 1.0
    values[0] = np.nan
    values[shown["stimulus"] == NAMES[3], 5] = np.nan
    np.save(folder / "responses.npy", values)
    mine = opened(folder)
    responses = mine.responses("subject1")
    assert responses.attrs["dropped"] == ["2 (constant)", "5 (not finite)"]
    assert responses["repetitions"].sel(stimulus=shown["stimulus"][0]) == REPETITIONS - 1
    ceiling = mine.ceiling("subject1")
    assert ceiling is not None
    assert ceiling["neuroid"].values.tolist() == responses["neuroid"].values.tolist()


def test_fingerprint_covers_what_enters_a_score(folder: Path) -> None:
    seen = {opened(folder).fingerprint, opened(folder).fingerprint}
    assert len(seen) == 1
    write_csv(folder / "neuroids.csv", roi=["V1"] * NEUROIDS)
    seen.add(opened(folder).fingerprint)
    write_csv(folder / "neuroids.csv", roi=["V1"] * NEUROIDS, ncsnr=[1.0] * NEUROIDS)
    seen.add(opened(folder).fingerprint)
    values = np.load(folder / "responses.npy")
    values[0, 0] += 1
    np.save(folder / "responses.npy", values)
    seen.add(opened(folder).fingerprint)
    assert len(seen) == 4


def test_it_travels_to_another_process(folder: Path) -> None:
    mine = opened(folder)
    fingerprint = mine.fingerprint
    assert pickle.loads(pickle.dumps(mine)).fingerprint == fingerprint


def _table(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def _presentations(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda folder: change(simulated()[0]).to_csv(folder / "presentations.csv", index=False)


def _values(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "responses.npy", change(simulated()[1]))


def _netcdf(change: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[Path], None]:
    return lambda folder: as_netcdf(folder, change(netcdf(folder))) and None


def _nan_stimulus(values: np.ndarray) -> np.ndarray:
    values[simulated()[0]["stimulus"] == NAMES[4]] = np.nan
    return values


def _half_split(shown: pd.DataFrame) -> pd.DataFrame:
    return shown.assign(split=["train", "test"] * (len(shown) // 2))


def _splits(**columns: list[str]) -> Callable[[Path], None]:
    return lambda folder: write_csv(folder / "splits.csv", **columns)


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "responses.npy").unlink(), "no responses.nc and no responses.npy"),
    (lambda folder: (folder / "responses.nc").touch(), "both responses.nc and responses.npy"),
    (lambda folder: (folder / "presentations.csv").unlink(), r"presentations\.csv: no such file; add it"),
    (lambda folder: (folder / "images").rename(folder / "pictures"), "images: no such folder"),
    (lambda folder: (folder / "images" / NAMES[7]).unlink(), r"presentations\.csv: stimulus 'image007\.png': no image"),
    (_values(lambda values: values[:-1]), r"presentations\.csv: 120 rows, but responses\.npy has 119 presentations"),
    (_values(lambda values: values[..., None]), r"expected \(presentation, neuroid\)"),
    (_values(_nan_stimulus), r"responses to 'image004\.png' are NaN for every neuroid \(1 such stimuli\)"),
    (_values(lambda values: values * 0), "no neuroid is left of 8"),
    (_presentations(lambda shown: shown.rename(columns={"stimulus": "stimuli"})), "'stimuli'; did you mean stimulus"),
    (_presentations(lambda shown: shown[["stimulus"]].assign(trial=1)), "unknown column 'trial'; known: stimulus"),
    (_presentations(lambda shown: shown.assign(repetition="x")), "repetition of a presentation: .* write a number"),
    (
        _presentations(lambda shown: shown.assign(repetition=0.5)),
        "repetition of presentation 0 is 0.5, expected a whole",
    ),
    (_presentations(lambda shown: shown.assign(session="")), "column 'session' is blank in row 1"),
    (_presentations(lambda shown: shown.assign(repetitions=2)), "give one row to each stimulus"),
    (_presentations(_half_split), "is in 'train' and 'test'|is in 'test' and 'train'"),
    (_presentations(lambda shown: shown.assign(split="a")), "split 'a' is neither train nor test"),
    (_table("presentations.csv", ""), r"presentations\.csv: cannot read the table"),
    (_table("presentations.csv", 'stimulus\n"a'), r"presentations\.csv: cannot read the table"),
    (_table("neuroids.csv", "subject\nann\n"), r"neuroids\.csv: 1 rows, but responses\.npy has 8 neuroids"),
    (_table("neuroids.csv", "ncsnr\n" + "-1\n" * 8), r"ncsnr of neuroid 0 is -1, expected a number >= 0"),
    (_table("neuroids.csv", "subjects\n" + "a\n" * 8), "unknown column 'subjects'; did you mean subject"),
    (_splits(stimulus=NAMES[1:], fold=["a"] * 29), r"splits\.csv: stimulus 'image000\.png' is not in it \(1 such\)"),
    (_splits(stimulus=NAMES, fold=["a"] * 30, split=["test"] * 30), "one of the columns `split`"),
    (_splits(stimulus=NAMES), "one of the columns `split`"),
    (_splits(stimulus=NAMES, split=["train"] * 28 + ["test"] * 2), "28 train and 2 test stimuli"),
    (_splits(stimulus=NAMES, fold=["a"] * 30), "0 train and 30 test stimuli"),
    (_splits(stimulus=[*NAMES, "x"], fold=["a"] * 31), r"splits\.csv: stimulus 'x': no image"),
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
        mine = opened(folder)
        for subject in mine.subjects:
            mine.responses(subject)
            mine.splits(subject)
    assert "\n" not in str(raised.value)


def test_split_given_twice(folder: Path) -> None:
    _presentations(lambda shown: shown.assign(split="train"))(folder)
    write_csv(folder / "splits.csv", stimulus=NAMES, fold=["a"] * STIMULI)
    with pytest.raises(DataError, match="keep one of the two"):
        opened(folder).splits("subject1")


def test_an_image_that_does_not_decode_is_named_when_read(folder: Path) -> None:
    (folder / "images" / NAMES[2]).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"image002\.png: cannot decode"):
        opened(folder).stimuli.image(NAMES[2])


def test_requests(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(RequestError, match=r"add data\.folder="):
        open_folder(DataSettings())
    with pytest.raises(DataError, match="no such folder"):
        _ = open_folder(DataSettings(root=tmp_path)).subjects
    with pytest.raises(RequestError, match=r"folder takes no data\.beta"):
        opened(folder, beta="x")
    for wrong in ("wide", "-1", "nan"):
        with pytest.raises(RequestError, match=f"visual_degrees={wrong}"):
            opened(folder, visual_degrees=wrong)
    with pytest.raises(RequestError, match="nothing follows folder"):
        build(DataSettings(folder=folder), "V1")
    with pytest.raises(RequestError, match=r"unknown subject of folder\.my-data 'ann'; known: subject1"):
        build(DataSettings(folder=folder), None).responses("ann")
