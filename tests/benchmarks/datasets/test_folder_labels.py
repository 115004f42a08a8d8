"""A user's own folder with labels in the place of responses."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.folder import open_folder
from benchmarks.datasets.labelled import LabelledImages

NAMES = [f"image{number}.png" for number in range(6)]
LABELS = ["dog", "cat", "dog", "emu", "cat", "dog"]


def write_csv(path: Path, **columns: list) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


@pytest.fixture
def label_folder(tmp_path: Path) -> Path:
    """Six images of three classes, nothing optional."""
    place = tmp_path / "my labels"
    (place / "images").mkdir(parents=True)
    for shade, name in enumerate(NAMES):
        Image.fromarray(np.full((6, 7, 3), shade, np.uint8)).save(place / "images" / name)
    write_csv(place / "labels.csv", stimulus=NAMES, label=LABELS)
    return place


def opened(folder: Path, **options: str) -> LabelledImages:
    return open_folder(DataSettings(folder=folder, options=options))


def test_images_in_the_order_of_the_table(label_folder: Path) -> None:
    write_csv(label_folder / "labels.csv", stimulus=["image3", "image1.png", "image0"], label=["emu", " cat ", "dog"])
    mine = opened(label_folder)
    assert isinstance(mine, LabelledImages)
    assert mine.name == "folder.my-labels"
    assert mine.stimuli.ids == ("image3.png", "image1.png", "image0.png")
    assert mine.classes == ("cat", "dog", "emu")
    assert mine.targets().tolist() == [2, 0, 1]
    assert [mine.stimuli.image(stimulus)[0, 0, 0] for stimulus in mine.stimuli.ids] == [3, 1, 0]
    assert mine.stimuli.sources == tuple(label_folder / "images" / name for name in mine.stimuli.ids)
    assert mine.describe()["images without a label"] == 3


def test_listed_classes_give_the_order_of_the_logits(label_folder: Path) -> None:
    (label_folder / "classes.txt").write_text("emu\nant\ndog\ncat\n")
    mine = opened(label_folder)
    assert mine.classes == ("emu", "ant", "dog", "cat")
    assert mine.targets().tolist() == [2, 3, 2, 0, 3, 2]


def test_numbers_are_names_whose_order_may_have_to_be_said(label_folder: Path) -> None:
    write_csv(label_folder / "labels.csv", stimulus=NAMES, label=[2, 0, 1, 1, 0, 2])
    assert opened(label_folder).targets().tolist() == [2, 0, 1, 1, 0, 2]
    write_csv(label_folder / "labels.csv", stimulus=NAMES, label=[2, 10, 1, 1, 0, 2])
    with pytest.raises(DataError, match=r"classes\.txt: not given, and class '10' comes before '2' by name but not by"):
        opened(label_folder)
    (label_folder / "classes.txt").write_text("\n".join(map(str, range(11))))
    assert opened(label_folder).targets().tolist() == [2, 10, 1, 1, 0, 2]


def test_the_folder_and_a_stated_width_mark_the_data_set(label_folder: Path) -> None:
    assert opened(label_folder).marks == ("folder=my-labels",)
    wide = opened(label_folder, visual_degrees="8")
    assert wide.marks == ("folder=my-labels", "visual_degrees=8")
    assert wide.stimuli.visual_degrees == 8
    with pytest.raises(RequestError, match=r"folder takes no data\.subset; it takes data\.visual_degrees$"):
        opened(label_folder, subset="3")


def test_the_fingerprint_covers_no_place(label_folder: Path) -> None:
    mine = opened(label_folder)
    copy = pickle.loads(pickle.dumps(mine))
    assert (copy.fingerprint, copy.stimuli.fingerprint) == (mine.fingerprint, mine.stimuli.fingerprint)
    assert opened(label_folder.rename(label_folder.with_name("other"))).fingerprint == mine.fingerprint


def _labels(**columns: list) -> Callable[[Path], object]:
    return lambda folder: write_csv(folder / "labels.csv", **columns)


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "labels.csv").unlink(), r"none of .*rdms\.npy, .*labels\.csv in it; put one of them"),
    (lambda folder: (folder / "rdms.npy").touch(), r"rdms\.npy and labels\.csv are there; keep one$"),
    (lambda folder: (folder / "responses.npy").touch(), r"responses\.npy and labels\.csv are there; keep one$"),
    (lambda folder: (folder / "splits.csv").touch(), r"splits\.csv: belongs to another layout, .* labels; remove it$"),
    (lambda folder: (folder / "images").rename(folder / "pictures"), "images: no such folder"),
    (lambda folder: (folder / "images" / NAMES[2]).unlink(), r"labels\.csv: stimulus 'image2\.png': no image of that"),
    (_labels(stimulus=NAMES), r"labels\.csv: no column 'label'; add it$"),
    (_labels(label=LABELS), r"labels\.csv: no column 'stimulus'; add it$"),
    (_labels(stimulus=NAMES, labels=LABELS), r"labels\.csv: unknown column 'labels'; did you mean label\?"),
    (_labels(stimulus=NAMES, label=["dog", *[""] * 5]), r"labels\.csv: column 'label' is blank in row 2 \(5 rows\)"),
    (_labels(stimulus=["image0", *NAMES], label=["dog", *LABELS]), r"labels\.csv: 'image0\.png' has several rows \(1 "),
    (_labels(stimulus=NAMES, label=["dog"] * 6), r"my-labels: 1 classes; at least 2 are needed"),
    (_labels(stimulus=[], label=[]), r"my-labels: no image; give at least one"),
    (lambda folder: (folder / "classes.txt").write_text("dog\nemus\ncat"), r"labels\.csv: label 'emu' .*mean emus\?$"),
    (lambda folder: (folder / "classes.txt").write_text("dog\n\nemu\ncat"), r"classes\.txt: line 2 is blank"),
]


@pytest.mark.parametrize(("spoil", "fault"), FAULTS)
def test_faults_are_one_line(label_folder: Path, spoil: Callable[[Path], object], fault: str) -> None:
    spoil(label_folder)
    with pytest.raises(DataError, match=fault) as raised:
        opened(label_folder)
    assert "\n" not in str(raised.value)
