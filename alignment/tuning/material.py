"""What a network is tuned on, and whether a recipe can be followed with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.errors import DataError, RequestError
from alignment.tuning.images import Images
from alignment.tuning.losses import LEAST_IMAGES
from alignment.tuning.recipe import Recipe


@dataclass(frozen=True)
class Neural:
    """Images that one subject saw, and the responses to them.

    Attributes
    ----------
    pixels : (image, 3, row, column) float32 in [0, 1], in memory or read by the batch
    responses : (image, neuroid) float32
    weights : (neuroid,) of the mse, mean 1; None: all alike
    """

    pixels: Images
    responses: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Task:
    """Images of the task; labels are needed to validate and to train jointly, not to distil."""

    pixels: Images
    labels: Tensor | None = None


@dataclass(frozen=True)
class Material:
    """Three disjoint sets of images, less the test set, which tuning never sees.

    Attributes
    ----------
    train, validation : by subject
    task_validation : a split of the task's training images, with labels
    task : images to distil on (replay) and, with labels, to train on jointly
    """

    train: Mapping[str, Neural]
    validation: Mapping[str, Neural]
    task_validation: Task
    task: Task | None = None


def check_material(material: Material, recipe: Recipe) -> None:
    """Whether a recipe can be followed with this material.

    Parameters
    ----------
    material : Material
    recipe : Recipe

    Raises
    ------
    RequestError
        The recipe needs what the material has not: task images, labels, the same subjects, or more images.
    DataError
        Responses that are not finite, or do not fit their images.
    """
    if not material.train or material.train.keys() != material.validation.keys():
        raise RequestError("tuning needs images to tune and to validate on of the same subjects, of one at least")
    for subject in material.train:
        for name, neural in (("train", material.train[subject]), ("validation", material.validation[subject])):
            _check_neural(neural, name=f"{name} of {subject}")
    if material.task_validation.labels is None:
        raise RequestError("tuning needs task images with labels to validate on")
    _check_task(material.task, recipe)
    least = LEAST_IMAGES[recipe.loss] if recipe.neural else 1
    for subject, neural in material.train.items():
        if len(neural.pixels) < least:
            raise RequestError(
                f"train of {subject}: {len(neural.pixels)} images, and loss={recipe.loss} needs {least} in a batch; "
                "give more, or take another loss"
            )


def _check_neural(neural: Neural, *, name: str) -> None:
    if len(neural.pixels) != len(neural.responses) or not len(neural.pixels):
        raise DataError(f"{name}: {len(neural.pixels)} images, {len(neural.responses)} responses")
    if not torch.isfinite(neural.responses).all():
        raise DataError(f"{name}: responses are not all finite; leave these images or neuroids out")


def _check_task(task: Task | None, recipe: Recipe) -> None:
    wanting = [name for name in ("replay", "joint") if getattr(recipe, name)]
    if wanting and (task is None or (recipe.joint and task.labels is None)):
        raise RequestError(
            f"{' and '.join(wanting)} need task images{' with labels' if recipe.joint else ''}; give some, or set "
            f"{' and '.join(f'{name}=0' for name in wanting)}"
        )
    if recipe.batch_norm == "recalibrate" and task is None:
        raise RequestError("batch_norm=recalibrate measures statistics on task images; give some, or freeze them")
