"""Responses in time: the true network's layer, step and latencies are found, and nothing where there is nothing."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from alignment.errors import DataError, RequestError
from alignment.models import TorchModel, load_model
from benchmarks.catalogue import build_benchmarks
from benchmarks.contracts import Part, Session
from benchmarks.datasets.presented import presented
from benchmarks.datasets.simulated_latencies import IMAGE, MS_PER_STEP, TIME_BINS, truth_model
from benchmarks.fingerprint import PixelDigests
from benchmarks.measures import build_measure
from benchmarks.neural.builders import times
from benchmarks.neural.time_fits import DeclaredMap
from benchmarks.neural.time_resolved import TimeResolved, latencies
from benchmarks.recordings import Recordings
from benchmarks.settings import parse
from benchmarks.store import Store


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    store = Store(tmp_path_factory.mktemp("results") / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=64, block_size=256), digests, "cpu")


@pytest.fixture(scope="module")
def truth() -> TorchModel:
    return TorchModel(truth_model(), name="truth", image_size=(IMAGE, IMAGE), layers=["early", "late"])


def benchmark(area: str, *words: str) -> TimeResolved:
    (made,) = build_benchmarks(f"simulated-latencies.{area}", parse(["n_bootstrap=200", *words]))
    assert isinstance(made, TimeResolved)
    return made


def measured(made: TimeResolved, model: TorchModel, session: Session) -> dict[Part, xr.Dataset]:
    return {part: made.measure(model, part, session) for part in made.parts(model)}


@pytest.fixture(scope="module", params=["early", "late"])
def found(request, session, truth):
    made = benchmark(request.param)
    return request.param, made, measured(made, truth, session)


def test_layer_step_and_latencies_are_recovered(found) -> None:
    area, made, parts = found
    scored = made.score(parts)
    assert (scored.layer, scored.layer_share) == (area, 1.0)
    of_subjects = scored.details["subjects"]
    for subject, details in of_subjects.items():
        assert {cell["ms_per_step"] for cell in details["chosen"]} == {MS_PER_STEP}
        own = made.dataset.presentations["subject"].values == subject
        true = made.dataset.presentations["latency"].values[own]
        recovered = np.array(details["latencies"])
        assert (recovered == true).mean() >= 0.9
        assert np.abs(recovered - true).max() <= 20
    assert scored.figures["ms per step"] == MS_PER_STEP
    assert scored.score.status == "no_ceiling" and scored.score.raw.low > 0.3


def test_the_course_over_ms_is_0_until_the_neurons_begin(found) -> None:
    area, made, parts = found
    scored = made.score(parts)
    course = {row["time_bin"]: row for row in scored.surface if row["layer"] == area}
    assert list(course) == list(TIME_BINS)
    first = {"early": 40.0, "late": 80.0}[area]
    assert all(row["raw"] == 0 for time_bin, row in course.items() if time_bin < first)
    assert all(row["raw_low"] > 0.3 for time_bin, row in course.items() if time_bin >= first + 40)
    assert course[scored.time_bin]["raw"] == pytest.approx(scored.figures["r at time_bin"])
    assert scored.score.raw.value == pytest.approx(np.mean([row["raw"] for row in course.values()]), abs=0.02)


def test_the_score_is_scipys_r_of_each_neuroid_in_each_bin(found) -> None:
    area, made, parts = found
    scored = made.score(parts)
    of_subjects = []
    for subject in made.dataset.subjects:
        responses, data = made.dataset.responses(subject), parts[Part(subject, area)]
        observed = responses.sel(stimulus=data["stimulus"].values).values
        r = np.zeros((5, *observed.shape[1:]))
        for fold, neuroid, time_bin in np.ndindex(r.shape):
            rows = data["held_out_in"].values == fold
            said = data["predicted"].values[rows, neuroid, time_bin]
            if np.ptp(said):
                r[fold, neuroid, time_bin] = stats.pearsonr(said, observed[rows, neuroid, time_bin])[0]
        of_subjects.append(np.median(r.mean(axis=(0, 2))))
    assert scored.score.raw.value == pytest.approx(np.mean(of_subjects), abs=1e-6)


def test_shuffled_responses_give_nothing(session, truth) -> None:
    control = benchmark("late").shuffled()
    scored = control.score(measured(control, truth, session))
    assert abs(scored.score.raw.value) < 0.02
    assert scored.score.raw.low <= 0 <= scored.score.raw.high


def test_a_model_without_time_has_latencies_and_no_step(session, tmp_path) -> None:
    made, model = benchmark("late"), load_model("pixels", cache=tmp_path)
    scored = made.score(measured(made, model, session))
    assert "ms per step" not in scored.figures
    # one state explains the first best, so latencies are found all the same
    assert scored.figures["latency (ms), median over neuroids"] == pytest.approx(100, abs=20)


def test_only_the_declared_maps_are_possible(session, truth) -> None:
    made = benchmark("late", "benchmark.onsets=0,60", "benchmark.ms_per_step=20")
    assert (
        made.id == "simulated-latencies.late-time-resolved-ridge-loo-avg4x4[onsets=0,60,ms_per_step=20,n_bootstrap=200]"
    )
    parts = measured(made, truth, session)
    assert set(np.unique(latencies([parts[Part("sim1", "late")].isel(fold=0)]))) <= {0.0, 60.0}
    assert set(parts[Part("sim1", "late")]["ms_per_step"].values) == {20.0}
    keys = {each.fit_fingerprint(session.digests) for each in (made, benchmark("late"), made.shuffled())}
    assert len(keys) == 3


def test_a_model_in_ms_has_its_own_clock(truth) -> None:
    declared = DeclaredMap()
    assert declared.steps_of(truth, "late") == (10.0, 20.0, 40.0, 80.0)
    in_ms = TorchModel(truth_model(), name="t", image_size=(IMAGE, IMAGE), layers=["late"], time_unit="ms")
    assert declared.steps_of(in_ms, "late") == (1.0,)
    assert declared.onsets_of(np.array([-20.0, 0.0, 20.0])) == (0.0, 20.0)


def test_other_responses_and_words_are_refused(session) -> None:
    rng = np.random.default_rng(0)
    images = {f"i{n:02}": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for n in range(30)}
    still = presented("still", images, responses=rng.normal(size=(30, 3)), stimulus=list(images))
    made = build_measure("time-resolved", "still", still, settings=parse([]), preferred={})
    with pytest.raises(DataError, match=r"^still: responses are not resolved in time \(one time_bin\); take"):
        made.check()
    moving = presented(
        "moving", images, responses=rng.normal(size=(30, 3, 2)), stimulus=list(images), time_bins=[0.0, 20.0]
    )
    ridge = build_measure("ridge", "moving", moving, settings=parse([]), preferred={})
    with pytest.raises(DataError, match=r"^moving: responses have 2 time_bins; take benchmark.measure=time-resolved"):
        ridge.check()
    with pytest.raises(RequestError, match=r"^benchmark.onsets=a: give ms, several by comma"):
        times("onsets", "a")
    with pytest.raises(RequestError, match=r"^benchmark.ms_per_step=0,20: a step takes more than 0 ms"):
        benchmark("late", "benchmark.ms_per_step=0,20")
