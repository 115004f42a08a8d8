"""What leaving out flows that a flag switches off saves, beside computing them and multiplying by the flag."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from alignment.models.thorat_rnn.layout import MAPS, PATHS, Layout
from alignment.models.thorat_rnn.network import ThoratRNN

BATCH, REPEATS = 32, 7
# flows take most of the time, so that it nearly halves
MIN_FASTER = 1.6


def measure() -> list[tuple[str, float, str]]:
    """(what, value, target) of each figure."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured()
    finally:
        torch.set_num_threads(threads)


def _measured() -> list[tuple[str, float, str]]:
    ours, published = _alike()
    pixels = torch.rand(BATCH, 1, 100, 100)
    with torch.no_grad():
        # the flag makes no other difference
        assert torch.equal(ours(pixels), published(pixels))
    faster = {
        what: _ratio(partial(work, published, pixels), partial(work, ours, pixels))
        for what, work in (("four sweeps", _forward), ("four sweeps and back", _forward_backward))
    }
    return [
        *(
            (f"thorat_rnn, {what}, all flows times their flag / flows of flag 1", ratio, f">= {MIN_FASTER}")
            for what, ratio in faster.items()
        ),
        ("calls of maps whose flag is 0, in one pass", float(_calls_of_idle_maps(ours, pixels)), "<= 0"),
    ]


def _alike() -> tuple[ThoratRNN, ThoratRNN]:
    """Gain flows alone, and the same weights as published: bias flows too, which are then multiplied by 0."""
    torch.manual_seed(0)
    ours, published = ThoratRNN(Layout()).eval(), ThoratRNN(Layout(bias=True)).eval()
    published.load_state_dict(ours.state_dict())
    for receiver in published.flows.values():
        receiver["bias"].register_forward_hook(lambda _module, _inputs, flow: 0 * flow)
    return ours, published


@torch.no_grad()
def _forward(network: nn.Module, pixels: torch.Tensor) -> None:
    network(pixels)


def _forward_backward(network: nn.Module, pixels: torch.Tensor) -> None:
    network.zero_grad()
    network(pixels).logsumexp(1).sum().backward()


def _calls_of_idle_maps(network: ThoratRNN, pixels: torch.Tensor) -> int:
    used = {
        each.name + path[0] for receiver, path in network.layout.flows for each in network.layout.maps(receiver, path)
    }
    idle = {each.name + path[0] for each in MAPS for path in PATHS} - used
    called: list[str] = []
    handles = [
        getattr(network, name).register_forward_hook(lambda *_, name=name: called.append(name)) for name in sorted(idle)
    ]
    _forward(network, pixels[:1])
    for handle in handles:
        handle.remove()
    return len(called)


def _ratio(one: Callable[[], None], other: Callable[[], None]) -> float:
    """Of the medians of runs made in turn, in seconds of the processor."""
    rounds = [(_seconds(one), _seconds(other)) for _ in range(REPEATS + 1)]
    first, second = np.median(rounds[1:], axis=0)
    return float(first / second)


def _seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    for what, value, target in measure():
        print(f"{what}: {value:.3f} (target {target})")
