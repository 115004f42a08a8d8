"""Training the recurrent network of Thorat, Aldegheri & Kietzmann 2021 on cluttered images that are made as it goes."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from alignment import seeds
from alignment.errors import RequestError
from alignment.models.thorat_rnn.model import ThoratModel
from alignment.stimuli.clutter import Clutter, training_split
from alignment.stimuli.clutter.objects import FLOAT, VALIDATION
from alignment.training.clutter import ClutterRecipe, Series, identity, train_on_clutter
from benchmarks.catalogue import build_dataset, cache_folder
from benchmarks.datasets.clutter import objects_of
from benchmarks.datasets.mnist import FASHION_MNIST, MNIST, Mnist
from benchmarks.datasets.mnist_files import TRAIN
from benchmarks.model_files import check_model, is_model_file, load_model
from benchmarks.plan import Faults
from benchmarks.settings import Settings
from benchmarks.training.base import STATE, Made, Notify, TrainingRequest
from benchmarks.training.typed import changed, with_seed
from benchmarks.training.watch import Watch, write_history

HISTORY = "history.csv"
# the state is three times the weights
SAVE_SECONDS = 300.0
# which images validate is part of the data, so the root is fixed and never the seed of a run
VALIDATION_ROOT = 0

_OF_RECIPE: dict[str, Any] = {field.name: (field.type, field.default) for field in fields(ClutterRecipe)}
_BESIDE: dict[str, Any] = {
    "seed": (int | None, Field(None, ge=0)),
    "convention": (str, FLOAT),
    "held_out": (int, Field(VALIDATION, ge=1)),
}
Choices: type[BaseModel] = create_model(
    "Choices", __config__=ConfigDict(extra="forbid", frozen=True), **(_OF_RECIPE | _BESIDE)
)


@dataclass(frozen=True)
class ClutterTraining:
    """A network, the images it is trained on, and how.

    Attributes
    ----------
    name : how tables call what is made
    makes_default : whether the model takes these weights by default
    model : with random weights; trained in place
    series : images to train and to validate on
    recipe : settings
    said : of the preset and the images, for the file of the network
    """

    name: str
    makes_default: bool
    model: ThoratModel
    series: Series
    recipe: ClutterRecipe
    said: Mapping[str, object]

    def identity(self) -> Mapping[str, str]:
        """As of a `Training`; to be asked before `run`, which trains the network in place."""
        return identity(self.model.module, self.series, recipe=self.recipe)

    def run(self, folder: Path, *, device: str, stop: Callable[[], bool], report: Notify) -> Made | None:
        """As of a `Training`; `state.pt` holds the whole state."""
        watch = Watch(f"train {self.name}", stop=stop, report=report, save_seconds=SAVE_SECONDS)
        trained = train_on_clutter(
            self.model.module,
            self.series,
            recipe=self.recipe,
            device=device,
            checkpoint=folder / f"{STATE}.pt",
            ask=watch,
            report=lambda history: write_history(folder / HISTORY, history),
        )
        if not trained.finished:
            return None
        watch.end()
        last = trained.history[-1]
        accuracy = f"accuracy {last.validation_accuracy:.3f} on images of held-out objects"
        said = {**self.said, **last._asdict(), "recipe": asdict(self.recipe)}
        return Made(trained.module, said, f"{self.recipe.iterations} iterations, {accuracy}")


def build(request: TrainingRequest) -> ClutterTraining:
    """What `bench train` runs for a network that sorts cluttered images.

    Parameters
    ----------
    request : with any setting of `alignment.training.clutter.ClutterRecipe`; `training.convention=float|uint8`, how
        pixels are handled; `training.held_out=`, training images of each domain that validation images are made of; and
        `training.seed=` of the images

    Raises
    ------
    RequestError, DataError
        All faults in one line: an unknown model or key, a value of the wrong kind, no such data; then a model of
        another kind.
    """
    faults, settings = Faults(), request.settings
    places: dict[str, Any] = {"data_root": settings.data.root, "cache": cache_folder(settings)}
    if is_model_file(request.model):
        faults.found.append(RequestError(f"model {request.model} is trained already; name the network it is of"))
    else:
        faults.found += check_model(request.model, **places)
    found = faults.of(lambda: _asked(request))
    series = faults.of(lambda: _series(found, settings)) if found else None
    faults.stop()
    assert found is not None and series is not None
    model = load_model(request.model, weights="none", seed=settings.seed, **places)
    if not isinstance(model, ThoratModel):
        raise RequestError(f"{model.name} is no network for cluttered images; name thorat_rnn or another of its kind")
    changes = changed(Choices, found, request)
    return ClutterTraining(
        request.name(changes),
        makes_default=request.makes_default(changes),
        model=model,
        series=series,
        recipe=_recipe(found),
        said={"training": request.preset.name, **{key: found[key] for key in _BESIDE}},
    )


def _series(found: Mapping[str, Any], settings: Settings) -> Series:
    """Images made of the training images at hand, of other seeds for other seeds of the training."""
    sources = []
    for kind in (MNIST, FASHION_MNIST):
        data = build_dataset(kind.name, settings)
        assert isinstance(data, Mnist)
        sources.append(data.source)
    parts = training_split(
        objects_of(sources, part=TRAIN), convention=found["convention"], validation=found["held_out"]
    )
    drawn = {"training": found["seed"], "validation": VALIDATION_ROOT}
    return Series(
        *(
            Clutter(objects, seed=seeds.derive(drawn[name], "clutter", name), convention=found["convention"])
            for name, objects in parts._asdict().items()
        )
    )


def _asked(request: TrainingRequest) -> dict[str, Any]:
    """Preset and changes, typed and within their ranges; the seed is the command's where none is given."""
    found = with_seed(Choices, {**request.preset.values, **request.changes}, request)
    _recipe(found)
    return found


def _recipe(found: Mapping[str, Any]) -> ClutterRecipe:
    return ClutterRecipe(**{key: found[key] for key in _OF_RECIPE})
