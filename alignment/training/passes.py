r"""Training a network with feedback: every pass is supervised, and it may learn to follow cues.

The loss of an image is the mean over passes of the cross-entropy of that pass's logits, so that the first pass stays
good by itself (Konkle & Alvarez 2023). That alone does not make a small network follow a cue. Cue training adds blends
of two images of different classes, in which a template asks for the class of one of them, and is answered with it in
the last pass, or for a class that is in neither, and is answered with both.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment import seeds
from alignment.errors import RequestError, unknown
from alignment.models.lrm.network import LRM
from alignment.models.lrm.signals import Signal
from alignment.models.torch_model import Normalisation
from alignment.stimuli.composites import overlap
from alignment.training.augmentation import Draws, draw, shift_and_flip
from alignment.training.updates import Images, check_last_batch, on_device

# of the highest learning rate, where training begins
BEGIN = 1e-4


@dataclass(frozen=True)
class Cues:
    """Of the blends that a network learns to be steered on.

    Parameters
    ----------
    source : of feedback, a vector with a number for each class; its template is 1 at the cued class and 0 elsewhere
    weight : of their loss beside that of whole images
    absent : share of the cues that ask for a class which is in neither image
    strength : of the signal

    Raises
    ------
    RequestError
        A setting is out of its range.
    """

    source: str
    weight: float = 1.0
    absent: float = 0.25
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check("cues", weight=(self.weight, 0 < self.weight < math.inf, "above 0"))
        _check("cues", absent=(self.absent, 0 <= self.absent <= 1, "a share of 0 to 1"))


@dataclass(frozen=True)
class PassesRecipe:
    """Everything that determines the trained weights, beside the images, the starting weights and the hardware.

    The defaults are those of the published training script; which of them the published weights were made with is not
    known. Weights of batch normalisation do not decay.

    Parameters
    ----------
    epochs : passes over the training images
    batch_size : images in an update; the last batch of an epoch is smaller where they do not divide
    learning_rate : the highest; it rises to it, and falls to 0, on straight lines
    warm_up_epochs : of the rise, which begins at a ten-thousandth
    momentum, weight_decay, label_smoothing : of stochastic gradient descent and of the cross-entropy
    padding : largest shift of an image, in pixels
    flip : whether half of the images are flipped, left to right
    cues : None trains without
    seed : of the order of images, shifts, flips, blends, cues and dropout

    Raises
    ------
    RequestError
        A setting is out of its range.
    """

    epochs: int = 30
    batch_size: int = 512
    learning_rate: float = 0.5
    warm_up_epochs: float = 2
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    padding: int = 0
    flip: bool = True
    cues: Cues | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check(
            "training",
            epochs=(self.epochs, self.epochs >= 1, "1 or more"),
            batch_size=(self.batch_size, self.batch_size >= 1, "1 or more"),
            learning_rate=(self.learning_rate, 0 < self.learning_rate < math.inf, "above 0"),
            warm_up_epochs=(self.warm_up_epochs, 0 <= self.warm_up_epochs <= self.epochs, "0 to epochs"),
            momentum=(self.momentum, 0 <= self.momentum < 1, "0 to below 1"),
            weight_decay=(self.weight_decay, 0 <= self.weight_decay < math.inf, "0 or more"),
            label_smoothing=(self.label_smoothing, 0 <= self.label_smoothing < 1, "0 to below 1"),
            padding=(self.padding, self.padding >= 0, "0 or more"),
        )


class Losses(NamedTuple):
    """Means over the updates of an epoch; `cued` is NaN without cues."""

    passes: float
    cued: float


def loss_over_passes(logits: list[Tensor], targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean over passes of the mean cross-entropy.

    Parameters
    ----------
    logits : (batch, class) of each pass
    targets : (batch,) int64, or (batch, class) probabilities

    Examples
    --------
    >>> right, wrong = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 9.0]])
    >>> round(float(loss_over_passes([right, wrong], torch.tensor([0]))), 2)
    4.5
    """
    each = [F.cross_entropy(one, targets, label_smoothing=label_smoothing) for one in logits]
    return torch.stack(each).mean()


def train_over_passes(
    network: LRM,
    images: np.ndarray,
    targets: np.ndarray,
    *,
    recipe: PassesRecipe,
    normalise: Normalisation | None = None,
    device: str = "cpu",
) -> tuple[Losses, ...]:
    """Minimise the loss over passes, and that of cues where there are some.

    Parameters
    ----------
    network : trained in place, on `device`, and left in evaluation mode
    images : (image, row, column, 3) uint8
    targets : (image,) integers, class of each
    recipe : settings
    normalise : (mean, sd) per channel, applied to pixels in [0, 1] before the network
    device : cpu | cuda | cuda:<number> | mps

    Returns
    -------
    Losses of each epoch

    Raises
    ------
    RequestError
        Images or targets have other types or shapes, the network has too few logits, batch normalisation gets one image
        alone, there are too few classes for cues, the source of cues is none, or the loss is no longer finite.

    Examples
    --------
    >>> backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.Flatten(), torch.nn.Linear(36, 3))
    >>> network, rng = LRM(backbone, [("2", "0")], image_size=(8, 8)), np.random.default_rng(0)
    >>> images, targets = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8), np.arange(12) % 3
    >>> recipe = PassesRecipe(epochs=3, batch_size=6, warm_up_epochs=1, learning_rate=0.1, cues=Cues("2"))
    >>> len(train_over_passes(network, images, targets, recipe=recipe))
    3
    """
    data = on_device(images, targets, normalise=normalise, device=torch.device(device))
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng():
        run = _Updates(network.to(device).train(), data, recipe=recipe)
        history = tuple(run.epoch(number) for number in range(recipe.epochs))
    network.eval()
    return history


class _Updates:
    def __init__(self, network: LRM, images: Images, *, recipe: PassesRecipe) -> None:
        self.network, self.images, self.recipe = network, images, recipe
        self.n_classes = int(images.targets.max()) + 1
        check_last_batch(network, len(images.targets), batch_size=recipe.batch_size)
        if recipe.cues is not None:
            self._check_cues(recipe.cues)
        decays: dict[bool, list[Tensor]] = {False: [], True: []}
        for part in network.modules():
            normalises = isinstance(part, torch.nn.modules.batchnorm._BatchNorm)
            decays[not normalises] += part.parameters(recurse=False)
        groups: list[dict[str, Any]] = [{"params": decays[True]}, {"params": decays[False], "weight_decay": 0.0}]
        self.optimiser = torch.optim.SGD(
            groups, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )

    def _check_cues(self, cues: Cues) -> None:
        if len(self.images.targets.unique()) < 3:
            raise RequestError("training: cues need images of three classes or more; train without, or give more")
        if cues.source not in self.network.sources:
            raise unknown("source of feedback", cues.source, self.network.sources)
        shape = self.network.sources[cues.source]
        if len(shape) > 1 or shape[0] < self.n_classes:
            raise RequestError(
                f"training: {cues.source} puts out {shape} for an image and there are {self.n_classes} classes; cue a "
                "source with a number for each class"
            )

    def epoch(self, number: int) -> Losses:
        recipe, n = self.recipe, len(self.images.targets)
        order = seeds.generator(recipe.seed, "passes", "order", number).permutation(n)
        draws = draw(n, epoch=number, padding=recipe.padding, flip=recipe.flip, seed=recipe.seed)
        batches = torch.from_numpy(order).split(recipe.batch_size)
        found = []
        for place, batch in enumerate(batches):
            rate = _rate(number + place / len(batches), recipe)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            torch.manual_seed(seeds.derive(recipe.seed, "passes", "step", number, place))
            cues = seeds.generator(recipe.seed, "passes", "cues", number, place)
            found.append(self._update(batch, Draws(draws.shifts[batch], draws.flips[batch]), cues))
        return Losses(*np.mean(found, axis=0).tolist())

    def _update(self, batch: Tensor, draws: Draws, generator: np.random.Generator) -> Losses:
        device = self.images.targets.device
        moved = shift_and_flip(self.images.values[batch.to(device)], Draws(*(each.to(device) for each in draws)))
        pixels, targets = self.images.pixels(moved), self.images.targets[batch.to(device)]
        logits = self.network(pixels)
        self._check_logits(logits[-1])
        loss = loss_over_passes(logits, targets, label_smoothing=self.recipe.label_smoothing)
        values, total = [loss.item(), math.nan], loss
        if self.recipe.cues is not None:
            cued = self._cued(pixels, targets, self.recipe.cues, generator)
            values[1], total = cued.item(), loss + self.recipe.cues.weight * cued
        if not math.isfinite(total.item()):
            raise RequestError(
                f"training: the loss is {total.item()}; give a smaller learning_rate or a longer warm-up"
            )
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()
        return Losses(*values)

    def _cued(self, pixels: Tensor, targets: Tensor, cues: Cues, generator: np.random.Generator) -> Tensor:
        """Of the last pass over blends of the batch with itself, each image with one of another class."""
        own, width = targets.cpu().numpy(), self.network.sources[cues.source][0]
        partner = _one_of(own[:, None] != own, generator)
        pair = np.stack([own, own[partner]], axis=1)
        neither = _one_of((np.arange(self.n_classes) != pair[..., None]).all(1), generator)
        asks_absent = torch.from_numpy(generator.random(len(own)) < cues.absent).to(targets.device)[:, None]
        first, second, absent = (
            F.one_hot(torch.from_numpy(each).to(targets.device), width).to(pixels.dtype) for each in (*pair.T, neither)
        )
        signal = Signal(cues.source, absent.where(asks_absent, first), strength=cues.strength)
        with self.network.steering(signal):
            logits = self.network(overlap(pixels, pixels[torch.from_numpy(partner).to(pixels.device)]))[-1]
        return F.cross_entropy(logits, ((first + second) / 2).where(asks_absent, first))

    def _check_logits(self, logits: Tensor) -> None:
        cues, found = self.recipe.cues, logits.shape[1]
        if found < self.n_classes:
            raise RequestError(f"training: the network gives {found} logits, and there are {self.n_classes} classes")
        if cues is not None and found != self.network.sources[cues.source][0]:
            raise RequestError(
                f"training: {cues.source} puts out {self.network.sources[cues.source][0]} numbers and the network "
                f"gives {found} logits; cue a source with a number for each class"
            )


def _one_of(allowed: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """In each row the place of one that is allowed, each as likely; the first where none is."""
    return np.where(allowed, generator.random(allowed.shape), -1.0).argmax(1)


def _rate(epoch: float, recipe: PassesRecipe) -> float:
    """Of the learning, at a time counted in epochs."""
    times = [0.0, float(recipe.warm_up_epochs), float(recipe.epochs)]
    return float(np.interp(epoch, times, [BEGIN * recipe.learning_rate, recipe.learning_rate, 0.0]))


def _check(where: str, **settings: tuple[float, bool, str]) -> None:
    for name, (value, is_sound, expected) in settings.items():
        if not is_sound:
            raise RequestError(f"{where}: {name} is {value}; give {expected}")
