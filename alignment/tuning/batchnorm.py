r"""Batch normalisation while a network is tuned on images it was not made for.

Running statistics of a network in training follow its images: a few passes of the photographs shown to a brain replace
those of the task, and accuracy is lost without any neural loss. Four modes:

===========  =======================================================================================================
freeze       running statistics are used and kept, in training too
train        each batch is normalised by its own statistics, and running ones follow all images
dual         as train, but neural images have running statistics apart; those of the network see task images alone
recalibrate  as train; afterwards running statistics are measured anew on task images (`recalibrate`)
===========  =======================================================================================================

`drift` says how far running means went.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from alignment.errors import RequestError, unknown
from alignment.models.hooks import evaluating
from alignment.tuning.trainable import trainable

__all__ = ["DOMAINS", "MODES", "BatchNorms", "Domain", "drift", "prepare", "recalibrate", "trainable"]

MODES = ("freeze", "train", "dual", "recalibrate")
DOMAINS = ("neural", "task")

Domain = Literal["neural", "task"]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass
class BatchNorms:
    """The batch normalisations of a network and what is done with them; made by `prepare`.

    Outside `on` the network is as if this did not exist, and holds the statistics of the task.

    Attributes
    ----------
    mode : one of `MODES`
    layers : module name -> batch normalisation
    """

    mode: str
    layers: dict[str, _BatchNorm]
    _neural: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False)

    @contextmanager
    def on(self, domain: Domain) -> Iterator[None]:
        """Passes on images of one domain, in training or evaluation as the network stands on entering.

        Parameters
        ----------
        domain : {"neural", "task"}

        Raises
        ------
        RequestError
            Another domain.
        """
        if domain not in DOMAINS:
            raise unknown("domain", domain, DOMAINS)
        training = [layer for layer in self.layers.values() if layer.training and self.mode == "freeze"]
        of_task = {name: _statistics(self.layers[name]) for name in self._neural if domain == "neural"}
        for layer in training:
            layer.training = False
        for name in of_task:
            _set_statistics(self.layers[name], self._neural[name])
        try:
            yield
        finally:
            for layer in training:
                layer.training = True
            for name, statistics in of_task.items():
                # not those of before where the network has moved to another device since it was prepared
                self._neural[name] = _statistics(self.layers[name])
                _set_statistics(self.layers[name], statistics)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the statistics of neural images, for a checkpoint: the network has only those of the task."""
        return {f"{name}.{key}": value.clone() for name, kept in self._neural.items() for key, value in kept.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up the statistics of neural images where `state_dict` left them.

        Raises
        ------
        RequestError
            They are of another network or another mode.
        """
        expected = {f"{name}.{key}": value for name, kept in self._neural.items() for key, value in kept.items()}
        different = sorted(expected.keys() ^ state.keys()) or sorted(
            key for key, value in expected.items() if value.shape != state[key].shape
        )
        if different:
            raise RequestError(
                f"neural statistics: {different[0]} and {len(different) - 1} others do not fit this network in mode "
                f"{self.mode!r}; go on with the network and mode of the checkpoint"
            )
        for key, value in expected.items():
            value.copy_(state[key])


def prepare(module: nn.Module, mode: str) -> BatchNorms:
    """Take charge of the batch normalisations of a network; nothing of it changes yet.

    Parameters
    ----------
    module : nn.Module
        On the device where it will be trained. It need not have any.
    mode : str
        One of `MODES`; in "dual" the statistics of neural images start as those of the network.

    Returns
    -------
    BatchNorms

    Raises
    ------
    RequestError
        An unknown mode, or a normalisation that keeps no running statistics, in any mode but "train".

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    >>> norms, before = prepare(net, "dual"), net.state_dict()["1.running_mean"].clone()
    >>> with norms.on("neural"):
    ...     _ = net(torch.rand(2, 3, 8, 8))
    >>> torch.equal(net.state_dict()["1.running_mean"], before)
    True
    """
    if mode not in MODES:
        raise unknown("batch normalisation mode", mode, MODES)
    layers = _layers(module)
    bare = [name for name, layer in layers.items() if layer.running_mean is None]
    if bare and mode != "train":
        raise RequestError(
            f"batch normalisation {bare[0]!r} keeps no running statistics, so {mode!r} is impossible; take 'train'"
        )
    copies = {name: {key: value.clone() for key, value in _statistics(layer).items()} for name, layer in layers.items()}
    return BatchNorms(mode, layers, copies if mode == "dual" else {})


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Measure running means and variances anew, over all images together.

    Each normalisation uses the statistics of the batch meanwhile, as in training, and all else is in evaluation mode.
    Moments of batches are merged exactly, whatever their sizes (Chan, Golub & LeVeque 1983, Am Stat 37:242): the
    population statistics of Wu & Johnson 2021 (arXiv 2105.07576, section 3), not an average of averages.

    Parameters
    ----------
    module : nn.Module
        Its statistics are replaced once all batches have passed.
    batches : iterable of Tensor
        What the network takes, (image, ...): task images, large batches as in its training.

    Raises
    ------
    RequestError
        There is no batch.

    Examples
    --------
    >>> net = nn.Sequential(nn.BatchNorm1d(1))
    >>> recalibrate(net, [torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [5.0], [3.0]])])
    >>> net[0].running_mean, net[0].running_var
    (tensor([3.]), tensor([2.5000]))
    """
    layers = {name: layer for name, layer in _layers(module).items() if layer.running_mean is not None}
    moments = {name: _Moments() for name in layers}
    n_batches = 0
    with evaluating(module), _normalising_by_batch(layers, moments):
        for batch in batches:
            module(batch)
            n_batches += 1
    if n_batches == 0:
        raise RequestError("recalibrate: no batch of task images; give one at least")
    for name, seen in moments.items():
        if seen.count:
            seen.write(layers[name])


def drift(module: nn.Module, before: Mapping[str, Tensor]) -> float:
    r"""Largest $|\Delta \mu| / \sqrt{\sigma^2 + \epsilon}$ of running means, over all channels of all normalisations.

    Parameters
    ----------
    module : nn.Module
        As it is now.
    before : mapping of str to Tensor
        `state_dict()` of the network it started from, which gives the sd too. Copies, or they change with it.

    Returns
    -------
    float
        0.0 for a network without running statistics.

    Raises
    ------
    RequestError
        `before` lacks statistics of this network.

    Examples
    --------
    >>> net = nn.BatchNorm1d(2, eps=0.0)
    >>> before = {name: value.clone() for name, value in net.state_dict().items()}
    >>> net.running_mean += torch.tensor([0.5, -2.0])
    >>> drift(net, before)
    2.0
    """
    largest = [0.0]
    for name, layer in _layers(module).items():
        if layer.running_mean is None:
            continue
        keys = [f"{name}.{key}" if name else key for key in ("running_mean", "running_var")]
        if any(key not in before for key in keys):
            raise RequestError(f"drift: no {keys[0]} of before; give the state_dict of the same network")
        mean, variance = (before[key].to(layer.running_mean.device) for key in keys)
        largest.append(float(((layer.running_mean - mean).abs() / (variance + layer.eps).sqrt()).max()))
    return max(largest)


def _layers(module: nn.Module) -> dict[str, _BatchNorm]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, _BatchNorm)}


def _statistics(layer: _BatchNorm) -> dict[str, Tensor]:
    """The tensors themselves, no copies."""
    return {key: value for key in _STATISTICS if (value := getattr(layer, key)) is not None}


def _set_statistics(layer: _BatchNorm, statistics: Mapping[str, Tensor]) -> None:
    """Put these tensors into the layer, where its own are."""
    for key, value in statistics.items():
        setattr(layer, key, value.to(getattr(layer, key).device))


@dataclass
class _Moments:
    """Mean and sum of squared deviations `(channel,) float64` of all values so far, `count` of each channel."""

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))
    calls: int = 0

    def add(self, values: Tensor) -> None:
        """Merge a batch `(image, channel, ...)`."""
        across = [axis for axis in range(values.ndim) if axis != 1]
        variance, mean = (part.cpu().double() for part in torch.var_mean(values.float(), dim=across, correction=0))
        count = values.numel() // values.shape[1]
        total = self.count + count
        difference = mean - self.mean
        self.squares = self.squares + variance * count + difference.square() * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count, self.calls = total, self.calls + 1

    def write(self, layer: _BatchNorm) -> None:
        """As running statistics, with the unbiased variance that torch keeps there."""
        assert layer.running_mean is not None
        assert layer.running_var is not None
        assert layer.num_batches_tracked is not None
        layer.running_mean.copy_(self.mean)
        layer.running_var.copy_(self.squares / max(1, self.count - 1))
        layer.num_batches_tracked.fill_(self.calls)


@contextmanager
def _normalising_by_batch(layers: Mapping[str, _BatchNorm], moments: Mapping[str, _Moments]) -> Iterator[None]:
    """Layers without running statistics of their own, which torch then takes from the batch; moments see the input."""

    def note(seen: _Moments, _layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.add(inputs[0])

    own = {name: _statistics(layer) for name, layer in layers.items()}
    handles = [layer.register_forward_pre_hook(partial(note, moments[name])) for name, layer in layers.items()]
    for layer in layers.values():
        layer.running_mean = layer.running_var = None
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for name, layer in layers.items():
            for key, value in own[name].items():
                setattr(layer, key, value)
