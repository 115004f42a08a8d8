"""Training a network to classify: the same updates whether it is interrupted or not.

The order of images, their shifts and flips and the network's own dropout are drawn anew for every epoch or step from
the seed, so that a training goes on from its file as if it had never stopped: to the bit on a CPU with as many threads.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import nn

from alignment import fingerprint
from alignment.models import module_fingerprint
from alignment.models.torch_model import Normalisation
from alignment.training.recipe import Recipe
from alignment.training.state import Epoch, read_progress, write_progress
from alignment.training.updates import Evaluation, Updates, evaluation, on_device

# raised when the same recipe would give other weights
VERSION = 1


class Order(Enum):
    """What is to be done before the next update: make it; keep the state, and make it; keep the state, and end."""

    GO = "go"
    SAVE = "save"
    STOP = "stop"


@dataclass(frozen=True)
class Trained:
    """A training as it ended.

    Attributes
    ----------
    module : in evaluation mode; with the weights of the selected epoch where it is finished
    history : of each epoch
    selected : the epoch that was chosen; None where no epoch is over
    finished : False where it was stopped before its end
    """

    module: nn.Module
    history: tuple[Epoch, ...]
    selected: int | None
    finished: bool


def train(
    module: nn.Module,
    images: np.ndarray,
    targets: np.ndarray,
    *,
    recipe: Recipe,
    normalise: Normalisation | None = None,
    device: str = "cpu",
    checkpoint: Path | None = None,
    ask: Callable[[int, int], Order] = lambda _step, _steps: Order.GO,
    report: Callable[[tuple[Epoch, ...]], None] = lambda _history: None,
) -> Trained:
    """Minimise the mean cross-entropy by stochastic gradient descent, from where `checkpoint` left off.

    Parameters
    ----------
    module : takes (batch, 3, row, column), gives logits (batch, class); trained in place, on `device`. To go on from a
        checkpoint, give the network as it was at the start
    images : (image, row, column, 3) uint8, for training only: some of them choose the epoch, so give no test images
    targets : (image,) integers, class of each
    recipe : settings
    normalise : (mean, sd) per channel, applied to pixels in [0, 1] before the network
    device : cpu | cuda | cuda:<number> | mps
    checkpoint : file of the whole state, read where it is there, and written after each epoch and when asked to
    ask : before each update, from how many were made and how many there will be
    report : told of all epochs so far, at the beginning where there are some, and whenever one is over

    Returns
    -------
    Trained

    Raises
    ------
    RequestError
        Images, targets or logits have other shapes; or the loss or a weight is no longer finite, and the checkpoint
        stays as it was.
    DataError
        The checkpoint is damaged, of another training, or cannot be written.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    >>> recipe = Recipe(epochs=3, warm_up_epochs=1, batch_size=8, padding=0)
    >>> trained = train(net, images, images[:, 0, 0, 0] % 2, recipe=recipe)
    >>> len(trained.history), trained.finished
    (3, True)
    """
    data = on_device(images, targets, normalise=normalise, device=torch.device(device))
    of = identity(module, images, targets, recipe=recipe, normalise=normalise)
    with torch.inference_mode(False), torch.enable_grad():
        run = Updates(module.to(device), data, recipe=recipe)

        def save() -> None:
            if checkpoint is not None:
                run.check_finite()
                write_progress(checkpoint, run.progress, module=module, optimiser=run.optimiser, identity=of)

        if checkpoint is not None and checkpoint.exists():
            run.progress = read_progress(checkpoint, module=module, optimiser=run.optimiser, identity=of)
        if run.progress.history:
            report(tuple(run.progress.history))
        while run.progress.step < run.steps:
            order = ask(run.progress.step, run.steps)
            if order is not Order.GO:
                save()
            if order is Order.STOP:
                break
            run.update()
            if run.progress.step % run.per_epoch == 0:
                run.end_epoch()
                save()
                report(tuple(run.progress.history))
    return _ended(run)


def evaluate(
    module: nn.Module,
    images: np.ndarray,
    targets: np.ndarray,
    *,
    normalise: Normalisation | None = None,
    precision: str = "float32",
) -> Evaluation:
    """Loss and accuracy of a network in evaluation mode, on the device where it is.

    Parameters
    ----------
    module, images, targets, normalise : as of `train`
    precision : as of `Recipe`

    Raises
    ------
    RequestError
        Images, targets or logits have other shapes.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3, 4))
    >>> _ = nn.init.zeros_(net[1].weight), nn.init.zeros_(net[1].bias)
    >>> loss, accuracy = evaluate(net, np.zeros((5, 1, 1, 3), np.uint8), np.zeros(5, int))
    >>> bool(np.isclose(loss, np.log(4))), accuracy
    (True, 1.0)
    """
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    data = on_device(images, targets, normalise=normalise, device=device)
    return evaluation(module, data, torch.arange(len(images), device=device), precision=precision)


def identity(
    module: nn.Module,
    images: np.ndarray,
    targets: np.ndarray,
    *,
    recipe: Recipe,
    normalise: Normalisation | None = None,
) -> dict[str, str]:
    """What a training is of: all that determines its weights beside the hardware, by the names that messages use.

    Parameters
    ----------
    module : as it is before the training
    images, targets, recipe, normalise : as of `train`

    Returns
    -------
    Name -> hash; a checkpoint is read only where all of them agree
    """
    return {
        "version": str(VERSION),
        "starting weights": module_fingerprint.of_module(module),
        "recipe": fingerprint.of_settings(asdict(recipe)),
        "images": fingerprint.of_array(images),
        "targets": fingerprint.of_array(targets),
        "normalisation": fingerprint.of_settings([list(row) for row in normalise or ()]),
    }


def _ended(run: Updates) -> Trained:
    chosen = run.progress.selected
    finished = run.progress.step == run.steps
    if finished and chosen is not None:
        run.module.load_state_dict(chosen.state)
    return Trained(run.module.eval(), tuple(run.progress.history), None if chosen is None else chosen.epoch, finished)
