"""CIFAR-10: small files in its layouts, written byte by byte as its page describes them, and the published images."""

import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from alignment.errors import DataError, RequestError
from alignment.models import load_model
from benchmarks.datasets import cifar10, cifar10_files
from benchmarks.datasets.base import DataSettings, Fetches, holds_labels
from benchmarks.datasets.cifar10 import build
from benchmarks.datasets.sources import SourcedImages

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TEST = "test_batch.bin"
TRAIN = [f"data_batch_{number}.bin" for number in range(1, 6)]
INSIDE = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
PART = "cifar10_subset.npz"
RECORDS = 12

Parts = dict[str, tuple[np.ndarray, np.ndarray]]


def record(image: np.ndarray, label: int) -> bytes:
    """A label, then the planes of red, green and blue, each row by row."""
    planes = [
        bytes(int(image[row, column, colour]) for row in range(32) for column in range(32)) for colour in range(3)
    ]
    return bytes([label]) + b"".join(planes)


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    return b"".join(record(image, int(label)) for image, label in zip(images, labels, strict=True))


def write_unpacked(folder: Path, made: Parts) -> None:
    folder.mkdir(parents=True)
    for name, (images, labels) in made.items():
        (folder / name).write_bytes(binary(images, labels))


def write_archive(path: Path, members: list[tuple[str | tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for named, data in members:
            member = tarfile.TarInfo(named) if isinstance(named, str) else named
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_packed(path: Path, made: Parts) -> None:
    """In an order of its own, as the published archive, beside another file that is in it."""
    order = [TRAIN[0], TRAIN[2], TEST, TRAIN[4], TRAIN[1], TRAIN[3]]
    files = [(f"{INSIDE}/{name}", binary(*made[name])) for name in order]
    write_archive(path, [(f"{INSIDE}/batches.meta.txt", "\n".join(NAMES).encode()), *files])


def write_part(path: Path, made: Parts, *, test: int, train: int, **other: np.ndarray) -> None:
    path.parent.mkdir(parents=True)
    arrays = {
        f"{part}_{kind}": array[:count]
        for part, count, name in (("test", test, TEST), ("train", train, TRAIN[0]))
        for kind, array in zip(("images", "labels"), made[name], strict=True)
    }
    np.savez(path, **{**arrays, "names": np.array(NAMES), **other})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Images and labels of six files, twelve of each."""
    monkeypatch.setattr(cifar10_files, "RECORDS", RECORDS)
    random = np.random.default_rng(0)
    return {
        name: (random.integers(0, 256, (RECORDS, 32, 32, 3), np.uint8), random.integers(0, 10, RECORDS, np.uint8))
        for name in (TEST, *TRAIN)
    }


@pytest.fixture
def packed(made: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the archive, whose checksum holds."""
    folder = tmp_path / "packed"
    folder.mkdir()
    write_packed(folder / ARCHIVE, made)
    trust(folder / ARCHIVE, monkeypatch)
    return folder


def trust(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())


def opened(folder: Path, **options: str) -> SourcedImages:
    return build(DataSettings(folder=folder, options=options), None)


def check_test_images(one: SourcedImages, made: Parts, *, count: int = RECORDS) -> None:
    images = np.stack([one.stimuli.image(stimulus) for stimulus in one.stimuli.ids])
    np.testing.assert_array_equal(images, made[TEST][0][:count])
    np.testing.assert_array_equal(one.targets(), made[TEST][1][:count])
    assert one.stimuli.labels == tuple(NAMES[label] for label in made[TEST][1][:count])


def check_training_images(one: SourcedImages, made: Parts) -> None:
    images, targets = one.train()
    np.testing.assert_array_equal(images, np.concatenate([made[name][0] for name in TRAIN]))
    np.testing.assert_array_equal(targets, np.concatenate([made[name][1] for name in TRAIN]))
    assert (images.dtype, targets.dtype) == (np.uint8, np.int64)


def test_the_archive_is_read_without_unpacking_it(packed: Path, made: Parts) -> None:
    one = opened(packed)
    check_test_images(one, made)
    check_training_images(one, made)
    assert [path.name for path in packed.iterdir()] == [ARCHIVE]
    assert (one.name, one.classes, one.marks) == ("cifar10", NAMES, ())
    assert holds_labels(one) and isinstance(one, Fetches)
    assert one.fetch() == one.stimuli.sources == (packed / ARCHIVE,)


@pytest.mark.parametrize("inside", ["", INSIDE])
def test_unpacked_files_make_the_same_data_set(packed: Path, made: Parts, tmp_path: Path, inside: str) -> None:
    write_unpacked(tmp_path / "unpacked" / inside, made)
    one = opened(tmp_path / "unpacked")
    check_training_images(one, made)
    assert len(one.fetch()) == 6
    theirs = opened(packed)
    assert (one.fingerprint, one.stimuli.fingerprint) == (theirs.fingerprint, theirs.stimuli.fingerprint)


def test_a_part_of_the_images_is_the_same_as_a_subset_of_all(packed: Path, made: Parts, tmp_path: Path) -> None:
    write_part(tmp_path / "data" / "cifar10_subset" / PART, made, test=5, train=7)
    part, whole = build(DataSettings(root=tmp_path / "data"), None), opened(packed, subset="5")
    check_test_images(part, made, count=5)
    assert part.marks == whole.marks == ("subset=5",)
    assert (part.fingerprint, part.stimuli.fingerprint) == (whole.fingerprint, whole.stimuli.fingerprint)
    np.testing.assert_array_equal(part.train().images, made[TRAIN[0]][0][:7])
    np.testing.assert_array_equal(part.train().targets, made[TRAIN[0]][1][:7])
    assert build(DataSettings(root=tmp_path / "data", options={"subset": "3"}), None).marks == ("subset=3",)
    with pytest.raises(
        RequestError, match=r"^data\.subset=6: .*cifar10_subset\.npz holds 5 images; ask for at most so"
    ):
        build(DataSettings(root=tmp_path / "data", options={"subset": "6"}), None)


def test_all_images_are_no_subset(packed: Path) -> None:
    assert opened(packed, subset=str(RECORDS)).marks == ()


def test_complete_files_come_before_a_part(packed: Path, made: Parts, tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_part(root / "cifar10_subset" / PART, made, test=5, train=5)
    packed.rename(root / "cifar10")
    (root / "cifar10" / PART).write_bytes((root / "cifar10_subset" / PART).read_bytes())
    assert len(build(DataSettings(root=root), None).stimuli) == RECORDS
    (root / "cifar10" / ARCHIVE).unlink()
    assert build(DataSettings(root=root), None).files == (root / "cifar10" / PART,)


def test_fetched_once_then_offline(
    packed: Path,
    made: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[[Path], str],
    closed_url: str,
) -> None:
    monkeypatch.setattr(cifar10, "SOURCE", f"{serve(packed)}/{ARCHIVE}")
    fetched = build(DataSettings(root=tmp_path / "data"), None)
    check_test_images(fetched, made)
    place = tmp_path / "data" / "cifar10"
    assert [path.name for path in place.iterdir()] == [ARCHIVE]
    monkeypatch.setattr(cifar10, "SOURCE", f"{closed_url}/{ARCHIVE}")
    assert build(DataSettings(cache=tmp_path / "data"), None).fingerprint == fetched.fingerprint
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"cannot download .* \(no network\?\); put the file at .*empty.*tar\.gz$"):
        opened(tmp_path / "empty")
    assert not any((tmp_path / "empty").iterdir())


def test_a_folder_that_was_named_is_meant(
    made: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_url: str
) -> None:
    """A part beside it is not taken in its place."""
    monkeypatch.setattr(cifar10, "SOURCE", f"{closed_url}/{ARCHIVE}")
    write_part(tmp_path / "cifar10_subset" / PART, made, test=5, train=5)
    (tmp_path / "cifar10").mkdir()
    assert len(build(DataSettings(root=tmp_path), None).stimuli) == 5
    with pytest.raises(DataError, match="cannot download"):
        opened(tmp_path / "cifar10")


def test_it_travels_to_another_process_without_its_images(packed: Path, made: Parts) -> None:
    one = opened(packed)
    one.stimuli.image("test0003")
    packet = pickle.dumps(one)
    assert len(packet) < 3073 * RECORDS / 4
    check_test_images(pickle.loads(packet), made)


def test_a_changed_archive_is_refused_before_it_is_read(packed: Path) -> None:
    path = packed / ARCHIVE
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{ARCHIVE}: sha256 is \w+, expected \w+; delete it and fetch it again$"):
        opened(packed)


def link(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"{INSIDE}/{TEST}")
    member.type, member.linkname = kind, "../secret.bin"
    return member


# what else an archive could hold, were its checksum that of such an archive
ARCHIVES: list[tuple[Callable[[bytes], list[tuple[str | tarfile.TarInfo, bytes]]], str]] = [
    (
        lambda data: [(link(tarfile.SYMTYPE), b"")],
        f"no file {INSIDE}/{TEST} in it; replace it with the binary version$",
    ),
    (lambda data: [("../secret.bin", data), (link(tarfile.LNKTYPE), b"")], f"no file {INSIDE}/{TEST} in it"),
    (lambda data: [(f"../{INSIDE}/{TEST}", data), (f"/{INSIDE}/{TEST}", data)], f"no file {INSIDE}/{TEST} in it"),
    (lambda data: [("cifar-10-batches-py/test_batch", data)], f"no file {INSIDE}/{TEST} in it"),
    (lambda data: [(f"{INSIDE}/{TEST}", data[:-1])], f"{INSIDE}/{TEST}: 36,875 bytes, expected 36,876; use the binary"),
    (lambda data: [(f"{INSIDE}/{TEST}", data * 9)], f"{INSIDE}/{TEST}: more bytes, expected 36,876; use the binary"),
]


@pytest.mark.parametrize(("members", "fault"), ARCHIVES)
def test_only_regular_files_of_the_very_names_are_read(
    made: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: Callable[[bytes], list[tuple[str | tarfile.TarInfo, bytes]]],
    fault: str,
) -> None:
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    (folder.parent / "secret.bin").write_bytes(binary(*made[TEST]))
    write_archive(folder / ARCHIVE, members(binary(*made[TEST])))
    trust(folder / ARCHIVE, monkeypatch)
    with pytest.raises(DataError, match=fault) as raised:
        opened(folder)
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [ARCHIVE, "secret.bin"]


# named, for compressed bytes tell the time at which they were made, and tests are gathered in two processes
@pytest.mark.parametrize(
    "content",
    [b"no archive", gzip.compress(b"no tar" * 999), gzip.compress(b"\0" * 9999)[:-20]],
    ids=["plain", "no tar", "cut short"],
)
def test_what_is_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    (tmp_path / ARCHIVE).write_bytes(content)
    trust(tmp_path / ARCHIVE, monkeypatch)
    with pytest.raises(DataError, match=rf"{ARCHIVE}: (cannot read the archive \(.*\)|no file .* in it); replace it"):
        opened(tmp_path)


def test_faults_of_unpacked_files(made: Parts, tmp_path: Path) -> None:
    write_unpacked(tmp_path / INSIDE, made)
    path = tmp_path / INSIDE / TEST
    whole = path.read_bytes()
    path.write_bytes(whole[:3073] + b"\x0a" + whole[3074:])
    with pytest.raises(DataError, match=r"test_batch\.bin: label of image 1 is 10, expected 0 to 9; replace it$"):
        opened(tmp_path)
    path.write_bytes(whole[3073:])
    with pytest.raises(DataError, match=r"test_batch\.bin: 33,803 bytes, expected 36,876; use the binary version$"):
        opened(tmp_path)
    path.write_bytes(whole)
    (tmp_path / INSIDE / TRAIN[3]).unlink()
    one = opened(tmp_path)
    assert [file.name for file in one.fetch()] == [TEST, *TRAIN[:3], TRAIN[4]]
    with pytest.raises(DataError, match=r"cannot read .*data_batch_4\.bin \(No such file or directory\); put the file"):
        one.train()


PARTS: list[tuple[dict[str, np.ndarray], str]] = [
    ({"test_images": np.zeros((5, 32, 32, 3))}, r"test_images are float64 \(5, 32, 32, 3\), expected uint8"),
    ({"test_images": np.zeros((5, 3, 32, 32), np.uint8)}, r"expected uint8 \(image, 32, 32, 3\) of 1 to 12 images"),
    ({"test_images": np.zeros((13, 32, 32, 3), np.uint8)}, r"uint8 \(13, 32, 32, 3\), expected .* of 1 to 12 images"),
    ({"test_images": np.zeros((0, 32, 32, 3), np.uint8)}, r"uint8 \(0, 32, 32, 3\), expected .* of 1 to 12 images"),
    ({"test_labels": np.zeros(4, np.uint8)}, r"test_labels are uint8 \(4,\), expected a whole number to each of 5"),
    ({"test_labels": np.zeros(5)}, r"test_labels are float64 \(5,\), expected a whole number to each of 5 images"),
    ({"test_labels": np.array([0, 1, -1, 10, 3])}, r"test_labels: label of image 2 is -1, expected 0 to 9"),
    ({"test_labels": np.array([None] * 5)}, r"cannot read test_images and test_labels \(Object arrays cannot"),
    ({"names": np.array(NAMES[::-1])}, r"names are truck, .*, airplane, expected airplane, .*, truck$"),
]


@pytest.mark.parametrize(("other", "fault"), PARTS)
def test_faults_of_a_part(made: Parts, tmp_path: Path, other: dict[str, np.ndarray], fault: str) -> None:
    write_part(tmp_path / "part" / PART, made, test=5, train=5, **other)
    with pytest.raises(DataError, match=fault) as raised:
        opened(tmp_path / "part")
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_part_that_is_no_npz_or_has_no_training_images(made: Parts, tmp_path: Path) -> None:
    path = tmp_path / PART
    for content in (b"no npz", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"npz: cannot read test_images and test_labels \(.*\); replace it$"):
            opened(tmp_path)
    np.savez(path, test_images=made[TEST][0], test_labels=made[TEST][1])
    one = opened(tmp_path)
    with pytest.raises(DataError, match=r"npz: cannot read train_images and train_labels \(.*\); replace it$"):
        one.train()


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^cifar10\.test: nothing follows cifar10; leave \.test out$"):
        build(DataSettings(), "test")
    with pytest.raises(RequestError, match=r"^cifar10 takes no data\.nc_min; it takes data\.subset$"):
        build(DataSettings(options={"nc_min": "5"}), None)
    with pytest.raises(DataError, match=r"absent: no such folder; make it, and cifar10 is downloaded into it$"):
        opened(tmp_path / "absent")


def test_published_images(shared_data: Path, tmp_path: Path) -> None:
    """The published network is as right on them as whoever measured it before found."""
    one = build(DataSettings(root=shared_data), None)
    assert one.marks == ("subset=1000",)
    assert one.train().images.shape == (4000, 32, 32, 3)
    model = load_model("cifar_resnet20", data_root=shared_data, cache=tmp_path)
    assert model.classes == one.classes == NAMES
    with torch.no_grad():
        found = [model.logits(one.stimuli.pixels(ids))[:, 0].argmax(1) for ids in one.stimuli.blocks(250)]
    assert np.mean(torch.cat(found).numpy() == one.targets()) == pytest.approx(0.915, abs=0.002)
