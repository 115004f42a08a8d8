"""Folders of classes: the images and the order of torchvision, prepared as torchvision prepares them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.imagenet_folder import build, prepare
from benchmarks.datasets.labelled import LabelledImages

SHAPES = ((300, 500), (500, 301), (256, 256), (257, 999), (40, 61), (224, 224), (1023, 255))
CLASSES = ("n03", "n01", "n10", "n02")
THEIRS = Compose([Resize(256), CenterCrop(224)])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three of four listed classes, with images of many shapes in jpg and png."""
    random = np.random.default_rng(0)
    folder = tmp_path / "val"
    for label, count in (("n01", 3), ("n02", 7), ("n03", 2)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (*SHAPES[number], 3), np.uint8)
            name = f"ILSVRC2012_val_{random.integers(10_000):08d}{number}" + (".png" if number == 1 else ".JPEG")
            Image.fromarray(pixels).save(folder / label / name)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    (folder / ".cache").mkdir()
    (folder / "n01" / "._hidden.JPEG").write_bytes(b"")
    (folder / "n01" / "notes.txt").write_text("")
    return folder


def opened(folder: Path, **options: str) -> LabelledImages:
    return build(DataSettings(folder=folder, options=options), None)


def thousand(folder: Path) -> Path:
    """A folder to each of 1,000 classes, the same small image in all of them."""
    folder.mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "image.png")
    image = (folder / "image.png").read_bytes()
    for number in range(1000):
        (folder / f"n{number * 37 % 1000:08d}").mkdir()
        (folder / f"n{number * 37 % 1000:08d}" / "a.png").write_bytes(image)
    return folder


@pytest.mark.parametrize("shape", SHAPES)
def test_prepared_as_by_torchvision(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(prepare(pixels), np.asarray(THEIRS(Image.fromarray(pixels))))


def test_the_images_and_their_order_are_those_of_torchvision(place: Path) -> None:
    mine = opened(place)
    (place / ".cache").rmdir()
    theirs = ImageFolder(str(place), transform=THEIRS)
    # torchvision takes hidden files for images
    expected = [(path, target) for path, target in theirs.samples if not Path(path).name.startswith(".")]
    assert [str(path) for path in mine.stimuli.sources] == [path for path, _ in expected]
    assert mine.stimuli.labels == tuple(theirs.classes[target] for _, target in expected)
    for stimulus, (path, _) in zip(mine.stimuli.ids, expected, strict=True):
        assert stimulus == str(Path(path).relative_to(place))
        np.testing.assert_array_equal(mine.stimuli.image(stimulus), np.asarray(THEIRS(theirs.loader(path))))


def test_listed_classes_give_the_order_of_the_logits(place: Path) -> None:
    mine = opened(place)
    assert mine.classes == CLASSES
    assert mine.targets().tolist() == [1] * 3 + [3] * 7 + [0] * 2
    assert mine.marks == ("classes=4", "images=12")
    assert mine.describe()["images of a class"] == "0 to 7"
    assert "256" in mine.describe()["prepared"] and "224x224" in mine.describe()["prepared"]


def test_a_thousand_folders_need_no_list(tmp_path: Path) -> None:
    place = thousand(tmp_path / "val")
    mine = opened(place)
    theirs = ImageFolder(str(place))
    assert mine.classes == tuple(theirs.classes)
    assert mine.targets().tolist() == theirs.targets == list(range(1000))
    assert mine.marks == ("images=1000",)
    part = opened(place, subset="300")
    assert part.marks == ("images=1000", "subset=300")
    assert len(set(part.targets().tolist())) == 300


def test_a_subset_is_the_same_every_time_and_spread_over_classes(place: Path) -> None:
    six = opened(place, subset="6")
    assert [six.stimuli.labels.count(label) for label in ("n01", "n02", "n03")] == [2, 2, 2]
    assert six.marks == ("classes=4", "images=12", "subset=6")
    moved = place.rename(place.with_name("moved"))
    again = opened(moved, subset="6")
    assert again.stimuli.ids == six.stimuli.ids
    assert (again.fingerprint, len(again.stimuli.sources)) == (six.fingerprint, 6)
    assert set(opened(moved, subset="5").stimuli.ids) < set(six.stimuli.ids)
    assert opened(moved, subset="12").marks == ("classes=4", "images=12")
    copy = pickle.loads(pickle.dumps(again))
    assert copy.stimuli.fingerprint == again.stimuli.fingerprint


def test_the_folder_of_a_root(place: Path) -> None:
    place.rename(place.with_name("imagenet_folder"))
    assert len(build(DataSettings(root=place.parent), None).stimuli) == 12


def test_folders_that_are_not_the_classes(place: Path) -> None:
    (place / "n04").mkdir()
    with pytest.raises(
        DataError, match=r"classes\.txt: folder 'n04' is not in it \(1 such\); list it, or remove the folder$"
    ) as raised:
        opened(place)
    (place / "classes.txt").unlink()
    with pytest.raises(
        DataError, match=r"val: 4 folders, expected 1000, one for each class; name the folder .* logits$"
    ):
        opened(place)
    with pytest.raises(
        DataError, match=rf": 1 folders, expected 1000, one for each class \({place} may be meant\); na"
    ):
        opened(place.parent)
    assert "\n" not in str(raised.value)


def test_folders_without_images(place: Path) -> None:
    (place / "n10").mkdir()
    with pytest.raises(DataError, match="n10: no image in it"):
        opened(place)
    empty = place.with_name("empty")
    empty.mkdir()
    (empty / "classes.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"empty: no folder in it; put one there for each class that has images$"):
        opened(empty)
    with pytest.raises(DataError, match=r"absent: no such folder; name the one .* with data\.imagenet_folder=$"):
        opened(place / "absent")


def test_a_damaged_image_is_named_when_it_is_read(place: Path) -> None:
    mine = opened(place)
    stimulus = mine.stimuli.ids[4]
    (place / stimulus).write_bytes(b"no picture")
    with pytest.raises(DataError, match=rf"{stimulus}: cannot decode the image"):
        mine.stimuli.image(stimulus)


def test_bad_requests(place: Path) -> None:
    with pytest.raises(RequestError, match=r"^imagenet_folder\.val: nothing follows imagenet_folder; leave \.val out$"):
        build(DataSettings(folder=place), "val")
    with pytest.raises(RequestError, match=r"^imagenet_folder: no folder is named; add data\.imagenet_folder=<your"):
        build(DataSettings(), None)
    with pytest.raises(RequestError, match=r"^imagenet_folder takes no data\.split; it takes data\.subset$"):
        opened(place, split="val")
    with pytest.raises(RequestError, match=r"^data\.subset=13: .*val holds 12 images; ask for at most so many$"):
        opened(place, subset="13")


def test_photographs(shared_data: Path, tmp_path: Path) -> None:
    """Photographs as they were published, in folders of their own."""
    photographs = sorted((shared_data / "algonauts2019_78" / "images").glob("*.jpg"))[:6]
    for number, path in enumerate(photographs):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        (folder / path.name).symlink_to(path)
    (tmp_path / "classes.txt").write_text("class0\nclass1\n")
    mine = opened(tmp_path)
    for stimulus, (image, target) in zip(mine.stimuli.ids, ImageFolder(str(tmp_path), transform=THEIRS), strict=True):
        np.testing.assert_array_equal(mine.stimuli.image(stimulus), np.asarray(image))
        assert mine.stimuli.labels[mine.stimuli.index[stimulus]] == f"class{target}"
