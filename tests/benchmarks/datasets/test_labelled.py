"""Labelled images: positions of labels, what is refused, what the fingerprint follows."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from alignment.errors import DataError
from alignment.rsa.rdms import RDMs
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import holds_labels, holds_rdms
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.datasets.labelled import LabelledImages, labelled

IMAGES = {name: np.full((4, 5, 3), shade, np.uint8) for shade, name in enumerate("abcd")}
LABELS = ["dog", "cat", "dog", "emu"]


def stimuli(labels: tuple[str, ...] | None = tuple(LABELS)) -> StimulusSet:
    return StimulusSet("mine", tuple(IMAGES), IMAGES.__getitem__, labels=labels)


def test_targets_are_positions_in_the_order_of_the_classes() -> None:
    classes = ("emu", "ant", "dog", "cat")
    mine = labelled("mine", IMAGES, LABELS, classes=classes)
    targets = mine.targets()
    assert targets.dtype == np.int64
    assert [classes[target] for target in targets] == LABELS
    assert mine.stimuli.labels == tuple(LABELS)
    assert mine.stimuli.image("c")[0, 0, 0] == 2
    assert mine.describe()["images of a class"] == "0 to 2"


def test_classes_that_are_not_given_are_the_sorted_labels() -> None:
    assert labelled("mine", IMAGES, LABELS).classes == ("cat", "dog", "emu")
    assert labelled("mine", IMAGES, [3, 1, 0, 1]).targets().tolist() == [2, 1, 0, 1]
    with pytest.raises(DataError, match=r"^mine: classes=: not given, and class '10' comes before '9' by name but not"):
        labelled("mine", IMAGES, [9, 10, 9, 10])


def test_it_is_told_from_other_data_sets() -> None:
    mine = labelled("mine", IMAGES, LABELS)
    rdms = rdm_dataset("theirs", IMAGES, rdms=RDMs(np.arange(6.0)[None], tuple(IMAGES)))
    assert (holds_labels(mine), holds_rdms(mine)) == (True, False)
    assert (holds_labels(rdms), holds_rdms(rdms)) == (False, True)
    # stimuli that happen to be labelled make no test of classification
    assert not holds_labels(rdm_dataset("x", IMAGES, rdms=rdms.rdms()))


def test_the_fingerprint_follows_ids_labels_classes_and_version_alone() -> None:
    mine = labelled("mine", IMAGES, LABELS)
    others = [
        labelled("mine", dict(reversed(IMAGES.items())), LABELS[::-1]),
        labelled("mine", IMAGES, ["dog", "cat", "emu", "dog"]),
        labelled("mine", IMAGES, LABELS, classes=["dog", "cat", "emu"]),
        labelled("mine", IMAGES, LABELS, classes=["cat", "dog", "emu", "fox"]),
        replace(mine, version=2),
    ]
    assert len({mine.fingerprint, *(other.fingerprint for other in others)}) == 6
    again = labelled("another name", {name: image + 1 for name, image in IMAGES.items()}, LABELS)
    assert again.fingerprint == mine.fingerprint
    assert again.stimuli.fingerprint != mine.stimuli.fingerprint
    assert pickle.loads(pickle.dumps(mine)).fingerprint == mine.fingerprint


@pytest.mark.parametrize(
    ("classes", "fault"),
    [
        (["dog", "cat"], r"^mine: label 'emu' of 'd' is no class \(1 such\); name a class, or add 'emu' to the 2 clas"),
        (["dogs", "cat", "emu"], r"^mine: label 'dog' of 'a' is no class \(2 such\); did you mean dogs\?$"),
        (["dog", "cat", "emu", "cat"], r"^mine: class 'cat' is there 2 times; give each class a name of its own$"),
        (["dog"], r"^mine: 1 classes; at least 2 are needed"),
        ([], r"^mine: 0 classes; at least 2 are needed"),
    ],
)
def test_classes_that_do_not_fit(classes: list[str], fault: str) -> None:
    with pytest.raises(DataError, match=fault) as raised:
        labelled("mine", IMAGES, LABELS, classes=classes)
    assert "\n" not in str(raised.value)


def test_images_and_labels_that_do_not_fit() -> None:
    with pytest.raises(DataError, match=r"^mine: 3 labels for 4 images; give one to each, in the same order$"):
        labelled("mine", IMAGES, LABELS[:3])
    with pytest.raises(DataError, match=r"^mine: no image; give at least one"):
        labelled("mine", {}, [], classes=["cat", "dog"])
    with pytest.raises(DataError, match=r"^mine: its stimuli have no labels; name the class of each image$"):
        LabelledImages("mine", stimuli(labels=None), ("cat", "dog", "emu"))
    with pytest.raises(DataError, match=r"^mine: stimulus ids are not unique"):
        StimulusSet("mine", ("a", "a"), IMAGES.__getitem__, labels=("cat", "dog"))
