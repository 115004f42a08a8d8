r"""The network: a backbone run several times on the same image, whose late layers rescale earlier ones.

In each pass a destination's output $x$ becomes $x (1 + g \sum_s F_{s \to d})$, over the sources that have put out
something: none in the first pass where all connections go back, which is that of the plain backbone. $F$ is unbounded,
so that $1 + F$ can be negative.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alignment.errors import RequestError
from alignment.models.hooks import Site, evaluating, probe
from alignment.models.lrm.connections import check_connections, key_of
from alignment.models.lrm.modulation import UNCHANGED, Gains, Modulation
from alignment.models.lrm.signals import Signal, check_signals
from alignment.registry import foreign_code

PROBE_BATCH = 2


@dataclass(frozen=True, eq=False)
class State:
    """What the sources put out in the last pass: all that one pass leaves to the next.

    Attributes
    ----------
    outputs : source -> (batch, *unit), as it was put out, before any steering
    """

    outputs: Mapping[str, Tensor]

    def detached(self) -> "State":
        """The same values without their history, to go on from after an update of the weights."""
        return State({name: value.detach() for name, value in self.outputs.items()})


class Run(NamedTuple):
    """What some passes came to.

    Attributes
    ----------
    logits : of each pass, what the backbone returned
    state : to go on from
    """

    logits: tuple[Tensor, ...]
    state: State


class LRM(nn.Module):
    """A backbone with feedback between its layers.

    Weights have the names of the published files: those of the backbone under `feedforward`, and those of a connection
    under `lrm.<destination>_modulation.from_<source>_to_<destination>`, dots as underscores. Recorded can be the
    backbone's modules (`feedforward.<name>`, as they put it out, in every pass) and modules that pass on what they are
    given: `before.<destination>` and `after.<destination>` (without and with what feedback did to it; after only in
    passes that have feedback) and `feedback.<destination>` (what reaches it, all sources together, times the gain).

    Parameters
    ----------
    backbone : takes (batch, 3, row, column); becomes a part of this network, and its activations that work in place do
        so no longer
    connections : (source, destination) of each, names of modules of the backbone
    passes : how often the backbone runs where a call does not say
    image_size : (row, column) that the weights of map-to-map connections are made for; any other works as well
    feedback_gain : factor g on all feedback; with 0 every pass is the first
    rectify : whether a destination's output is rectified after it was modulated, as published: no matter where a ReLU
        follows, and another network where none does
    keep_sign : whether F is kept from falling below -1, where it would turn the sign of what it multiplies

    Raises
    ------
    RequestError
        A connection that the backbone cannot have (with near misses), or no pass.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> network = LRM(net, [("4", "0")], passes=3, image_size=(8, 8))
    >>> [tuple(logits.shape) for logits in network(torch.rand(5, 3, 8, 8))]
    [(5, 2), (5, 2), (5, 2)]
    """

    def __init__(
        self,
        backbone: nn.Module,
        connections: Sequence[tuple[str, str]],
        passes: int = 2,
        *,
        image_size: tuple[int, int] = (224, 224),
        feedback_gain: float = 1.0,
        rectify: bool = False,
        keep_sign: bool = False,
    ) -> None:
        super().__init__()
        self.passes = check_passes(passes)
        self.feedback_gain, self.rectify, self.keep_sign = float(feedback_gain), rectify, keep_sign
        _without_in_place(backbone)
        sites = _probed(backbone, image_size)
        self.connections = check_connections(connections, sites, network=type(backbone).__name__)
        destinations = list(dict.fromkeys(each.destination for each in self.connections))
        self.sources = {each.source: sites[each.source].shapes[0] for each in self.connections}
        # an output that a later module changes must be copied before it is kept, or handed on
        self._overwritten = frozenset(end for each in self.connections for end in each if sites[end].overwritten)
        self._signals: tuple[Signal, ...] = ()

        self.feedforward = backbone
        device = next((weight.device for weight in backbone.parameters()), torch.device("cpu"))
        self.lrm = nn.ModuleDict({f"{key_of(name)}_modulation": nn.ModuleDict() for name in destinations})
        for source, destination in self.connections:
            block = Modulation(self.sources[source], sites[destination].shapes[0]).to(device)
            self._blocks(destination)[f"from_{key_of(source)}_to_{key_of(destination)}"] = block
        self.before, self.feedback, self.after = (
            nn.ModuleDict({key_of(name): nn.Identity() for name in destinations}) for _ in range(3)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(batch, 3, row, column), normalised, to the logits (batch, class) of each pass."""
        return list(self.run(x).logits)

    def run(self, x: Tensor, *, passes: int | None = None, state: State | None = None) -> Run:
        """Some passes over images, from the start or from where a state was left.

        Nothing is remembered between calls: what one pass leaves to the next is in the state that is returned. Two
        calls of one pass, the second from the state of the first, are one call of two.

        Parameters
        ----------
        x : (batch, 3, row, column), normalised
        passes : how many; those of the network when not given
        state : what a call on the same images returned

        Raises
        ------
        RequestError
            No pass, or a state of other images or of another network.
        """
        stored = {} if state is None else dict(self._checked(state, x))
        course = _Course(stored, {signal.source: signal for signal in self._signals}, is_first=state is None)
        logits = []
        with self._feeding_back(course):
            for _ in range(self.passes if passes is None else check_passes(passes)):
                logits.append(self.feedforward(x))
                course.is_first = False
        return Run(tuple(logits), State(dict(stored)))

    @contextmanager
    def steering(self, *signals: Signal) -> Iterator["LRM"]:
        """Steer every call inside the block; afterwards the network is as it was, whatever happened inside.

        A signal acts on what is fed back: from the second pass on, and from the first where a state was kept.

        Parameters
        ----------
        signals : one to each source that is steered

        Raises
        ------
        RequestError
            No such source, two signals to one, or a template of another shape.
        """
        before = self._signals
        together = (*before, *signals)
        check_signals(together, self.sources)
        self._signals = together
        try:
            yield self
        finally:
            self._signals = before

    @contextmanager
    def _feeding_back(self, course: "_Course") -> Iterator[None]:
        """The backbone's modules with feedback in between; hooks, since a backbone's forward pass is its own."""
        with ExitStack() as stack:
            for name in dict.fromkeys(each.destination for each in self.connections):
                module = self.feedforward.get_submodule(name)
                stack.callback(module.register_forward_hook(partial(self._arrive, name, course)).remove)
            # after those: a source that is a destination too is kept as it was modulated
            for name in self.sources:
                module = self.feedforward.get_submodule(name)
                stack.callback(module.register_forward_hook(partial(self._keep, name, course)).remove)
            yield

    def _keep(self, source: str, course: "_Course", _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        course.stored[source] = output.clone() if source in self._overwritten else output

    def _arrive(
        self, destination: str, course: "_Course", _module: nn.Module, _inputs: Any, output: Tensor
    ) -> Tensor | None:
        key = key_of(destination)
        output = self.before[key](output)
        arriving = [(block, *fed) for source, block in self._into(destination) if (fed := course.fed(source, output))]
        if not arriving:
            return None
        if self.feedback_gain == 0:
            return self.after[key](output)
        size = (output.shape[2], output.shape[3]) if output.ndim == 4 else None
        parts = [block(value, size=size, gains=gains) for block, value, gains in arriving]
        total = sum(parts[1:], parts[0])
        total = self.feedback[key](total if self.feedback_gain == 1 else self.feedback_gain * total)
        modulated = torch.addcmul(output, output, total.clamp(min=-1) if self.keep_sign else total)
        # in place, on what nothing else holds or needs
        modulated = self.after[key](modulated.relu_() if self.rectify else modulated)
        return modulated.clone() if destination in self._overwritten else modulated

    def _into(self, destination: str) -> Iterator[tuple[str, Modulation]]:
        sources = [each.source for each in self.connections if each.destination == destination]
        return zip(sources, self._blocks(destination).values(), strict=True)

    def _blocks(self, destination: str) -> Any:
        return self.lrm[f"{key_of(destination)}_modulation"]

    def _checked(self, state: State, x: Tensor) -> Mapping[str, Tensor]:
        own = {name: shape[0] for name, shape in self.sources.items()}
        kept = {name: value.shape[1] for name, value in state.outputs.items()}
        if kept != own:
            raise RequestError(
                f"state: of {', '.join(kept) or 'nothing'}, and this network feeds back {', '.join(own)}; give what a "
                "call of this network returned"
            )
        sizes = {len(value) for value in state.outputs.values()}
        if sizes != {len(x)}:
            raise RequestError(
                f"state: of {' and '.join(map(str, sorted(sizes)))} images, and these are {len(x)}; give the state "
                "that the same images left"
            )
        return state.outputs


@dataclass
class _Course:
    """What is known during one call."""

    stored: dict[str, Tensor]
    signals: Mapping[str, Signal]
    is_first: bool

    def fed(self, source: str, output: Tensor) -> tuple[Tensor, Gains] | None:
        """What a source sends to a destination with this output, and the factors on it; None where it sends nothing."""
        value, signal = self.stored.get(source), self.signals.get(source)
        if signal is None or (self.is_first and not signal.first_pass):
            return None if value is None else (value, UNCHANGED)
        if value is None and signal.mixing == 0:
            return None
        return signal.blended(value, like=output), signal.gains


def check_passes(passes: int) -> int:
    """A number of passes, if it is one.

    Raises
    ------
    RequestError
        It is not a whole number above 0.
    """
    if not isinstance(passes, int) or isinstance(passes, bool) or passes < 1:
        raise RequestError(f"passes={passes!r}; give a whole number of 1 or more")
    return passes


def _without_in_place(module: nn.Module) -> None:
    """What a pass keeps must be as it was put out: no activation may overwrite it."""
    for child in module.modules():
        if getattr(child, "inplace", None) is True:
            vars(child)["inplace"] = False


def _probed(backbone: nn.Module, size: tuple[int, int]) -> Mapping[str, Site]:
    weight = next(backbone.parameters(), torch.zeros(0))
    pixels = torch.full((PROBE_BATCH, 3, *size), 0.5, device=weight.device)
    devices = [weight.device] if weight.device.type == "cuda" else []
    where = f"{type(backbone).__name__}: a forward pass on images of {size[0]}x{size[1]} failed (is image_size right?)"
    with torch.random.fork_rng(devices=devices), evaluating(backbone), foreign_code(where):
        return probe(backbone, pixels)[0]
