"""Training a network on cluttered images that are made anew for every update, so that none is seen twice.

Image k of update s is image s x batch_size + k of a series, which its index alone determines: a training goes on from
its file as if it had never stopped, to the bit on a CPU with as many threads.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import fingerprint
from alignment.errors import RequestError
from alignment.models import module_fingerprint
from alignment.models.hooks import evaluating
from alignment.stimuli.clutter import Clutter
from alignment.training.state import Epoch, Progress, read_progress, write_progress
from alignment.training.train import Order, Trained
from alignment.training.updates import Evaluation

# raised when the same recipe would give other weights
VERSION = 1
CATEGORY = "category"
# what flows between the layers of a recurrent network is large
EVALUATION_BATCH = 64


@dataclass(frozen=True)
class ClutterRecipe:
    """Everything that determines the trained weights, beside the images, the starting weights and the hardware.

    The defaults are those of Thorat, Aldegheri & Kietzmann 2021: Adam, no weight decay, no dropout.

    Parameters
    ----------
    iterations : updates
    batch_size : images in an update
    learning_rate : of Adam, which moves a weight by about so much in an update; at most 1
    validate_every : updates between two validations, each a row of the history
    validation_images : images of the validation series, the same each time

    Raises
    ------
    RequestError
        A setting is out of its range.
    """

    iterations: int = 300_000
    batch_size: int = 32
    learning_rate: float = 1e-4
    validate_every: int = 1000
    validation_images: int = 5000

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_size", "validate_every", "validation_images"):
            if getattr(self, name) < 1:
                raise RequestError(f"training: {name} is {getattr(self, name)}; give 1 or more")
        if not 0 < self.learning_rate <= 1:
            raise RequestError(f"training: learning_rate is {self.learning_rate}; give one above 0, at most 1")


class Series(NamedTuple):
    """Images to train on, and images to validate on, made of other objects."""

    training: Clutter
    validation: Clutter


def train_on_clutter(
    module: nn.Module,
    series: Series,
    *,
    recipe: ClutterRecipe,
    device: str = "cpu",
    checkpoint: Path | None = None,
    ask: Callable[[int, int], Order] = lambda _step, _steps: Order.GO,
    report: Callable[[tuple[Epoch, ...]], None] = lambda _history: None,
) -> Trained:
    """Minimise the mean cross-entropy of the target's category, from where `checkpoint` left off.

    Parameters
    ----------
    module : takes (batch, 1, 100, 100) in [0, 1], gives logits (batch, 20), and draws no random numbers; trained in
        place, on `device`. To go on from a checkpoint, give the network as it was at the start
    series : images
    recipe : settings
    device : cpu | cuda | cuda:<number> | mps
    checkpoint : file of the whole state, read where it is there, and written after each validation and when asked to
    ask : before each update, from how many were made and how many there will be
    report : told of all rows of the history so far, at the beginning where there are some, and at each validation

    Returns
    -------
    Trained, with a row for each validation; the last weights are kept

    Raises
    ------
    RequestError
        The loss or a weight is no longer finite, and the checkpoint stays as it was.
    DataError
        The checkpoint is damaged, of another training, or cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from alignment.stimuli.clutter import Objects
    >>> images, classes = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8), np.arange(9)
    >>> objects = Objects(images, classes, images, classes)
    >>> series = Series(Clutter(objects, seed=0), Clutter(objects, seed=1))
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(10_000, 20))
    >>> recipe = ClutterRecipe(iterations=3, batch_size=2, validate_every=2, validation_images=4)
    >>> trained = train_on_clutter(net, series, recipe=recipe)
    >>> [row.epoch for row in trained.history], trained.finished
    ([0, 1], True)
    """
    of = identity(module, series, recipe=recipe)
    with torch.inference_mode(False), torch.enable_grad():
        run = _Updates(module.to(device), series, recipe=recipe, device=torch.device(device))

        def save() -> None:
            if checkpoint is not None:
                run.check_finite()
                write_progress(checkpoint, run.progress, module=module, optimiser=run.optimiser, identity=of)

        if checkpoint is not None and checkpoint.exists():
            run.progress = read_progress(checkpoint, module=module, optimiser=run.optimiser, identity=of)
        if run.progress.history:
            report(tuple(run.progress.history))
        while run.progress.step < recipe.iterations:
            order = ask(run.progress.step, recipe.iterations)
            if order is not Order.GO:
                save()
            if order is Order.STOP:
                break
            run.update()
            if run.is_at_an_end:
                run.validate()
                save()
                report(tuple(run.progress.history))
    history = tuple(run.progress.history)
    finished = run.progress.step == recipe.iterations
    return Trained(module.eval(), history, len(history) - 1 if history else None, finished)


def identity(module: nn.Module, series: Series, *, recipe: ClutterRecipe) -> dict[str, str]:
    """What a training is of: all that determines its weights beside the hardware, by the names that messages use.

    Parameters
    ----------
    module : as it is before the training
    series, recipe : as of `train_on_clutter`

    Returns
    -------
    Name -> hash; a checkpoint is read only where all of them agree
    """
    return {
        "version": str(VERSION),
        "starting weights": module_fingerprint.of_module(module),
        "recipe": fingerprint.of_settings(asdict(recipe)),
        "images": series.training.fingerprint,
        "validation images": series.validation.fingerprint,
    }


class _Updates:
    """A network, its optimiser and its images, between two updates."""

    def __init__(self, module: nn.Module, series: Series, *, recipe: ClutterRecipe, device: torch.device) -> None:
        self.module, self.series, self.recipe, self.device = module, series, recipe, device
        self.optimiser = torch.optim.Adam(module.parameters(), lr=recipe.learning_rate)
        self.progress = Progress()
        self._held_out: tuple[Tensor, Tensor] | None = None

    def update(self) -> None:
        """One step down the gradient of the mean loss of images that are made for it."""
        step, size = self.progress.step, self.recipe.batch_size
        pixels, targets = self._made(self.series.training, range(step * size, (step + 1) * size))
        self.module.train()
        logits = self.module(pixels)
        loss = F.cross_entropy(logits, targets)
        value = loss.item()
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}")
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.progress.loss_sum += value * size
        self.progress.hits += int((logits.argmax(1) == targets).sum())
        self.progress.step = step + 1

    @property
    def is_at_an_end(self) -> bool:
        """Whether a row of the history is due."""
        step = self.progress.step
        return step % self.recipe.validate_every == 0 or step == self.recipe.iterations

    def validate(self) -> None:
        """Note what the updates since the last validation came to, and how the network does on held-out objects."""
        progress, recipe = self.progress, self.recipe
        before = (progress.step - 1) // recipe.validate_every
        n = (progress.step - before * recipe.validate_every) * recipe.batch_size
        held_out = self._evaluated()
        progress.history.append(
            Epoch(
                epoch=before,
                learning_rate=recipe.learning_rate,
                loss=progress.loss_sum / n,
                accuracy=progress.hits / n,
                validation_loss=held_out.loss,
                validation_accuracy=held_out.accuracy,
            )
        )
        progress.loss_sum, progress.hits = 0.0, 0

    def check_finite(self) -> None:
        """Whether the weights are worth keeping."""
        for name, value in self.module.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise self._diverged(f"{name} is not finite")

    def _evaluated(self) -> Evaluation:
        if self._held_out is None:
            self._held_out = self._made(self.series.validation, range(self.recipe.validation_images))
        loss, hits = 0.0, 0
        batches = zip(*(part.split(EVALUATION_BATCH) for part in self._held_out), strict=True)
        with torch.no_grad(), evaluating(self.module):
            for pixels, targets in batches:
                logits = self.module(pixels)
                loss += F.cross_entropy(logits, targets, reduction="sum").item()
                hits += int((logits.argmax(1) == targets).sum())
        n = self.recipe.validation_images
        return Evaluation(loss / n, hits / n)

    def _made(self, clutter: Clutter, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        batch = clutter.batch(indices)
        pixels, targets = torch.from_numpy(batch.images), torch.from_numpy(batch.variables[CATEGORY])
        return pixels[:, None].to(self.device), targets.to(self.device)

    def _diverged(self, what: str) -> RequestError:
        return RequestError(
            f"training {type(self.module).__name__}: {what} at update {self.progress.step}; give a smaller "
            "learning_rate"
        )
