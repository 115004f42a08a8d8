"""Variance that only one of two models explains, where the truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import RequestError
from alignment.models import Model, load_model
from benchmarks.contracts import Scored
from benchmarks.datasets.presented import Presented, presented
from benchmarks.neural.builders import unique_variance
from benchmarks.neural.predictivity import NeuralPredictivity
from benchmarks.settings import parse

NETS = """
import torch
from torch import nn

class Channels(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return x[:, self.channels].mean((2, 3))

class Useless(nn.Module):
    def forward(self, x):
        return x[:, :, 0, 0] - x.mean((2, 3))

class TwoLayers(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.useless, self.useful = Useless(), Channels(channels)

    def forward(self, x):
        self.useless(x)
        # two time bins, and nothing to see in the first
        self.useful(torch.zeros_like(x))
        return self.useful(x)

def net(channels):
    made = TwoLayers(channels)
    made.image_size = (8, 8)
    return made

def red():
    return net([0])

def red_green():
    return net([0, 1])

def green_blue():
    return net([1, 2])

def broken():
    raise ValueError("no such weights")
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return path


@pytest.fixture
def data() -> Presented:
    """Every neuroid is the mean red plus the mean green of an image, in equal parts, with little noise."""
    rng = np.random.default_rng(0)
    means = rng.uniform(60, 190, size=(240, 3))
    noise = rng.integers(-40, 40, size=(240, 8, 8, 3))
    noise = noise - noise.mean((1, 2), keepdims=True)
    images = {f"i{number:03}": (means[number] + noise[number]).round().astype(np.uint8) for number in range(240)}
    red, green = (np.array([image[..., channel].mean() for image in images.values()]) for channel in (0, 1))
    signal = (red / red.std() + green / green.std())[:, None] * np.ones(6)
    responses = signal + 0.2 * rng.normal(size=signal.shape)
    return presented("made", images, responses=responses, stimulus=list(images))


def load(nets: Path, function: str, *layers: str) -> Model:
    return load_model(f"{nets}:{function}", cache=nets.parent, layers=layers or None)


def benchmark(data: Presented, nets: Path, other: str, *words: str) -> NeuralPredictivity:
    settings = parse([f"results={nets.parent / 'results'}", "n_bootstrap=100", f"benchmark.against={other}", *words])
    made = unique_variance("made", data, settings=settings, preferred={})
    made.check()
    return made


def scored(made: NeuralPredictivity, network: Model, session) -> Scored:
    return made.score({part: made.measure(network, part, session) for part in made.parts(network)})


def test_what_the_other_lacks_is_unique_and_what_it_has_is_not(data, nets, session):
    over_red = scored(benchmark(data, nets, f"{nets}:red"), load(nets, "red_green"), session)
    assert over_red.score.raw.value == pytest.approx(0.5, abs=0.06)
    assert over_red.score.raw.low > 0.35
    assert over_red.score.status == "no_ceiling"
    assert over_red.score.normalised is None
    figures = over_red.figures
    assert figures["explained by the model alone"] == pytest.approx(figures["explained by both"], abs=0.01)
    assert figures["explained by both"] > 0.97
    assert figures["explained by the other alone"] == pytest.approx(0.5, abs=0.06)
    assert figures["shared"] == pytest.approx(0.5, abs=0.06)
    assert figures["unique to the model"] == pytest.approx(over_red.score.raw.value, abs=0.01)
    assert abs(figures["unique to the other"]) < 0.01
    assert over_red.details["subjects"]["subject1"]["other_chosen"] == [{"layer": "useful", "time_bin": 1.0}] * 5
    assert (over_red.layer, over_red.time_bin) == ("useful", 1.0)

    nested = scored(benchmark(data, nets, f"{nets}:red_green"), load(nets, "red"), session)
    assert abs(nested.score.raw.value) < 0.005
    assert nested.score.raw.low <= 0.001

    overlapping = scored(benchmark(data, nets, f"{nets}:green_blue"), load(nets, "red_green"), session)
    assert overlapping.score.raw.value == pytest.approx(0.5, abs=0.06)
    mirrored = scored(benchmark(data, nets, f"{nets}:red_green"), load(nets, "green_blue"), session)
    assert mirrored.figures["unique to the other"] == pytest.approx(overlapping.score.raw.value, abs=0.01)


def test_the_value_and_its_resamples_are_those_of_the_stored_predictions(data, nets, session):
    made = benchmark(data, nets, f"{nets}:red")
    network = load(nets, "red_green", "useful")
    (part,) = made.parts(network)
    kept = made.measure(network, part, session)
    result = made.score({part: kept})
    responses = data.responses("subject1").isel(time_bin=0)
    unique = []
    for fold in range(kept.sizes["fold"]):
        inside = kept["held_out_in"].values == fold
        observed = responses.sel(stimulus=kept["stimulus"].values[inside]).values.astype(float)
        deviation = np.square(observed - observed.mean(0)).sum(0)
        missed = [
            np.square(observed - kept[name].values[1, inside]).sum(0) for name in ("predicted_joint", "predicted_other")
        ]
        unique.append((missed[1] - missed[0]) / deviation)
    assert result.score.raw.value == pytest.approx(np.median(np.mean(unique, axis=0)), abs=1e-6)
    assert list(result.by_split.values()) == pytest.approx(np.median(unique, axis=1).tolist(), abs=1e-6)
    resampled = result.raw.resampled[0]
    assert resampled.mean() == pytest.approx(result.score.raw.value, abs=0.05)
    assert 0.005 < resampled.std() < 0.1


def test_the_other_model_is_in_the_key_and_not_its_name(data, nets, session):
    digests = session.digests
    red, again = (benchmark(data, nets, f"{nets}:red") for _ in range(2))
    assert red.fit_fingerprint(digests) == again.fit_fingerprint(digests)
    assert red.fit_fingerprint(digests) != benchmark(data, nets, f"{nets}:red_green").fit_fingerprint(digests)
    nets.with_name("moved.py").write_text(NETS)
    assert benchmark(data, nets.with_name("moved.py"), f"{nets.with_name('moved.py')}:red").id != red.id
    nets.write_text(NETS.replace("return net([0])", "return net([2])"))
    assert benchmark(data, nets, f"{nets}:red").fit_fingerprint(digests) != red.fit_fingerprint(digests)


def test_the_other_model_is_looked_up_at_once_and_loaded_before_anything_is_measured(data, nets):
    with pytest.raises(RequestError, match=r"benchmark\.against=pixls: unknown model 'pixls'; did you mean pixels"):
        benchmark(data, nets, "pixls")
    with pytest.raises(RequestError, match=r"for example benchmark\.against=pixels"):
        unique_variance("made", data, settings=parse([]), preferred={})
    made = unique_variance("made", data, settings=parse([f"benchmark.against={nets}:broken"]), preferred={})
    assert made.id == "made-unique-over-nets:broken-ridge-loo-avg4x4"
    assert "nets:broken" in made.describe()["measure"]
    with pytest.raises(RequestError, match="no such weights"):
        made.check()


def test_shuffled_responses_have_choices_of_their_own(data, nets, session):
    made = benchmark(data, nets, f"{nets}:red")
    network = load(nets, "red_green")
    before = scored(made, network, session).score.raw
    shuffled = scored(made.shuffled(), network, session)
    assert abs(shuffled.score.raw.value) < 0.05
    assert shuffled.figures["explained by the other alone"] < 0.05
    assert scored(made, network, session).score.raw == before


def test_held_out_responses_do_not_reach_the_choice_of_either_layer(data, nets, session):
    split = data.splits("subject1")[0]
    network = load(nets, "red_green")

    def measured(presentations):
        made = benchmark(replace(data, presentations=presentations, own_splits=(split,)), nets, f"{nets}:red")
        part = next(part for part in made.parts(network) if part.layer == "useful")
        return made.measure(network, part, session)

    before = measured(data.presentations)
    held_out = np.isin(data.presentations["stimulus"].values, split.test)
    shuffled = data.presentations.copy(deep=True)
    shuffled.values[held_out] = shuffled.values[held_out][::-1]
    after = measured(shuffled)
    for name in ("cv_score", "share", "predicted_joint", "other_layer", "other_time_bin"):
        np.testing.assert_array_equal(after[name].values, before[name].values)
    assert after["joint"].values[0, 1].max() < 0.1 < before["joint"].values[0, 1].min()
