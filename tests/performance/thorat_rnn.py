"""What leaving out flows that a flag switches off saves, beside computing them and multiplying by the flag."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from alignment.models.thorat_rnn.layout import MAPS, PATHS, Layout
from alignment.models.thorat_rnn.network import ThoratRNN
from alignment.models.toy import one_thread
from tests.processor_time import median_seconds

BATCH, REPEATS = 32, 7
# time halves
MIN_FASTER = 2


def measure() -> list[tuple[str, float, str]]:
    """(what, value, target) of each figure."""
    with one_thread():
        return _measured()


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
    first, second = median_seconds(one, other, repeats=REPEATS)
    return first / second


if __name__ == "__main__":
    for what, value, target in measure():
        print(f"{what}: {value:.3f} (target {target})")
