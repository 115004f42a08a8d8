"""What can be wrong with a user's own folder, each fault in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignment.errors import DataError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.folder import open_folder
from benchmarks.datasets.presented import Presented

STIMULI = 30
NAMES = [f"image{number:03d}.png" for number in range(STIMULI)]


def opened(folder: Path, **options: str) -> Presented:
    return open_folder(DataSettings(folder=folder, options=options))


def write_csv(path: Path, **columns: object) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def on_disk(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Presentations and responses."""
    return pd.read_csv(folder / "presentations.csv"), np.load(folder / "responses.npy")


def _table(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def _presentations(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda folder: change(on_disk(folder)[0]).to_csv(folder / "presentations.csv", index=False)


def _values(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "responses.npy", change(on_disk(folder)[1]))


def _nan_stimulus(folder: Path) -> None:
    shown, values = on_disk(folder)
    values[shown["stimulus"] == NAMES[4]] = np.nan
    np.save(folder / "responses.npy", values)


def _half_split(shown: pd.DataFrame) -> pd.DataFrame:
    return shown.assign(split=["train", "test"] * (len(shown) // 2))


def _splits(**columns: list[str]) -> Callable[[Path], None]:
    return lambda folder: write_csv(folder / "splits.csv", **columns)


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "responses.npy").unlink(), r"none of responses\.nc, responses\.npy, .* in it; put one"),
    (lambda folder: (folder / "responses.nc").touch(), r"responses\.nc and responses\.npy are there; keep one"),
    (lambda folder: (folder / "presentations.csv").unlink(), r"presentations\.csv: no such file; add it"),
    (lambda folder: (folder / "images").rename(folder / "pictures"), "images: no such folder"),
    (lambda folder: (folder / "images" / NAMES[7]).unlink(), r"presentations\.csv: stimulus 'image007\.png': no image"),
    (_values(lambda values: values[:-1]), r"presentations\.csv: 120 rows, but responses\.npy has 119 presentations"),
    (_values(lambda values: values[..., None]), r"expected \(presentation, neuroid\)"),
    (_nan_stimulus, r"responses to 'image004\.png' are NaN for every neuroid \(1 such stimuli\)"),
    (_values(lambda values: values * 0), "no neuroid is left of 8"),
    (_presentations(lambda shown: shown.rename(columns={"stimulus": "stimuli"})), "'stimuli'; did you mean stimulus"),
    (_presentations(lambda shown: shown[["stimulus"]].assign(trial=1)), "unknown column 'trial'; known: stimulus"),
    (
        lambda folder: on_disk(folder)[0].to_csv(folder / "presentations.csv"),
        r"presentations\.csv: a column without a name; .* \(index=False\)",
    ),
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
