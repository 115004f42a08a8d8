"""Planted geometries, layers chosen without looking, ceilings, and what a shuffle leaves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import pdist
from torch import nn

from alignment.errors import DataError
from alignment.models.torch_model import TorchModel
from alignment.rsa import Comparison, RDMs
from benchmarks.choices import Inference
from benchmarks.contracts import Session
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.datasets.presented import presented
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recording, Recordings
from benchmarks.similarity import ByRDM, Similarity
from benchmarks.similarity.brains import GivenBrain
from benchmarks.similarity.kernels import ByCKA, ByProcrustes
from benchmarks.store import Store

COUNT, EDGE = 60, 4
UNITS = 3 * EDGE**2
IMAGES = {
    f"image{i:02}": image
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (COUNT, EDGE, EDGE, 3), dtype=np.uint8))
}
PIXELS = np.stack([image.transpose(2, 0, 1).reshape(-1) / 255 for image in IMAGES.values()])
INFERENCE = Inference(n_bootstrap=100)
STRATEGIES = (ByRDM("squared-euclidean", Comparison("pearson")), ByCKA(), ByCKA(bias="biased"), ByProcrustes())


def rotated(seed: int = 0) -> TorchModel:
    """Pixels, turned and scaled; before that, noise made of them by a fixed random map with a hard nonlinearity."""
    random = np.random.default_rng(seed)
    turn = nn.Linear(UNITS, UNITS, bias=False)
    turn.weight.data = torch.from_numpy(3 * stats.ortho_group.rvs(UNITS, random_state=seed)).float()
    other = nn.Linear(UNITS, 20, bias=False)
    other.weight.data = torch.from_numpy(random.normal(size=(20, UNITS))).float()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.other, self.hard, self.turned = nn.Flatten(), other, nn.Hardtanh(), turn

        def forward(self, x):
            flat = self.flat(x)
            return self.hard(40 * self.other(flat - 0.5)).sum() + self.turned(flat)

    return TorchModel(Net().eval(), name="turned", image_size=(EDGE, EDGE), layers=["hard", "turned"])


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path)
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=32, block_size=64), digests, "cpu")


def benchmark(dataset, strategy, **changes) -> Similarity:
    settings = {"recording": Recording(), "inference": INFERENCE} | changes
    return Similarity("mine", dataset, strategy=strategy, **settings)


def scored(bench: Similarity, model, session):
    bench.check()
    return bench.score({part: bench.measure(model, part, session) for part in bench.parts(model)})


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda each: "-".join(each.words))
def test_a_rotation_of_the_brain_is_the_brain(strategy, session) -> None:
    data = presented("rotation", IMAGES, responses=7 * PIXELS + 2, stimulus=list(IMAGES))
    found = scored(benchmark(data, strategy), rotated(), session)
    assert found.score.raw.value == pytest.approx(1, abs=1e-6)
    assert (found.layer, found.layer_share) == ("turned", 1.0)
    by_layer = {row["layer"]: row for row in found.surface}
    assert by_layer["turned"]["raw"] == pytest.approx(1, abs=1e-6)
    assert by_layer["hard"]["raw"] < 0.95
    for row in found.surface:
        assert row["raw_low"] <= row["raw"] <= row["raw_high"]
    assert len(found.by_split) == 5
    assert found.score.status == "no_ceiling"


def test_values_are_those_of_scipy_on_the_held_out_stimuli(session) -> None:
    random = np.random.default_rng(1)
    responses = PIXELS[:, :20] + 0.2 * random.standard_normal((COUNT, 20))
    data = presented("values", IMAGES, responses=responses, stimulus=list(IMAGES))
    bench = benchmark(data, ByRDM("1-pearson", Comparison("spearman")))
    found = scored(bench, rotated(), session)
    own = data.responses("subject1")
    place = {name: row for row, name in enumerate(own["stimulus"].values)}
    expected = []
    for split in data.splits("subject1"):
        rows = [place[name] for name in sorted(split.test)]
        brain = pdist(own.values[rows, :, 0], "correlation")
        turn = rotated()
        pixels = data.stimuli.pixels(sorted(split.test))
        layer = turn.record(pixels, ["turned"])["turned"][:, 0].detach().numpy()
        expected.append(stats.spearmanr(brain, pdist(layer.astype(float), "correlation")).statistic)
    cell = next(row for row in found.surface if row["layer"] == "turned")
    assert cell["raw"] == pytest.approx(np.mean(expected), abs=1e-5)


def test_a_perfect_model_reaches_the_ceiling_of_repeated_trials(session) -> None:
    random = np.random.default_rng(2)
    noisy = np.repeat(PIXELS, 6, axis=0) + 0.25 * random.standard_normal((6 * COUNT, UNITS))
    shown = [name for name in IMAGES for _ in range(6)]
    data = presented("trials", IMAGES, responses=noisy, stimulus=shown)
    bench = benchmark(data, ByRDM("squared-euclidean", Comparison("pearson")))
    found = scored(bench, rotated(), session)
    assert found.score.status == "ok"
    assert 0.5 < found.score.ceiling.value < 0.99
    assert found.score.normalised.value == pytest.approx(1, abs=0.08)
    assert found.score.ceiling.low < found.score.ceiling.value < found.score.ceiling.high


def test_subjects_who_share_stimuli_are_each_other_s_ceiling(session) -> None:
    random = np.random.default_rng(3)
    responses = np.concatenate([PIXELS + 0.3 * random.standard_normal(PIXELS.shape) for _ in range(3)], axis=1)
    subject = [f"p{number}" for number in range(3) for _ in range(UNITS)]
    data = presented("shared", IMAGES, responses=responses, stimulus=list(IMAGES), subject=subject)
    for strategy in STRATEGIES[:3]:
        bench = benchmark(data, strategy)
        found = scored(bench, rotated(), session)
        assert found.score.lower.value < found.score.ceiling.value
        assert found.score.lower.value < found.score.raw.value < found.score.ceiling.value + 0.05
        assert found.score.status == "ok"
        null = scored(bench.shuffled(), rotated(), session)
        assert null.score.ceiling == found.score.ceiling
        if strategy.chance_is_zero:
            assert abs(null.score.raw.value) < 0.15 < found.score.raw.value
        else:
            assert 0.5 < null.score.raw.value < found.score.raw.value
            assert found.score.p_zero is None


def test_unrelated_subjects_leave_the_score_undefined(session) -> None:
    random = np.random.default_rng(4)
    responses = random.standard_normal((COUNT, 60))
    data = presented("noise", IMAGES, responses=responses, stimulus=list(IMAGES), subject=["a"] * 30 + ["b"] * 30)
    found = scored(benchmark(data, ByRDM()), rotated(), session)
    assert found.score.status == "undefined"
    assert found.score.normalised is None
    assert found.score.p_value > 0.05


def given(rdms: np.ndarray, **more):
    return rdm_dataset("given", IMAGES, rdms=RDMs(rdms, tuple(IMAGES)), **more)


def test_given_rdms_are_compared_whole_and_references_are_rows(session) -> None:
    random = np.random.default_rng(5)
    brains = pdist(PIXELS) + 0.4 * random.standard_normal((3, COUNT * (COUNT - 1) // 2))
    reference = RDMs(random.random((1, brains.shape[1])), tuple(IMAGES))
    data = given(brains, references={"random": reference})
    bench = benchmark(data, ByRDM("squared-euclidean", Comparison("spearman")))
    (row,) = bench.references()
    found = scored(bench, row, session)
    expected = np.mean([stats.spearmanr(reference.dissimilarities[0], brain).statistic for brain in brains])
    assert found.score.raw.value == pytest.approx(expected, abs=1e-9)
    assert (found.layer, found.score.n_neuroids) == ("rdm", None)
    model = scored(bench, rotated(), session)
    expected = np.mean([stats.spearmanr(pdist(PIXELS), brain).statistic for brain in brains])
    assert model.layer == "turned"
    assert model.score.raw.value == pytest.approx(expected, abs=1e-5)
    assert abs(scored(bench.shuffled(), rotated(), session).score.raw.value) < 0.1


def test_no_pair_is_judged_by_a_layer_chosen_with_its_stimuli(session) -> None:
    brain = GivenBrain(given(pdist(PIXELS)[None]))
    rows, columns = np.triu_indices(COUNT, k=1)
    ids = brain.dataset.stimuli.ids
    judged = np.zeros(len(rows), int)
    for block in brain.blocks:
        judged[block.pairs] += 1
        in_pairs = {ids[place] for place in {*rows[block.pairs], *columns[block.pairs]}}
        assert not in_pairs & set(block.chosen_on)
        assert len(block.chosen_on) >= COUNT * 3 // 5
    assert (judged == 1).all()


def test_pairs_from_several_layers_stand_beside_each_other(session) -> None:
    """Two layers of equal merit on very different scales: what is put together must not depend on the scales."""

    class Halves(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.first, self.second, self.scale = nn.Identity(), nn.Identity(), scale

        def forward(self, x):
            flat = x.flatten(1)
            return self.first(flat[:, :24]).sum() + self.second(self.scale * flat[:, 24:]).sum()

    # each half of the stimuli is seen through another half of the pixels, so that the better layer changes
    seen = PIXELS * np.where((np.arange(COUNT) < COUNT // 2)[:, None] == (np.arange(UNITS) < 24)[None], 1.0, 0.1)
    data = given(pdist(seen)[None])
    scores = []
    for scale in (1.0, 100.0):
        model = TorchModel(Halves(scale), name="halves", image_size=(EDGE, EDGE), layers=["first", "second"])
        found = scored(benchmark(data, ByRDM("squared-euclidean", Comparison("pearson"))), model, session)
        assert found.layer_share < 1
        scores.append(found.score.raw.value)
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_ids_name_distance_comparator_kernel_bias_and_pooling() -> None:
    data = given(pdist(PIXELS)[None])
    squared = Comparison("spearman", pooling="mean", squared=True)
    named = {benchmark(data, each).measured_by for each in (ByRDM(), ByRDM("squared-euclidean", squared))}
    assert named == {
        "rsa-1-pearson-spearman-avg4x4",
        "rsa-squared-euclidean-spearman-squared-plain-mean-avg4x4",
    }
    rows = presented("rows", IMAGES, responses=PIXELS, stimulus=list(IMAGES))
    named = {benchmark(rows, each).measured_by for each in (ByCKA(), ByCKA("rbf", "biased"), ByProcrustes())}
    assert named == {
        "cka-linear-unbiased-avg4x4",
        "cka-rbf0.5median-biased-avg4x4",
        "procrustes-avg4x4",
    }
    for each in (*STRATEGIES, ByRDM("squared-euclidean", squared)):
        assert {"measure", "formula", "source", "invariances", "known failure"} <= each.card().keys()


def test_too_few_stimuli_are_refused() -> None:
    few = dict(list(IMAGES.items())[:16])
    data = presented("few", few, responses=PIXELS[:16], stimulus=list(few))
    with pytest.raises(DataError, match="3 stimuli to compare; give 4"):
        benchmark(data, ByRDM()).check()
