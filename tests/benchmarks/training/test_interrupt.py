"""Signals that wait, and those that do not."""

import signal

import pytest

from benchmarks.training.interrupt import signals_wait


class Ended(Exception):
    """What the command's own handler raises."""


@pytest.fixture
def handled():
    """A handler that ends the command, as `bench` installs one."""
    numbers: list[int] = []

    def end(number, _frame):
        numbers.append(number)
        raise Ended

    former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    yield numbers
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_the_end_of_the_block(handled, number):
    steps = []
    with pytest.raises(Ended), signals_wait() as stop:
        assert not stop()
        signal.raise_signal(number)
        steps.append("after")
        assert stop() and handled == []
    assert steps == ["after"] and handled == [number]


def test_the_second_signal_does_not_wait(handled):
    with pytest.raises(Ended), signals_wait():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it waited")
    assert handled == [signal.SIGINT]


def test_without_a_signal_nothing_is_left_behind(handled):
    before = signal.getsignal(signal.SIGINT)
    with signals_wait():
        pass
    assert signal.getsignal(signal.SIGINT) is before and handled == []


def test_an_error_in_the_block_outweighs_a_signal_that_waits(handled):
    with pytest.raises(ValueError, match="its own"), signals_wait():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("its own")
    assert handled == []


def test_an_ignored_signal_stays_ignored():
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals_wait() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)
