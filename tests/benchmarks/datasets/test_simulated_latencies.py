"""Simulated neurons that respond in time: silent before their latency, then as the network says."""

import numpy as np
import pytest
import torch

from alignment.errors import RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.simulated_latencies import (
    AREAS,
    MS_PER_STEP,
    NOISE,
    REPETITIONS,
    STATES,
    TIME_BINS,
    build,
    truth_model,
)

AFTER_NOISE = NOISE**2 / REPETITIONS


@pytest.mark.parametrize("area", ["early", "late"])
def test_noise_alone_before_the_latency_and_a_signal_of_sd_1_from_it_on(area) -> None:
    dataset = build(DataSettings(), area)
    assert dataset.subjects == ("sim1", "sim2") and dataset.stimuli.ids == build(DataSettings(), "early").stimuli.ids
    for subject in dataset.subjects:
        responses = dataset.responses(subject)
        latency = dataset.presentations["latency"].values[dataset.presentations["subject"].values == subject]
        assert set(latency) == set(AREAS[area].latencies)
        variance = responses.values.var(axis=0, ddof=1)
        begun = np.array(TIME_BINS) >= latency[:, None]
        # the variance of 360 normal numbers has a relative sd of 7.5 %
        assert variance[~begun].mean() == pytest.approx(AFTER_NOISE, rel=0.03)
        assert variance[begun].mean() == pytest.approx(1 + AFTER_NOISE, rel=0.03)


def test_the_signal_is_linear_in_the_state_that_the_latency_says() -> None:
    dataset = build(DataSettings(), "late")
    responses, network, states = dataset.responses("sim1"), truth_model(), []
    hook = network.late.register_forward_hook(lambda _module, _args, output: states.append(output.flatten(1)))
    with torch.no_grad():
        network(dataset.stimuli.pixels(responses["stimulus"].values.tolist()))
    hook.remove()
    assert len(states) == STATES
    designs = [np.column_stack([state.double().numpy(), np.ones(len(state))]) for state in states]
    for neuron, time_bin, latency in [(0, 80, 80), (0, 120, 80), (1, 160, 100), (2, 280, 120)]:
        state = min(int((time_bin - latency) // MS_PER_STEP), STATES - 1)
        y = responses.values[:, neuron, TIME_BINS.index(time_bin)].astype(np.float64)
        rest = [np.linalg.lstsq(design, y, rcond=None)[1][0] / (len(y) - design.shape[1]) for design in designs]
        assert np.argmin(rest) == state
        assert rest[state] == pytest.approx(AFTER_NOISE, rel=0.25)


def test_other_areas_are_refused() -> None:
    with pytest.raises(RequestError, match=r"area of simulated-latencies 'lat'; did you mean late"):
        build(DataSettings(), "lat")
    with pytest.raises(RequestError, match=r"simulated-latencies takes no data\.subset"):
        build(DataSettings(options={"subset": "3"}), "late")


def test_the_same_responses_each_time() -> None:
    assert build(DataSettings(), "late").fingerprint == build(DataSettings(), "late").fingerprint
