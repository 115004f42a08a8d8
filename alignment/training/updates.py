"""One update of a network's weights after another, and what an epoch of them came to."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds
from alignment.errors import RequestError
from alignment.models.hooks import evaluating
from alignment.models.torch_model import Normalisation
from alignment.training.augmentation import Draws, draw, shift_and_flip
from alignment.training.recipe import Recipe, split
from alignment.training.schedule import learning_rate
from alignment.training.state import Epoch, Progress, Selected

EVALUATION_BATCH = 512


class Images(NamedTuple):
    """Labelled images on the device where they are used.

    Attributes
    ----------
    values : (image, row, column, 3) uint8
    targets : (image,) int64
    normalise : (mean, sd) per channel of pixels in [0, 1], or None
    """

    values: Tensor
    targets: Tensor
    normalise: Normalisation | None

    def pixels(self, values: Tensor) -> Tensor:
        """(batch, row, column, 3) uint8 as a network takes them, (batch, 3, row, column) float32."""
        scaled = values.permute(0, 3, 1, 2).float() / 255
        if self.normalise is None:
            return scaled
        mean, sd = (scaled.new_tensor(row).view(1, 3, 1, 1) for row in self.normalise)
        return (scaled - mean) / sd


class Evaluation(NamedTuple):
    """Mean cross-entropy in nats, and the share of images whose highest logit is that of their class."""

    loss: float
    accuracy: float


class Updates:
    """A network, its optimiser and its images, between two updates.

    Parameters
    ----------
    module : trained in place, on the device of the images
    images : for training and validation
    recipe : settings

    Raises
    ------
    RequestError
        Too few images, or a last batch of one image, of which batch normalisation has no statistics.
    """

    def __init__(self, module: nn.Module, images: Images, *, recipe: Recipe) -> None:
        self.module, self.images, self.recipe = module, images, recipe
        device = images.values.device
        self.training, self.validation = (
            torch.from_numpy(part).to(device) for part in split(len(images.values), validation=recipe.validation)
        )
        self.per_epoch = -(-len(self.training) // recipe.batch_size)
        self.steps = recipe.epochs * self.per_epoch
        check_last_batch(module, len(self.training), batch_size=recipe.batch_size)
        self.optimiser = torch.optim.SGD(
            module.parameters(),
            lr=recipe.least_learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
        self.progress = Progress()
        self._planned: tuple[int, Tensor, Draws] | None = None

    def update(self) -> None:
        """One step down the gradient of the mean loss of the next batch.

        Raises
        ------
        RequestError
            The loss is not finite, and the weights were left as they were; or the network gives no logits.
        """
        step = self.progress.step
        batch, draws = self._batch(step)
        targets = self.images.targets[batch]
        pixels = self.images.pixels(shift_and_flip(self.images.values[batch], draws))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(step)
        self.module.train()
        with _seeded(pixels.device, seeds.derive(self.recipe.seed, "training", "step", step)):
            logits = _logits(self.module, pixels, targets, precision=self.recipe.precision)
        loss = F.cross_entropy(logits, targets)
        value = loss.item()
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}")
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.progress.loss_sum += value * len(batch)
        self.progress.hits += int((logits.argmax(1) == targets).sum())
        self.progress.step = step + 1

    def end_epoch(self) -> None:
        """Validate, note what the epoch that is over came to, and choose it if it is the best so far.

        Raises
        ------
        RequestError
            The validation loss is not finite.
        """
        progress, n = self.progress, len(self.training)
        held_out = None if not len(self.validation) else self._validate()
        row = Epoch(
            epoch=progress.step // self.per_epoch - 1,
            learning_rate=self._rate(progress.step - 1),
            loss=progress.loss_sum / n,
            accuracy=progress.hits / n,
            validation_loss=None if held_out is None else held_out.loss,
            validation_accuracy=None if held_out is None else held_out.accuracy,
        )
        progress.history.append(row)
        progress.loss_sum, progress.hits = 0.0, 0
        if self._is_best(row):
            state = {name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()}
            progress.selected = Selected(row.epoch, state)

    def check_finite(self) -> None:
        """Whether the weights are worth keeping.

        Raises
        ------
        RequestError
            One is not finite.
        """
        for name, value in self.module.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise self._diverged(f"{name} is not finite")

    def _batch(self, step: int) -> tuple[Tensor, Draws]:
        """Positions of the images of an update, and what is done to them."""
        epoch, place = divmod(step, self.per_epoch)
        if self._planned is None or self._planned[0] != epoch:
            seed, device = self.recipe.seed, self.training.device
            order = seeds.generator(seed, "training", "order", epoch).permutation(len(self.training))
            draws = draw(
                len(self.images.values), epoch=epoch, padding=self.recipe.padding, flip=self.recipe.flip, seed=seed
            )
            ordered = self.training[torch.from_numpy(order).to(device)]
            self._planned = epoch, ordered, Draws(*(each.to(device) for each in draws))
        _, ordered, draws = self._planned
        batch = ordered[place * self.recipe.batch_size : (place + 1) * self.recipe.batch_size]
        return batch, Draws(draws.shifts[batch], draws.flips[batch])

    def _rate(self, step: int) -> float:
        return learning_rate(
            step,
            warm_up=self.recipe.warm_up_epochs * self.per_epoch,
            total=self.steps,
            peak=self.recipe.learning_rate,
            least=self.recipe.least_learning_rate,
        )

    def _validate(self) -> Evaluation:
        held_out = evaluation(self.module, self.images, self.validation, precision=self.recipe.precision)
        if not math.isfinite(held_out.loss):
            raise self._diverged(f"the validation loss is {held_out.loss}")
        return held_out

    def _is_best(self, row: Epoch) -> bool:
        """Better than the epoch chosen so far; without validation the last one is."""
        if self.progress.selected is None or row.validation_loss is None or row.validation_accuracy is None:
            return True
        best = self.progress.history[self.progress.selected.epoch]
        if self.recipe.select == "loss":
            return best.validation_loss is None or row.validation_loss < best.validation_loss
        return best.validation_accuracy is None or row.validation_accuracy > best.validation_accuracy

    def _diverged(self, what: str) -> RequestError:
        epoch = self.progress.step // self.per_epoch
        return RequestError(
            f"training {type(self.module).__name__}: {what} in epoch {epoch} (update {self.progress.step}); give a "
            "smaller learning_rate or a longer warm-up"
        )


def evaluation(module: nn.Module, images: Images, positions: Tensor, *, precision: str) -> Evaluation:
    """Loss and accuracy of some of the images, as they are, in evaluation mode."""
    loss, hits = 0.0, 0
    with torch.no_grad(), evaluating(module):
        for batch in positions.split(EVALUATION_BATCH):
            targets = images.targets[batch]
            logits = _logits(module, images.pixels(images.values[batch]), targets, precision=precision)
            loss += F.cross_entropy(logits, targets, reduction="sum").item()
            hits += int((logits.argmax(1) == targets).sum())
    return Evaluation(loss / len(positions), hits / len(positions))


def on_device(
    images: np.ndarray, targets: np.ndarray, *, normalise: Normalisation | None, device: torch.device
) -> Images:
    """Labelled images from arrays, checked.

    Raises
    ------
    RequestError
        They have other types or shapes, or a target is below 0.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise RequestError(
            f"training: images are {images.dtype} {images.shape}, expected uint8 (image, row, column, 3)"
        )
    if targets.dtype.kind not in "iu" or targets.shape != images.shape[:1] or targets.min() < 0:
        raise RequestError(
            f"training: targets are {targets.dtype} {targets.shape}, expected a class from 0 on to each of "
            f"{len(images)} images"
        )
    classes = torch.tensor(targets.astype(np.int64), device=device)
    return Images(torch.tensor(images, device=device), classes, normalise)


def _logits(module: nn.Module, pixels: Tensor, targets: Tensor, *, precision: str) -> Tensor:
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        logits = module(pixels)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] <= int(targets.max()):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise RequestError(
            f"training {type(module).__name__}: it gives {found} for {len(targets)} images, expected logits (batch, "
            f"class) of more than {int(targets.max())} classes"
        )
    return logits.float()


def check_last_batch(module: nn.Module, n: int, *, batch_size: int) -> None:
    """Whether a network can be trained on n images in batches of this size.

    Raises
    ------
    RequestError
        A batch would hold one image alone, of which batch normalisation has no statistics.
    """
    normalises = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())
    if normalises and (n % batch_size == 1 or batch_size == 1):
        raise RequestError(
            f"training: {n} images in batches of {batch_size} leave one alone, of which batch normalisation has no "
            "statistics; give another batch_size"
        )


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Torch's generators seeded for a forward pass, on the device as well, then as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
