"""Which images enter each step of an epoch, how far they are shifted, and how a step is cut into parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment import seeds
from alignment.tuning.images import Images
from alignment.tuning.losses import LEAST_IMAGES
from alignment.tuning.material import Material
from alignment.tuning.recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """Rows of one step, or of a part of one: of each subject's images, and of the task's.

    Attributes
    ----------
    neural : subject -> (image,) int64
    task : (image,) int64
    shifts : subject -> (image, 2) int64, by how many rows and columns each image is shifted; none is where the subject
        is missing
    whole : the step that this is a part of; None: it is whole
    n_parts : how many parts the step has
    first_task : place of its first task image in the step
    """

    neural: Mapping[str, Tensor]
    task: Tensor
    shifts: Mapping[str, Tensor] = field(default_factory=dict)
    whole: "Batch | None" = None
    n_parts: int = 1
    first_task: int = 0

    def parts(self, count: int) -> list["Batch"]:
        """The same rows in so many parts of about equal size, in order; fewer where there are fewer images."""
        count = min(count, max(len(rows) for rows in (*self.neural.values(), self.task)))
        if count == 1:
            return [self]
        neural, shifts = (
            {subject: torch.tensor_split(rows, count) for subject, rows in each.items()}
            for each in (self.neural, self.shifts)
        )
        task = torch.tensor_split(self.task, count)
        return [
            Batch(
                {subject: rows[at] for subject, rows in neural.items()},
                task[at],
                {subject: rows[at] for subject, rows in shifts.items()},
                whole=self,
                n_parts=count,
                first_task=sum(map(len, task[:at])),
            )
            for at in range(count)
        ]

    def share(self, subject: str) -> float:
        """Of the step's images of a subject."""
        return 1.0 if self.whole is None else len(self.neural[subject]) / len(self.whole.neural[subject])

    @property
    def task_share(self) -> float:
        """Of the step's task images."""
        return 1.0 if self.whole is None else len(self.task) / len(self.whole.task)


def batches(material: Material, recipe: Recipe, *, epoch: int) -> list[Batch]:
    """The steps of an epoch, a function of the recipe's seed and the epoch alone.

    There are as many for every subject as the one with most images needs. Each image of a subject enters once, in
    batches of about `batch_size`. A subject with too few images for what the loss asks of a batch is gone through more
    than once; where already the largest set leaves a remainder below that, batches are larger instead.

    Parameters
    ----------
    material : Material
    recipe : Recipe
    epoch : int
        Counted from 0.

    Returns
    -------
    list of Batch

    Examples
    --------
    >>> from alignment.tuning.material import Neural, Task
    >>> seen = Neural(torch.zeros(150, 3, 8, 8), torch.zeros(150, 5))
    >>> material = Material({"s1": seen}, {"s1": seen}, Task(torch.zeros(4, 3, 8, 8)))
    >>> [len(batch.neural["s1"]) for batch in batches(material, Recipe(("layer",), batch_size=60), epoch=0)]
    [50, 50, 50]
    >>> [len(batch.neural["s1"]) for batch in batches(material, Recipe(("layer",), loss="cka", batch_size=64), epoch=0)]
    [75, 75]
    """
    least = LEAST_IMAGES[recipe.loss]
    orders = {
        subject: _order(len(neural.pixels), subject, recipe, epoch=epoch) for subject, neural in material.train.items()
    }
    count = max(min(-(-len(order) // recipe.batch_size), max(1, len(order) // least)) for order in orders.values())
    parts = {subject: _parts(order, count, least=least) for subject, order in orders.items()}
    replayed = [np.empty(0, np.int64)] * count
    if material.task is not None:
        order = _order(len(material.task.pixels), "task", recipe, epoch=epoch)
        replayed = _cycled(order, count, size=min(recipe.batch_size, len(order)))
    steps = []
    for at in range(count):
        rows = {subject: torch.from_numpy(each[at]) for subject, each in parts.items()}
        shifts = {
            subject: drawn
            for subject, chosen in rows.items()
            if (drawn := _shifts(material.train[subject].pixels, len(chosen), subject, recipe, step=epoch * count + at))
            is not None
        }
        steps.append(Batch(rows, torch.from_numpy(replayed[at]), shifts))
    return steps


def shifted(pixels: Tensor, shifts: Tensor) -> Tensor:
    """Each image shifted by whole pixels, its edge repeated; never mirrored, which would swap the hemifields.

    Parameters
    ----------
    pixels : (image, 3, row, column)
    shifts : (image, 2) int64, rows up and columns to the left

    Examples
    --------
    >>> shifted(torch.arange(3.0).view(1, 1, 1, 3), torch.tensor([[0, 1]]))
    tensor([[[[1., 2., 2.]]]])
    """
    rows, columns = pixels.shape[2:]
    down, across = (int(limit) for limit in shifts.abs().amax(0))
    padded = F.pad(pixels, (across, across, down, down), mode="replicate")
    return torch.stack(
        [
            image[:, down + dy : down + dy + rows, across + dx : across + dx + columns]
            for image, (dy, dx) in zip(padded, shifts.tolist(), strict=True)
        ]
    )


def _parts(order: np.ndarray, count: int, *, least: int) -> list[np.ndarray]:
    if len(order) // count >= least:
        return np.array_split(order, count)
    return _cycled(order, count, size=min(least, len(order)))


def _cycled(order: np.ndarray, count: int, *, size: int) -> list[np.ndarray]:
    """Batches of one size, from the beginning again where the images end."""
    return [np.take(order, range(at * size, (at + 1) * size), mode="wrap") for at in range(count)]


def _order(count: int, name: str, recipe: Recipe, *, epoch: int) -> np.ndarray:
    return seeds.generator(recipe.seed, "tuning", "order", name, epoch).permutation(count)


def _shifts(images: Images, count: int, subject: str, recipe: Recipe, *, step: int) -> Tensor | None:
    """`(image, 2)`; None where the largest shift is less than a pixel."""
    limits = [int(recipe.jitter * edge) for edge in images[torch.arange(1)].shape[2:]] if recipe.jitter else [0]
    if not any(limits):
        return None
    random = seeds.generator(recipe.seed, "tuning", "jitter", subject, step)
    return torch.from_numpy(np.stack([random.integers(-limit, limit + 1, size=count) for limit in limits], axis=1))
