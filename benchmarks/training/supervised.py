"""Supervised training of any network that classifies, on the training images of a labelled data set."""

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from alignment.errors import DataError, RequestError
from alignment.models.torch_model import TorchModel
from alignment.registry import foreign_code
from alignment.stimuli import StimulusSet
from alignment.training.recipe import Recipe, split
from alignment.training.state import Epoch
from alignment.training.train import Order, identity, train
from alignment.training.updates import check_last_batch
from benchmarks.catalogue import build_dataset, cache_folder
from benchmarks.datasets.base import LabelledDataSet, holds_labels
from benchmarks.datasets.cifar10_files import ImagesAndTargets
from benchmarks.datasets.subsets import OPTION
from benchmarks.model_files import check_model, is_model_file, load_model
from benchmarks.plan import Faults
from benchmarks.provenance import available_memory
from benchmarks.robustness.images import check_logits
from benchmarks.store import write_whole
from benchmarks.training.base import STATE, Made, Notify, TrainingRequest
from benchmarks.training.choices import asked, changed, recipe_of

HISTORY = "history.csv"
SAVE_SECONDS = 60.0
RESIZED_AT_ONCE = 256
# of the images in memory: as they are kept, and once more where they are moved to the device
COPIES = 2


@runtime_checkable
class HasTrainingImages(Protocol):
    """A labelled data set that has more images than those it is judged on."""

    def train(self) -> ImagesAndTargets:
        """(image, row, column, 3) uint8 and (image,) int64, positions in its classes."""
        ...


@dataclass(frozen=True)
class Supervised:
    """A network, its training images, and how it is trained on them.

    Attributes
    ----------
    name : how tables call what is made
    makes_default : whether the model takes these weights by default
    model : with random weights; trained in place
    images : (image, row, column, 3) uint8, at the size of the network
    targets : (image,) int64, positions of the logits
    recipe : settings
    said : of the preset and the data, for the file of the network
    """

    name: str
    makes_default: bool
    model: TorchModel
    images: np.ndarray
    targets: np.ndarray
    recipe: Recipe
    said: Mapping[str, object]

    def identity(self) -> Mapping[str, str]:
        """As of a `Training`; to be asked before `run`, which trains the network in place."""
        return identity(
            self.model.module, self.images, self.targets, recipe=self.recipe, normalise=self.model.normalise
        )

    def run(self, folder: Path, *, device: str, stop: Callable[[], bool], report: Notify) -> Made | None:
        """As of a `Training`; `state.pt` holds the whole state."""
        watch = _Watch(f"train {self.name}", stop=stop, report=report)
        trained = train(
            self.model.module,
            self.images,
            self.targets,
            recipe=self.recipe,
            normalise=self.model.normalise,
            device=device,
            checkpoint=folder / f"{STATE}.pt",
            ask=watch,
            report=lambda history: _write_history(folder / HISTORY, history),
        )
        if not trained.finished or trained.selected is None:
            return None
        watch.end()
        kept = trained.history[trained.selected]
        held_out = len(split(len(self.images), validation=self.recipe.validation).validation)
        said = {
            **self.said,
            "images": len(self.images) - held_out,
            "validation_images": held_out,
            **kept._asdict(),
            "recipe": asdict(self.recipe),
        }
        return Made(trained.module, said, f"epoch {kept.epoch + 1} of {self.recipe.epochs} kept, {_standing(kept)}")


def build(request: TrainingRequest) -> Supervised:
    """What `bench train` runs where nothing else is said.

    Parameters
    ----------
    request : with `training.data`, and any setting of `alignment.training.recipe.Recipe`

    Raises
    ------
    RequestError, DataError
        All faults in one line: an unknown model, key or data set, a value of the wrong kind, no training images; then
        a network that does not tell the classes of the data apart, or too little memory.
    """
    faults, settings = Faults(), request.settings
    places: dict[str, Any] = {"data_root": settings.data.root, "cache": cache_folder(settings)}
    if is_model_file(request.model):
        faults.found.append(RequestError(f"model {request.model} is trained already; name the network it is of"))
    else:
        faults.found += check_model(request.model, **places)
    found = faults.of(lambda: asked(request))
    data = faults.of(lambda: _data(found["data"], request)) if found else None
    faults.stop()
    assert found is not None and data is not None
    model = _classified(load_model(request.model, weights="none", seed=settings.seed, **places), data)
    images, targets = _images(model, data, n=found["images"])
    recipe, changes = recipe_of(found), changed(found, request)
    trained_on = split(len(images), validation=recipe.validation).training
    check_last_batch(model.module, len(trained_on), batch_size=recipe.batch_size)
    return Supervised(
        request.name(changes),
        makes_default=request.makes_default(changes),
        model=model,
        images=images,
        targets=targets,
        recipe=recipe,
        said={"training": request.preset.name, "data": found["data"]},
    )


class _Watch:
    """Says before every update what is to be done, and how far it is."""

    def __init__(self, what: str, *, stop: Callable[[], bool], report: Notify) -> None:
        self.what, self.stop, self.report = what, stop, report
        self.saved, self.steps = time.monotonic(), 0

    def end(self) -> None:
        """All is done, whether it was now or before."""
        self.report(self.what, self.steps, self.steps)

    def __call__(self, step: int, steps: int) -> Order:
        self.steps = steps
        self.report(self.what, step, steps)
        if self.stop():
            return Order.STOP
        now = time.monotonic()
        if now - self.saved < SAVE_SECONDS:
            return Order.GO
        self.saved = now
        return Order.SAVE


def _data(name: str, request: TrainingRequest) -> LabelledDataSet:
    if OPTION in request.settings.data.options():
        raise RequestError(
            f"data.{OPTION} is of the images that judge, and none of them is trained on; give training.images"
        )
    data = build_dataset(name, request.settings)
    if not holds_labels(data):
        raise RequestError(f"training.data={name}: it has no labels; name labelled images, such as digits or cifar10")
    if not isinstance(data, HasTrainingImages):
        raise RequestError(
            f"training.data={name}: it has no training images beside those that judge; name data that have (digits, "
            "cifar10), or give yours a `train` that returns images and targets"
        )
    return data


def _classified(model: Any, data: LabelledDataSet) -> TorchModel:
    """The model, if cross-entropy on these classes can train it."""
    if not isinstance(model, TorchModel):
        raise RequestError(f"{model.name} is no plain torch network; it needs a training of its own (training=)")
    times = check_logits(model, data)
    if times != 1 or model.stochastic:
        what = "draws random numbers" if model.stochastic else f"decides at {times} time_bins"
        raise RequestError(f"{model.name} {what}; it needs a training of its own (training=)")
    return model


def _images(model: TorchModel, data: LabelledDataSet, *, n: int | None) -> ImagesAndTargets:
    """The first n training images at the size of the model."""
    assert isinstance(data, HasTrainingImages)
    with foreign_code(f"training images of {data.name}"):
        images, targets = data.train()
    if n is not None and n > len(images):
        raise DataError(
            f"training.images={n}: {data.name} has {len(images)} training images at hand; put all of them there, or "
            f"give training.images={len(images)}"
        )
    images, targets = images[:n], targets[:n]
    size = model.image_size or images.shape[1:3]
    needed, there = COPIES * len(images) * size[0] * size[1] * 3, available_memory()
    if needed > there:
        raise DataError(
            f"{data.name}: {len(images)} images of {size[0]}x{size[1]} need about {needed / 1e9:.0f} GB of memory, "
            f"{there / 1e9:.0f} GB are free; give training.images, or a larger machine"
        )
    return ImagesAndTargets(_resized(images, size, name=data.name), targets)


def _resized(images: np.ndarray, size: tuple[int, int], *, name: str) -> np.ndarray:
    """As the images that judge are resized, rounded to uint8."""
    if images.shape[1:3] == tuple(size):
        return images
    places = tuple(map(str, range(len(images))))
    stimuli = StimulusSet(name, places, lambda place: images[int(place)])
    blocks = (stimuli.pixels(block, size=size) for block in stimuli.blocks(RESIZED_AT_ONCE))
    return np.concatenate([(255 * block).round().byte().permute(0, 2, 3, 1).numpy() for block in blocks])


def _standing(kept: Epoch) -> str:
    if kept.validation_accuracy is None:
        return f"accuracy {kept.accuracy:.3f} on the images it was trained on"
    return f"accuracy {kept.validation_accuracy:.3f} on held-out training images"


def _write_history(path: Path, history: tuple[Epoch, ...]) -> None:
    text = io.StringIO()
    pd.DataFrame(history).to_csv(text, index=False, float_format="%.6g", lineterminator="\n")
    write_whole(path, text.getvalue().encode())
