"""From a CNN to a CordsNet on the training images of a labelled data set, and the directly trained control."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from alignment.errors import RequestError, unknown
from alignment.models.cordsnet.layout import Layout
from alignment.models.cordsnet.model import DEPTH_OF
from alignment.models.cordsnet.weights import Described, described
from alignment.models.torch_model import Normalisation
from alignment.training.cordsnet.pipeline import identity, run_pipeline
from alignment.training.cordsnet.recipe import Recipe
from benchmarks.plan import Faults
from benchmarks.training.base import STATE, Made, Notify, TrainingRequest
from benchmarks.training.images import training_data, training_images
from benchmarks.training.typed import changed, with_seed
from benchmarks.training.watch import Watch, write_history

HISTORY = "history.csv"
SAVE_SECONDS = 60.0
# of the mean and the spread of pixels, as they are usually given
DECIMALS = 4

_OF_RECIPE: dict[str, Any] = {field.name: (field.type, field.default) for field in fields(Recipe)}
_BESIDE: dict[str, Any] = {
    "seed": (int | None, Field(None, ge=0)),
    "data": (str | None, None),
    "images": (int | None, Field(None, ge=1)),
    "edge": (int, Field(224, ge=4)),
    "channels": (int, 3),
}
Choices: type[BaseModel] = create_model(
    "Choices", __config__=ConfigDict(extra="forbid", frozen=True), **(_OF_RECIPE | _BESIDE)
)


@dataclass(frozen=True)
class Pipeline:
    """Training images, and how a network is made out of them.

    Attributes
    ----------
    name : how tables call what is made
    makes_default : whether the model takes these weights by default
    layout : of the networks
    classes : names in the order of the targets
    images : (image, row, column, 3) uint8, at the size of the network
    targets : (image,) int64
    recipe : settings
    said : of the preset and the data, for the file of the network
    """

    name: str
    makes_default: bool
    layout: Layout
    classes: tuple[str, ...]
    images: np.ndarray
    targets: np.ndarray
    recipe: Recipe
    said: Mapping[str, object]

    @property
    def normalise(self) -> Normalisation:
        """Mean and standard deviation of each colour over the training images."""
        pixels = self.images.reshape(-1, 3) / 255
        spread = np.maximum(pixels.std(0), 10.0**-DECIMALS)
        return tuple(pixels.mean(0).round(DECIMALS).tolist()), tuple(spread.round(DECIMALS).tolist())

    def identity(self) -> Mapping[str, str]:
        """As of a `Training`."""
        return identity(self.layout, self.images, self.targets, recipe=self.recipe, normalise=self.normalise)

    def run(self, folder: Path, *, device: str, stop: Callable[[], bool], report: Notify) -> Made | None:
        """As of a `Training`; `state.pt` holds the whole state."""
        watch = Watch(f"train {self.name}", stop=stop, report=report, save_seconds=SAVE_SECONDS)
        normalise = self.normalise
        result = run_pipeline(
            self.layout,
            self.images,
            self.targets,
            recipe=self.recipe,
            normalise=normalise,
            device=device,
            checkpoint=folder / f"{STATE}.pt",
            ask=watch,
            report=lambda history: write_history(folder / HISTORY, history),
        )
        if not result.finished:
            return None
        watch.end()
        accuracies = {stage: round(accuracy, 6) for stage, accuracy in result.accuracies.items()}
        network = copy.deepcopy(result.networks.network).cpu()
        told = Described(self.layout.image_size, self.classes, normalise, self.recipe.clock)
        # the control was made from no CNN
        described(network, told, folded=None if self.recipe.direct else result.networks.folded.cpu())
        shown = ", ".join(f"{stage} {accuracy:.3f}" for stage, accuracy in accuracies.items())
        said = {**self.said, "images": len(self.images), "accuracy": accuracies, "recipe": asdict(self.recipe)}
        return Made(network, said, f"accuracy on held-out training images after each stage: {shown}")


def build(request: TrainingRequest) -> Pipeline:
    """What `bench train` runs for a CordsNet.

    Parameters
    ----------
    request : with `training.data`, and any setting of `alignment.training.cordsnet.recipe.Recipe`; `training.images=`,
        only the first so many; `training.edge=`, of the images in pixels; `training.channels=1` for grey networks

    Raises
    ------
    RequestError, DataError
        All faults in one line: another model, an unknown key or data set, a wrong value, no training images.
    """
    faults = Faults()
    if request.model not in DEPTH_OF:
        fault = unknown("model of the training cordsnet", request.model, DEPTH_OF)
        faults.found.append(fault)
    found = faults.of(lambda: _asked(request))
    data = faults.of(lambda: training_data(found["data"], request.settings)) if found else None
    faults.stop()
    assert found is not None and data is not None
    size = (found["edge"], found["edge"])
    layout = Layout(DEPTH_OF[request.model], image_size=size, n_classes=len(data.classes), n_channels=found["channels"])
    images, targets = training_images(data, size, n=found["images"])
    changes = changed(Choices, found, request)
    return Pipeline(
        request.name(changes),
        makes_default=request.makes_default(changes),
        layout=layout,
        classes=tuple(data.classes),
        images=images,
        targets=targets,
        recipe=_recipe(found),
        said={"training": request.preset.name, "data": found["data"]},
    )


def _asked(request: TrainingRequest) -> dict[str, Any]:
    """Preset and changes, typed and within their ranges; the seed is the command's where none is given."""
    found = with_seed(Choices, {**request.preset.values, **request.changes}, request)
    if found["data"] is None:
        raise RequestError("training.data is missing; name labelled images to train on, such as mnist or digits")
    _recipe(found)
    return found


def _recipe(found: Mapping[str, Any]) -> Recipe:
    return Recipe(**{key: found[key] for key in _OF_RECIPE})
