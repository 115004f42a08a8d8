"""CordsNet as a `Model`: layers are areas, times are milliseconds since the image came on.

The blank before the image is the normalised 0, mean grey, not a black screen. It is the same for every image, so it is
no time_bin: bins are the steps with the image on. Rates are recorded after the nonlinearity, so they are never below 0.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from alignment import fingerprint
from alignment.attacks.threat import Logits
from alignment.errors import RequestError
from alignment.models import module_fingerprint
from alignment.models.base import MS
from alignment.models.checkpoints import weights_file
from alignment.models.cordsnet.equivalent import FoldedCNN
from alignment.models.cordsnet.layout import DEPTHS, Clock, Layout
from alignment.models.cordsnet.network import CordsNet
from alignment.models.cordsnet.weights import (
    PUBLISHED_CLASSES,
    PUBLISHED_SIZE,
    layout_of,
    load_folded,
    load_weights,
    published_weights,
    read_weights,
)
from alignment.models.hooks import Site, evaluating
from alignment.models.initialise import seeded
from alignment.models.torch_model import Normalisation, TorchModel
from alignment.models.trained import trained_weights

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# time_bins that are recorded when nobody says which
USUAL_BINS = 10
PUBLISHED_DEPTH = 8
# names of the ready-made ones, by which they are also trained
DEPTH_OF = {f"cordsnet_r{depth}": depth for depth in DEPTHS}


class CordsNetModel(TorchModel):
    """A CordsNet whose layers `rates.0` to `rates.7` have a time_bin for each step with the image on.

    `time_bins` are ten of them, evenly spaced to the last; `record` gives any, and holds those alone.

    Parameters
    ----------
    network : CordsNet
    name : how tables call it
    classes : class names in the order of the logits
    normalise : (mean, sd) per colour of pixels in [0, 1]; a network of grey images takes the mean of the three
    visual_degrees : width of the field of view

    Attributes
    ----------
    folded : the CNN that the network was made from, on which no activation depends; None where it is not known

    Examples
    --------
    >>> import torch
    >>> net = CordsNet(Layout(2, image_size=(16, 16), n_classes=2), Clock(steps=20, blank_steps=5))
    >>> model = CordsNetModel(net, name="tiny", classes=("cat", "dog"))
    >>> model.time_unit, model.time_bins["rates.1"][:3]
    ('ms', (4.0, 8.0, 12.0))
    >>> model.record(torch.rand(1, 3, 16, 16), ["rates.1"], time_bins=[2.0, 6.0])["rates.1"].shape
    torch.Size([1, 2, 64, 4, 4])
    """

    def __init__(
        self,
        network: CordsNet,
        *,
        name: str,
        classes: Sequence[str],
        normalise: Normalisation = IMAGENET,
        visual_degrees: float | None = None,
    ) -> None:
        if len(classes) != network.layout.n_classes:
            raise RequestError(f"{name} has {network.layout.n_classes} logits and {len(classes)} names of classes")
        network.read_steps = _evenly(network.clock.steps, USUAL_BINS)
        self.folded: FoldedCNN | None = None
        said: dict[str, Any] = {} if visual_degrees is None else {"visual_degrees": visual_degrees}
        super().__init__(
            network,
            name=name,
            layers=[f"rates.{area}" for area in range(network.layout.depth)],
            image_size=network.layout.image_size,
            normalise=normalise,
            classes=classes,
            time_unit=MS,
            **said,
        )

    @property
    def fingerprint(self) -> str:
        """As of `TorchModel`, and of the CNN, which benchmarks of dynamics judge beside the network."""
        own = super().fingerprint
        return own if self.folded is None else fingerprint.of_parts(own, module_fingerprint.of_module(self.folded))

    @property
    def decision_times(self) -> tuple[float, ...]:
        """Of the logits, in ms since the image came on: those of `time_bins`."""
        return tuple(self.module.clock.times[step - 1] for step in self.module.read_steps)

    def select_times(self, times: Sequence[float]) -> None:
        """Make `time_bins`, and the times of the logits, these of the steps with the image on, in ms.

        Raises
        ------
        RequestError
            No step ends at one of them.
        """
        self.module.read_steps = tuple(sorted({self._step(time) for time in times}))
        self.time_bins = {layer: self.bins_of(layer) for layer in self.layers}

    @property
    def fewest_steps(self) -> int:
        """Through so many steps a gradient gets from the logits to the image; one area or two a step."""
        clock, layout = self.module.clock, self.module.layout
        return min(clock.steps, layout.depth // 2)

    def logits_through(self, steps: int) -> Logits:
        """Logits of the same values whose gradient goes back through the last steps only.

        Fewer than `fewest_steps` leave no gradient; all of them give the full one.

        Parameters
        ----------
        steps : 1 to the number of steps with the image on; say it beside every result

        Raises
        ------
        RequestError
            There are not as many.
        """
        total = self.module.clock.steps
        if not 1 <= steps <= total:
            raise RequestError(
                f"{self.name}: a gradient through {steps} steps; give 1 to {total}, those with the image on"
            )

        def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
            prepared = self.prepare(pixels)
            with evaluating(self.module):
                return self.module(prepared, gradient_steps=steps)

        return logits

    @contextmanager
    def shortened(self) -> Iterator[None]:
        """A blank step, where there are any, and as many with an image as it takes from the first area to the last."""
        network, clock, read_steps = self.module, self.module.clock, self.module.read_steps
        network.clock = replace(
            clock, steps=min(clock.steps, network.layout.depth), blank_steps=min(clock.blank_steps, 1)
        )
        try:
            yield
        finally:
            network.clock, network.read_steps = clock, read_steps

    def probed(self) -> tuple[dict[str, Site], Any]:
        """What a forward pass would find, which takes half a minute in the largest network, and is known."""
        layout, steps = self.module.layout, self.module.clock.steps
        sites = [
            Site(f"rates.{area}", (shape,) * steps, "Tensor", True, False, False, order=area)
            for area, shape in enumerate(layout.maps)
        ]
        return {site.name: site for site in sites}, None

    def bins_of(self, layer: str) -> tuple[float, ...]:
        """As of `TorchModel`; ends of steps, in ms."""
        self._site(layer)
        return self.decision_times

    def calls_of(self, layer: str, time_bins: Sequence[float] | None) -> tuple[int, ...]:
        """As of `TorchModel`."""
        self._site(layer)
        steps = self.module.read_steps if time_bins is None else [self._step(time) for time in time_bins]
        return tuple(step - 1 for step in steps)

    def _step(self, time: float) -> int:
        times = self.module.clock.times
        if round(time, 9) not in times:
            raise RequestError(
                f"{self.name} has no time_bin {time:g} ms; its steps end every {times[0]:g} ms, up to {times[-1]:g}"
            )
        return times.index(round(time, 9)) + 1


def cordsnet(
    depth: int,
    *,
    name: str | None = None,
    weights: Path | None = None,
    image_size: tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
    n_channels: int = 3,
    normalise: Normalisation | None = None,
    clock: Clock | None = None,
    seed: int = 0,
) -> CordsNetModel:
    """A CordsNet of any depth, size and clock.

    Parameters
    ----------
    depth : number of areas, 2, 4, 6 or 8
    name : how tables call it; `cordsnet_r<depth>` when not given
    weights : checkpoint, loaded strictly; random weights drawn from `seed` when not given
    image_size : (row, column); what the checkpoint says, or (224, 224)
    classes : class names; what the checkpoint says, or ImageNet's by number
    n_channels : of random weights, 3 or 1
    normalise : (mean, sd) per colour; what the checkpoint says, or ImageNet's
    clock : alpha, steps and blank steps; what the checkpoint says, or 0.2, 100 and 100

    Raises
    ------
    RequestError
        A number that no network can have, or an image size that does not fit the bias maps.
    DataError
        The checkpoint cannot be read, or does not fit; what is missing or too much is named.

    Examples
    --------
    >>> cordsnet(4, image_size=(32, 32), classes=("cat", "dog"), clock=Clock(steps=30)).layers
    ('rates.0', 'rates.1', 'rates.2', 'rates.3')
    """
    own = name or f"cordsnet_r{depth}"
    if weights is None:
        n_classes = PUBLISHED_CLASSES if classes is None else len(classes)
        layout = Layout(depth, image_size=image_size or PUBLISHED_SIZE, n_classes=n_classes, n_channels=n_channels)
        with seeded(seed, "weights", own):
            network = CordsNet(layout, clock or Clock())
        return _model(network, name=own, classes=classes, normalise=normalise)
    where = str(weights)
    state, said, folded = read_weights(weights)
    layout = layout_of(state, depth, where=where, image_size=image_size or said.image_size)
    network = load_weights(CordsNet(layout, clock or said.clock or Clock()), state, where=where)
    model = _model(network, name=own, classes=classes or said.classes, normalise=normalise or said.normalise)
    model.folded = load_folded(layout, folded, where=where)
    return model


def cordsnet_r2(*, weights: str, cache: Path, seed: int) -> CordsNetModel:
    """Two areas; arguments as for `load_model`."""
    return _named(2, weights=weights, cache=cache, seed=seed)


def cordsnet_r4(*, weights: str, cache: Path, seed: int) -> CordsNetModel:
    """Four areas; arguments as for `load_model`."""
    return _named(4, weights=weights, cache=cache, seed=seed)


def cordsnet_r6(*, weights: str, cache: Path, seed: int) -> CordsNetModel:
    """Six areas; arguments as for `load_model`."""
    return _named(6, weights=weights, cache=cache, seed=seed)


def cordsnet_r8(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> CordsNetModel:
    """Eight areas, published weights for ImageNet; arguments as for `load_model`."""
    if weights == "default":
        return cordsnet(PUBLISHED_DEPTH, weights=published_weights(data_root=data_root, cache=cache))
    return _named(PUBLISHED_DEPTH, weights=weights, cache=cache, seed=seed)


def _named(depth: int, *, weights: str, cache: Path, seed: int) -> CordsNetModel:
    if weights == "none":
        return cordsnet(depth, seed=seed)
    name = f"cordsnet_r{depth}"
    path = trained_weights(name, cache=cache, seed=seed) if weights == "default" else weights_file(weights)
    return cordsnet(depth, weights=path)


def _model(
    network: CordsNet, *, name: str, classes: Sequence[str] | None, normalise: Normalisation | None
) -> CordsNetModel:
    numbered = tuple(map(str, range(network.layout.n_classes)))
    return CordsNetModel(network.eval(), name=name, classes=classes or numbered, normalise=normalise or IMAGENET)


def _evenly(steps: int, count: int) -> tuple[int, ...]:
    """At most `count` of the steps from 1 on, the last among them."""
    return tuple(sorted({-(-steps * (place + 1) // count) for place in range(count)}))
