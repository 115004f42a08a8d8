"""Whether a network gives the same activations twice: sampling that its author did not declare must not pass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from alignment.errors import RequestError
from alignment.models.hooks import all_outputs, evaluating
from alignment.models.torch_model import PROBE_SIZE, TorchModel
from alignment.registry import foreign_code

BATCH = 2
# of the largest value: above the rounding of floats, below any noise worth recording
TOLERANCE = 1e-5


def is_stochastic(model: TorchModel) -> bool:
    """Whether two passes over the same pixels, in evaluation mode, differ with torch's seed.

    A network with a clock of its own ticks a few times only, in which every part of it runs.

    Parameters
    ----------
    model : any; what it says of itself in `stochastic` is not consulted

    Raises
    ------
    RequestError
        Two passes with the same seed differ too: the network draws from another generator than torch's, or
        remembers what it saw before, and no seed could repeat a number.
    """
    size = model.image_size or PROBE_SIZE
    pixels = torch.rand(BATCH, 3, *size, generator=torch.Generator().manual_seed(0))
    first, other = (_outputs(model, pixels, seed) for seed in (0, 1))
    if _agree(first, other):
        return False
    if not _agree(first, _outputs(model, pixels, 0)):
        raise RequestError(
            f"{model.name}: two passes over the same images with the same torch seed differ; let it draw noise with "
            "torch only and keep nothing from one pass to the next"
        )
    return True


def _outputs(model: TorchModel, pixels: Tensor, seed: int) -> Sequence[Tensor]:
    module: nn.Module = model.module
    weight = next(module.parameters(), next(module.buffers(), pixels))
    devices = [weight.device] if weight.device.type == "cuda" else []
    where = f"{model.name}: a forward pass on random images failed"
    with torch.random.fork_rng(devices=devices), evaluating(module), model.shortened(), foreign_code(where):
        torch.manual_seed(seed)
        return all_outputs(module, pixels.to(weight.device))


def _agree(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return len(first) == len(second) and all(_equal(one, two) for one, two in zip(first, second, strict=True))


def _equal(one: Tensor, two: Tensor) -> bool:
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    if torch.equal(one, two) or one.numel() == 0:
        return True
    if not one.is_floating_point():
        return False
    largest = float(one.abs().nan_to_num(posinf=0).max())
    return torch.allclose(one, two, rtol=0, atol=TOLERANCE * largest, equal_nan=True)
