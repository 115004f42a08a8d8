"""What a step of a CordsNet costs beside its convolutions, what caching saves, and what a spectrum costs beside eig."""

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch
from torch.nn import functional as F

from alignment.dynamics.recurrence import Recurrence
from alignment.dynamics.spectrum import leading_spectrum
from alignment.models.cordsnet.graph import incoming
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.model import CordsNetModel
from alignment.models.cordsnet.network import CordsNet
from alignment.models.toy import one_thread
from benchmarks.provenance import peak_memory
from tests.processor_time import median_seconds

EDGE, DEPTH, CACHED_DEPTH, REPEATS, STEPS = 224, 8, 4, 15, 6
MAX_STEP, MIN_CACHED, MIN_SPECTRUM, MAX_ERROR, MAX_MEMORY = 1.1, 2, 3, 1e-8, 1000


def measure() -> list[tuple[str, float, str]]:
    """(what, value, target) of each figure."""
    with one_thread(), torch.no_grad():
        return _measured()


def _measured() -> list[tuple[str, float, str]]:
    step, alone = median_seconds(*_step_and_convolutions(_network(DEPTH)), repeats=REPEATS)
    cached, recomputed = median_seconds(*_cached_and_recomputed(_network(CACHED_DEPTH)), repeats=5)
    faster, error = _spectrum()
    return [
        (f"a step of cordsnet_r{DEPTH} at {EDGE} px / its convolutions alone", step / alone, f"<= {MAX_STEP}"),
        (
            f"cordsnet_r{CACHED_DEPTH}, recomputing the input drive per area and step / caching it, {STEPS} steps",
            recomputed / cached,
            f">= {MIN_CACHED}",
        ),
        ("dense eigenvalues / leading 10, N = 1000", faster, f">= {MIN_SPECTRUM}"),
        ("largest error of the leading 10 in units of 1e-8", error / MAX_ERROR, "< 1"),
        ("peak memory of recording 2 steps of cordsnet_r8, 8 images at 224 px, MB", _peak(), f"< {MAX_MEMORY}"),
    ]


def _network(depth: int) -> CordsNet:
    torch.manual_seed(0)
    return CordsNet(Layout(depth, image_size=(EDGE, EDGE), n_classes=10), Clock(steps=STEPS, blank_steps=2)).eval()


def _step_and_convolutions(network: CordsNet) -> tuple[Callable[[], object], Callable[[], object]]:
    with torch.no_grad():
        weights = network.folded()
        drive = network.drive(torch.randn(1, 3, EDGE, EDGE), weights)
        *_, rates = network.trajectory(network.rest(1, weights), drive, weights, steps=4)
        arriving = [incoming(area, rates, weights.skips) for area in range(DEPTH)]

    def convolutions() -> None:
        for area in range(DEPTH):
            F.conv2d(rates[area], weights.recurrent[area], padding=1)
            if arriving[area] is not None:
                stride = network.layout.strides[area]
                F.conv2d(arriving[area], weights.forward[area], stride=stride, padding=1)
            if area % 2 and area > 1:
                F.conv2d(rates[area - 2], weights.skips[(area - 3) // 2], stride=2)

    return lambda: network.step(rates, drive, weights), convolutions


def _cached_and_recomputed(network: CordsNet) -> tuple[Callable[[], object], Callable[[], object]]:
    """The same steps twice, once as published: every area computes its kernels and the image's part anew in each."""
    images = torch.randn(1, 3, EDGE, EDGE)

    def cached() -> None:
        weights = network.folded()
        for _ in network.trajectory(network.rest(1, weights), network.drive(images, weights), weights, steps=STEPS):
            pass

    def recomputed() -> None:
        rates = network.rest(1, network.folded())
        for _ in range(STEPS):
            for area in reversed(range(CACHED_DEPTH)):
                entry = F.avg_pool2d(network.inp_conv(images), 3, stride=2, padding=1)
                skip = network.inp_skip(entry)
                signals = [F.relu(rate) for rate in rates]
                skips = [layer.weight for layer in network.skip_area]
                arriving = incoming(area, signals, skips)
                arriving = entry if arriving is None else arriving + skip if area == 1 else arriving
                total = network.area_conv[area](rates[area]) + network.conv_bias[area]
                total = total + network.area_area[area](arriving)
                rates[area] = 0.8 * rates[area] + 0.2 * F.relu(total)

    return cached, recomputed


def _spectrum() -> tuple[float, float]:
    """How many times faster the leading ten are than all, and the largest error of their size."""
    kernel = torch.randn(10, 10, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 10
    recurrence = Recurrence(kernel, (10, 10, 10))
    matrix = recurrence.dense().numpy()
    leading, dense = median_seconds(
        lambda: leading_spectrum(recurrence, 10),
        lambda: scipy.linalg.eigvals(matrix),
        repeats=4,
        clock=time.perf_counter,
    )
    sizes = np.sort(np.abs(scipy.linalg.eigvals(matrix)))[::-1][:10]
    return dense / leading, float(np.abs(np.abs(leading_spectrum(recurrence, 10).values) - sizes).max())


def _peak() -> float:
    """MB at the peak of a process of its own."""
    run = subprocess.run([sys.executable, __file__, "--peak"], check=True, capture_output=True, text=True)
    return float(run.stdout)


def _record_in_this_process() -> None:
    network = CordsNet(Layout(8, image_size=(224, 224), n_classes=1000), Clock(steps=STEPS, blank_steps=2))
    model = CordsNetModel(network, name="cordsnet_r8", classes=tuple(map(str, range(1000))))
    with torch.no_grad():
        kept = model.record(torch.rand(8, 3, 224, 224), model.layers, time_bins=[6.0, 12.0])
    assert kept["rates.7"].shape == (8, 2, 512, 7, 7)
    print(peak_memory() / 1e6)


if __name__ == "__main__":
    if "--peak" in sys.argv:
        _record_in_this_process()
    else:
        for what, value, target in measure():
            print(f"{what}: {value:.3f} (target {target})")
