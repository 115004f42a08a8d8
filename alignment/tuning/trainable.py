"""Which parameters of a network are trained while it is tuned."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from alignment.errors import RequestError, unknown

TRAINABLE = ("all", "readout", "bn_affine", "last:<n>")


def trainable(module: nn.Module, mode: str) -> list[str]:
    """Names of the parameters of a network that are trained; the readout always is, and is no part of it.

    Parameters
    ----------
    module : nn.Module
        The network with its task head.
    mode : str
        "all"; "readout": none of the network; "bn_affine": scales and shifts of batch normalisations; "last:<n>": its
        last n blocks, the head being one. Blocks are the children of the network in the order in which they were made,
        where an `nn.Sequential` or `nn.ModuleList` of several convolutions or linear maps stands for its own children:
        `layer4.1` of a ResNet is a block, and so is an `nn.Sequential` of a convolution and its normalisation.

    Returns
    -------
    list of str
        As in `named_parameters`.

    Raises
    ------
    RequestError
        An unknown mode, more blocks than there are, or nothing to train where something was asked for.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    >>> trainable(net, "bn_affine"), trainable(net, "last:1")
    (['1.weight', '1.bias'], ['3.weight', '3.bias'])
    """
    names = [name for name, _ in module.named_parameters()]
    if mode == "readout":
        return []
    if mode == "all":
        chosen = names
    elif mode == "bn_affine":
        norms = [name for name, layer in module.named_modules() if isinstance(layer, _BatchNorm)]
        chosen = _within(names, norms)
    elif mode.startswith("last:"):
        chosen = _within(names, _last_blocks(module, mode.removeprefix("last:")))
    else:
        raise unknown("trainable part", mode, TRAINABLE)
    if not chosen:
        raise RequestError(f"trainable={mode}: the network has no such parameters; take 'all' or 'readout'")
    return chosen


def _within(names: list[str], modules: list[str]) -> list[str]:
    """Names of parameters that lie in one of these modules."""
    return [name for name in names if any(not path or name.startswith(f"{path}.") for path in modules)]


def _last_blocks(module: nn.Module, count: str) -> list[str]:
    prefix = ""
    # a network that is wrapped, to normalise its images for example
    while len(parts := _parts(module)) == 1 and next(parts[0][1].children(), None) is not None:
        prefix, module = f"{prefix}{parts[0][0]}.", parts[0][1]
    blocks = list(_blocks(module, prefix))
    if not count.isascii() or not count.isdigit() or not 1 <= int(count) <= len(blocks):
        raise RequestError(f"trainable=last:{count}: give a number from 1 to {len(blocks)}, the blocks of the network")
    return blocks[-int(count) :]


def _blocks(module: nn.Module, prefix: str) -> Iterator[str]:
    """Paths of the blocks inside a module, in order."""
    for name, child in _parts(module):
        if isinstance(child, nn.Sequential | nn.ModuleList) and _n_maps(child) > 1:
            yield from _blocks(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Children with parameters."""
    return [(name, child) for name, child in module.named_children() if next(child.parameters(), None) is not None]


def _n_maps(module: nn.Module) -> int:
    """How many parts hold a weight of two dimensions or more, as convolutions and linear maps do."""
    return sum(any(weight.ndim > 1 for weight in part.parameters(recurse=False)) for part in module.modules())
