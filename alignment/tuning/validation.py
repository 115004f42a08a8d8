"""Where a student stands, on images that tune nothing."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.correlation import pearson
from alignment.encoding import fit_ridge
from alignment.errors import DataError
from alignment.tuning.layered import ALPHAS, joined, layer_scales
from alignment.tuning.material import Neural, Task
from alignment.tuning.student import Student
from alignment.tuning.teacher import Teacher

POOL = 4


def on_task(student: Student, teacher: Teacher, task: Task) -> tuple[float, float]:
    """Accuracy of a student, and the share of images on which its teacher gives the same class.

    Parameters
    ----------
    student, teacher : whose last time bin answers
    task : with labels; the same images each time
    """
    assert task.labels is not None
    said = torch.cat([logits[:, -1].argmax(-1).cpu() for logits, _ in student.passes(task.pixels, "task")])
    taught = teacher.kept("task validation", task.pixels, torch.arange(len(said)))[:, -1].argmax(-1).cpu()
    return float((said == task.labels.cpu()).double().mean()), float((said == taught).double().mean())


@torch.no_grad()
def on_neural(student: Student, readouts: Mapping[str, nn.Module], images: Mapping[str, Neural]) -> float:
    """Mean over neuroids of r between predicted and observed responses, then over subjects.

    Parameters
    ----------
    student : Student
    readouts : mapping of subject to readout
    images : mapping of subject to images and responses

    Raises
    ------
    DataError
        What is predicted is not finite.
    """
    found = []
    for subject, neural in images.items():
        module = readouts[subject].eval()
        predicted = torch.cat([module(each).cpu() for _, each in student.passes(neural.pixels, "neural")])
        module.train()
        if not predicted.isfinite().all():
            raise DataError(f"validation of {subject}: predicted responses are not finite; lower the learning rate")
        found.append(float(np.mean(pearson(predicted.double().numpy(), neural.responses.double().numpy()))))
    return float(np.mean(found))


@torch.no_grad()
def by_refit(student: Student, train: Mapping[str, Neural], validation: Mapping[str, Neural]) -> float:
    """Mean over neuroids of r of a ridge from the layer that is fitted anew, then over subjects.

    A readout that was trained along with the network can fit its images ever better while those of validation grow
    worse; what the layer itself holds of the responses, a fresh ridge says, as the benchmarks of predictivity do: maps
    are averaged to at most 4 x 4, alpha is chosen by leave-one-out; several layers count alike.

    Parameters
    ----------
    student : Student
    train, validation : mapping of subject to images and responses, to fit and to judge on
    """
    found = []
    for subject, neural in validation.items():
        fitted, judged = (_features(student, each) for each in (train[subject], neural))
        scales = layer_scales(fitted)
        x = joined(fitted, scales)
        fit = fit_ridge(x, train[subject].responses.to(x), alphas=ALPHAS)
        predicted = fit.predict(joined(judged, scales)).double().cpu().numpy()
        found.append(float(np.mean(pearson(predicted, neural.responses.double().numpy()))))
    return float(np.mean(found))


def _features(student: Student, neural: Neural) -> list[Tensor]:
    """(image, unit) of each layer."""
    passes = [[_pooled(each) for each in layers] for _, layers in student.passes(neural.pixels, "neural")]
    return [torch.cat(layer) for layer in zip(*passes, strict=True)]


def _pooled(activations: Tensor) -> Tensor:
    maps = activations.flatten(0, -4) if activations.ndim > 4 else activations
    if maps.ndim == 4:
        maps = F.adaptive_avg_pool2d(maps, (min(POOL, maps.shape[2]), min(POOL, maps.shape[3])))
    return maps.reshape(len(activations), -1)
