"""The 92 objects: numbers of the published files where they are at hand, and small files in their layout."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.distance import squareform
from scipy.stats import pearsonr, spearmanr

from alignment.errors import DataError, RequestError
from benchmarks.datasets import kriegeskorte2008
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.given_rdms import GivenRDMs
from benchmarks.datasets.kriegeskorte2008 import BEHAVIOUR, BRAIN, MODELS, SELECTIONS, SUPPLEMENT, build

CATEGORIES = ["human face", "human bodypart", "natural inanimate", "natural inanimate", "artificial inanimate"]
PUBLISHED = ["animacy", "FaceBodyManmadeNatobj", "monkeyIT", "EVA", "HMAX", "V1", "Silhouette", "RADON"]


def records(**fields: list) -> np.ndarray:
    """A struct array of one row, as MATLAB keeps it."""
    rows = list(zip(*fields.values(), strict=True))
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in fields])
    for number, row in enumerate(rows):
        array[0, number] = row
    return array


def squares(count: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [squareform(random.uniform(size=10)) for _ in range(count)]


def write(folder: Path) -> dict[str, list[np.ndarray]]:
    """The four files with five stimuli; the RDMs in them."""
    folder.mkdir(parents=True)
    made = {BRAIN: squares(4, 0), BEHAVIOUR: squares(3, 1), MODELS: squares(2, 2), SUPPLEMENT: squares(2, 3)}
    people = ["hIT | AA | Session: 1", "hIT | BB | Session: 1", "hIT | AA | Session: 2", "hIT | BB | Session: 2"]
    brain = records(RDM=[square.astype(np.float32) for square in made[BRAIN]], name=people)
    savemat(folder / BRAIN, {"RDMs": brain.reshape(1, 2, 2, order="F")})
    judges = [f"simJudge | subject{number}" for number in (1, 2, 10)]
    savemat(folder / BEHAVIOUR, {"rdms_behav_92": records(RDM=made[BEHAVIOUR], name=judges)})
    made[MODELS][0] = (made[MODELS][0] > 0.5).astype(np.uint8)
    savemat(folder / MODELS, {"Models": records(RDM=made[MODELS], name=["animacy", "monkeyIT"])})
    shades = [np.full((4, 6, 3), shade, np.uint8) for shade in range(5)]
    figure = [squareform(square)[None] for square in made[SUPPLEMENT]]
    supplement = {
        "stimuli_92objs": records(category=CATEGORIES, image=shades),
        "RDMs_mIT_hIT_fig1": records(name=["mIT_674neurons", "hITvisStim_316vx"], RDM=figure),
    }
    savemat(folder / SUPPLEMENT, supplement)
    return made


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, list[np.ndarray]]]:
    """A folder of small files whose checksums hold, and the RDMs in them."""
    folder = tmp_path / "small"
    made = write(folder)
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in made}
    monkeypatch.setattr(kriegeskorte2008, "CHECKSUMS", sums)
    return folder, made


def test_human_it_by_subject_and_session(small: tuple[Path, dict[str, list[np.ndarray]]]) -> None:
    folder, made = small
    human = build(DataSettings(folder=folder), "humanIT")
    stored = np.float32(made[BRAIN]).astype(float)
    assert human.name == "kriegeskorte2008.humanIT"
    assert human.subjects == ("AA", "BB")
    np.testing.assert_allclose(human.rdms().squares(), [(stored[0] + stored[2]) / 2, (stored[1] + stored[3]) / 2])
    sessions = human.sessions()
    assert sessions is not None
    order = [
        list(zip(sessions.subjects, sessions.sessions, strict=True)).index(key) for key in [("AA", "2"), ("BB", "1")]
    ]
    np.testing.assert_array_equal(sessions.squares()[order], stored[[2, 1]])


@pytest.mark.parametrize(
    ("selection", "file", "rows", "subjects"),
    [
        ("humanIT-group", SUPPLEMENT, [1], ("group",)),
        ("monkeyIT", SUPPLEMENT, [0], ("monkeys",)),
        ("behaviour", BEHAVIOUR, [0, 1, 2], ("subject1", "subject2", "subject10")),
    ],
)
def test_the_other_selections(
    small: tuple[Path, dict[str, list[np.ndarray]]],
    selection: str,
    file: str,
    rows: list[int],
    subjects: tuple[str, ...],
) -> None:
    folder, made = small
    chosen = build(DataSettings(folder=folder), selection)
    assert chosen.subjects == subjects
    assert chosen.sessions() is None
    np.testing.assert_array_equal(chosen.rdms().squares(), [made[file][row] for row in rows])


def test_references_and_images(small: tuple[Path, dict[str, list[np.ndarray]]]) -> None:
    folder, made = small
    human = build(DataSettings(folder=folder), "humanIT")
    assert list(human.references()) == ["animacy", "monkeyIT"]
    np.testing.assert_array_equal(human.references()["animacy"].squares()[0], made[MODELS][0])
    assert list(build(DataSettings(folder=folder), "monkeyIT").references()) == ["animacy"]
    stimuli = human.stimuli
    assert stimuli.ids[:3] == ("01-human-face", "02-human-bodypart", "03-natural-inanimate")
    assert stimuli.labels == tuple(CATEGORIES)
    assert [stimuli.image(name)[0, 0, 0] for name in stimuli.ids] == list(range(5))
    assert stimuli.image(stimuli.ids[0]).shape == (4, 6, 3)
    assert stimuli.sources == (folder / SUPPLEMENT,)


def test_it_travels_to_another_process_without_its_images(small: tuple[Path, dict[str, list[np.ndarray]]]) -> None:
    human = build(DataSettings(folder=small[0]), "humanIT")
    light = len(pickle.dumps(human))
    shade = human.stimuli.image(human.stimuli.ids[3])
    carried = pickle.dumps(human)
    assert len(carried) == light
    copy = pickle.loads(carried)
    assert copy.fingerprint == human.fingerprint
    np.testing.assert_array_equal(copy.stimuli.image(copy.stimuli.ids[3]), shade)


def test_fetched_once_from_upstream_then_offline(
    small: tuple[Path, dict[str, list[np.ndarray]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[[Path], str],
    closed_url: str,
) -> None:
    monkeypatch.setattr(kriegeskorte2008, "SOURCE", serve(small[0]))
    fetched = build(DataSettings(root=tmp_path / "data"), "humanIT")
    place = tmp_path / "data" / "kriegeskorte2008"
    assert sorted(fetched.fetch()) == sorted(place / name for name in (BRAIN, MODELS, SUPPLEMENT))
    monkeypatch.setattr(kriegeskorte2008, "SOURCE", closed_url)
    for settings in (DataSettings(folder=place), DataSettings(root=place.parent), DataSettings(cache=place.parent)):
        assert build(settings, "humanIT").fingerprint == fetched.fingerprint
    with pytest.raises(
        DataError, match=r"cannot download .*92_behavRDMs\.mat \(no network\?\); put the file at .*"
    ) as it:
        build(DataSettings(root=tmp_path / "data"), "behaviour")
    assert "\n" not in str(it.value)


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"MATLAB" * 40])
def test_a_damaged_file_is_named(
    small: tuple[Path, dict[str, list[np.ndarray]]], damage: Callable[[bytes], bytes]
) -> None:
    path = small[0] / MODELS
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        DataError, match=r"92_modelRDMs\.mat: sha256 is \w{64}, expected \w{64}; delete it and"
    ) as raised:
        build(DataSettings(folder=small[0]), "monkeyIT")
    assert "\n" not in str(raised.value)


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"needs a selection: kriegeskorte2008\.humanIT, .*behaviour$"):
        build(DataSettings(), None)
    with pytest.raises(RequestError, match="unknown selection of kriegeskorte2008 'humanit'; did you mean humanIT"):
        build(DataSettings(), "humanit")
    with pytest.raises(RequestError, match=r"kriegeskorte2008\.humanIT takes no data\.subjects"):
        build(DataSettings(options={"subjects": "BE"}), "humanIT")
    with pytest.raises(DataError, match="no such folder; make it, and kriegeskorte2008 is downloaded into it"):
        build(DataSettings(folder=tmp_path / "absent"), "humanIT")


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, GivenRDMs]:
    """Every selection of the published files."""
    return {selection: build(DataSettings(root=shared_data), selection) for selection in SELECTIONS}


def test_published_shapes_and_names(published: dict[str, GivenRDMs]) -> None:
    subjects = {selection: chosen.subjects for selection, chosen in published.items()}
    assert subjects["humanIT"] == ("BE", "KO", "SN", "TI")
    assert subjects["behaviour"] == tuple(f"subject{number}" for number in range(1, 17))
    assert {name: len(of) for name, of in subjects.items() if len(of) == 1} == {"humanIT-group": 1, "monkeyIT": 1}
    sessions = published["humanIT"].sessions()
    assert sessions is not None
    assert sorted(zip(sessions.subjects, sessions.sessions, strict=True)) == [
        (subject, session) for subject in subjects["humanIT"] for session in ("1", "2")
    ]
    for chosen in published.values():
        assert chosen.rdms().dissimilarities.shape == (len(chosen.subjects), 4186)
        assert np.isfinite(chosen.rdms().dissimilarities).all()
    assert len({chosen.fingerprint for chosen in published.values()}) == 4


def test_published_models(published: dict[str, GivenRDMs]) -> None:
    for selection in ("humanIT", "humanIT-group", "behaviour"):
        assert list(published[selection].references()) == PUBLISHED
    assert list(published["monkeyIT"].references()) == [name for name in PUBLISHED if name != "monkeyIT"]


def test_published_images(published: dict[str, GivenRDMs]) -> None:
    stimuli = published["humanIT"].stimuli
    assert len(stimuli) == 92
    assert stimuli.ids[0] == "01-human-bodypart"
    assert stimuli.labels is not None
    assert len(set(stimuli.labels)) == 6
    images = [stimuli.image(name) for name in stimuli.ids]
    assert {(image.dtype.name, image.shape) for image in images} == {("uint8", (175, 175, 3))}
    assert len({image.tobytes() for image in images}) == 92
    assert len({chosen.stimuli.fingerprint for chosen in published.values()}) == 1


def test_conditions_are_in_the_same_order_everywhere(published: dict[str, GivenRDMs]) -> None:
    """Each file's RDM against the same one of another file, and against the categories of the images."""
    human, monkey = published["humanIT"], published["monkeyIT"].rdms().dissimilarities[0]
    np.testing.assert_array_equal(human.references()["monkeyIT"].dissimilarities[0], monkey)
    group = published["humanIT-group"].rdms().dissimilarities[0]
    np.testing.assert_allclose(human.rdms().dissimilarities.mean(axis=0), group, rtol=0, atol=1e-12)
    alive = np.array([label.endswith(("face", "bodypart")) for label in human.stimuli.labels or ()])
    np.testing.assert_array_equal(human.references()["animacy"].squares()[0], alive[:, None] != alive)


def test_published_numbers_of_an_independent_analysis(published: dict[str, GivenRDMs]) -> None:
    monkey, group = (published[each].rdms().dissimilarities[0] for each in ("monkeyIT", "humanIT-group"))
    assert pearsonr(monkey, group).statistic == pytest.approx(0.491210, abs=1e-6)
    assert spearmanr(monkey, group).statistic == pytest.approx(0.438924, abs=1e-6)
    people = published["humanIT"].rdms().dissimilarities
    expected = [0.386220, 0.276596, 0.296324, 0.245389, 0.159868, 0.026514, 0.096570, 0.038094]
    models = published["humanIT"].references()
    means = [
        np.mean([spearmanr(models[model].dissimilarities[0], person).statistic for person in people])
        for model in PUBLISHED
    ]
    np.testing.assert_allclose(means, expected, rtol=0, atol=1e-6)


def test_published_behaviour_agrees_as_an_independent_analysis_found(published: dict[str, GivenRDMs]) -> None:
    """Leave-one-subject-out and whole-group Spearman with the mean of ranks."""
    ranks = np.argsort(np.argsort(published["behaviour"].rdms().dissimilarities, axis=1), axis=1).astype(float)
    left_out = [spearmanr(np.delete(ranks, i, axis=0).mean(axis=0), own).statistic for i, own in enumerate(ranks)]
    whole = [spearmanr(ranks.mean(axis=0), own).statistic for own in ranks]
    assert np.mean(left_out) == pytest.approx(0.477011, abs=1e-6)
    assert np.mean(whole) == pytest.approx(0.576692, abs=1e-6)


def test_the_published_files_as_they_come_from_upstream(
    shared_data: Path,
    published: dict[str, GivenRDMs],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[[Path], str],
) -> None:
    monkeypatch.setattr(kriegeskorte2008, "SOURCE", serve(shared_data / "kriegeskorte2008"))
    fetched = build(DataSettings(cache=tmp_path), "behaviour")
    assert fetched.fingerprint == published["behaviour"].fingerprint
    assert {path.parent for path in fetched.fetch()} == {tmp_path / "kriegeskorte2008"}
