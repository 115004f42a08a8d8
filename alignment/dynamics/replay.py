"""What a network would decide if, at some moments, some of its parts had put out something else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from alignment.attacks.threat import Logits
from alignment.errors import RequestError, unknown
from alignment.models.base import Model

Outputs = Mapping[str, Mapping[float, Tensor]]


def replaying(model: Model, outputs: Outputs) -> Logits:
    """Logits of a model in which some calls of some layers put out what is given here.

    All that comes after runs freely. Replaying what was recorded from the same pixels changes nothing.

    Parameters
    ----------
    model : one whose layers are modules, called once in each time_bin
    outputs : layer -> time_bin -> (batch, *unit), for the images that the logits will be asked of

    Raises
    ------
    RequestError
        The layer is none of the model's, is no module, or has no such time_bin; or, when the logits are asked for, an
        output has another shape than the one it replaces, or the layer is not called once for each of its time bins.

    Examples
    --------
    >>> import torch
    >>> from alignment.models import TorchModel
    >>> net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 3))
    >>> model = TorchModel(net, name="tiny", image_size=(2, 2), layers=["0"], classes=["a", "b", "c"])
    >>> one, other = torch.rand(2, 1, 3, 2, 2)
    >>> with torch.no_grad():
    ...     seen = model.record(other, ["0"])["0"][:, 0]
    ...     bool(torch.equal(replaying(model, {"0": {0.0: seen}})(one), model.logits(other)))
    True
    """
    module = model.module
    named = {} if module is None else dict(module.named_modules(remove_duplicate=False))
    calls: dict[nn.Module, dict[int, Tensor]] = {}
    expected: dict[nn.Module, int] = {}
    for layer, replaced in outputs.items():
        if layer not in model.time_bins:
            raise unknown(f"layer of {model.name}", layer, model.layers)
        if layer not in named:
            raise RequestError(f"{model.name}: layer {layer!r} is no module of it, so its outputs cannot be replaced")
        bins = list(model.time_bins[layer])
        expected[named[layer]] = len(bins)
        for time_bin, value in replaced.items():
            if time_bin not in bins:
                raise RequestError(
                    f"{model.name}: layer {layer!r} has no time_bin {time_bin:g}; it has {bins[0]:g} to {bins[-1]:g}"
                )
            calls.setdefault(named[layer], {})[bins.index(time_bin)] = value

    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        with _replaced(model.name, calls, expected=expected):
            return model.logits(pixels, seeds=seeds)

    return logits


@contextmanager
def _replaced(
    name: str, calls: Mapping[nn.Module, Mapping[int, Tensor]], *, expected: Mapping[nn.Module, int]
) -> Iterator[None]:
    counts = dict.fromkeys(expected, 0)

    def put(module: nn.Module, _inputs: Any, output: Any) -> Any:
        call = counts[module]
        counts[module] += 1
        value = calls.get(module, {}).get(call)
        if value is None:
            return output
        if not isinstance(output, Tensor) or value.shape != output.shape:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise RequestError(f"{name}: an output of shape {tuple(value.shape)} cannot replace one of {found}")
        return value

    with ExitStack() as stack:
        for module in expected:
            stack.callback(module.register_forward_hook(put).remove)
        yield
    # a call can be told by its time_bin only where each has one
    for module, count in expected.items():
        if counts[module] != count:
            raise RequestError(
                f"{name}: a layer was called {counts[module]} times for its {count} time_bins, so that no time_bin "
                "tells which output to replace"
            )
