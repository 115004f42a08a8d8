"""On a simulated brain whose truth is known, the benchmark must find it; on one without effect, nothing."""

from pathlib import Path

import numpy as np
import pytest

from alignment.models.torch_model import TorchModel
from benchmarks.catalogue import build_benchmarks
from benchmarks.contracts import Scored, Session
from benchmarks.datasets.nsd_simulator import truth_model
from benchmarks.fingerprint import PixelDigests
from benchmarks.neural import NeuralPredictivity
from benchmarks.recordings import Recordings
from benchmarks.settings import parse
from benchmarks.store import Store


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def session(place: Path) -> Session:
    store = Store(place / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=32, block_size=256), digests, "cpu")


@pytest.fixture(scope="module")
def truth() -> TorchModel:
    layers = ("V1", "V2", "hV4", "ventral")
    return TorchModel(truth_model(), name="truth", layers=layers, image_size=(64, 64), visual_degrees=8.4)


def benchmark(roi: str, place: Path) -> NeuralPredictivity:
    (made,) = build_benchmarks(f"nsd-smoke.{roi}", parse([f"results={place}"]))
    assert isinstance(made, NeuralPredictivity)
    return made


def scored(made: NeuralPredictivity, model: TorchModel, session: Session) -> Scored:
    return made.score({part: made.measure(model, part, session) for part in made.parts(model)})


@pytest.mark.parametrize(("roi", "layer"), [("V1", "V1"), ("V2", "V2"), ("V4", "hV4"), ("ventral", "ventral")])
def test_the_true_features_reach_the_ceiling_and_the_profile_peaks_there(roi, layer, place, session, truth):
    result = scored(benchmark(roi, place), truth, session)
    assert result.layer == layer
    assert result.layer_share == 1.0
    assert result.score.status == "ok"
    assert result.score.normalised is not None
    assert 0.95 <= result.score.normalised.value <= 1.05
    best = max(result.surface, key=lambda cell: cell["raw"])
    others = [cell["raw"] for cell in result.surface if cell["layer"] != layer]
    assert best["layer"] == layer
    assert best["raw_low"] > max(others)


@pytest.mark.parametrize("roi", ["floc-words", "floc-places"])
def test_voxels_without_a_model_of_them_score_zero_within_the_interval(roi, place, session, truth):
    raw = scored(benchmark(roi, place), truth, session).score.raw
    assert raw.low <= 0 <= raw.high


def test_pure_noise_has_no_normalised_score(place, session, truth):
    score = scored(benchmark("floc-words", place), truth, session).score
    assert score.status == "undefined"
    assert score.normalised is None
    assert score.p_value is not None
    assert score.p_value > 0.05


def test_shuffled_responses_score_zero_within_the_interval(place, session, truth):
    raw = scored(benchmark("V1", place).shuffled(), truth, session).score.raw
    assert raw.low <= 0 <= raw.high


def test_the_held_out_r_is_scikit_learn_s(place, session, truth):
    """The same layer, split and alpha, from the recorded features to r, with nothing of ours in between."""
    from sklearn.linear_model import Ridge

    made = benchmark("V1", place)
    part = next(part for part in made.parts(truth) if part.layer == "V1")
    measured = made.measure(truth, part, session)
    responses = made.dataset.responses(part.subject).isel(time_bin=0)
    (split,) = made.dataset.splits(part.subject)
    pixels = made.dataset.stimuli.pixels(responses["stimulus"].values, size=truth.image_size)
    x = truth.record(pixels, ["V1"])["V1"].flatten(1).double().numpy()
    row = {name: i for i, name in enumerate(responses["stimulus"].values)}
    train, test = ([row[name] for name in names] for names in (split.train, split.test))
    centred = x[train] - x[train].mean(0)
    unit = np.trace(centred @ centred.T) / len(train)
    for neuroid in (0, 7, 20):
        alpha = measured["alpha"].values[0, 0, neuroid] * unit
        y = responses.values[:, neuroid].astype(float)
        predicted = Ridge(alpha=alpha).fit(x[train], y[train]).predict(x[test])
        assert np.corrcoef(predicted, y[test])[0, 1] == pytest.approx(measured["r"].values[0, 0, neuroid], abs=1e-4)
