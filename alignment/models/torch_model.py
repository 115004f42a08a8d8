"""Any `nn.Module` as a `Model`, by hooks that count calls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from alignment import fingerprint
from alignment.errors import RequestError, unknown
from alignment.models import module_fingerprint
from alignment.models.base import DEFAULT_VISUAL_DEGREES, STEP, Model
from alignment.models.default_layers import default_layers
from alignment.models.hooks import Reduce, Site, evaluating, probe, record_calls, run_and_record
from alignment.registry import foreign_code

# raised when an unchanged network's recorded activations would change
RECORDING_VERSION = 1
PROBE_BATCH = 2
PROBE_SIZE = (64, 64)
NAMED_AT_MOST = 12
Normalisation = tuple[Sequence[float], Sequence[float]]


def check_layers(model: Model) -> None:
    """Whether a model has layers to record.

    Raises
    ------
    RequestError
        It has none, neither named nor usual.
    """
    if not model.layers:
        hint = model.modules_to_name() if isinstance(model, TorchModel) else "it has none"
        raise RequestError(f"{model.name}: no layer to record at by default; {hint}")


def _as_it_is(output: Tensor) -> Tensor:
    return output


class TorchModel:
    """A network whose layers are its named modules; a module called T times in a forward pass has T time bins.

    One probing forward pass, made at once, learns how often each module is called, so that recording stops
    right after the last call asked for. Maps are (channel, row, column), also where the network keeps channels last.

    Parameters
    ----------
    module : takes (batch, 3, row, column); used in evaluation mode, then put back as it was
    name : how tables call it
    layers : module names or globs (`layer4.*`); a default by family when not given, none where there is no such default
    image_size : (row, column) of the input; None when any size will do
    normalise : (mean, sd) per channel, applied to pixels in [0, 1] before the network; None: the network does it
    visual_degrees : width of the field of view
    classes : class names in the order of the logits; None when the output is no logits
    sources : files whose text enters the fingerprint beside those of the classes
    time_unit : what the count of calls means, "step" unless said
    stochastic : whether the network draws random numbers in evaluation mode; then images run one by one, each
        after seeding torch with the seed given for it

    Attributes
    ----------
    sites : every named module with how often it is called and what it returns, as found by the probe
    incoming : layer -> modules that carry all it receives from before, as the network declares in an attribute of this
        name; empty where it declares none

    Raises
    ------
    RequestError
        A layer does not exist, is never called, or does not return one tensor per image; or the network cannot take
        images of this size.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    >>> model = TorchModel(net, name="tiny", image_size=(16, 16))
    >>> model.record(torch.zeros(2, 3, 16, 16), ["1"])["1"].shape
    torch.Size([2, 1, 4, 14, 14])
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        layers: Sequence[str] | None = None,
        image_size: tuple[int, int] | None = (224, 224),
        normalise: Normalisation | None = None,
        visual_degrees: float = DEFAULT_VISUAL_DEGREES,
        classes: Sequence[str] | None = None,
        sources: Sequence[Path] = (),
        time_unit: str = STEP,
        stochastic: bool = False,
    ) -> None:
        # an nn.Module; the contract also allows None, which it never is here
        self.module: Any = module
        self.name = name
        self.image_size = image_size
        self.normalise = normalise
        self.visual_degrees = visual_degrees
        self.classes = None if classes is None else tuple(classes)
        self.time_unit = time_unit
        self.stochastic = stochastic
        self.incoming: Mapping[str, tuple[str, ...]] = getattr(module, "incoming", {})
        # read now: the code that runs is the one on disk when it was imported, not when a hash is asked for
        self._sources = module_fingerprint.of_sources(module, sources)

        self.sites, output = self.probed()
        self.layers: tuple[str, ...] = ()
        self.time_bins: Mapping[str, tuple[float, ...]] = {}
        usual = default_layers(module, self.sites, output) if layers is None else layers
        # a network without usual layers can still classify: `check_layers` is for those who record
        if usual or layers is not None:
            self.select_layers(usual)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, buffers, structure, source, preprocessing, time settings and recording version.

        Computed each time from the weights as they are now: keep it while they do not change.
        """
        settings = {
            "recording": RECORDING_VERSION,
            "image_size": self.image_size,
            "normalise": self.normalise and [[float(value) for value in row] for row in self.normalise],
            "visual_degrees": self.visual_degrees,
            "classes": self.classes,
            "time_unit": self.time_unit,
            "stochastic": self.stochastic,
        }
        return fingerprint.of_parts(
            fingerprint.of_settings(settings), module_fingerprint.of_module(self.module), self._sources
        )

    def select_layers(self, patterns: Sequence[str]) -> None:
        """Make `layers` the modules that names and globs match, in the order given, each once.

        Raises
        ------
        RequestError
            A pattern matches nothing that can be recorded (near misses are given), or there are none.
        """
        found: list[str] = []
        for pattern in patterns:
            if pattern in self.sites:
                site = self._site(pattern)
                if not site.steady:
                    raise RequestError(
                        f"{self.name}: layer {pattern!r} has another shape in each of its calls, so they are no time "
                        "bins; choose another, such as the module around it"
                    )
                found.append(site.name)
                continue
            hits = [name for name, site in self.sites.items() if fnmatchcase(name, pattern) and site.steady]
            if not hits:
                raise unknown(f"layer of {self.name}", pattern, self.sites)
            found += sorted(hits, key=lambda name: self.sites[name].order)
        if not found:
            raise RequestError(f"{self.name}: no layer to record at; {self.modules_to_name()}")
        self.layers = tuple(dict.fromkeys(found))
        self.time_bins = {layer: self.bins_of(layer) for layer in self.layers}

    def record(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        time_bins: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Activations of any named modules in one forward pass, differentiable unless under `torch.no_grad`.

        Parameters
        ----------
        pixels : (batch, 3, row, column) float32 in [0, 1]
        layers : module names
        time_bins : which calls, by their number; all when not given. Others are not held
        seeds : one per image, for a stochastic network

        Returns
        -------
        layer -> (batch, time_bin, *unit)
        """
        return self.record_reduced(pixels, layers, reduce=_as_it_is, time_bins=time_bins, seeds=seeds)

    def record_reduced(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        reduce: Reduce,
        time_bins: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """`record` with `reduce`, (batch, *unit) to (batch, *fewer), applied inside the pass: no whole map is held."""
        wanted = {layer: self.calls_of(layer, time_bins) for layer in layers}

        def forward(images: Tensor) -> dict[str, Tensor]:
            prepared = self.prepare(images)
            with evaluating(self.module):
                kept = record_calls(self.module, prepared, wanted, sites=self.sites, reduce=reduce)
            return {layer: _stack(layer, outputs) for layer, outputs in kept.items()}

        if not self.stochastic:
            return forward(pixels)
        singles = list(self._seeded(forward, pixels, seeds))
        return {layer: torch.cat([single[layer] for single in singles]) for layer in wanted}

    def logits(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        """Class scores (batch, time_bin, class); a network that returns them, or a list of them, has several time bins.

        Raises
        ------
        RequestError
            The model names no classes, or its output is not (batch, class).
        """
        if self.classes is None:
            raise RequestError(f"{self.name} has no logits: its classes are not named (classes=)")

        def forward(images: Tensor) -> Tensor:
            prepared = self.prepare(images)
            with evaluating(self.module):
                return self._scores(self.module(prepared))

        if not self.stochastic:
            return forward(pixels)
        return torch.cat(list(self._seeded(forward, pixels, seeds)))

    def logits_and_activations(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        time_bins: Mapping[str, Sequence[float]] | None = None,
        mode: Callable[[nn.Module], AbstractContextManager[object]] = evaluating,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Class scores and activations of one forward pass, differentiable, for those who train.

        Parameters
        ----------
        pixels, layers : as of `record`
        time_bins : layer -> which; all when not given
        mode : entered with the network around the pass; evaluation mode when not given

        Returns
        -------
        (batch, time_bin, class), and layer -> (batch, time_bin, *unit)

        Raises
        ------
        RequestError
            As of `logits` and `record`, or the network draws random numbers, which would differ between its passes.
        """
        if self.classes is None:
            raise RequestError(f"{self.name} has no logits: its classes are not named (classes=)")
        if self.stochastic:
            raise RequestError(f"{self.name} is stochastic; give a network that draws no random numbers")
        wanted = {layer: self.calls_of(layer, time_bins[layer] if time_bins else None) for layer in layers}
        prepared = self.prepare(pixels)
        with mode(self.module):
            final, kept = run_and_record(self.module, prepared, wanted, sites=self.sites)
        return self._scores(final), {layer: _stack(layer, outputs) for layer, outputs in kept.items()}

    def probed(self) -> tuple[dict[str, Site], Any]:
        """Sites and output of a forward pass on grey images; a subclass that knows them may say so instead."""
        size = self.image_size or PROBE_SIZE
        pixels = torch.full((PROBE_BATCH, 3, *size), 0.5, device=self._device)
        where = f"{self.name}: a forward pass on images of {size[0]}x{size[1]} failed (is image_size right?)"
        with self._own_random_state(), evaluating(self.module), foreign_code(where):
            return probe(self.module, self.prepare(pixels))

    def shortened(self) -> AbstractContextManager[object]:
        """Inside, a forward pass runs every part of the network and takes as little time as it can.

        For those who look for what parts do, not for numbers. A network with a clock of its own overrides this, and
        lets it tick a few times; any other is as short as it is.
        """
        return nullcontext()

    def modules_to_name(self) -> str:
        """What to tell a user whose network has no usual layers."""
        able = [name for name, site in self.sites.items() if site.steady]
        more = f" and {len(able) - NAMED_AT_MOST} more" if len(able) > NAMED_AT_MOST else ""
        if not able:
            return "none of its modules returns one tensor per image"
        return f"name some of its modules (model.layers=): {', '.join(able[:NAMED_AT_MOST])}{more}"

    @property
    def _device(self) -> torch.device:
        first = next(self.module.parameters(), next(self.module.buffers(), None))
        return torch.device("cpu") if first is None else first.device

    def _site(self, layer: str) -> Site:
        if layer not in self.sites:
            raise unknown(f"layer of {self.name}", layer, self.sites)
        site = self.sites[layer]
        if not site.calls:
            raise RequestError(f"{self.name}: layer {layer!r} is never called in a forward pass; choose another")
        if not site.batched:
            found = "a tensor whose first dimension is not the batch" if site.returned == "Tensor" else site.returned
            raise RequestError(
                f"{self.name}: layer {layer!r} returns {found}, not one tensor per image; choose another"
            )
        return site

    def bins_of(self, layer: str) -> tuple[float, ...]:
        """time_bins of any site, one for each of its calls; a subclass with a clock of its own overrides this."""
        return tuple(float(call) for call in range(self._site(layer).calls))

    def calls_of(self, layer: str, time_bins: Sequence[float] | None) -> tuple[int, ...]:
        """Numbers of the calls of a site that are its `time_bins`, of all when not given.

        Raises
        ------
        RequestError
            There is no such site or time_bin, or shapes differ between calls.
        """
        known = self.bins_of(layer)
        missing = [bin_ for bin_ in time_bins or () if bin_ not in known]
        if missing:
            raise RequestError(
                f"{self.name}: layer {layer!r} has no time_bin {missing[0]:g}; it has {known[0]:g} to {known[-1]:g}"
            )
        calls = tuple(range(len(known))) if time_bins is None else tuple(map(known.index, time_bins))
        if len({self.sites[layer].shapes[call] for call in calls}) > 1:
            raise RequestError(
                f"{self.name}: layer {layer!r} has another shape in each of its calls, so they are no time bins; "
                "choose one (time_bins=) or another layer"
            )
        return calls

    def prepare(self, pixels: Tensor) -> Tensor:
        """Pixels as the network takes them: checked and normalised."""
        if pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            raise RequestError(
                f"{self.name}: pixels are {pixels.dtype} {tuple(pixels.shape)}, expected float (batch, 3, row, column)"
            )
        if self.image_size is not None and tuple(pixels.shape[2:]) != tuple(self.image_size):
            raise RequestError(f"{self.name}: images are {tuple(pixels.shape[2:])}, expected {tuple(self.image_size)}")
        if self.normalise is None:
            return pixels
        mean, sd = (pixels.new_tensor(row).view(1, 3, 1, 1) for row in self.normalise)
        return (pixels - mean).div_(sd)

    def _scores(self, output: Any) -> Tensor:
        if isinstance(output, Tensor) and output.ndim == 3:
            return output
        per_time = [output] if isinstance(output, Tensor) else output
        if not isinstance(per_time, list | tuple) or any(
            not isinstance(step, Tensor) or step.ndim != 2 for step in per_time
        ):
            expected = "logits (batch, class), a list of them, or (batch, time_bin, class)"
            raise RequestError(f"{self.name} returns {_shape(output)}, expected {expected}")
        return torch.stack(tuple(per_time), dim=1)

    def _seeded(self, forward: Callable[[Tensor], Any], pixels: Tensor, seeds: Sequence[int] | None) -> Iterator[Any]:
        """One image at a time: the noise of an image must not depend on which others share its batch."""
        if seeds is None or len(seeds) != len(pixels):
            raise RequestError(f"{self.name} is stochastic; give it one seed per image (seeds=)")
        for position, seed in enumerate(seeds):
            with self._own_random_state():
                torch.manual_seed(seed)
                result = forward(pixels[position : position + 1])
            yield result

    @contextmanager
    def _own_random_state(self) -> Iterator[None]:
        device = self._device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield


def _stack(layer: str, outputs: Sequence[Tensor]) -> Tensor:
    if len({output.shape for output in outputs}) > 1:
        raise RequestError(f"layer {layer!r} has outputs of different shapes; choose one time bin or another layer")
    # a single call is by far the most common: no copy
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(tuple(outputs), dim=1)


def _shape(output: Any) -> str:
    return str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__
