"""What runs on a GPU gives what the CPU gives."""

import numpy as np
import pytest
import torch
from torch import nn

from alignment.encoding import fit_ridge
from alignment.models.torch_model import TorchModel
from alignment.record import RecordSettings, record_block
from alignment.resampling import resampled_medians, stimulus_counts
from alignment.stimuli import StimulusSet

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("selection", ["loo", "gcv"])
@pytest.mark.parametrize("units", [40, 400])
def test_ridge(selection, units):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(120, units, generator=draw)
    y = x[:, :20] @ torch.randn(20, 50, generator=draw) + torch.randn(120, 50, generator=draw)
    alphas = torch.logspace(-4, 4, 17)
    here = fit_ridge(x[:90], y[:90], alphas=alphas, selection=selection)
    there = fit_ridge(x[:90].cuda(), y[:90].cuda(), alphas=alphas, selection=selection)
    assert (here.alphas == there.alphas.cpu()).float().mean() > 0.98
    same = here.alphas == there.alphas.cpu()
    predicted = there.predict(x[90:].cuda()).cpu()
    torch.testing.assert_close(here.predict(x[90:])[:, same], predicted[:, same], rtol=1e-3, atol=1e-3)


def test_recording():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 8, 3))
    rng = np.random.default_rng(0)
    images = {f"s{i}": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in range(10)}
    stimuli = StimulusSet("set", tuple(images), images.__getitem__)
    recorded = [
        record_block(
            TorchModel(net, name="net", image_size=(32, 32)),
            stimuli,
            stimuli.ids,
            ("0", "2"),
            settings=RecordSettings(device=device, pool=4),
        )
        for device in ("cpu", "cuda")
    ]
    for layer in ("0", "2"):
        np.testing.assert_allclose(recorded[0][layer], recorded[1][layer], rtol=1e-3, atol=1e-4)


def test_resampling():
    draw = torch.Generator().manual_seed(0)
    observed = torch.randn(100, 30, generator=draw)
    predicted = observed + torch.randn(100, 30, generator=draw)
    counts = stimulus_counts(100, "gpu", n_resamples=200, seed=0)
    here = resampled_medians([predicted], [observed], [counts])
    there = resampled_medians([predicted.cuda()], [observed.cuda()], [counts])
    np.testing.assert_allclose(here, there, atol=1e-4)
