"""Distances cross-validated over repetitions, from data set to score, against rsatoolbox and naive references."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_unbalanced
from rsatoolbox.rdm import calc_rdm
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from alignment.errors import DataError, RequestError
from alignment.models.base import Model
from alignment.models.baselines import gabor, pixels
from alignment.rsa import Comparison, RDMs, crossnobis_of_trials
from benchmarks.choices import CHOICES, Inference
from benchmarks.contracts import Session
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.cowley2023 import build
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.datasets.presented import Presented, presented
from benchmarks.fingerprint import PixelDigests
from benchmarks.measures import build_measure
from benchmarks.recordings import Recording, Recordings
from benchmarks.settings import parse
from benchmarks.similarity import ByRDM, Similarity
from benchmarks.similarity.reliability import HALVINGS, halved_repetitions
from benchmarks.similarity.repeated import RepeatedBrain
from benchmarks.store import Store

# of rsatoolbox
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast")

BENCH = Path(sys.executable).parent / "bench"
DISTANCE = "crossnobis/units"
COUNT, EDGE, NEUROIDS = 60, 4, 16
IMAGES = {
    f"image{i:02}": image
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (COUNT, EDGE, EDGE, 3), dtype=np.uint8))
}
NAMES = tuple(IMAGES)
PIXELS = np.stack([image.transpose(2, 0, 1).reshape(-1) / 255 for image in IMAGES.values()])
STRATEGY = ByRDM(DISTANCE, Comparison("spearman"))


def trials(repetitions: int, *, noise: float = 0.5, signal: float = 1.0, seed: int = 1) -> np.ndarray:
    """(repetition, stimulus, neuroid) with noise that neuroids share and that is not equal in all of them."""
    random = np.random.default_rng(seed)
    mixing = np.eye(NEUROIDS) + 0.15 * random.normal(size=(NEUROIDS, NEUROIDS))
    shown = signal * PIXELS @ random.normal(size=(PIXELS.shape[1], NEUROIDS))
    return shown + noise * random.normal(size=(repetitions, COUNT, NEUROIDS)) @ mixing


def dataset(values: np.ndarray, **more) -> Presented:
    """Of (repetition, stimulus, neuroid), NaN where there was no showing."""
    shown = values.reshape(-1, values.shape[2])
    kept = ~np.isnan(shown).all(axis=1)
    names = np.tile(NAMES, len(values))[kept]
    return presented("mine", IMAGES, responses=shown[kept], stimulus=names.tolist(), **more)


def benchmark(data, strategy: ByRDM = STRATEGY, **changes) -> Similarity:
    inference = Inference(n_bootstrap=60, **changes)
    return Similarity("mine", data, strategy=strategy, recording=Recording(), inference=inference)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path)
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=64, block_size=640), digests, "cpu")


def measured(bench: Similarity, session: Session, model: Model | None = None):
    bench.check()
    model = model or pixels()
    return {part: bench.measure(model, part, session) for part in bench.parts(model)}


def layer(bench: Similarity, session: Session, ids) -> np.ndarray:
    model = pixels()
    (name,) = model.layers
    features = session.recordings.features(
        model, bench.dataset.stimuli, name, recording=bench.recording, time_bin=0.0, ids=ids
    )
    return features.columns(0, features.shape[1]).numpy().astype(float)


def toolbox(values: np.ndarray, precision: np.ndarray | None = None) -> np.ndarray:
    """(stimulus, stimulus) of (repetition, stimulus, neuroid)."""
    names, folds = np.tile(NAMES, len(values)), np.repeat(np.arange(len(values)), COUNT)
    data = Dataset(values.reshape(-1, values.shape[2]).copy(), obs_descriptors={"stimulus": names, "fold": folds})
    precision = prec_from_unbalanced(data, "stimulus", method="shrinkage_diag") if precision is None else precision
    found = calc_rdm(data, method="crossnobis", descriptor="stimulus", cv_descriptor="fold", noise=precision)
    return squareform(found.dissimilarities[0])


def precision_of(values: np.ndarray) -> np.ndarray:
    data = Dataset(
        values.reshape(-1, values.shape[2]).copy(), obs_descriptors={"stimulus": np.tile(NAMES, len(values))}
    )
    return prec_from_unbalanced(data, "stimulus", method="shrinkage_diag")


def upper(square: np.ndarray, ids) -> np.ndarray:
    places = [NAMES.index(name) for name in ids]
    return squareform(square[np.ix_(places, places)], checks=False)


def test_scores_are_those_of_rsatoolbox_s_distances(session) -> None:
    values = trials(4)
    data = dataset(values)
    bench = benchmark(data)
    parts = measured(bench, session)
    found = bench.score(parts)
    single = values.astype(np.float32).astype(float)
    square, alike, chosen = toolbox(single), [], []
    for split in data.splits("subject1"):
        ids = sorted(split.test)
        own = pdist(layer(bench, session, ids), "sqeuclidean")
        alike.append(stats.spearmanr(own, upper(square, ids)).statistic)
        train = [NAMES.index(name) for name in split.train]
        means = pdist(single.mean(axis=0)[train], "sqeuclidean")
        own = pdist(layer(bench, session, split.train), "sqeuclidean")
        chosen.append(stats.spearmanr(own, means).statistic)
    assert 0.2 < np.mean(alike) < 0.95
    assert list(found.by_split.values()) == pytest.approx(alike, abs=1e-6)
    assert found.score.raw.value == pytest.approx(np.mean(alike), abs=1e-6)
    (part,) = parts.values()
    np.testing.assert_allclose(part["choice"].values[:, 0, 0], chosen, atol=1e-4)
    assert (found.score.n_stimuli, found.score.n_neuroids) == (COUNT, NEUROIDS)
    assert found.score.raw.low < found.score.raw.value < found.score.raw.high


def test_noise_alone_has_no_distances_and_no_score(session) -> None:
    raws, undefined = [], []
    for seed in range(2, 7):
        data = dataset(trials(4, signal=0.0, seed=seed))
        bench, plain = benchmark(data), benchmark(data, ByRDM("squared-euclidean/units"))
        score = bench.score(measured(bench, session)).score
        distances, noisy = (
            np.concatenate([each.brain.judged(fold, fold.groups[0])[0] for fold in each.brain.folds])
            for each in (bench, plain)
        )
        assert distances.shape == noisy.shape == (5 * 66,)
        assert 0.35 < (distances < 0).mean() < 0.65
        # means over 4 trials in units of the noise would be 2 / 4 apart
        assert abs(distances.mean()) < 0.08
        assert (noisy > 0).all()
        raws.append(score.raw.value)
        undefined.append(score.status == "undefined" and score.normalised is None)
    assert abs(np.mean(raws)) < 0.06
    assert sum(undefined) >= 4


def test_the_shuffled_row_has_the_trials_of_other_stimuli(session) -> None:
    bench = benchmark(dataset(trials(4)))
    null = bench.shuffled()
    own, dealt = bench.score(measured(bench, session)), null.score(measured(null, session))
    assert own.score.raw.value > 0.25
    assert abs(dealt.score.raw.value) < 0.1
    assert dealt.score.ceiling == own.score.ceiling
    assert [fold.groups for fold in null.brain.folds] == [fold.groups for fold in bench.brain.folds]
    squares = [each.brain._rdms["subject1"].dissimilarities[0] for each in (bench, null)]
    np.testing.assert_allclose(np.sort(squares[0]), np.sort(squares[1]), atol=1e-12)
    assert not np.allclose(*squares)


def test_halves_of_the_repetitions_make_the_ceiling(session) -> None:
    values = trials(7)
    bench = benchmark(dataset(values), seed=3)
    found = bench.score(measured(bench, session))
    single = values.astype(np.float32).astype(float)
    precision, square = precision_of(single), toolbox(single)
    similarities = []
    for number in range(HALVINGS):
        first = halved_repetitions(np.ones((COUNT, 7), bool), name="mine", number=number, seed=3)
        assert sorted([first.sum(), (~first).sum()]) == [3, 4]
        halves = [toolbox(single[half], precision) for half in (first, ~first)]
        for fold in bench.brain.folds:
            similarities.append(stats.spearmanr(*(upper(each, fold.stimuli) for each in halves)).statistic)
    r, apart = np.mean(similarities), squareform(square, checks=False).mean()
    times = (2 * apart + 4 / 5) / (apart + 1 / 6)
    assert 2 < times < 4.8
    assert found.score.ceiling.value == pytest.approx(np.sqrt(times * r / (1 + (times - 1) * r)), abs=1e-8)
    assert found.score.ceiling.low < found.score.ceiling.value < found.score.ceiling.high
    assert found.score.lower is None
    assert found.score.status == "ok"


def test_halves_hold_two_trials_of_every_stimulus() -> None:
    there = np.random.default_rng(0).random((COUNT, 11)) < 0.7
    there[:, [1, 4, 6, 7, 10]] = True
    drawn = {tuple(halved_repetitions(there, name="n", number=number, seed=0)) for number in range(30)}
    assert len(drawn) > 20
    for half in drawn:
        assert min(there[:, np.array(half)].sum(1).min(), there[:, ~np.array(half)].sum(1).min()) >= 2
        assert 5 <= sum(half) <= 6


@pytest.mark.parametrize("apart", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("count", [4, 8])
def test_noise_shrinks_as_it_is_said_when_trials_double(apart: float, count: int) -> None:
    """Over draws of white noise, distances of two of three patterns, each `apart` from the first."""
    random = np.random.default_rng(0)
    patterns = np.zeros((3, 5))
    patterns[1, 0] = patterns[2, 1] = np.sqrt(5 * apart)
    drawn = patterns[None, :, :, None] + random.normal(size=(1500, 3, 5, count))

    def variance(values: np.ndarray) -> float:
        found = [crossnobis_of_trials(each, stimuli="abc", shrinkage=None).dissimilarities[0, :2] for each in values]
        return np.var(found, axis=0, ddof=1).mean()

    brain = RepeatedBrain(dataset(trials(4)), STRATEGY)
    brain.__dict__["_trials"] = {"a": xr.DataArray(drawn[0], dims=("stimulus", "neuroid", "repetition"))}
    brain.__dict__["_rdms"] = {"a": RDMs(np.full((1, 3), apart), tuple("abc"))}
    assert variance(drawn[..., : count // 2]) / variance(drawn) == pytest.approx(brain.doubling, rel=0.15)


def test_the_truth_reaches_the_ceiling_on_average() -> None:
    raws, ceilings, stepped = [], [], []
    for seed in range(12):
        values = trials(6, noise=3.0, seed=seed)
        # of the patterns without noise, in the same units
        square = squareform(pdist(trials(1, noise=0.0, seed=seed)[0] @ np.linalg.cholesky(precision_of(values))) ** 2)
        bench = benchmark(dataset(values), ByRDM(DISTANCE, Comparison("pearson")))
        bench.check()
        folds = bench.brain.folds
        raws.append(
            np.mean([np.corrcoef(upper(square, f.stimuli), bench.brain.judged(f, f.groups[0])[0])[0, 1] for f in folds])
        )
        ceilings.append(bench._bounds().upper.values[0])
        r = np.mean([np.corrcoef(*pair)[0, 1] for halves in bench.brain.halves(seed=0) for pair in halves])
        stepped.append(np.sqrt(2 * r / (1 + r)))
    spread = np.std(np.subtract(raws, ceilings)) / np.sqrt(12)
    assert 0.4 < np.mean(raws) < 0.9
    assert abs(np.mean(raws) - np.mean(ceilings)) < 3 * spread + 0.01
    # halves that are taken for half as noisy make a ceiling that the truth exceeds
    assert np.mean(stepped) < np.mean(ceilings) - 0.02


def test_stimuli_with_one_trial_are_not_judged_on(session) -> None:
    values = trials(5)
    values[1:, [3, 8, 40]] = np.nan
    values[3:, 20] = np.nan
    data = dataset(values)
    bench = benchmark(data)
    found = bench.score(measured(bench, session))
    judged = {name for fold in bench.brain.folds for name in fold.stimuli}
    assert judged == set(NAMES) - {NAMES[3], NAMES[8], NAMES[40]}
    assert found.score.n_stimuli == COUNT - 3
    assert bench.describe()["trials"].startswith("57 of 60 held-out stimuli are judged on")
    # one stimulus has three trials
    assert found.score.status == "no_ceiling"
    assert bench.describe()["ceiling"] == "none: one subject, of whom no four repetitions hold every judged stimulus"
    assert "halves of the repetitions" in benchmark(dataset(trials(4))).describe()["ceiling"]
    assert benchmark(dataset(trials(3))).describe()["ceiling"].startswith("none: one subject, of whom no four")


def test_subjects_are_judged_on_what_was_repeated_for_all(session) -> None:
    values = np.concatenate([trials(3, seed=seed) for seed in (1, 2, 3)], axis=2)
    for number in range(3):
        values[1:, number, number * NEUROIDS : (number + 1) * NEUROIDS] = np.nan
    names = np.tile(NAMES, 3).tolist()
    subject = [name for name in "abc" for _ in range(NEUROIDS)]
    data = presented("mine", IMAGES, responses=values.reshape(3 * COUNT, -1), stimulus=names, subject=subject)
    bench = benchmark(data)
    found = bench.score(measured(bench, session))
    assert found.score.n_stimuli == COUNT - 3
    assert found.score.lower.value < found.score.ceiling.value
    assert found.score.status == "ok"
    single = trials(3, seed=2).astype(np.float32).astype(float)
    kept = [place for place in range(COUNT) if place != 1]
    shown = np.tile(np.array(NAMES)[kept], 3)
    of_b = Dataset(
        single[:, kept].reshape(-1, NEUROIDS), {}, {"stimulus": shown, "fold": np.repeat(np.arange(3), COUNT - 1)}
    )
    noise = prec_from_unbalanced(of_b, "stimulus", method="shrinkage_diag")
    rdm = calc_rdm(of_b, method="crossnobis", descriptor="stimulus", cv_descriptor="fold", noise=noise)
    square = np.zeros((COUNT, COUNT))
    square[np.ix_(kept, kept)] = squareform(rdm.dissimilarities[0])
    fold = bench.brain.folds[2]
    np.testing.assert_allclose(
        bench.brain.judged(fold, fold.groups[0])[1], upper(square, fold.groups[0].judged_on), atol=1e-8
    )


def test_names_and_cards_say_what_is_measured() -> None:
    bench = benchmark(dataset(trials(4)))
    assert DISTANCE in CHOICES["distance"]
    assert bench.id == "mine-rsa-crossnobis/units-spearman-avg4x4"
    assert bench.resolved()["distance"] == DISTANCE
    card = bench.describe()
    assert "squared-euclidean/units: |x - y|^2 / p" in card["distance"]
    assert "Walther et al. 2016, NeuroImage 137" in card["source"]
    assert "Diedrichsen & Kriegeskorte 2017" in card["source"]
    assert "below 0" in card["known failure"]
    assert "unequal means" in card["known failure"]
    assert "squared Euclidean distances of mean responses" in card["layer"]
    assert card["trials"].startswith("60 of 60")
    plain = benchmark(dataset(trials(4)), ByRDM("squared-euclidean/units")).describe()
    assert "Walther" not in plain["source"]
    assert "trials" not in plain
    features = bench.strategy.settings()
    assert features != benchmark(dataset(trials(4)), ByRDM("squared-euclidean/units")).strategy.settings()


def one_neuroid_missed_one() -> Presented:
    values = trials(3)
    values[1, 7, 4] = np.nan
    return dataset(values)


def still() -> Presented:
    values = trials(3)
    values[:, :, 5] = values[0, :, 5]
    return dataset(values)


def few() -> Presented:
    values = trials(3)
    values[1:, 12:] = np.nan
    return dataset(values)


@pytest.mark.parametrize(
    ("made", "error", "line"),
    [
        (
            lambda: dataset(trials(1)),
            RequestError,
            "mine, subject subject1: benchmark.distance=crossnobis/units needs stimuli with two trials, and the "
            "data set has none; choose another distance",
        ),
        (
            lambda: presented(
                "mine", IMAGES, responses=trials(2).transpose(1, 2, 0), stimulus=NAMES, time_bins=(0.0, 10.0)
            ),
            DataError,
            "mine: responses have 2 time_bins; average or select one",
        ),
        (
            one_neuroid_missed_one,
            DataError,
            "mine, subject subject1: trials: 1 neuroids miss trial 1 of 'image07', others have it; leave these "
            "neuroids or this trial out",
        ),
        (
            still,
            DataError,
            "mine, subject subject1: 1 neuroids, neuroid 5 first, do not vary between presentations of a stimulus; "
            "drop them",
        ),
        (few, DataError, "stimuli with two trials to compare; give 4"),
    ],
)
def test_data_without_repetitions_are_refused_at_once(made, error, line: str) -> None:
    with pytest.raises(error) as caught:
        benchmark(made()).check()
    assert str(caught.value).endswith(line)
    assert str(caught.value).startswith("mine")
    assert "\n" not in str(caught.value)


def test_repetitions_that_no_two_stimuli_share_are_refused() -> None:
    class Apart:
        """Half of the stimuli were shown in repetitions of their own."""

        def __init__(self) -> None:
            self.whole = dataset(trials(4))

        def __getattr__(self, name: str):
            return getattr(self.whole, name)

        def trials(self, subject: str) -> xr.DataArray:
            found = self.whole.trials(subject).copy()
            found[:30, :, :2] = np.nan
            found[30:, :, 2:] = np.nan
            return found

    with pytest.raises(DataError, match=r"'image00' and 'image30' share no two repetitions \(900 such pairs\)"):
        benchmark(Apart()).check()


def test_rdms_and_predictions_are_refused() -> None:
    given = rdm_dataset("given", IMAGES, rdms=RDMs(pdist(PIXELS)[None], NAMES))
    settings = parse([f"benchmark.distance={DISTANCE}"])
    with pytest.raises(RequestError, match=r"^given: benchmark\.distance=crossnobis/units is made of single trials"):
        build_measure("rsa", "given", given, settings=settings, preferred={})
    with pytest.raises(RequestError, match=r"^mine: benchmark\.distance=crossnobis/units means nothing to versa"):
        build_measure("versa", "mine", dataset(trials(4)), settings=settings, preferred={})


def test_from_the_command_to_one_line_and_nothing_recorded(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(
        "import numpy as np\n"
        "from benchmarks.datasets.presented import presented\n"
        "rng = np.random.default_rng(0)\n"
        "images = {f'image{i:02}': rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(40)}\n"
        "def data(settings, selection):\n"
        "    return presented('mine', images, responses=rng.normal(size=(40, 5)), stimulus=list(images))\n"
    )
    words = ("run", "model=pixels", "benchmark=./data.py:data", "benchmark.measure=rsa", "results=nowhere")
    done = subprocess.run(
        [str(BENCH), *words, f"benchmark.distance={DISTANCE}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "needs stimuli with two trials" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "nowhere").exists()


def test_v4_with_pixels_and_gabor(shared_data: Path, session) -> None:
    """Of one session, with naive distances of its trials; freed of noise, geometries are more alike than before."""
    data = build(DataSettings(root=shared_data), "210325")
    bench, plain = benchmark(data), benchmark(data, ByRDM("squared-euclidean/units"))
    bench.check()
    (subject,) = data.subjects
    own = data.ceiling(subject)["trials"]
    fold = bench.brain.folds[0]
    values = own.sel(stimulus=list(fold.stimuli)).values
    there = np.isfinite(own.values[:, 0])
    shown = Dataset(
        own.values.transpose(0, 2, 1)[there], obs_descriptors={"stimulus": np.nonzero(there)[0].astype(str)}
    )
    precision = prec_from_unbalanced(shown, "stimulus", method="shrinkage_diag")
    for first, second, number in ((0, 1, 0), (0, 127, 126), (1, 2, 127)):
        both = [f for f in range(10) if np.isfinite(values[[first, second], 0, f]).all()]
        apart = values[first] - values[second]
        products = [apart[:, f] @ precision @ apart[:, g] / 50 for f in both for g in both if f < g]
        judged = bench.brain.judged(fold, fold.groups[0])[0, number]
        assert judged == pytest.approx(np.mean(products), abs=1e-8)
    for model in (pixels(), gabor()):
        score, noisy = (each.score(measured(each, session, model)).score for each in (bench, plain))
        assert (score.status, score.n_stimuli, score.n_neuroids) == ("ok", 640, 50)
        assert 0.8 < score.ceiling.value < 0.95
        assert 0.15 < score.raw.low < score.raw.value < 0.3
        assert score.raw.value > noisy.raw.value + 0.02
