"""Ceilings of one subject from halves of its sessions, and how alike sessions are, against naive references."""

import itertools

import numpy as np
import pytest
from scipy import stats

from alignment.rsa import Comparison, RDMs
from benchmarks.choices import Inference
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.datasets.presented import presented
from benchmarks.recordings import Recording
from benchmarks.similarity import ByRDM, Similarity
from benchmarks.similarity.kernels import ByCKA, ByProcrustes
from benchmarks.similarity.references import Reference
from benchmarks.similarity.reliability import halves_of_sessions

COUNT = 24
ROWS, COLUMNS = np.triu_indices(COUNT, k=1)
IMAGES = {f"image{i:02}": np.full((4, 4, 3), i, np.uint8) for i in range(COUNT)}
NAMES = tuple(IMAGES)


def truth(seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(COUNT, 5))
    return np.linalg.norm(points[ROWS] - points[COLUMNS], axis=1)


def measured(n_sessions: int, *, subjects: int = 1, noise: float = 1.0, seed: int = 1) -> np.ndarray:
    """(subject x session, pair)."""
    random = np.random.default_rng(seed)
    return truth() + noise * random.normal(size=(subjects * n_sessions, len(ROWS)))


def benchmark(rdms: np.ndarray, n_sessions: int, *, strategy: ByRDM | None = None, **changes) -> Similarity:
    n_subjects = len(rdms) // n_sessions
    subjects = tuple(f"p{number}" for number in range(n_subjects) for _ in range(n_sessions))
    sessions = tuple(str(number) for _ in range(n_subjects) for number in range(n_sessions))
    data = rdm_dataset("given", IMAGES, rdms=RDMs(rdms, NAMES, subjects=subjects, sessions=sessions))
    return Similarity(
        "given",
        data,
        strategy=strategy or ByRDM(comparison=Comparison("spearman")),
        recording=Recording(),
        inference=Inference(n_bootstrap=40, **changes),
    )


def scored(bench: Similarity, model: np.ndarray):
    bench.check()
    reference = Reference("true", RDMs(model[None], NAMES))
    return bench.score({part: bench.measure(reference, part, None) for part in bench.parts(reference)})  # type: ignore[arg-type]


def spearman(a: np.ndarray, b: np.ndarray, times: np.ndarray) -> float:
    """Of RDMs written out with stimuli repeated, pairs of copies left out; NaN pairs as well."""
    weights = np.where(np.isnan(a), 0, times[ROWS] * times[COLUMNS])
    return stats.spearmanr(np.repeat(a, weights), np.repeat(b, weights)).statistic


def step_up(r: float | np.ndarray) -> np.ndarray:
    return np.sqrt(2 * np.asarray(r) / (1 + np.asarray(r)))


@pytest.mark.parametrize("missing", [False, True])
def test_two_sessions_are_the_halves(missing: bool) -> None:
    sessions = measured(2)
    if missing:
        sessions[:, (ROWS == 3) & (COLUMNS > 20)] = np.nan
    bench = benchmark(sessions, 2)
    found = scored(bench, truth())
    once = np.ones(COUNT, int)
    r = spearman(*sessions, once)
    assert 0.2 < r < 0.8
    upper = found.score.ceiling
    assert upper.value == pytest.approx(step_up(r), abs=1e-9)
    assert found.score.lower is None
    ((counts,),) = bench._drawn()
    again = step_up(np.array([spearman(*sessions, times) for times in counts]))
    left_out = np.array([spearman(*sessions, once - (np.arange(COUNT) == out)) for out in range(COUNT)])
    deviations = np.sqrt((COUNT - 1) / COUNT) * (left_out - left_out.mean()) / (step_up(r) * (1 + r) ** 2)
    jackknife, bootstrap = np.square(deviations).sum(), again.var(ddof=1) * COUNT / (COUNT - 1)
    error = np.sqrt(np.clip(2 * jackknife - bootstrap, jackknife / 2, jackknife))
    assert upper.high - upper.value == pytest.approx(stats.t.ppf(0.975, COUNT - 1) * error, rel=1e-9)
    # permuting stimuli needs every pair
    assert (found.score.p_value is None) == missing
    assert missing or found.score.p_value < 0.01
    assert found.score.status in ("ok", "flagged")


def test_the_ceiling_is_what_the_truth_reaches_on_average() -> None:
    """The truth is the perfect model: over draws of the noise its mean is the mean ceiling."""
    strategy = ByRDM(comparison=Comparison("pearson"))
    for n_sessions in (2, 4):
        raws, ceilings = [], []
        for seed in range(15):
            bench = benchmark(measured(n_sessions, noise=2.0, seed=seed), n_sessions, strategy=strategy)
            found = scored(bench, truth())
            raws.append(found.score.raw.value)
            ceilings.append(found.score.ceiling.value)
        spread = np.std(np.subtract(raws, ceilings)) / np.sqrt(15)
        assert abs(np.mean(raws) - np.mean(ceilings)) < 3 * spread + 0.01
        assert 0.3 < np.mean(ceilings) < 0.95


@pytest.mark.parametrize("count", [3, 4, 5])
def test_more_sessions_are_halved_at_random(count: int) -> None:
    sessions = measured(count)
    halves = halves_of_sessions(sessions, name="given", seed=0)
    means = {
        tuple(chosen): sessions[list(chosen)].mean(0)
        for size in (count // 2, count - count // 2)
        for chosen in itertools.combinations(range(count), size)
    }
    places = []
    for first, second in halves:
        (a,), (b,) = ([key for key, mean in means.items() if np.allclose(mean, half)] for half in (first, second))
        assert sorted(a + b) == list(range(count))
        places.append((a, b))
    assert len(set(places)) > 1


def test_sessions_that_share_nothing_leave_the_score_undefined() -> None:
    sessions = np.random.default_rng(3).normal(size=(2, len(ROWS)))
    found = scored(benchmark(sessions, 2), truth())
    assert found.score.status == "undefined"
    assert found.score.p_value > 0.05


def test_the_shuffled_row_has_the_same_ceiling() -> None:
    bench = benchmark(measured(2), 2)
    null = scored(bench.shuffled(), truth())
    assert null.score.ceiling == scored(bench, truth()).score.ceiling
    assert abs(null.score.raw.value) < 0.4


def test_cards_say_what_the_ceiling_is_made_of() -> None:
    sessions, alone = benchmark(measured(2), 2).describe(), benchmark(measured(1), 1).describe()
    assert "halves of the subject's sessions" in sessions["ceiling"]
    assert alone["ceiling"] == "none: one subject, measured in one session"
    assert "similarity between sessions" not in alone
    people = benchmark(measured(1, subjects=3), 1).describe()
    assert people["ceiling"].startswith("leave one subject out")
    # a square hides whether halves agree
    squared = ByRDM(comparison=Comparison("spearman", squared=True))
    assert benchmark(measured(2), 2, strategy=squared).describe()["ceiling"].startswith("none: this measure")
    assert scored(benchmark(measured(2), 2, strategy=squared), truth()).score.status == "no_ceiling"
    images = {**IMAGES, **{f"more{i}": IMAGES["image00"] for i in range(30)}}
    responses = np.random.default_rng(0).normal(size=(len(images), 6))

    def card(strategy, **coordinates) -> str:
        data = presented("rows", images, responses=responses, stimulus=list(images), **coordinates)
        return Similarity(
            "rows", data, strategy=strategy, recording=Recording(), inference=Inference(n_bootstrap=40)
        ).describe()["ceiling"]

    assert "halves of each stimulus's trials" in card(ByRDM())
    assert card(ByCKA()).startswith("none: this measure")
    assert card(ByProcrustes()).startswith("none: this measure")
    assert card(ByCKA(), subject=["a"] * 3 + ["b"] * 3).startswith("leave one subject out")


def test_similarity_between_sessions_has_an_interval() -> None:
    sessions = measured(3, subjects=2)
    bench = benchmark(sessions, 3)
    said = bench.describe()["similarity between sessions"]
    once = np.ones(COUNT, int)
    each = [
        np.mean([spearman(a, b, once) for a, b in itertools.combinations(own, 2)])
        for own in (sessions[:3], sessions[3:])
    ]
    start = f"p0 {each[0]:.3f}, p1 {each[1]:.3f}; mean {np.mean(each):.3f} ["
    assert said.startswith(start)
    low, high = map(float, said.removeprefix(start).split("]")[0].split(", "))
    ((counts,),) = bench._drawn()

    def mean(times: np.ndarray) -> float:
        pairs = [pair for own in (sessions[:3], sessions[3:]) for pair in itertools.combinations(own, 2)]
        return float(np.mean([spearman(a, b, times) for a, b in pairs]))

    left_out = np.array([mean(once - (np.arange(COUNT) == out)) for out in range(COUNT)])
    jackknife = (COUNT - 1) / COUNT * np.square(left_out - left_out.mean()).sum()
    bootstrap = np.var([mean(times) for times in counts], ddof=1) * COUNT / (COUNT - 1)
    error = np.sqrt(np.clip(2 * jackknife - bootstrap, jackknife / 2, jackknife))
    half = stats.t.ppf(0.975, COUNT - 1) * error
    assert (low, high) == pytest.approx((np.mean(each) - half, np.mean(each) + half), abs=6e-4)
