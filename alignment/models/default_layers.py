"""Which layers a network is scored at when nobody says: its blocks, shallow to deep.

Residual networks and transformers give their blocks, plain convolutional stacks their ReLU and pooling stages,
anything else its top-level stages. The classifier is left out when it puts out the logits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from alignment.models.hooks import Site

MOST_LAYERS = 24
WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)
NONLINEARITIES = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid)
POOLS = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)
GLOBAL_POOLS = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
PASSIVE = (
    nn.Identity,
    nn.Flatten,
    nn.modules.dropout._DropoutNd,
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
)


def default_layers(module: nn.Module, sites: Mapping[str, Site], output: Any) -> tuple[str, ...]:
    """Names of at most `MOST_LAYERS` layers, in the order in which they finish.

    Parameters
    ----------
    module : the network
    sites : what the probe found
    output : what the network returned in the probe

    Returns
    -------
    tuple of module names; evenly thinned where there are more, the first and the last kept
    """
    found = [name for name in _expand(module, "", sites) if _recordable(sites[name])]
    stages = [name for name in found if _is_stage(module, name)]
    if stages:
        named = [name for name in found if name in stages or isinstance(module.get_submodule(name), GLOBAL_POOLS)]
    else:
        named = [name for name in found if not isinstance(module.get_submodule(name), PASSIVE)]
    named = [name for name in named if not _gives_logits(module.get_submodule(name), sites[name], output)]
    named = sorted(dict.fromkeys(named), key=lambda name: sites[name].order)
    if len(named) <= MOST_LAYERS:
        return tuple(named)
    step = (len(named) - 1) / (MOST_LAYERS - 1)
    return tuple(named[round(position * step)] for position in range(MOST_LAYERS))


def _expand(module: nn.Module, prefix: str, sites: Mapping[str, Site]) -> Iterator[str]:
    """Names below `module`, opening whatever is a chain of blocks, a plain stack or never called as a whole."""
    for child_name, child in module.named_children():
        name = f"{prefix}{child_name}"
        if _is_plain_stack(child):
            yield from (f"{name}.{leaf}" for leaf in _stack_stages(child))
        elif not _is_leaf(child) and (not sites[name].calls or _holds_chain(child)):
            yield from _expand(child, f"{name}.", sites)
        else:
            yield name


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _is_stage(module: nn.Module, name: str) -> bool:
    """A module with parts, or the end of a stage of a plain stack."""
    return not _is_leaf(module.get_submodule(name)) or _is_plain_stack(module.get_submodule(name.rpartition(".")[0]))


def _weighted_leaves(module: nn.Module) -> int:
    return sum(isinstance(leaf, WEIGHTED) for leaf in module.modules())


def _is_block(module: nn.Module) -> bool:
    """Several weighted maps in one module; a convolution with its normalisation and nonlinearity is one step only."""
    return not _is_leaf(module) and (_weighted_leaves(module) > 1 or isinstance(module, nn.MultiheadAttention))


def _is_container(module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList) or (
        isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    )


def _holds_chain(module: nn.Module) -> bool:
    """Whether the module is, or contains, a sequence of at least two blocks."""
    return any(
        _is_container(part) and sum(_is_block(child) for child in part.children()) > 1 for part in module.modules()
    )


def _is_plain_stack(module: nn.Module) -> bool:
    """A Sequential of single layers with at least two weighted ones, as in AlexNet and VGG."""
    return (
        _is_container(module)
        and not isinstance(module, nn.ModuleList)
        and all(_is_leaf(child) for child in module.children())
        and _weighted_leaves(module) > 1
        and bool(_stack_stages(module))
    )


def _stack_stages(stack: nn.Module) -> Sequence[str]:
    ends = (*NONLINEARITIES, *POOLS, *GLOBAL_POOLS)
    return [name for name, child in stack.named_children() if isinstance(child, ends)]


def _recordable(site: Site) -> bool:
    return site.steady and site.shapes[0] != ()


def _gives_logits(module: nn.Module, site: Site, output: Any) -> bool:
    if not isinstance(output, Tensor) or output.ndim != 2:
        return False
    size = 1
    for edge in site.shapes[-1]:
        size *= edge
    return size == output.shape[1] and any(isinstance(leaf, WEIGHTED) for leaf in module.modules())
