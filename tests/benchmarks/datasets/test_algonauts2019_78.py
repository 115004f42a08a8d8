"""78 photographs: numbers of the published files where they are at hand, and small files in their layouts."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import squareform
from scipy.stats import rankdata, spearmanr

from alignment.errors import DataError, RequestError
from benchmarks.datasets import algonauts2019_78
from benchmarks.datasets.algonauts2019_78 import IMAGE_SHA256, build
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.given_rdms import GivenRDMs

IMAGES = [f"image_{number:02d}" for number in range(1, 6)]
ROIS = ("EVC", "IT")


def write(folder: Path) -> np.ndarray:
    """Five images and three people, in the upstream layout; the RDMs (roi, subject, stimulus, stimulus)."""
    random = np.random.default_rng(0)
    rdms = np.array([[squareform(random.uniform(size=10)) for _ in range(3)] for _ in ROIS])
    (folder / "brain_data").mkdir(parents=True)
    (folder / "stimuli_data").mkdir()
    for roi, cube in zip(ROIS, rdms, strict=True):
        np.savez(folder / "brain_data" / f"fmri_{roi}_RDMs.npz", cube)
    for shade, name in enumerate(IMAGES):
        Image.fromarray(np.full((8, 8 + shade, 3), shade * 40, np.uint8)).save(folder / "stimuli_data" / f"{name}.jpg")
    return rdms


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """A folder of small files whose checksums hold, and the RDMs in them."""
    folder = tmp_path / "small"
    rdms = write(folder)
    sums = {roi: sha256(folder / "brain_data" / f"fmri_{roi}_RDMs.npz") for roi in ROIS}
    monkeypatch.setattr(algonauts2019_78, "RDM_SHA256", sums)
    images = {name: sha256(folder / "stimuli_data" / f"{name}.jpg") for name in IMAGES}
    monkeypatch.setattr(algonauts2019_78, "IMAGE_SHA256", images)
    return folder, rdms


@pytest.mark.parametrize("roi", ROIS)
def test_rdms_and_images(small: tuple[Path, np.ndarray], roi: str) -> None:
    made = build(DataSettings(folder=small[0]), roi)
    assert made.name == f"algonauts2019_78.{roi}"
    assert made.subjects == ("subject1", "subject2", "subject3")
    np.testing.assert_array_equal(made.rdms().squares(), small[1][ROIS.index(roi)])
    assert made.stimuli.ids == tuple(IMAGES)
    assert [made.stimuli.image(name).shape[1] for name in IMAGES] == [8, 9, 10, 11, 12]
    assert made.sessions() is None
    assert made.references() == {}
    assert len(made.stimuli.sources) == 5
    assert "at chance" in made.describe()["traps"]
    copy = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(copy.stimuli.image(IMAGES[3]), made.stimuli.image(IMAGES[3]))


@pytest.mark.parametrize("moved", [("brain_data",), ("stimuli_data",), ("brain_data", "stimuli_data")])
def test_either_layout_and_a_mixture(
    small: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch, closed_url: str, moved: tuple[str, ...]
) -> None:
    folder = small[0]
    monkeypatch.setattr(algonauts2019_78, "SOURCE", closed_url)
    upstream = build(DataSettings(folder=folder), "IT")
    expected = (upstream.fingerprint, upstream.stimuli.fingerprint)
    if "brain_data" in moved:
        for path in (folder / "brain_data").iterdir():
            path.rename(folder / path.name)
    if "stimuli_data" in moved:
        (folder / "stimuli_data").rename(folder / "images")
    again = build(DataSettings(folder=folder), "IT")
    assert (again.fingerprint, again.stimuli.fingerprint) == expected
    assert again.fetch()[0].parent == (folder if "brain_data" in moved else folder / "brain_data")
    assert {path.parent.name for path in again.fetch()[1:]} == {"images" if "stimuli_data" in moved else "stimuli_data"}


def test_fetched_once_from_upstream_then_offline(
    small: tuple[Path, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[[Path], str],
    closed_url: str,
) -> None:
    monkeypatch.setattr(algonauts2019_78, "SOURCE", serve(small[0]))
    fetched = build(DataSettings(root=tmp_path / "data"), "EVC")
    place = tmp_path / "data" / "algonauts2019_78"
    found = sorted(path.relative_to(place).as_posix() for path in place.rglob("*.*"))
    assert found == ["brain_data/fmri_EVC_RDMs.npz", *(f"stimuli_data/{name}.jpg" for name in IMAGES)]
    assert sorted(fetched.fetch()) == sorted(place / name for name in found)
    monkeypatch.setattr(algonauts2019_78, "SOURCE", closed_url)
    assert build(DataSettings(cache=place.parent), "EVC").fingerprint == fetched.fingerprint
    (place / "stimuli_data" / "image_04.jpg").unlink()
    with pytest.raises(DataError, match=r"cannot download .*image_04\.jpg \(no network\?\); put the file at .*") as it:
        build(DataSettings(folder=place), "EVC")
    assert "\n" not in str(it.value)


@pytest.mark.parametrize("name", ["brain_data/fmri_IT_RDMs.npz", "stimuli_data/image_02.jpg"])
def test_a_damaged_file_is_named(small: tuple[Path, np.ndarray], name: str) -> None:
    path = small[0] / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{path.name}: sha256 is \w+, expected \w+; delete it and fetch it again$"):
        build(DataSettings(folder=small[0]), "IT")


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"needs a selection: algonauts2019_78\.EVC, algonauts2019_78\.IT$"):
        build(DataSettings(), None)
    with pytest.raises(RequestError, match="unknown selection of algonauts2019_78 'V1'; known: EVC, IT"):
        build(DataSettings(), "V1")
    with pytest.raises(RequestError, match=r"algonauts2019_78\.IT takes no data\.visual_degrees"):
        build(DataSettings(options={"visual_degrees": "4"}), "IT")
    with pytest.raises(DataError, match="no such folder"):
        build(DataSettings(folder=tmp_path / "absent"), "IT")


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, GivenRDMs]:
    """Both selections of the published files."""
    return {roi: build(DataSettings(root=shared_data), roi) for roi in ROIS}


def test_published_files(published: dict[str, GivenRDMs], shared_data: Path) -> None:
    assert len(IMAGE_SHA256) == 78
    for roi, made in published.items():
        with np.load(shared_data / "algonauts2019_78" / f"fmri_{roi}_RDMs.npz", allow_pickle=False) as archive:
            np.testing.assert_allclose(made.rdms().squares(), archive["arr_0"], rtol=0, atol=1e-15)
        assert len(made.subjects) == 15
        assert (made.stimuli.ids[0], made.stimuli.ids[-1]) == ("image_01", "image_78")
    assert published["EVC"].fingerprint != published["IT"].fingerprint
    assert published["EVC"].stimuli.fingerprint == published["IT"].stimuli.fingerprint
    assert published["EVC"].stimuli.image("image_01").shape == (400, 400, 3)


@pytest.mark.parametrize("roi", ROIS)
def test_published_ceilings(published: dict[str, GivenRDMs], shared_data: Path, roi: str) -> None:
    """Squared Spearman with the plain mean of all, and of all the others."""
    log = json.loads((shared_data / "algonauts2019_78" / "noise_ceiling_log.json").read_text())
    stated = log[f"fmri_{roi}_RDMs.npz"]["spearman"]
    people = published[roi].rdms().dissimilarities
    lower = [spearmanr(np.delete(people, i, axis=0).mean(axis=0), own).statistic ** 2 for i, own in enumerate(people)]
    upper = [np.corrcoef(rankdata(people.mean(axis=0)), rankdata(own))[0, 1] ** 2 for own in people]
    assert np.mean(lower) == pytest.approx(stated["lnc"], abs=1e-9)
    assert np.mean(upper) == pytest.approx(stated["unc"], abs=1e-9)
