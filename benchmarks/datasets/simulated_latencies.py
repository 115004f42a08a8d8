"""A simulated brain whose neurons respond in time, with latencies that are known.

A recurrent network with fixed random weights sees scikit-learn's held-out digits and goes through a few states. Each
neuron weighs one of its two layers at random, state by state: silent until its latency, then with the state that is in
force, the last one to the end; every bin of every showing has fresh noise. What is to be found: which layer, how long a
state lasts, and when each neuron begins. Nothing is downloaded.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds
from alignment.arrays import responses_array
from alignment.errors import unknown
from alignment.models.initialise import seeded
from alignment.time_map import BEFORE, in_force
from benchmarks.datasets import digits
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.options import check_options
from benchmarks.datasets.presented import Presented

NAME = "simulated-latencies"
VERSION = 1
MS_PER_STEP = 40.0
STATES = 4
TIME_BINS = tuple(float(ms) for ms in range(-40, 300, 20))
REPETITIONS, NOISE = 2, 1.5
SUBJECTS, NEURONS = ("sim1", "sim2"), 20
IMAGE = 8


@dataclass(frozen=True)
class Area:
    """A selection: the layer its neurons weigh, and the latencies that they have, ms."""

    layer: str
    latencies: tuple[float, ...]


AREAS = {"early": Area("early", (40.0, 60.0)), "late": Area("late", (80.0, 100.0, 120.0))}


class Dynamics(nn.Module):
    """Two layers with random weights; the states of `early` (6, 4, 4) and `late` (12, 2, 2) over steps."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.lateral = nn.Conv2d(6, 6, 3, padding=1)
        self.up = nn.Conv2d(6, 12, 3, stride=2, padding=1)
        self.within = nn.Conv2d(12, 12, 3, padding=1)
        self.early, self.late = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, 8, 8) in [0, 1], to the last state of `late`."""
        drive = self.input(4 * x[:, :1] - 2)
        early = self.early(torch.tanh(drive))
        late = self.late(torch.tanh(4 * self.up(early)))
        for _ in range(STATES - 1):
            early = self.early(torch.tanh(0.3 * drive + 10 * self.lateral(early)))
            late = self.late(torch.tanh(4 * self.up(early) + 4 * self.within(late)))
        return late.flatten(1)


def truth_model() -> Dynamics:
    """The network that drives the neurons."""
    with seeded(0, "weights", NAME):
        return Dynamics().eval()


def build(settings: DataSettings, selection: str | None) -> Presented:
    """Responses of one area.

    Parameters
    ----------
    settings : takes no option
    selection : "early" or "late"

    Returns
    -------
    360 digits shown twice to two subjects; 20 neurons each, with the coordinate `latency` (ms); bins of 20 ms from
    -40 on

    Raises
    ------
    RequestError
        No such area (with near misses), or an option.

    Examples
    --------
    >>> late = build(DataSettings(), "late")
    >>> dict(late.responses("sim1").sizes)
    {'stimulus': 360, 'neuroid': 20, 'time_bin': 17}
    """
    check_options(settings.options, accepted=(), name=NAME)
    if selection not in AREAS:
        raise unknown(f"area of {NAME}", str(selection), AREAS)
    area = AREAS[selection]
    stimuli = digits.build(DataSettings(), None).stimuli
    latency = np.tile(area.latencies, NEURONS)[: NEURONS * len(SUBJECTS)]
    signal = _signal(_states(stimuli.pixels(stimuli.ids), area.layer), latency, area=selection)
    rng = seeds.generator(0, NAME, selection, "noise")
    trials = [signal + NOISE * rng.standard_normal(signal.shape) for _ in range(REPETITIONS)]
    responses = responses_array(
        np.concatenate(trials),
        stimulus=list(stimuli.ids) * REPETITIONS,
        time_bins=TIME_BINS,
        neuroid={
            "neuroid": np.arange(len(latency)),
            "subject": np.repeat(SUBJECTS, NEURONS),
            "roi": np.full(len(latency), selection),
            "latency": latency,
        },
    )
    averaged = np.ones(responses.sizes["presentation"], int)
    return Presented(
        f"{NAME}.{selection}",
        stimuli,
        responses.assign_coords(repetitions=("presentation", averaged)),
        folds_name=NAME,
        version=VERSION,
        said=_said(area),
    )


def _states(pixels: Tensor, layer: str) -> np.ndarray:
    """(state, stimulus, unit), z-scored over stimuli."""
    network, found = truth_model(), []
    hook = getattr(network, layer).register_forward_hook(lambda _module, _args, output: found.append(output.flatten(1)))
    with torch.no_grad():
        network(pixels)
    hook.remove()
    states = torch.stack(found).double()
    return F.normalize(states - states.mean(1, keepdim=True), dim=1).numpy() * np.sqrt(states.shape[1])


def _signal(states: np.ndarray, latency: np.ndarray, *, area: str) -> np.ndarray:
    """(stimulus, neuron, time_bin), of mean 0 and sd 1 over stimuli from the latency on, 0 before."""
    weights = seeds.generator(0, NAME, area, "weights").standard_normal((states.shape[2], len(latency)))
    driven = states @ weights
    driven /= driven.std(axis=1, keepdims=True)
    places = in_force(range(len(states)), TIME_BINS, onsets=latency.tolist(), ms_per_step=MS_PER_STEP)
    neurons, _ = np.indices(places.shape)
    signal = driven[np.maximum(places, 0), :, neurons]
    return np.moveaxis(np.where((places == BEFORE)[..., None], 0.0, signal), -1, 0)


def _said(area: Area) -> dict[str, Any]:
    return {
        "source": "simulated here: a recurrent network with random weights, on scikit-learn's digits",
        "truth": f"layer {area.layer}, {MS_PER_STEP:g} ms per step, latencies {', '.join(map(str, area.latencies))} ms",
        "licence": digits.LICENCE,
    }
