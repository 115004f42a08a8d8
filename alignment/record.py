"""Stream a model's layers and time bins over stimuli, in memory that does not grow with their number."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds
from alignment.arrays import ACTIVATION_DIMS
from alignment.errors import RequestError, unknown
from alignment.models.base import Model
from alignment.projection import project
from alignment.stimuli import StimulusSet

PRECISIONS = {"float32": None, "tf32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_BLOCK = 256


@dataclass(frozen=True)
class RecordSettings:
    """How activations are recorded and made smaller.

    Attributes
    ----------
    batch_size : stimuli per forward pass; enters no number beyond 1e-5
    device : where torch computes, such as "cpu" or "cuda"
    precision : "float32", "tf32" (float32 with rounded products on a GPU), "bfloat16" or "float16" (both by autocast)
    pool : maps larger than pool x pool are average-pooled (adaptively) to pool x pool; smaller ones left alone
    projection : layers with more units than this are projected to this many, see `alignment.projection`
    channels_last : memory format of convolutions; None takes channels last for networks with 2-D convolutions
    seed : of the projection, and of the noise of stochastic models
    """

    batch_size: int = 32
    device: str = "cpu"
    precision: str = "float32"
    pool: int | None = None
    projection: int | None = None
    channels_last: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        for field, least in (("batch_size", 1), ("pool", 1), ("projection", 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise RequestError(f"{field} is {value}; it must be at least {least}")

    @property
    def label(self) -> str:
        """What of this belongs into an id, such as `avg4x4,srp4096,bfloat16`; empty for the defaults.

        Examples
        --------
        >>> RecordSettings(pool=4, precision="bfloat16").label
        'avg4x4,bfloat16'
        """
        parts = [
            f"avg{self.pool}x{self.pool}" if self.pool else "",
            f"srp{self.projection}" if self.projection else "",
            self.precision if self.precision != "float32" else "",
            f"seed{self.seed}" if self.seed else "",
        ]
        return ",".join(part for part in parts if part)


@runtime_checkable
class ReducesInPass(Protocol):
    """A model that can make an output smaller as soon as it exists, so that whole maps are never held."""

    def record_reduced(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        reduce: Callable[[Tensor], Tensor],
        time_bins: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """`Model.record` with `reduce`, (batch, *unit) to (batch, *fewer), applied to each output."""
        ...


def record(
    model: Model,
    stimuli: StimulusSet,
    layers: Sequence[str],
    *,
    settings: RecordSettings = RecordSettings(),
    ids: Sequence[str] | None = None,
    block_size: int = DEFAULT_BLOCK,
    time_bins: Sequence[float] | None = None,
) -> Iterator[dict[str, xr.DataArray]]:
    """Activations block by block; one block is held at a time.

    Parameters
    ----------
    model, stimuli, layers : what is recorded from what
    settings : how
    ids : which stimuli; all when not given
    block_size : stimuli per block
    time_bins : all of each layer when not given

    Yields
    ------
    layer -> DataArray ("stimulus", "time_bin", "unit") float32, as from `record_block`
    """
    for block in stimuli.blocks(block_size, ids):
        yield record_block(model, stimuli, block, layers, settings=settings, time_bins=time_bins)


def record_block(
    model: Model,
    stimuli: StimulusSet,
    ids: Sequence[str],
    layers: Sequence[str],
    *,
    settings: RecordSettings = RecordSettings(),
    time_bins: Sequence[float] | None = None,
) -> dict[str, xr.DataArray]:
    """Activations of some stimuli: images are read while the batch before them is computed.

    Parameters
    ----------
    model, stimuli : what is recorded from what
    ids : which stimuli, in order
    layers : names of recording sites
    settings : how
    time_bins : all of each layer when not given

    Returns
    -------
    layer -> DataArray ("stimulus", "time_bin", "unit") float32. Units of a map have the coordinates channel, row,
    column; of a sequence token, feature; of a vector feature; of a projection component. A number depends on the
    stimulus and the settings only: not on the block, the batch (beyond 1e-5) or the order.

    Raises
    ------
    RequestError
        An unknown layer or time_bin, or images of several sizes that give a layer more units for some than for others.
    """
    bins = {layer: tuple(time_bins if time_bins is not None else _all_bins(model, layer)) for layer in layers}
    reduction = _Reduction(settings)
    filled: dict[str, Tensor] = {}
    batches = [ids[start : start + settings.batch_size] for start in range(0, len(ids), settings.batch_size)]
    start = 0
    with _computing(model, settings) as memory_format, torch.no_grad():
        for batch, groups in _prefetched(model, stimuli, batches):
            for places, pixels in groups:
                rows = slice(start, start + len(batch)) if len(groups) == 1 else [start + place for place in places]
                images = pixels.to(settings.device, memory_format=memory_format)
                drawn = [seeds.derive(settings.seed, "noise", batch[place]) for place in places]
                noise = drawn if model.stochastic else None
                recorded = reduction.recorded(model, images, layers, time_bins=time_bins, seeds=noise)
                for layer, values in recorded.items():
                    if layer not in filled:
                        filled[layer] = torch.empty((len(ids), *values.shape[1:]), dtype=torch.float32)
                    _same_units(model, layer, values, filled[layer])
                    filled[layer][rows] = values.cpu()
            start += len(batch)
    return {
        layer: _named(layer, filled[layer].numpy(), ids=ids, bins=bins[layer], coords=reduction.coords[layer])
        for layer in layers
    }


def _same_units(model: Model, layer: str, values: Tensor, filled: Tensor) -> None:
    if values.shape[1:] != filled.shape[1:]:
        raise RequestError(
            f"{model.name}: images differ in size, and layer {layer!r} then has {tuple(values.shape[1:])} or "
            f"{tuple(filled.shape[1:])} units; give the images one size"
        )


class _Reduction:
    """Pooling, flattening, projection; and which unit is which afterwards."""

    def __init__(self, settings: RecordSettings) -> None:
        self.settings = settings
        self.coords: dict[str, dict[str, np.ndarray]] = {}

    def recorded(self, model: Model, images: Tensor, layers: Sequence[str], **asked: Any) -> dict[str, Tensor]:
        """layer -> (batch, time_bin, unit), pooled and projected."""
        if isinstance(model, ReducesInPass):
            outputs = model.record_reduced(images, layers, reduce=self.pooled, **asked)
        else:
            outputs = {layer: self._over_time(value) for layer, value in model.record(images, layers, **asked).items()}
        return {layer: self._flat(layer, value) for layer, value in outputs.items()}

    def pooled(self, output: Tensor) -> Tensor:
        """(batch, *unit) to (batch, *fewer)."""
        size = self.settings.pool
        if size is None or output.ndim != 4 or max(output.shape[2:]) <= size:
            return output
        return F.adaptive_avg_pool2d(output, (min(size, output.shape[2]), min(size, output.shape[3])))

    def _over_time(self, output: Tensor) -> Tensor:
        batch, times = output.shape[:2]
        return self.pooled(output.flatten(0, 1)).unflatten(0, (batch, times))

    def _flat(self, layer: str, values: Tensor) -> Tensor:
        shape = tuple(values.shape[2:])
        flat = values.flatten(2)
        if self.settings.projection is None or flat.shape[2] <= self.settings.projection:
            self.coords.setdefault(layer, _unit_coords(shape))
            return flat
        self.coords.setdefault(layer, _unit_coords((self.settings.projection,), vector="component"))
        projected = project(flat.flatten(0, 1), self.settings.projection, seed=self.settings.seed)
        return projected.unflatten(0, flat.shape[:2])


def _unit_coords(shape: tuple[int, ...], *, vector: str = "feature") -> dict[str, np.ndarray]:
    names = {3: ("channel", "row", "column"), 2: ("token", "feature")}.get(len(shape), (vector,))
    grid = np.indices(shape if len(shape) in (2, 3) else (int(np.prod(shape)),), dtype=np.int32)
    return {name: axis.reshape(-1) for name, axis in zip(names, grid, strict=True)}


def _named(
    layer: str, values: np.ndarray, *, ids: Sequence[str], bins: Sequence[float], coords: dict[str, np.ndarray]
) -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=ACTIVATION_DIMS,
        name=layer,
        coords={
            "stimulus": np.asarray(ids, dtype=str),
            "time_bin": np.asarray(bins, dtype=float),
            **{name: ("unit", axis) for name, axis in coords.items()},
        },
    )


def _all_bins(model: Model, layer: str) -> tuple[float, ...]:
    if layer not in model.time_bins:
        raise unknown(f"layer of {model.name}", layer, model.layers)
    return model.time_bins[layer]


def _prefetched(
    model: Model, stimuli: StimulusSet, batches: Sequence[Sequence[str]]
) -> Iterator[tuple[Sequence[str], list[tuple[list[int], Tensor]]]]:
    """Each batch with its pixels by size; the next is read, on one thread of its own, while this one is used."""

    def read(batch: Sequence[str]) -> list[tuple[list[int], Tensor]]:
        return stimuli.pixels_by_size(batch, size=model.image_size, visual_degrees=model.visual_degrees)

    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(read, batches[0]) if batches else None
        for position, batch in enumerate(batches):
            assert coming is not None
            pixels = coming.result()
            coming = reader.submit(read, batches[position + 1]) if position + 1 < len(batches) else None
            yield batch, pixels


@contextmanager
def _computing(model: Model, settings: RecordSettings) -> Iterator[torch.memory_format]:
    """The model on its device, in the memory format and precision asked for; format and precision then as before."""
    device = torch.device(settings.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"device {settings.device!r}: this machine has no CUDA device; use cpu")
    dtype = PRECISIONS[settings.precision]
    convolutional = model.module is not None and any(isinstance(part, nn.Conv2d) for part in model.module.modules())
    channels_last = convolutional if settings.channels_last is None else settings.channels_last
    with ExitStack() as stack:
        stack.enter_context(_rounding(device, allowed=settings.precision == "tf32"))
        stack.enter_context(torch.autocast(device.type, dtype=dtype, enabled=dtype is not None))
        if model.module is not None:
            model.module.to(device)
            if channels_last:
                stack.enter_context(_channels_last(model.module))
        yield torch.channels_last if channels_last else torch.contiguous_format


@contextmanager
def _channels_last(module: nn.Module) -> Iterator[None]:
    """4-D weights in channels-last order, then the very tensors they were: no number may depend on what ran before."""
    weights = [(weight, weight.data) for weight in module.parameters() if weight.ndim == 4]
    for weight, values in weights:
        weight.data = values.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight, values in weights:
            weight.data = values


@contextmanager
def _rounding(device: torch.device, *, allowed: bool) -> Iterator[None]:
    """Whether a GPU may round the factors of float32 products to 10 bits; convolutions do unless told not to."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
