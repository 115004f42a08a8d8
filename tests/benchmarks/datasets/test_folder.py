"""A user's own folder."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.folder import build, open_folder
from benchmarks.datasets.presented import Presented

STIMULI, NEUROIDS, REPETITIONS = 30, 8, 4
NAMES = [f"image{number:03d}.png" for number in range(STIMULI)]


def on_disk(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Presentations and responses."""
    return pd.read_csv(folder / "presentations.csv"), np.load(folder / "responses.npy")


def opened(folder: Path, **options: str) -> Presented:
    return open_folder(DataSettings(folder=folder, options=options))


def write_csv(path: Path, **columns: object) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def test_means_are_those_of_pandas(folder: Path) -> None:
    shown, values = on_disk(folder)
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
    shown, _ = on_disk(folder)
    shown["split"] = np.where(shown["stimulus"] < NAMES[12], "test", "train")
    shown.to_csv(folder / "presentations.csv", index=False)
    (split,) = opened(folder).splits("subject1")
    assert split.test == tuple(NAMES[:12])


def test_the_ceiling_is_that_of_the_test_stimuli(folder: Path) -> None:
    shown, values = on_disk(folder)
    shown["split"] = np.where(shown["stimulus"] < NAMES[15], "test", "train")
    noisy = shown["split"].to_numpy() == "train"
    values[noisy] = np.random.default_rng(1).normal(size=(noisy.sum(), NEUROIDS)) * 50
    shown.to_csv(folder / "presentations.csv", index=False)
    np.save(folder / "responses.npy", values)
    ceiling = opened(folder).ceiling("subject1")
    assert ceiling is not None
    assert ceiling["ceiling"].median() > 0.9


def two_subjects(folder: Path, *, ann: list[str], bob: list[str]) -> None:
    shown, values = on_disk(folder)
    values[~shown["stimulus"].isin(ann), :4] = np.nan
    values[~shown["stimulus"].isin(bob), 4:] = np.nan
    np.save(folder / "responses.npy", values)
    write_csv(folder / "neuroids.csv", subject=["ann"] * 4 + ["bob"] * 4)


def test_subjects_who_saw_different_stimuli_are_judged_on_the_same_folds(folder: Path) -> None:
    everything = opened(folder).splits("subject1")
    saw = {"ann": NAMES[:-3], "bob": NAMES[3:]}
    two_subjects(folder, **saw)
    mine = opened(folder)
    for subject, seen in saw.items():
        assert sorted(mine.responses(subject)["stimulus"].values) == seen
        assert mine.ceiling(subject) is not None
        for split, whole in zip(mine.splits(subject), everything, strict=True):
            assert split.name == whole.name
            assert list(split.test) == [stimulus for stimulus in whole.test if stimulus in seen]
            assert list(split.train) == [stimulus for stimulus in whole.train if stimulus in seen]


def test_a_subject_with_too_few_stimuli_in_a_fold_needs_splits(folder: Path) -> None:
    two_subjects(folder, ann=NAMES[:20], bob=NAMES[10:])
    with pytest.raises(DataError, match=r"subject ann: split 'fold\d' has \d+ train and [012] test.*splits\.csv"):
        opened(folder)
    write_csv(folder / "splits.csv", stimulus=NAMES, fold=["a", "b"] * 15)
    assert [len(split.test) for split in opened(folder).splits("bob")] == [10, 10]


def test_the_folder_and_a_stated_width_mark_the_data_set(folder: Path) -> None:
    """Ids of benchmarks begin with `folder` whichever it is."""
    assert opened(folder).marks == ("folder=my-data",)
    assert opened(folder, visual_degrees="8.40").marks == ("folder=my-data", "visual_degrees=8.4")


def test_missing_trials_and_broken_neuroids(folder: Path) -> None:
    shown, values = on_disk(folder)
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
