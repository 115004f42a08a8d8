"""The spot values were computed in rep_align's own code, for 196 batches in an epoch, 45 of 150 epochs of rise."""

from fractions import Fraction

import pytest
import torch

from alignment.training.schedule import learning_rate

WARM_UP, TOTAL = 45 * 196, 150 * 196
PEAK, LEAST = 0.01, 1e-8


def rate(step):
    return learning_rate(step, warm_up=WARM_UP, total=TOTAL, peak=PEAK, least=LEAST)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, Fraction("1e-8")),
        (1, Fraction("1e-8") + (Fraction("0.01") - Fraction("1e-8")) / 8819),
        (8819, Fraction("0.01")),
        (8820, Fraction("0.01")),
        (19110, (Fraction("0.01") + Fraction("1e-8")) / 2),
        (29400, Fraction("1e-8")),
    ],
)
def test_spot_values(step, expected):
    assert rate(step) == pytest.approx(float(expected), rel=0, abs=1e-12)


def test_spot_values_as_printed():
    printed = {0: 1e-8, 1: 1.14391e-6, 8819: 0.01, 8820: 0.01, 19110: 0.005000005, 29400: 1e-8}
    assert {step: float(f"{rate(step):.6g}") for step in printed} == {
        step: float(f"{value:.6g}") for step, value in printed.items()
    }


def test_the_fall_is_torchs_cosine():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=PEAK)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50, eta_min=LEAST)
    for step in range(51):
        own = learning_rate(step, warm_up=0, total=50, peak=PEAK, least=LEAST)
        assert own == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize("warm_up", [0, 1, 5])
def test_a_rise_of_any_length_is_finite_and_ends_at_the_least(warm_up):
    rates = [learning_rate(step, warm_up=warm_up, total=5, peak=1.0, least=0.0) for step in range(6)]
    assert all(0 <= each <= 1 for each in rates) and max(rates) == 1
    assert rates[5] == pytest.approx(0.0 if warm_up < 5 else 1.0, abs=1e-12)
