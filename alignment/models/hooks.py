"""Forward hooks that count calls: what a network's modules put out, and when, in one forward pass.

A probe runs the network once and notes, for every module, how often it is called, what it returns and whether a
later module overwrites that in place. A recording then needs no second look: it keeps the calls asked for, copies
only what would be overwritten, and ends the forward pass at the last of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from alignment.errors import RequestError

Reduce = Callable[[Tensor], Tensor]


class _Finished(BaseException):
    """The last call asked for has been recorded. Not an Exception, so that no network's own handler swallows it."""


@dataclass(frozen=True)
class Site:
    """A place in a network where activations can be recorded.

    Attributes
    ----------
    name : of the module
    shapes : of one image's output, per call; empty when the module is never called
    returned : class name of what the module returns; "Tensor" for most
    batched : whether every output is one floating tensor whose first dimension is the batch
    overwritten : whether a later module changes an output in place
    channels_last : whether the maps are (row, column, channel), as in Swin transformers
    order : rank of its last call among all calls of the network; -1 when never called
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    returned: str
    batched: bool
    overwritten: bool
    channels_last: bool
    order: int

    @property
    def calls(self) -> int:
        """How often the module runs in one forward pass."""
        return len(self.shapes)

    @property
    def steady(self) -> bool:
        """Whether it can be recorded over time: one tensor per image, of one shape in all calls."""
        return self.batched and len(set(self.shapes)) == 1


@dataclass
class _Seen:
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    outputs: list[tuple[Tensor, int]] = field(default_factory=list)
    returned: str = "Tensor"
    batched: bool = True
    order: int = -1


def probe(module: nn.Module, pixels: Tensor) -> tuple[dict[str, Site], Any]:
    """Run the network once and describe every named module.

    Parameters
    ----------
    module : the network
    pixels : its input, (batch, 3, row, column), with a batch of 2 or more, so that a first dimension which is not
        the batch shows

    Returns
    -------
    module name -> Site, in the order of `named_modules` (a module with two names has two entries), and the output
    """
    seen: dict[nn.Module, _Seen] = {child: _Seen() for child in module.modules()}
    clock = iter(range(1 << 62))
    batch = len(pixels)

    def note(child: nn.Module, _: Any, output: Any) -> None:
        entry = seen[child]
        entry.order = next(clock)
        if not isinstance(output, Tensor):
            entry.returned, entry.batched = type(output).__name__, False
            entry.shapes.append(())
            return
        entry.batched &= output.ndim > 0 and output.shape[0] == batch and output.is_floating_point()
        entry.shapes.append(tuple(output.shape[1:]))
        entry.outputs.append((output, output._version))

    with torch.inference_mode(False), torch.no_grad(), _hooked(dict.fromkeys(seen, note)):
        final = module(pixels)
    square = pixels.shape[-1] == pixels.shape[-2]
    named = module.named_modules(remove_duplicate=False)
    return {name: _site(name, seen[child], square=square) for name, child in named if name}, final


def _site(name: str, seen: _Seen, *, square: bool) -> Site:
    # of a square image, maps are square: where only the first two dimensions agree, channels come last
    maps = [shape for shape in seen.shapes if len(shape) == 3]
    return Site(
        name,
        tuple(seen.shapes),
        seen.returned,
        batched=seen.batched and bool(seen.shapes),
        overwritten=any(output._version != version for output, version in seen.outputs),
        channels_last=square and bool(maps) and all(shape[0] == shape[1] != shape[2] for shape in maps),
        order=seen.order,
    )


def record_calls(
    module: nn.Module,
    pixels: Tensor,
    wanted: Mapping[str, Sequence[int]],
    *,
    sites: Mapping[str, Site],
    reduce: Reduce,
) -> dict[str, list[Tensor]]:
    """The outputs of some calls of some modules, in one forward pass that ends at the last of them.

    Parameters
    ----------
    module : the network
    pixels : (batch, 3, row, column)
    wanted : module name -> which of its calls, counted from 0
    sites : what `probe` found
    reduce : applied to each output as soon as it exists, so that the whole map need not be kept

    Returns
    -------
    module name -> one (batch, *unit) tensor per call asked for, in the order asked for

    Raises
    ------
    RequestError
        The forward pass called a module less often than the probe's, or overwrote what the probe's did not.
    """
    recording = _Recording(wanted, sites=sites, reduce=reduce, batch=len(pixels))
    with _hooked(recording.hooks(module)), suppress(_Finished):
        module(pixels)
    return recording.outputs()


def run_and_record(
    module: nn.Module, pixels: Tensor, wanted: Mapping[str, Sequence[int]], *, sites: Mapping[str, Site]
) -> tuple[Any, dict[str, list[Tensor]]]:
    """What the network returns, and the outputs that `record_calls` gives, in one whole forward pass."""
    recording = _Recording(wanted, sites=sites, reduce=lambda output: output, batch=len(pixels), to_the_end=True)
    with _hooked(recording.hooks(module)):
        final = module(pixels)
    return final, recording.outputs()


class _Recording:
    def __init__(
        self,
        wanted: Mapping[str, Sequence[int]],
        *,
        sites: Mapping[str, Site],
        reduce: Reduce,
        batch: int,
        to_the_end: bool = False,
    ) -> None:
        self.wanted, self.sites, self.reduce, self.batch = wanted, sites, reduce, batch
        self.to_the_end = to_the_end
        self.kept: dict[str, dict[int, Tensor]] = {name: {} for name in wanted}
        self.count = dict.fromkeys(wanted, 0)
        self.left = sum(len(set(calls)) for calls in wanted.values())
        self.uncopied: list[tuple[str, Tensor, int]] = []

    def note(self, names: Sequence[str], _module: nn.Module, _inputs: Any, output: Any) -> None:
        for name in names:
            call = self.count[name]
            self.count[name] += 1
            if call in self.wanted[name]:
                self.kept[name][call] = self._keep(name, output)
                self.left -= 1
        if self.left == 0 and not self.to_the_end:
            raise _Finished

    def hooks(self, module: nn.Module) -> dict[nn.Module, Callable[[nn.Module, Any, Any], None]]:
        """For every module that is recorded; one of several names notes all of them."""
        owners: dict[nn.Module, list[str]] = {}
        for name, child in module.named_modules(remove_duplicate=False):
            if name in self.wanted:
                owners.setdefault(child, []).append(name)
        return {child: partial(self.note, names) for child, names in owners.items()}

    def _keep(self, name: str, output: Any) -> Tensor:
        site = self.sites[name]
        if not isinstance(output, Tensor) or output.ndim == 0 or output.shape[0] != self.batch:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise RequestError(f"layer {name!r} returns {found}, not one tensor per image; choose another layer")
        value = self.reduce(output.permute(0, 3, 1, 2) if site.channels_last and output.ndim == 4 else output)
        if value.untyped_storage().data_ptr() != output.untyped_storage().data_ptr():
            return value
        if site.overwritten:
            return value.clone()
        if not output.is_inference():
            self.uncopied.append((name, output, output._version))
        return value

    def outputs(self) -> dict[str, list[Tensor]]:
        for name, tensor, version in self.uncopied:
            if tensor._version != version:
                raise RequestError(f"layer {name!r} is overwritten in place for these images, though not in the probe")
        for name, calls in self.wanted.items():
            if len(self.kept[name]) < len(set(calls)):
                raise RequestError(
                    f"layer {name!r} was called {self.count[name]} times for these images and "
                    f"{self.sites[name].calls} times in the probe; its number of calls must not depend on the input"
                )
        return {name: [self.kept[name][call] for call in calls] for name, calls in self.wanted.items()}


@contextmanager
def _hooked(hooks: Mapping[nn.Module, Callable[[nn.Module, Any, Any], None]]) -> Iterator[None]:
    handles = [child.register_forward_hook(hook) for child, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for every part of a network (no dropout, running statistics), then each part as it was."""
    training = [child for child in module.modules() if child.training]
    for child in training:
        child.training = False
    try:
        yield
    finally:
        for child in training:
            child.training = True


def all_outputs(module: nn.Module, pixels: Tensor) -> list[Tensor]:
    """Copies of every tensor that any module, or the network itself, returns in one forward pass, in that order."""
    found: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        found.extend(tensor.clone() for tensor in _tensors(output))

    with torch.inference_mode(False), torch.no_grad(), _hooked(dict.fromkeys(module.modules(), note)):
        module(pixels)
    return found


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
