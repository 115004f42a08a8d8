"""The benchmark of dynamics on small networks of known behaviour, and its figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from alignment.dynamics.trajectories import return_error
from alignment.errors import RequestError
from alignment.models import TorchModel
from alignment.models.cordsnet.equivalent import EquivalentCNN, fold
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.model import CordsNetModel
from alignment.models.cordsnet.network import CordsNet
from benchmarks.choices import Inference
from benchmarks.contracts import Session
from benchmarks.datasets.labelled import labelled
from benchmarks.dynamics import plots
from benchmarks.dynamics.benchmark import Dynamics
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recordings
from benchmarks.store import Store


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store")
    digests = PixelDigests(store)
    return Session(Recordings(store, digests, device="cpu", batch_size=8, block_size=50), digests, "cpu")


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    images = {f"i{n:02}": rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for n in range(40)}
    return labelled("noise", images, ["a" if n % 2 else "b" for n in range(40)])


def model(*, gain=1.0, folded=True, steps=30):
    torch.manual_seed(0)
    layout = Layout(2, image_size=(16, 16), n_classes=2)
    network = CordsNet(layout, Clock(steps=steps, blank_steps=steps)).eval()
    with torch.no_grad():
        for conv in network.area_conv:
            conv.parametrizations.weight.original0.mul_(gain)
    made = CordsNetModel(network, name="small", classes=("a", "b"))
    made.folded = fold(EquivalentCNN(layout).eval()) if folded else None
    return made


def benchmark(dataset, *, batch_size=16):
    return Dynamics("noise", dataset, inference=Inference(n_bootstrap=200, seed=0), batch_size=batch_size)


def measured(made, dataset, session, **settings):
    judge = benchmark(dataset, **settings)
    judge.check()
    judge.check_model(made)
    return judge, {part: judge.measure(made, part, session) for part in judge.parts(made)}


def returned(made, images, *, steps):
    """Rates before images, and after a blank that follows them."""
    network = made.module
    with torch.no_grad():
        weights = network.folded()
        rest = network.spontaneous(weights, len(images))
        *_, moved = network.trajectory(rest, network.drive(images, weights), weights, steps=steps)
        blank = network.drive(torch.zeros_like(images), weights)
        *_, after = network.trajectory(moved, blank, weights, steps=steps)
    return rest, after


def test_score_is_the_mean_return(dataset, session):
    made = model()
    judge, parts = measured(made, dataset, session)
    scored = judge.score(parts)
    images = made.prepare(dataset.stimuli.pixels(dataset.stimuli.ids, size=(16, 16)))
    expected = 1 - return_error(made.module, images, steps=30, blank_steps=30).mean()
    assert scored.score.raw.value == pytest.approx(expected, abs=1e-5)
    assert scored.score.raw.low < scored.score.raw.value < scored.score.raw.high
    rest, after = returned(made, images, steps=30)
    expected = np.mean([float((b - a).square().mean()) for a, b in zip(rest, after, strict=True)])
    assert scored.figures["mean square distance from rest after the blank"] == pytest.approx(expected, rel=1e-4)
    assert scored.score.n_stimuli == 40 and judge.id == "noise-dynamics"
    rows = [row for row in scored.surface if row["layer"] == "rates.1"]
    assert [row["time_bin"] for row in rows] == [2.0 * n for n in range(1, 31)]
    assert rows[0]["raw"] < rows[10]["raw"] < rows[-1]["raw"] <= 1


def test_stability_and_return_go_together(dataset, session):
    kept = {}
    for gain in (0.5, 1.4):
        judge, parts = measured(model(gain=gain, folded=False), dataset, session)
        kept[gain] = judge.score(parts)
    weak, strong = kept[0.5], kept[1.4]
    assert weak.score.raw.value > strong.score.raw.value
    for area in ("rates.0", "rates.1"):
        name = f"{area}: spectral radius"
        assert strong.figures[name] == pytest.approx(2.8 * weak.figures[name], rel=1e-3)
        assert weak.figures[f"{area}: growth, image"] < 0
        # a rectified area leaves out rows of W
        assert weak.figures[f"{area}: growth, image"] <= weak.figures[f"{area}: growth, linear"] + 0.05
    assert not any(name.startswith("cnn") for name in weak.figures)


def test_noise_is_compared_with_the_cnn(dataset, session):
    judge, parts = measured(model(), dataset, session)
    figures = judge.score(parts).figures
    for system in ("network", "cnn"):
        small, large = (figures[f"{system}: relative error of rates.1 at noise {size}"] for size in ("0.5", "1"))
        assert 0 < small < large
    # steps average the noise, one pass does not
    network, cnn = (figures[f"{system}: relative error of rates.1 at noise 1"] for system in ("network", "cnn"))
    assert network < cnn


def test_batches_do_not_matter(dataset, session):
    made = model(steps=8)
    one, other = (measured(made, dataset, session, batch_size=size)[1] for size in (5, 32))
    for part, data in one.items():
        for name in data.data_vars:
            np.testing.assert_allclose(data[name].values, other[part][name].values, atol=1e-4, err_msg=name)


def test_too_short_a_clock_is_flagged(dataset, session):
    judge, parts = measured(model(steps=3), dataset, session)
    assert any("no steady state" in flag for flag in judge.score(parts).flags)
    judge, parts = measured(model(steps=60), dataset, session)
    assert not judge.score(parts).flags


def test_figures_of_the_details(dataset, session):
    judge, parts = measured(model(steps=6), dataset, session)
    details = judge.score(parts).details["dynamics"]
    assert len(details["accuracy"]) == len(details["time_ms"]) == 6 and details["time_ms"][-1] == 12.0
    drawn = plots.figures(details)
    assert set(drawn) == {"spectra", "trajectories", "decisions"}
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())


def test_other_networks_and_other_classes_are_refused(dataset):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    net = TorchModel(linear, name="net", image_size=(16, 16), classes=("a", "b"))
    with pytest.raises(RequestError, match="net has no rates that obey an equation"):
        benchmark(dataset).check_model(net)
    torch.manual_seed(0)
    three = CordsNet(Layout(2, image_size=(16, 16), n_classes=3), Clock(steps=2, blank_steps=1))
    with pytest.raises(RequestError, match="3 classes apart"):
        benchmark(dataset).check_model(CordsNetModel(three, name="three", classes="abc"))
