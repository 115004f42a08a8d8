"""The network as a `Model`: layers over sweeps, flows from the second sweep on.

States of convolutions are recorded after pooling, before which is `maps.*`; with gain flows they can be negative.
"""

from pathlib import Path

from torch import Tensor

from alignment.errors import RequestError
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import seeded
from alignment.models.thorat_rnn.layout import RECEIVERS, Layout
from alignment.models.thorat_rnn.network import ThoratRNN
from alignment.models.thorat_rnn.published import BIAS, GAIN, published_weights
from alignment.models.torch_model import TorchModel
from alignment.models.trained import trained_weights
from alignment.stimuli.clutter.objects import CLASSES
from alignment.stimuli.clutter.scene import CANVAS

GAIN_FLOWS, BIAS_FLOWS = Layout(), Layout(bias=True, gain=False)
FROM_SECOND_SWEEP = ("flows.", "senders.")


class ThoratModel(TorchModel):
    """A network whose time bins are its sweeps, 0 for the first; a flow has the time bin of the sweep it arrives at.

    Images are grey: the mean of the three channels. There is one decision, read from all sweeps together.

    Parameters
    ----------
    network : ThoratRNN
    name : how tables call it

    Examples
    --------
    >>> import torch
    >>> model = thorat(Layout(lean=True, sweeps=3), name="tiny")
    >>> model.time_bins["states.fc"], model.incoming["conv1"]
    ((0.0, 1.0, 2.0), ('flows.conv1.gain',))
    >>> model.record(torch.rand(1, 3, 100, 100), ["flows.conv1.gain"], time_bins=[2.0])["flows.conv1.gain"].shape
    torch.Size([1, 1, 8, 96, 96])
    """

    module: ThoratRNN

    def __init__(self, network: ThoratRNN, *, name: str) -> None:
        super().__init__(
            network,
            name=name,
            layers=[f"states.{layer}" for layer in RECEIVERS],
            image_size=(CANVAS, CANVAS),
            classes=CLASSES,
        )

    @property
    def decision_times(self) -> tuple[float, ...]:
        """Of its one decision: that of the last sweep."""
        return (float(self.module.layout.sweeps - 1),)

    def prepare(self, pixels: Tensor) -> Tensor:
        """As of `TorchModel`; pixels out of [0, 1], which the network would clip, are refused."""
        prepared = super().prepare(pixels)
        least, greatest = (float(edge) for edge in pixels.detach().aminmax()) if pixels.numel() else (0.0, 1.0)
        if least < 0 or greatest > 1:
            raise RequestError(
                f"{self.name}: pixels are {least:g} to {greatest:g}, expected 0 to 1; divide grey levels by 255"
            )
        return prepared

    def bins_of(self, layer: str) -> tuple[float, ...]:
        """Numbers of the sweeps that reach a site, from the second on where it carries a flow."""
        first = int(layer.startswith(FROM_SECOND_SWEEP))
        return tuple(float(first + call) for call in range(self._site(layer).calls))


def thorat(
    layout: Layout = GAIN_FLOWS, *, name: str = "thorat_rnn", weights: Path | None = None, seed: int = 0
) -> ThoratModel:
    """A network with any flows and any number of sweeps.

    Parameters
    ----------
    layout : flags, sweeps, and whether unused maps are there
    name : how tables call it
    weights : checkpoint, loaded strictly; random weights drawn from `seed` when not given

    Raises
    ------
    DataError
        The checkpoint cannot be read, or does not fit; what is missing or too much is named.

    Examples
    --------
    >>> thorat(Layout(top_down=False, lean=True)).layers
    ('states.input', 'states.conv1', 'states.conv2', 'states.fc')
    """
    with seeded(seed, "weights", name):
        network = ThoratRNN(layout)
    if weights is not None:
        load_state(network, read_state(weights), where=str(weights))
    return ThoratModel(network.eval(), name=name)


def thorat_rnn(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> ThoratModel:
    """Flows that multiply, published weights; arguments as for `load_model`."""
    path = published_weights(GAIN, data_root=data_root, cache=cache) if weights == "default" else _given(weights)
    return thorat(GAIN_FLOWS, name="thorat_rnn", weights=path, seed=seed)


def thorat_rnn_bias(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> ThoratModel:
    """Flows that are added, published weights; arguments as for `load_model`."""
    path = published_weights(BIAS, data_root=data_root, cache=cache) if weights == "default" else _given(weights)
    return thorat(BIAS_FLOWS, name="thorat_rnn_bias", weights=path, seed=seed)


def thorat_rnn_lean(*, weights: str, cache: Path, seed: int) -> ThoratModel:
    """Flows that multiply, without the maps of those that do not, weights by `bench train`; as for `load_model`."""
    name = "thorat_rnn_lean"
    path = trained_weights(name, cache=cache, seed=seed) if weights == "default" else _given(weights)
    return thorat(Layout(lean=True), name=name, weights=path, seed=seed)


def _given(weights: str) -> Path | None:
    return None if weights == "none" else weights_file(weights)
