"""A user's own folder with RDMs in the place of responses."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rsatoolbox.rdm import RDMs as Toolbox
from scipy.spatial.distance import squareform

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.folder import build, open_folder
from benchmarks.datasets.given_rdms import GivenRDMs

STIMULI, COUNT = 6, 4
NAMES = [f"image{number}.png" for number in range(STIMULI)]
ROWS = np.random.default_rng(0).uniform(size=(COUNT, 15))
SQUARES = np.array([squareform(row) for row in ROWS])


@pytest.fixture
def rdm_folder(tmp_path: Path) -> Path:
    """Squares of four RDMs, nothing optional."""
    place = tmp_path / "my rdms"
    (place / "images").mkdir(parents=True)
    for shade, name in enumerate(NAMES):
        Image.fromarray(np.full((6, 6, 3), shade, np.uint8)).save(place / "images" / name)
    np.save(place / "rdms.npy", SQUARES)
    return place


def opened(folder: Path, **options: str) -> GivenRDMs:
    return open_folder(DataSettings(folder=folder, options=options))


def write_csv(path: Path, **columns: list) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def test_squares_of_as_many_subjects(rdm_folder: Path) -> None:
    mine = opened(rdm_folder)
    assert isinstance(mine, GivenRDMs)
    assert mine.name == "folder.my-rdms"
    assert mine.subjects == ("subject1", "subject2", "subject3", "subject4")
    assert mine.stimuli.ids == mine.rdms().stimuli == tuple(NAMES)
    np.testing.assert_array_equal(mine.rdms().squares(), SQUARES)
    assert mine.sessions() is None
    assert mine.references() == {}
    assert [mine.stimuli.image(name)[0, 0, 0] for name in NAMES] == list(range(STIMULI))
    assert mine.stimuli.sources == tuple(rdm_folder / "images" / name for name in NAMES)
    assert mine.describe()["images without a row"] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_pairs_are_the_upper_triangle_row_by_row(rdm_folder: Path, dtype: type) -> None:
    squares = opened(rdm_folder)
    np.save(rdm_folder / "rdms.npy", ROWS.astype(dtype))
    rows = opened(rdm_folder).rdms()
    np.testing.assert_allclose(
        rows.dissimilarities, squares.rdms().dissimilarities, rtol=1e-6 if dtype is np.float32 else 0
    )
    assert rows.dissimilarities.dtype == np.float64


def test_whole_numbers_are_dissimilarities_as_well(rdm_folder: Path) -> None:
    whole = np.rint(SQUARES * 9).astype(np.int16)
    np.save(rdm_folder / "rdms.npy", whole)
    np.testing.assert_array_equal(opened(rdm_folder).rdms().squares(), whole)


@pytest.mark.parametrize("suffix", ["", ".png"])
def test_the_table_gives_the_order_of_rows(rdm_folder: Path, suffix: str) -> None:
    order = [3, 1, 2, 0, 5, 4]
    write_csv(rdm_folder / "stimuli.csv", stimulus=[f"image{number}{suffix}" for number in order])
    mine = opened(rdm_folder)
    assert mine.stimuli.ids == tuple(NAMES[number] for number in order)
    np.testing.assert_array_equal(mine.rdms().squares(), SQUARES)
    assert mine.stimuli.image(mine.stimuli.ids[0])[0, 0, 0] == 3


def test_images_without_a_row_need_the_table(rdm_folder: Path) -> None:
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(rdm_folder / "images" / "spare.png")
    with pytest.raises(DataError, match=r"stimuli\.csv: no such file, and rdms\.npy has 6 stimuli .* 7 images; add it"):
        opened(rdm_folder)
    write_csv(rdm_folder / "stimuli.csv", stimulus=NAMES)
    mine = opened(rdm_folder)
    assert mine.stimuli.ids == tuple(NAMES)
    assert mine.describe()["images without a row"] == 1


def test_images_whose_names_sort_against_their_numbers_need_the_table(rdm_folder: Path) -> None:
    images = rdm_folder / "images"
    (images / "image5.png").rename(images / "image10.png")
    with pytest.raises(DataError, match=r"image10\.png comes before image2\.png by name but not by number; add it"):
        opened(rdm_folder)
    write_csv(rdm_folder / "stimuli.csv", stimulus=[*NAMES[:5], "image10"])
    assert opened(rdm_folder).stimuli.ids[-1] == "image10.png"


def test_subjects_and_sessions(rdm_folder: Path) -> None:
    write_csv(rdm_folder / "rdms.csv", subject=["ann", "bob", "ann", "bob"], session=["001", "001", "002", "002"])
    mine = opened(rdm_folder)
    assert mine.subjects == ("ann", "bob")
    np.testing.assert_allclose(mine.rdms().squares(), (SQUARES[:2] + SQUARES[2:]) / 2)
    sessions = mine.sessions()
    assert sessions is not None
    assert sessions.sessions == ("001", "001", "002", "002")
    np.testing.assert_array_equal(sessions.squares(), SQUARES)


def test_pairs_that_were_not_measured(rdm_folder: Path) -> None:
    holed = SQUARES.copy()
    holed[:, 1, 4] = holed[:, 4, 1] = np.nan
    np.save(rdm_folder / "rdms.npy", holed)
    assert opened(rdm_folder).describe()["pairs"] == 14


def test_distances_below_zero_over_a_diagonal_of_zero_are_taken(rdm_folder: Path) -> None:
    np.save(rdm_folder / "rdms.npy", -SQUARES)
    np.testing.assert_array_equal(opened(rdm_folder).rdms().squares(), -SQUARES)


def test_what_is_on_the_diagonal_of_dissimilarities_is_not_looked_at(rdm_folder: Path) -> None:
    np.save(rdm_folder / "rdms.npy", SQUARES + 0.1 * np.eye(STIMULI))
    np.testing.assert_array_equal(opened(rdm_folder).rdms().squares(), SQUARES)


def test_the_folder_and_a_stated_width_mark_the_data_set(rdm_folder: Path) -> None:
    assert opened(rdm_folder).marks == ("folder=my-rdms",)
    wide = opened(rdm_folder, visual_degrees="8.40")
    assert wide.marks == ("folder=my-rdms", "visual_degrees=8.4")
    assert wide.stimuli.visual_degrees == 8.4


def test_the_fingerprint_covers_what_enters_a_score_and_no_place(rdm_folder: Path) -> None:
    seen = [opened(rdm_folder).fingerprint]
    write_csv(rdm_folder / "rdms.csv", subject=["a", "a", "b", "b"], session=["1", "2", "1", "2"])
    seen.append(opened(rdm_folder).fingerprint)
    write_csv(rdm_folder / "rdms.csv", subject=["a", "b", "a", "b"], session=["1", "1", "2", "2"])
    seen.append(opened(rdm_folder).fingerprint)
    write_csv(rdm_folder / "stimuli.csv", stimulus=NAMES[::-1])
    seen.append(opened(rdm_folder).fingerprint)
    np.save(rdm_folder / "rdms.npy", SQUARES * 2)
    seen.append(opened(rdm_folder).fingerprint)
    assert len(set(seen)) == 5
    assert opened(rdm_folder.rename(rdm_folder.with_name("other"))).fingerprint == seen[-1]


def test_it_travels_to_another_process(rdm_folder: Path) -> None:
    mine = opened(rdm_folder)
    copy = pickle.loads(pickle.dumps(mine))
    assert (copy.fingerprint, copy.stimuli.fingerprint) == (mine.fingerprint, mine.stimuli.fingerprint)


def test_it_is_the_data_set_called_folder(rdm_folder: Path) -> None:
    assert build(DataSettings(folder=rdm_folder), None).fingerprint == opened(rdm_folder).fingerprint
    with pytest.raises(RequestError, match=r"folder takes no data\.beta"):
        opened(rdm_folder, beta="x")


def as_hdf5(folder: Path, rows: np.ndarray = ROWS, *, stimuli: str = "stimulus", **descriptors: list) -> Toolbox:
    """Leave RDMs of rsatoolbox in the folder alone, stimuli in mixed order."""
    ids = [f"image{number}" for number in (3, 1, 2, 0, 5, 4)]
    theirs = Toolbox(rows, pattern_descriptors={stimuli: ids}, rdm_descriptors=descriptors)
    (folder / "rdms.npy").unlink()
    theirs.save(str(folder / "rdms.hdf5"), file_type="hdf5")
    return theirs


def test_a_file_written_by_rsatoolbox(rdm_folder: Path) -> None:
    theirs = as_hdf5(rdm_folder, subject=["a", "b", "a", "b"], session=[1, 1, 2, 2])
    mine = opened(rdm_folder)
    assert mine.stimuli.ids == tuple(f"image{number}.png" for number in (3, 1, 2, 0, 5, 4))
    assert mine.stimuli.image(mine.stimuli.ids[0])[0, 0, 0] == 3
    assert mine.subjects == ("a", "b")
    sessions = mine.sessions()
    assert sessions is not None
    assert sessions.sessions == ("1", "1", "2", "2")
    np.testing.assert_array_equal(sessions.squares(), theirs.get_matrices())


def test_faults_of_a_file_written_by_rsatoolbox(rdm_folder: Path, tmp_path: Path) -> None:
    holed = ROWS.copy()
    holed[1, 3] = np.nan
    faults: list[tuple[Callable[[Path], object], str]] = [
        (lambda folder: as_hdf5(folder, holed), r"rdms\.hdf5: RDMs: NaN in other places in subject2 than in subject1"),
        (lambda folder: as_hdf5(folder, stimuli="conds"), r"rdms\.hdf5: unknown pattern descriptor 'stimulus'; known:"),
        (lambda folder: as_hdf5(folder, subject=["a"] * 4), r"rdms\.hdf5: subject 'a' has 4 RDMs and no session is na"),
        (
            lambda folder: [as_hdf5(folder), write_csv(folder / "rdms.csv", subject=list("abcd"))],
            r"rdms\.csv: says what rdms\.hdf5 says itself; remove it",
        ),
        (
            lambda folder: [as_hdf5(folder), (folder / "images" / "image5.png").unlink()],
            r"rdms\.hdf5: stimulus 'image5': no image of that name in",
        ),
        (
            lambda folder: [as_hdf5(folder), (folder / "rdms.hdf5").write_bytes(b"no HDF5")],
            r"rdms\.hdf5 is not an HDF5 file",
        ),
    ]
    for number, (spoil, fault) in enumerate(faults):
        place = Path(shutil.copytree(rdm_folder, tmp_path / f"case{number}"))
        spoil(place)
        with pytest.raises(DataError, match=fault) as raised:
            opened(place)
        assert "\n" not in str(raised.value)
        assert str(raised.value).startswith(str(place))


def _saved(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / "rdms.npy", change(SQUARES.copy()))


def _table(name: str, **columns: list) -> Callable[[Path], object]:
    return lambda folder: write_csv(folder / name, **columns)


def _entry(value: float, *, at: tuple[int, ...], mirrored: bool) -> Callable[[np.ndarray], np.ndarray]:
    def change(squares: np.ndarray) -> np.ndarray:
        squares[at] = value
        if mirrored:
            squares[at[0], at[2], at[1]] = value
        return squares

    return change


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (_saved(_entry(9, at=(2, 1, 3), mirrored=False)), r"rdms\.npy: RDM 2 is not symmetric: 9 from 'image1\.png' to"),
    (_saved(_entry(np.nan, at=(2, 1, 3), mirrored=False)), r"rdms\.npy: RDM 2 is not symmetric: nan from"),
    (_saved(_entry(np.nan, at=(1, 1, 3), mirrored=True)), r"rdms\.npy: .*NaN in other places in subject2 than in subj"),
    (_saved(lambda squares: np.where(ROWS > 0.9, np.inf, ROWS)), r"rdms\.npy: .*an infinite entry"),
    (_saved(lambda squares: squares * np.nan), r"rdms\.npy: .*every entry of subject1 is NaN"),
    (_saved(lambda squares: 1 - squares), r"rdms\.npy: the diagonal is above all .* similarities; give dissimilaritie"),
    (_saved(lambda squares: squares[0]), r"rdms\.npy: one RDM \(stimulus, stimulus\); save it as \(1, stimulus, stim"),
    (_saved(lambda squares: squares[:, :, :5]), r"rdms\.npy: .*expected \(rdm, stimulus, stimulus\) of 6 stimuli"),
    (_saved(lambda squares: squares[None]), r"rdms\.npy: shape is \(1, 4, 6, 6\), expected \(rdm, stimulus, stimulus"),
    (_saved(lambda squares: squares[:0]), r"rdms\.npy: shape is \(0, 6, 6\), .*none empty"),
    (_saved(lambda squares: ROWS[:, :14]), r"rdms\.npy: shape is \(4, 14\), and no number of stimuli has 14 pairs; g"),
    (_saved(lambda squares: squares.astype(str)), r"rdms\.npy: holds <U\d+, expected one npy array of real numbers"),
    (lambda folder: (folder / "rdms.npy").write_bytes(b"no array"), r"rdms\.npy: cannot read the array"),
    (lambda folder: (folder / "images").rename(folder / "pictures"), "images: no such folder"),
    (_table("stimuli.csv", stimulus=NAMES[:5]), r"stimuli\.csv: 5 rows, but rdms\.npy has 6 stimuli \(shape \(4, 6, 6"),
    (_table("stimuli.csv", stimulus=[*NAMES[:5], "x"]), r"stimuli\.csv: stimulus 'x': no image of that name in"),
    (_table("stimuli.csv", stimulus=[*NAMES[:5], "image0"]), r"rdms\.npy: .*'image0\.png' is there twice"),
    (_table("stimuli.csv", image=NAMES), r"stimuli\.csv: unknown column 'image'.*; known: stimulus"),
    (_table("rdms.csv", subject=["a"] * 3), r"rdms\.csv: 3 rows, but rdms\.npy has 4 RDMs"),
    (_table("rdms.csv", session=["a"] * 4), r"rdms\.csv: no column 'subject'; add it"),
    (_table("rdms.csv", subject=["a", "b", "c", "a"]), r"rdms\.csv: subject 'a' has 2 RDMs and no session is named"),
    (_table("rdms.csv", subject=["a"] * 4, session=list("1232")), r"rdms\.csv: subject 'a' has 2 RDMs in session '2'"),
    (_table("splits.csv", stimulus=NAMES, fold=["a"] * 6), r"splits\.csv: belongs to responses, .*; remove it"),
    (lambda folder: np.save(folder / "responses.npy", ROWS), r"responses\.npy and rdms\.npy are there; keep one"),
    (lambda folder: (folder / "rdms.hdf5").touch(), r"rdms\.npy and rdms\.hdf5 are there; keep one"),
]


@pytest.mark.parametrize(("spoil", "fault"), FAULTS)
def test_faults_are_one_line(rdm_folder: Path, spoil: Callable[[Path], object], fault: str) -> None:
    spoil(rdm_folder)
    with pytest.raises(DataError, match=fault) as raised:
        opened(rdm_folder)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(rdm_folder))


def test_fewer_than_three_conditions(rdm_folder: Path) -> None:
    for few, count in ((SQUARES[:, :2, :2], 2), (ROWS[:, :1], 2), (SQUARES[:, :1, :1], 1)):
        write_csv(rdm_folder / "stimuli.csv", stimulus=NAMES[:count])
        np.save(rdm_folder / "rdms.npy", few)
        with pytest.raises(DataError, match=rf"rdms\.npy: RDMs of {count} stimuli; at least 3 are needed"):
            opened(rdm_folder)


def test_a_single_rdm_is_told_from_rows_of_pairs_even_where_the_shape_does_not(rdm_folder: Path) -> None:
    """Three stimuli have three pairs."""
    write_csv(rdm_folder / "stimuli.csv", stimulus=NAMES[:3])
    np.save(rdm_folder / "rdms.npy", SQUARES[0, :3, :3])
    with pytest.raises(DataError, match=r"save it as \(1, stimulus, stimulus\)"):
        opened(rdm_folder)
    np.save(rdm_folder / "rdms.npy", ROWS[:3, :3])
    np.testing.assert_array_equal(opened(rdm_folder).rdms().dissimilarities, ROWS[:3, :3])
    np.save(rdm_folder / "rdms.npy", SQUARES[:1, :3, :3])
    np.testing.assert_array_equal(opened(rdm_folder).rdms().squares(), SQUARES[:1, :3, :3])
