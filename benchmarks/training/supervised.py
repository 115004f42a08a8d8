"""Supervised training of any network that classifies, on the training images of a labelled data set."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alignment.errors import RequestError
from alignment.models.torch_model import TorchModel
from alignment.training.recipe import Recipe, split
from alignment.training.state import Epoch
from alignment.training.train import identity, train
from alignment.training.updates import check_last_batch
from benchmarks.catalogue import cache_folder
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.model_files import check_model, is_model_file, load_model
from benchmarks.plan import Faults
from benchmarks.robustness.images import check_logits
from benchmarks.training.base import STATE, Made, Notify, TrainingRequest
from benchmarks.training.choices import Choices, asked, recipe_of
from benchmarks.training.images import training_data, training_images
from benchmarks.training.typed import changed
from benchmarks.training.watch import Watch, write_history

HISTORY = "history.csv"
SAVE_SECONDS = 60.0


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
        watch = Watch(f"train {self.name}", stop=stop, report=report, save_seconds=SAVE_SECONDS)
        trained = train(
            self.model.module,
            self.images,
            self.targets,
            recipe=self.recipe,
            normalise=self.model.normalise,
            device=device,
            checkpoint=folder / f"{STATE}.pt",
            ask=watch,
            report=lambda history: write_history(folder / HISTORY, history),
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
    data = faults.of(lambda: training_data(found["data"], settings)) if found else None
    faults.stop()
    assert found is not None and data is not None
    model = _classified(load_model(request.model, weights="none", seed=settings.seed, **places), data)
    images, targets = training_images(data, model.image_size, n=found["images"])
    recipe, changes = recipe_of(found), changed(Choices, found, request)
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


def _classified(model: Any, data: LabelledDataSet) -> TorchModel:
    """The model, if cross-entropy on these classes can train it."""
    if not isinstance(model, TorchModel):
        raise RequestError(f"{model.name} is no plain torch network; it needs a training of its own (training=)")
    times = check_logits(model, data)
    if times != 1 or model.stochastic:
        what = "draws random numbers" if model.stochastic else f"decides at {times} time_bins"
        raise RequestError(f"{model.name} {what}; it needs a training of its own (training=)")
    return model


def _standing(kept: Epoch) -> str:
    if kept.validation_accuracy is None:
        return f"accuracy {kept.accuracy:.3f} on the images it was trained on"
    return f"accuracy {kept.validation_accuracy:.3f} on held-out training images"
