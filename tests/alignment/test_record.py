import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alignment import seeds
from alignment.errors import RequestError
from alignment.models.torch_model import TorchModel
from alignment.projection import sparse_projection
from alignment.record import RecordSettings, record, record_block
from alignment.stimuli import StimulusSet

EDGE = 32


@pytest.fixture(scope="module")
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, size=(21, EDGE, EDGE, 3), dtype=np.uint8)
    names = tuple(f"s{number:02d}" for number in range(len(images)))
    return StimulusSet("noise", names, lambda name: images[int(name[1:])], groups=(13, 8))


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, stride=4), nn.Flatten())
    return TorchModel(net, name="net", layers=["0", "2", "3"], image_size=(EDGE, EDGE))


class WithoutReduction:
    """The bare contract, with a clock of its own: two bins, the second is twice the first."""

    name, layers, time_unit, image_size, visual_degrees = "bare", ("conv",), "ms", (EDGE, EDGE), 8.0
    classes, stochastic, module, fingerprint = None, False, None, "x"

    def __init__(self):
        self.time_bins = {"conv": (10.0, 20.0)}

    def record(self, pixels, layers, *, time_bins=None, seeds=None):
        wanted = self.time_bins["conv"] if time_bins is None else time_bins
        return {"conv": torch.stack([pixels * bin_ / 10 for bin_ in wanted], dim=1)}


def test_is_the_forward_pass_with_named_units(model, stimuli):
    block = record_block(model, stimuli, stimuli.ids, model.layers, settings=RecordSettings(batch_size=4))
    with torch.no_grad():
        maps = F.conv2d(stimuli.pixels(stimuli.ids), model.module[0].weight, model.module[0].bias)
    recorded = block["0"]
    assert recorded.dims == ("stimulus", "time_bin", "unit") and recorded.dtype == np.float32
    assert list(recorded.stimulus.values) == list(stimuli.ids) and list(recorded.time_bin.values) == [0.0]
    assert {str(recorded[name].dtype) for name in ("channel", "row", "column")} == {"int32"}
    unit = 4321
    channel, row, column = (int(recorded[name][unit]) for name in ("channel", "row", "column"))
    np.testing.assert_allclose(recorded[:, 0, unit], maps[:, channel, row, column], atol=1e-5)
    np.testing.assert_allclose(recorded[:, 0], maps.flatten(1), atol=1e-5)
    assert list(block["3"].coords) == ["stimulus", "time_bin", "feature"]


@pytest.mark.parametrize("batch_size", [1, 5, 21])
def test_does_not_depend_on_batches_blocks_or_order(model, stimuli, batch_size):
    whole = record_block(model, stimuli, stimuli.ids, ["2"], settings=RecordSettings(batch_size=8))["2"]
    settings = RecordSettings(batch_size=batch_size)
    blocks = [block["2"] for block in record(model, stimuli, ["2"], settings=settings, block_size=6)]
    assert [len(block) for block in blocks] == [6, 6, 1, 6, 2]
    np.testing.assert_allclose(np.concatenate([block.values for block in blocks]), whole.values, atol=1e-5)
    few = record_block(model, stimuli, ["s07", "s02"], ["2"], settings=settings)["2"]
    np.testing.assert_allclose(few.values, whole.sel(stimulus=["s07", "s02"]).values, atol=1e-5)


def test_repeats_itself(model, stimuli):
    one, two = (record_block(model, stimuli, stimuli.ids, ["2"])["2"] for _ in range(2))
    assert one.identical(two)


def test_pooling_is_adaptive_averaging_of_large_maps_only(model, stimuli):
    block = record_block(model, stimuli, stimuli.ids, model.layers, settings=RecordSettings(pool=7))
    full = record_block(model, stimuli, stimuli.ids, model.layers)
    maps = torch.from_numpy(full["0"].values).reshape(-1, 6, 28, 28)
    np.testing.assert_allclose(block["0"][:, 0], F.adaptive_avg_pool2d(maps, 7).flatten(1), atol=1e-5)
    assert full["2"].shape[2] == 8 * 7 * 7
    np.testing.assert_allclose(block["2"], full["2"], atol=1e-6)
    assert block["0"].column.values.max() == 6


def test_pooling_happens_inside_the_pass(model, stimuli, monkeypatch):
    shapes = []
    inner = model.record_reduced

    def seen(*args, **settings):
        recorded = inner(*args, **settings)
        shapes.append(recorded["0"].shape)
        return recorded

    monkeypatch.setattr(model, "record_reduced", seen)
    record_block(model, stimuli, stimuli.ids[:4], ["0"], settings=RecordSettings(pool=2))
    assert shapes == [(4, 1, 6, 2, 2)]


def test_models_without_reduction_are_pooled_afterwards(stimuli):
    block = record_block(WithoutReduction(), stimuli, stimuli.ids, ["conv"], settings=RecordSettings(pool=4))["conv"]
    pooled = F.adaptive_avg_pool2d(stimuli.pixels(stimuli.ids), 4).flatten(1)
    assert list(block.time_bin.values) == [10.0, 20.0]
    np.testing.assert_allclose(block.sel(time_bin=20.0), 2 * pooled, atol=1e-5)
    later = record_block(WithoutReduction(), stimuli, stimuli.ids, ["conv"], time_bins=[20.0])["conv"]
    assert list(later.time_bin.values) == [20.0]


def test_projection_is_the_same_for_all_stimuli(model, stimuli):
    settings = RecordSettings(projection=100, batch_size=4)
    block = record_block(model, stimuli, stimuli.ids, ["0", "2"], settings=settings)
    assert block["0"].shape == (21, 1, 100) and list(block["0"].component.values) == list(range(100))
    one = record_block(model, stimuli, ["s09"], ["0"], settings=settings)["0"]
    np.testing.assert_allclose(one.values, block["0"].sel(stimulus=["s09"]).values, atol=1e-4)
    other = record_block(model, stimuli, ["s09"], ["0"], settings=RecordSettings(projection=100, seed=1))["0"]
    assert not np.allclose(one.values, other.values)


def test_noise_belongs_to_the_stimulus(stimuli):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.noise = nn.Identity()

        def forward(self, x):
            return self.noise(torch.randn(len(x), 4))

    model = TorchModel(Noisy(), name="noisy", layers=["noise"], image_size=(EDGE, EDGE), stochastic=True)
    whole = record_block(model, stimuli, stimuli.ids, ["noise"])["noise"]
    np.testing.assert_array_equal(
        record_block(model, stimuli, ["s20", "s03"], ["noise"])["noise"], whole.sel(stimulus=["s20", "s03"])
    )
    torch.manual_seed(seeds.derive(0, "noise", "s03"))
    np.testing.assert_array_equal(whole.sel(stimulus="s03")[0], torch.randn(4))


def test_bfloat16_is_close_and_leaves_the_weights(model, stimuli):
    before = model.fingerprint
    full = record_block(model, stimuli, stimuli.ids, ["2"])["2"]
    rounded = record_block(model, stimuli, stimuli.ids, ["2"], settings=RecordSettings(precision="bfloat16"))["2"]
    assert rounded.dtype == np.float32 and not np.array_equal(full, rounded)
    assert np.corrcoef(full.values.ravel(), rounded.values.ravel())[0, 1] > 0.999
    assert model.fingerprint == before and not torch.is_autocast_enabled("cpu")


def test_memory_format_is_put_back(model, stimuli):
    strides = [weight.stride() for weight in model.module.parameters()]
    settings = [RecordSettings(channels_last=choice) for choice in (True, False, None)]
    recorded = [record_block(model, stimuli, stimuli.ids, ["2"], settings=choice)["2"] for choice in settings]
    assert [weight.stride() for weight in model.module.parameters()] == strides
    np.testing.assert_allclose(recorded[0], recorded[1], atol=1e-5)
    assert recorded[0].identical(recorded[2])


def test_label_names_what_enters_a_number():
    assert RecordSettings(batch_size=3, device="cuda", channels_last=False).label == ""
    assert RecordSettings(pool=4, projection=4096, precision="bfloat16").label == "avg4x4,srp4096,bfloat16"
    assert RecordSettings(seed=2).label == "seed2"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "float8"}, "unknown precision 'float8'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"pool": 0}, "pool is 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(RequestError, match=message):
        RecordSettings(**settings)


def test_faults_are_named(model, stimuli):
    with pytest.raises(RequestError, match="unknown layer of net"):
        record_block(model, stimuli, stimuli.ids, ["9"])
    if not torch.cuda.is_available():
        with pytest.raises(RequestError, match="no CUDA device"):
            record_block(model, stimuli, stimuli.ids, ["0"], settings=RecordSettings(device="cuda"))


def test_a_reading_error_is_not_hidden(model, stimuli):
    def broken(name):
        raise FileNotFoundError(name)

    with pytest.raises(FileNotFoundError):
        record_block(model, StimulusSet("none", ("a", "b"), broken), ["a", "b"], ["0"])


def test_projection_of_a_pass_in_reduced_precision(model, stimuli):
    """Sparse products exist in float32 only; what is projected is the layer as the reduced pass made it."""
    whole = record_block(model, stimuli, stimuli.ids, ["3"], settings=RecordSettings(precision="bfloat16"))["3"]
    settings = RecordSettings(projection=50, precision="bfloat16")
    small = record_block(model, stimuli, stimuli.ids, ["3"], settings=settings)["3"]
    matrix = sparse_projection(whole.sizes["unit"], 50, seed=0).to_dense().numpy()
    np.testing.assert_allclose(small[:, 0], whole.values[:, 0] @ matrix.T, rtol=1e-4, atol=1e-5)
