"""A session in the upstream layout, made by hand; the real ones are in tests/real."""

import functools
import hashlib
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignment.errors import DataError, RequestError
from benchmarks.datasets import cowley2023
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.cowley2023 import Cowley2023, sessions_at_hand

SESSION, STIMULI, NEURONS, REPEATS = "210621", 30, 6, 5


def write_session(folder: Path, *, raw: bool = True, stimuli: int = STIMULI) -> np.ndarray:
    """Files of one session; the trials (neuron, image, repeat)."""
    import io
    import zipfile

    random = np.random.default_rng(0)
    signal = random.normal(size=(NEURONS, STIMULI, 1)) * 3
    trials = signal + random.normal(size=(NEURONS, STIMULI, REPEATS))
    trials[:, ::3, 3:] = np.nan
    for name in ("images", "responses_repeat_averaged", "responses_raw"):
        (folder / "data_V4_responses" / name).mkdir(parents=True, exist_ok=True)
    base = folder / "data_V4_responses"
    np.save(base / f"responses_repeat_averaged/responses_{SESSION}.npy", np.nanmean(trials, axis=2))
    if raw:
        np.save(base / f"responses_raw/responses_{SESSION}.npy", trials)
    with zipfile.ZipFile(base / f"images/images_{SESSION}.zip", "w") as archive:
        for number in range(1, stimuli + 1):
            buffer = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(buffer, "PNG")
            archive.writestr(f"images_{SESSION}/image{number:04d}.png", buffer.getvalue())
    return trials


def dataset(folder: Path) -> Cowley2023:
    return Cowley2023(DataSettings(folder=folder), session=SESSION)


def test_a_session_from_its_files(tmp_path: Path) -> None:
    trials = write_session(tmp_path)
    session = dataset(tmp_path)
    responses = session.responses("RA")
    assert session.name == "cowley2023.210621"
    assert session.subjects == ("RA",)
    assert responses.dims == ("stimulus", "neuroid", "time_bin")
    assert responses.dtype == np.float32
    np.testing.assert_allclose(responses.values[..., 0], np.nanmean(trials, axis=2).T, rtol=1e-6)
    assert responses["stimulus"].values.tolist() == list(session.stimuli.ids)
    assert responses["repetitions"].values[:4].tolist() == [3, 5, 5, 3]
    assert set(responses["roi"].values) == {"V4"}
    assert [session.stimuli.image(stimulus)[0, 0, 0] for stimulus in session.stimuli.ids] == list(range(1, 31))
    assert session.describe()["stimuli"] == STIMULI


def test_splits_are_five_folds_by_stimulus(tmp_path: Path) -> None:
    write_session(tmp_path)
    session = dataset(tmp_path)
    splits = session.splits("RA")
    assert len(splits) == 5
    assert sorted(stimulus for split in splits for stimulus in split.test) == list(session.stimuli.ids)
    assert all(not set(split.train) & set(split.test) for split in splits)


def test_ceiling_needs_single_trials(tmp_path: Path) -> None:
    write_session(tmp_path / "with")
    write_session(tmp_path / "without", raw=False)
    ceiling = dataset(tmp_path / "with").ceiling("RA")
    assert ceiling is not None
    # signal variance 9, noise variance 1, 3 or 5 repeats
    np.testing.assert_allclose(ceiling["ceiling"], np.sqrt(9 / (9 + (10 / 3 + 20 / 5) / 30)), atol=0.03)
    without = dataset(tmp_path / "without")
    assert without.ceiling("RA") is None
    assert set(without.responses("RA")["repetitions"].values) == {0}


def test_the_folder_may_be_the_inner_one_or_lie_under_the_root(tmp_path: Path) -> None:
    write_session(tmp_path / "cowley2023")
    inner = dataset(tmp_path / "cowley2023" / "data_V4_responses")
    rooted = Cowley2023(DataSettings(root=tmp_path), session=SESSION)
    cached = Cowley2023(DataSettings(cache=tmp_path), session=SESSION)
    assert inner.fingerprint == rooted.fingerprint == cached.fingerprint
    assert sessions_at_hand(DataSettings(root=tmp_path)) == (SESSION,)
    assert sessions_at_hand(DataSettings(root=tmp_path / "absent")) == ()


def test_fingerprint_covers_responses_trials_and_ids(tmp_path: Path) -> None:
    trials = write_session(tmp_path)
    whole = dataset(tmp_path).fingerprint
    base = tmp_path / "data_V4_responses"
    assert dataset(tmp_path).fingerprint == whole

    trials[0, 1, [0, 1]] += [1, -1]
    np.save(base / f"responses_raw/responses_{SESSION}.npy", trials)
    other_trials = dataset(tmp_path).fingerprint
    trials[0, 1, 0] += 1
    np.save(base / f"responses_raw/responses_{SESSION}.npy", trials)
    np.save(base / f"responses_repeat_averaged/responses_{SESSION}.npy", np.nanmean(trials, axis=2))
    other_responses = dataset(tmp_path).fingerprint
    (base / f"responses_raw/responses_{SESSION}.npy").unlink()
    no_trials = dataset(tmp_path).fingerprint
    assert len({whole, other_trials, other_responses, no_trials}) == 4


def test_broken_neurons_are_dropped_and_named_also_in_the_ceiling(tmp_path: Path) -> None:
    trials = write_session(tmp_path)
    trials[1] = np.where(np.isnan(trials[1]), np.nan, 2.0)
    trials[4, 7] = np.nan
    base = tmp_path / "data_V4_responses"
    np.save(base / f"responses_raw/responses_{SESSION}.npy", trials)
    count = np.isfinite(trials).sum(2)
    mean = np.where(count, np.nansum(trials, axis=2) / np.maximum(count, 1), np.nan)
    np.save(base / f"responses_repeat_averaged/responses_{SESSION}.npy", mean)
    session = dataset(tmp_path)
    assert session.responses("RA").attrs["dropped"] == ["1 (constant)", "4 (not finite)"]
    ceiling = session.ceiling("RA")
    assert ceiling is not None
    assert ceiling["neuroid"].values.tolist() == session.responses("RA")["neuroid"].values.tolist() == [0, 2, 3, 5]


def test_it_travels_to_another_process(tmp_path: Path) -> None:
    write_session(tmp_path)
    session = dataset(tmp_path)
    session.stimuli.image("image0001")
    copy = pickle.loads(pickle.dumps(session))
    assert copy.fingerprint == session.fingerprint
    np.testing.assert_array_equal(copy.stimuli.image("image0002"), session.stimuli.image("image0002"))


def _averaged(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda base: _rewrite(base / f"responses_repeat_averaged/responses_{SESSION}.npy", change)


def _raw(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda base: _rewrite(base / f"responses_raw/responses_{SESSION}.npy", change)


def _rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(path, change(np.load(path)))


def _truncate(relative: str) -> Callable[[Path], None]:
    def cut(base: Path) -> None:
        content = (base / relative).read_bytes()
        (base / relative).write_bytes(content[: len(content) // 2])

    return cut


def _nan_stimulus(values: np.ndarray) -> np.ndarray:
    values[:, 3] = np.nan
    return values


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (_averaged(lambda values: values[:, :-1]), r"shape is \(6, 29\) \(neuron, image\) but .* holds 30 images"),
        (_averaged(lambda values: values.T), r"shape is \(30, 6\)"),
        (_averaged(lambda values: values[None]), r"expected \(neuron, image\)"),
        (_averaged(lambda values: values[:, ::-1]), "its mean over repeats is not the averaged responses"),
        (_averaged(lambda values: values.astype(str)), "real numbers"),
        (_raw(lambda values: values[:-1]), r"shape is \(5, 30, 5\) \(neuron, image, repeat\)"),
        (_raw(_nan_stimulus), "its mean over repeats"),
        (_truncate(f"responses_repeat_averaged/responses_{SESSION}.npy"), "truncated"),
        (_truncate(f"responses_raw/responses_{SESSION}.npy"), "truncated"),
        (_truncate(f"images/images_{SESSION}.zip"), "cannot read the zip"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, spoil: Callable[[Path], None], fault: str) -> None:
    write_session(tmp_path)
    spoil(tmp_path / "data_V4_responses")
    with pytest.raises(DataError, match=fault) as raised:
        dataset(tmp_path).responses("RA")
    assert "\n" not in str(raised.value)


def test_a_stimulus_without_responses(tmp_path: Path) -> None:
    write_session(tmp_path, raw=False)
    _averaged(_nan_stimulus)(tmp_path / "data_V4_responses")
    with pytest.raises(DataError, match="'image0004' are NaN for every neuroid"):
        dataset(tmp_path).responses("RA")


def test_too_many_images(tmp_path: Path) -> None:
    write_session(tmp_path, stimuli=31)
    with pytest.raises(DataError, match="holds 31 images"):
        dataset(tmp_path).fetch()
        dataset(tmp_path).responses("RA")


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="unknown session of cowley2023 '201026'; did you mean"):
        Cowley2023(DataSettings(root=tmp_path), session="201026")
    with pytest.raises(RequestError, match=r"unknown session of cowley2023 '999'; sessions are dates from 190923"):
        Cowley2023(DataSettings(root=tmp_path), session="999")
    with pytest.raises(RequestError, match=r"cowley2023\.210621 takes no data\.subjects"):
        Cowley2023(DataSettings(root=tmp_path, options={"subjects": "1"}), session=SESSION)
    with pytest.raises(DataError, match="no such folder"):
        dataset(tmp_path / "absent")
    with pytest.raises(RequestError, match="needs a session"):
        cowley2023.build(DataSettings(root=tmp_path), None)
    write_session(tmp_path)
    with pytest.raises(RequestError, match=r"unknown session of cowley2023 '999'; at hand: 210621$"):
        Cowley2023(DataSettings(folder=tmp_path), session="999")
    with pytest.raises(RequestError, match=r"unknown subject of cowley2023\.210621 'PE'; known: RA"):
        cowley2023.build(DataSettings(folder=tmp_path), SESSION).responses("PE")


def test_a_known_session_with_other_bytes_is_refused(tmp_path: Path) -> None:
    write_session(tmp_path)
    for path in tmp_path.rglob(f"*{SESSION}*"):
        path.rename(path.with_name(path.name.replace(SESSION, "210325")))
    with pytest.raises(DataError, match=r"sha256 is \w{64}, expected 992774eca3508a2a"):
        _ = Cowley2023(DataSettings(folder=tmp_path), session="210325").stimuli


def test_animals_are_those_of_the_upstream_table() -> None:
    assert len(cowley2023.SESSIONS) == 50
    assert set(cowley2023.SESSIONS.values()) == {"WE", "PE", "RA"}
    assert cowley2023.SESSIONS["201025"] == cowley2023.SESSIONS["210325"] == "PE"
    assert all(sha256 == sha256.lower() and len(sha256) == 64 for sha256 in cowley2023.CHECKSUMS.values())


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server in the place of the upstream repository; its folder."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "upstream"
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(cowley2023, "SOURCE", f"http://127.0.0.1:{server.server_address[1]}")
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and the upstream address answers no more."""

    def cut() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            monkeypatch.setattr(cowley2023, "SOURCE", f"http://127.0.0.1:{probe.getsockname()[1]}")

    return cut


@pytest.mark.parametrize("raw", [True, False])
def test_fetched_once_from_upstream_then_offline(
    tmp_path: Path, upstream: Path, offline: Callable[[], None], raw: bool
) -> None:
    write_session(upstream, raw=raw)
    fetched = Cowley2023(DataSettings(root=tmp_path / "data"), session=SESSION)
    paths = fetched.fetch()
    assert len(paths) == (3 if raw else 2)
    for path in paths:
        recorded = path.with_name(path.name + ".sha256").read_text().split()[0]
        assert recorded == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (fetched.ceiling("RA") is not None) == raw
    offline()
    again = Cowley2023(DataSettings(root=tmp_path / "data"), session=SESSION)
    assert again.fingerprint == fetched.fingerprint == dataset(upstream).fingerprint


def test_an_interrupted_fetch_still_looks_for_the_single_trials(tmp_path: Path, upstream: Path) -> None:
    write_session(upstream)
    first = Cowley2023(DataSettings(root=tmp_path / "data"), session=SESSION)
    _ = first.stimuli
    assert Cowley2023(DataSettings(root=tmp_path / "data"), session=SESSION).ceiling("RA") is not None


def test_fetch_also_gets_the_single_trials_of_averages_put_there_by_hand(tmp_path: Path, upstream: Path) -> None:
    write_session(upstream)
    write_session(tmp_path / "mine", raw=False)
    session = dataset(tmp_path / "mine")
    assert session._raw_path is None
    assert [path.parent.name for path in session.fetch()] == ["images", "responses_raw", "responses_repeat_averaged"]
    assert session.ceiling("RA") is not None


def test_no_network_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None]) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    offline()
    with pytest.raises(
        DataError, match=r"cannot download .*images_201025\.zip \(no network\?\); put the file at"
    ) as it:
        Cowley2023(DataSettings(root=tmp_path), session="201025").fetch()
    assert "\n" not in str(it.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
