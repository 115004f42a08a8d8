r"""The network: an image, two convolutions and a fully connected layer, which send flows back and to themselves.

In sweep $t$ a layer takes the layer below it as it is now, and flows from all layers as they were in sweep $t - 1$:
$y = \mathrm{relu}(\mathrm{drive} + B) \cdot (1 + G)$, and the image $\mathrm{clip}((x + B)(1 + G), 0, 1)$, with
$B = G = 0$ in the first sweep. What a gain multiplies is not rectified again, so states can be negative.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.models.thorat_rnn.layout import MAPS, N_CLASSES, PATHS, POOLED, SHAPES, Layout


class States(NamedTuple):
    """The layers after one sweep: what flows start from.

    Attributes
    ----------
    conv1, conv2 : before pooling, which lateral flows start from
    pooled1, pooled2 : after pooling, which top-down flows start from
    fc : (batch, 128)
    """

    conv1: Tensor
    pooled1: Tensor
    conv2: Tensor
    pooled2: Tensor
    fc: Tensor


class ThoratRNN(nn.Module):
    """One image over several sweeps, and one read-out of the last layer in all of them.

    Weights have the names of the published files: `conv1 conv2 fc1 fc2` and, of each map that carries a flow, its name
    and the first letter of its path. What can be recorded are modules that pass on what they are given, once in each
    sweep: `states.<layer>` (the image after clipping, pooled convolutions, `fc`), `maps.conv1` and `maps.conv2` (before
    pooling), and from the second sweep on `flows.<layer>.<path>` (all that reaches a layer on a path) and
    `senders.<layer>.<path>.<sender>` (its parts). Flows that a flag switches off are not computed.

    Parameters
    ----------
    layout : which flows there are, and how many sweeps

    Examples
    --------
    >>> network = ThoratRNN(Layout())
    >>> sum(weight.numel() for weight in network.parameters())
    25146088
    >>> network(torch.rand(2, 1, 100, 100)).shape
    torch.Size([2, 20])
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.conv1 = nn.Conv2d(SHAPES["input"][0], SHAPES["conv1"][0], 5)
        self.conv2 = nn.Conv2d(SHAPES["conv1"][0], SHAPES["conv2"][0], 5)
        pooled = POOLED["conv2"]
        self.fc1 = nn.Linear(pooled[0] * pooled[1] * pooled[2], SHAPES["fc"][0])
        self.fc2 = nn.Linear(SHAPES["fc"][0] * layout.sweeps, N_CLASSES)
        for path in PATHS:
            for each in MAPS:
                if not layout.lean or each in layout.maps(each.receiver, path):
                    self.add_module(_weights_name(each.name, path), each.module())
        self.states = nn.ModuleDict({layer: nn.Identity() for layer in SHAPES})
        self.maps = nn.ModuleDict({layer: nn.Identity() for layer in POOLED})
        self.flows, self.senders = nn.ModuleDict(), nn.ModuleDict()
        for receiver in dict.fromkeys(receiver for receiver, _ in layout.flows):
            reached = {path: layout.maps(receiver, path) for path in PATHS if layout.maps(receiver, path)}
            self.flows[receiver] = nn.ModuleDict({path: nn.Identity() for path in reached})
            self.senders[receiver] = nn.ModuleDict(
                {path: nn.ModuleDict({each.sender: nn.Identity() for each in maps}) for path, maps in reached.items()}
            )
        self.reset_parameters()

    @property
    def incoming(self) -> dict[str, tuple[str, ...]]:
        """Layer -> names of the flows that reach it, one for each path, where any do."""
        found: dict[str, tuple[str, ...]] = {}
        for receiver, path in self.layout.flows:
            found[receiver] = (*found.get(receiver, ()), f"flows.{receiver}.{path}")
        return found

    def reset_parameters(self) -> None:
        """Draw weights as for the paper: Glorot's uniform, biases 0; transposed convolutions as torch has them."""
        for child in self.modules():
            if isinstance(child, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(child.weight)
                if child.bias is not None:
                    nn.init.zeros_(child.bias)
            elif isinstance(child, nn.ConvTranspose2d):
                child.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1 or 3, 100, 100) in [0, 1] to logits (batch, 20); colours become their mean, grey."""
        grey = x.mean(1, keepdim=True)
        states: States | None = None
        read: list[Tensor] = []
        for _ in range(self.layout.sweeps):
            states = self._sweep(grey, states)
            read.append(states.fc)
        return self.fc2(torch.cat(read, dim=1))

    def _sweep(self, x: Tensor, before: States | None) -> States:
        image = self.states["input"](_clipped(self._gained(self._biased(x, "input", before), "input", before)))
        conv1 = self.maps["conv1"](self._rectified(self.conv1(image), "conv1", before))
        pooled1 = self.states["conv1"](F.max_pool2d(conv1, 3))
        conv2 = self.maps["conv2"](self._rectified(self.conv2(pooled1), "conv2", before))
        pooled2 = self.states["conv2"](F.max_pool2d(conv2, 3))
        fc = self.states["fc"](self._rectified(self.fc1(pooled2.flatten(1)), "fc", before))
        return States(conv1, pooled1, conv2, pooled2, fc)

    def _rectified(self, drive: Tensor, layer: str, before: States | None) -> Tensor:
        return self._gained(F.relu(self._biased(drive, layer, before)), layer, before)

    def _biased(self, drive: Tensor, layer: str, before: States | None) -> Tensor:
        flow = self._flow(layer, "bias", before)
        return drive if flow is None else drive + flow

    def _gained(self, value: Tensor, layer: str, before: States | None) -> Tensor:
        flow = self._flow(layer, "gain", before)
        return value if flow is None else value * (1 + flow)

    def _flow(self, receiver: str, path: str, before: States | None) -> Tensor | None:
        """All that reaches a layer on a path; None where nothing does."""
        maps = self.layout.maps(receiver, path)
        if before is None or not maps:
            return None
        total: Tensor | None = None
        for each in maps:
            sent = getattr(self, _weights_name(each.name, path))(_sent(before, each.sender, lateral=each.is_lateral))
            site = self.get_submodule(f"senders.{receiver}.{path}.{each.sender}")
            part = site(sent if sent.ndim > 2 else sent.view(-1, *SHAPES[receiver]))
            total = part if total is None else total + part
        return self.get_submodule(f"flows.{receiver}.{path}")(total)


def _clipped(u: Tensor) -> Tensor:
    """To [0, 1], with a gradient of 1 from 0 to 1, both included.

    Black background is exactly 0. The published relu(u) - relu(u - 1), which is the same elsewhere, has no gradient
    there, and would hide it from an attack.
    """
    return torch.where((u < 0) | (u > 1), u.detach().clamp(0, 1), u)


def _weights_name(name: str, path: str) -> str:
    return name + path[0]


def _sent(states: States, sender: str, *, lateral: bool) -> Tensor:
    """What a layer sends: its map before pooling to itself, after pooling to layers below."""
    if sender == "fc":
        return states.fc
    if sender == "conv1":
        return states.conv1 if lateral else states.pooled1
    return states.conv2 if lateral else states.pooled2
