"""Every measure under every change of a layer: it stays as it is where its card says so, and moves where not."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import ortho_group

from alignment.encoding import TensorFeatures, gram_equivalent
from alignment.invariances import CHANGES, OF_DISTANCES, OF_UNITS, ORDER, said_of
from alignment.rsa import COMPARATORS, Comparison
from alignment.stimuli import StimulusSet
from benchmarks.choices import CHOICES
from benchmarks.contracts import Session
from benchmarks.datasets.presented import presented
from benchmarks.datasets.splits import k_folds
from benchmarks.fingerprint import PixelDigests
from benchmarks.measures import MEASURES, RESPONSES, build_measure
from benchmarks.neural.matched import best_unit, one_to_one
from benchmarks.neural.predicting import Predicting
from benchmarks.neural.regressions import Ridge, pcr, pls
from benchmarks.neural.reverse import Reverse
from benchmarks.neural.soft import SoftMatching
from benchmarks.neural.target import Shown, Target
from benchmarks.neural.unique import Unique
from benchmarks.recordings import Recording, Recordings
from benchmarks.settings import parse
from benchmarks.similarity.kernels import ByCKA, ByProcrustes
from benchmarks.similarity.strategies import ByRDM
from benchmarks.store import Store

STIMULI, UNITS, NEUROIDS = 60, 12, 6
SAME, MOVED = 2e-4, 1e-3

# each (stimulus, unit) to (stimulus, unit), written out once more from its name
CHANGED = {
    "rotation": lambda x, random: x @ ortho_group.rvs(x.shape[1], random_state=3),
    "order of units": lambda x, random: x[:, random.permutation(x.shape[1])],
    "positive scale of all units together": lambda x, random: 7 * x,
    "shift of all patterns together": lambda x, random: x + 9 * random.normal(size=x.shape[1]),
    "positive scale of each unit": lambda x, random: x * np.exp(random.uniform(-3, 3, x.shape[1])),
    "positive scale of each pattern": lambda x, random: x * np.exp(random.uniform(-1, 1, (len(x), 1))),
    "constant added to all units of a pattern": lambda x, random: x + 3 * random.normal(size=(len(x), 1)),
}


def layer_and_brain() -> tuple[np.ndarray, np.ndarray]:
    """Related, with units of unequal mean and scale."""
    random = np.random.default_rng(0)
    brain = random.normal(size=(STIMULI, NEUROIDS)) + 0.5 * random.normal(size=NEUROIDS)
    layer = brain @ random.normal(size=(NEUROIDS, UNITS)) + 1.5 * random.normal(size=(STIMULI, UNITS))
    return layer * np.linspace(0.5, 1.5, UNITS) + random.normal(size=UNITS), brain


def by_similarity(strategy):
    def value(layer: np.ndarray, brain: np.ndarray) -> float:
        a, b = (strategy.summarise(TensorFeatures(torch.from_numpy(each)), device="cpu") for each in (layer, brain))
        return strategy.similarities(a[None], b[None], n_stimuli=STIMULI)[0, 0]

    return value


def target_of(brain: np.ndarray) -> Target:
    ids = [f"s{number:03}" for number in range(STIMULI)]
    array = xr.DataArray(brain.astype(np.float32), dims=("stimulus", "neuroid"), coords={"stimulus": ids})
    return Target("monkey", array, k_folds(ids, n=3, name="made"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    store = Store(tmp_path_factory.mktemp("store"))
    digests = PixelDigests(store)
    recordings = Recordings(store, digests, device="cpu", batch_size=32, block_size=50)
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    stimuli = StimulusSet("none", ("s000",), lambda _: image)
    return Shown(Session(recordings, digests, "cpu"), stimuli, Recording(), ())


def by_prediction(strategy, shown: Shown):
    def value(layer: np.ndarray, brain: np.ndarray) -> float:
        (fits,) = strategy.measure([torch.from_numpy(layer).float()], target_of(brain), shown=shown)
        return float(np.median(fits["r"].values, axis=1).mean())

    return value


SIMILARITIES = [
    *(ByRDM(distance, Comparison(comparator)) for distance in CHOICES["distance"] for comparator in COMPARATORS),
    ByCKA(),
    ByCKA("rbf"),
    ByCKA(bias="biased"),
    ByProcrustes(),
]
PREDICTIONS = [
    *(Predicting(Ridge(selection=selection)) for selection in CHOICES["selection"]),
    Predicting(Ridge(scale="floored_sd")),
    Predicting(pls(3)),
    Predicting(pcr(3)),
    *(Predicting(matched(units)) for matched in (one_to_one, best_unit) for units in (None, 6)),
    SoftMatching(None),
    SoftMatching(6),
    Reverse(Ridge(), None),
    Reverse(Ridge(), 6),
]


def named(strategy) -> str:
    return "-".join(strategy.words if isinstance(strategy.words, tuple) else strategy.words(Recording()))


def check(change: str, claimed: tuple[str, ...], value, what: str) -> None:
    layer, brain = layer_and_brain()
    before = value(layer, brain)
    after = value(CHANGED[change](layer, np.random.default_rng(1)), brain)
    assert 0.05 < before < 0.999
    if change in claimed:
        assert after == pytest.approx(before, abs=SAME), what
    else:
        assert abs(after - before) > MOVED, what


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("strategy", SIMILARITIES, ids=named)
def test_similarities_see_what_they_do_not_claim_not_to_see(strategy, change: str) -> None:
    check(change, strategy.invariances, by_similarity(strategy), f"{named(strategy)}: {change}")


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("strategy", PREDICTIONS, ids=named)
def test_predictions_see_what_they_do_not_claim_not_to_see(strategy, change: str, shown: Shown) -> None:
    check(change, strategy.invariances, by_prediction(strategy, shown), f"{named(strategy)}: {change}")


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("of_the_other", [False, True])
def test_what_is_unique_sees_what_it_does_not_claim_not_to_see(change: str, of_the_other: bool) -> None:
    random = np.random.default_rng(5)
    other = layer_and_brain()[1] @ random.normal(size=(NEUROIDS, UNITS)) + 2 * random.normal(size=(STIMULI, UNITS))
    strategy = Unique(Ridge(), None)  # type: ignore[arg-type]

    def value(layer: np.ndarray, brain: np.ndarray) -> float:
        target = target_of(brain)
        x, beside = (gram_equivalent(torch.from_numpy(each).float(), device="cpu") for each in (layer, other))
        pair = (beside, x) if of_the_other else (x, beside)
        y = target.observed("cpu")
        parts = [strategy._partition(*pair, y, split=split, target=target) for split in target.splits]
        return float(np.mean([np.median(part.joint - part.b) for part in parts]))

    check(change, strategy.invariances, value, change)


@pytest.mark.parametrize("change", CHANGED)
def test_reverse_predictions_and_changes_of_the_responses(change: str, shown: Shown) -> None:
    strategy = Reverse(Ridge(), None)
    value = by_prediction(strategy, shown)
    check(change, strategy.ridge.invariances, lambda brain, layer: value(layer, brain), change)


def test_every_change_has_its_place() -> None:
    assert set(CHANGED) == set(CHANGES)
    assert set(OF_DISTANCES) == set(CHOICES["distance"])
    assert ORDER in OF_UNITS
    assert ORDER not in best_unit(6).invariances


@pytest.mark.parametrize("measure", [name for name, each in MEASURES.items() if RESPONSES in each.needs])
def test_every_card_has_the_same_keys_and_says_what_its_measure_claims(measure: str) -> None:
    random = np.random.default_rng(0)
    images = {f"i{number:02}": random.integers(0, 256, (8, 8, 3), dtype=np.uint8) for number in range(60)}
    data = presented("mine", images, responses=random.normal(size=(60, 3)), stimulus=list(images))
    words = ["benchmark.against=pixels"] if measure == "unique" else []
    made = build_measure(measure, "mine", data, settings=parse(words), preferred={})
    card = made.describe()
    assert {"measure", "formula", "source", "invariances", "known failure", "layer"} <= card.keys()
    assert "method" not in card
    strategy = made.ridge.strategy if measure == "versa" else made.strategy
    assert said_of(strategy.invariances) in card["invariances"]
