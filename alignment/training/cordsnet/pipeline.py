"""The stages one after another, on one training set, from wherever an earlier run ended, to the bit."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alignment import fingerprint, seeds
from alignment.errors import RequestError
from alignment.models.cordsnet.layout import Layout
from alignment.models.hooks import evaluating
from alignment.models.torch_model import Normalisation
from alignment.training.augmentation import Draws, draw, shift_and_flip
from alignment.training.cordsnet.data import Data, labelled
from alignment.training.cordsnet.recipe import Recipe
from alignment.training.cordsnet.stage import Networks, Stage, clip, new_networks
from alignment.training.cordsnet.stages import stages_of
from alignment.training.cordsnet.state import Progress, Row, read_state, write_state
from alignment.training.recipe import split
from alignment.training.train import Order

# raised when the same recipe would give other weights
VERSION = 1
EVALUATION_BATCH = 128


@dataclass(frozen=True)
class Result:
    """The pipeline as it ended.

    Attributes
    ----------
    networks : in evaluation mode
    history : of each epoch of each stage
    finished : False where it was stopped before its end
    """

    networks: Networks
    history: tuple[Row, ...]
    finished: bool

    @property
    def accuracies(self) -> dict[str, float]:
        """Of the held-out images, after each stage."""
        found = {row.stage: row.validation_accuracy for row in self.history}
        return {stage: accuracy for stage, accuracy in found.items() if accuracy is not None}


def run_pipeline(
    layout: Layout,
    images: np.ndarray,
    targets: np.ndarray,
    *,
    recipe: Recipe,
    normalise: Normalisation,
    device: str = "cpu",
    checkpoint: Path | None = None,
    ask: Callable[[int, int], Order] = lambda _step, _steps: Order.GO,
    report: Callable[[tuple[Row, ...]], None] = lambda _history: None,
) -> Result:
    """Make a dynamical network out of random weights and labelled images, from where `checkpoint` left off.

    Parameters
    ----------
    layout : of the networks
    images : (image, row, column, 3) uint8, at the layout's image size; some are held out, so give no test images
    targets : (image,) integers, or (image, class) shares of classes
    recipe : settings
    normalise : (mean, sd) per colour of pixels in [0, 1]
    device : cpu | cuda | cuda:<number> | mps
    checkpoint : file of the whole state, read where it is there, and written after each epoch and when asked to
    ask : before each update, from how many were made and how many there will be
    report : told of all epochs so far, at the beginning where there are some, and whenever one is over

    Raises
    ------
    RequestError
        Images or targets have other shapes, or the loss is no longer finite, and the checkpoint stays as it was.
    DataError
        The checkpoint is damaged, of another training, or cannot be written.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    >>> few = dict.fromkeys(["cnn_epochs", "inverse_epochs", "linear_epochs", "anneal_epochs", "fine_tune_epochs"], 1)
    >>> recipe = Recipe(steps=3, blank_steps=2, ramp_steps=2, penalty_steps=1, **few)
    >>> layout = Layout(2, image_size=(8, 8), n_classes=2)
    >>> result = run_pipeline(layout, images, images[:, 0, 0, 0] % 2, recipe=recipe, normalise=((0.5,) * 3, (0.5,) * 3))
    >>> list(result.accuracies)
    ['cnn', 'inverse', 'linear', 'anneal', 'fine_tune']
    """
    data = labelled(layout, images, targets, normalise=normalise, device=device)
    of = identity(layout, images, targets, recipe=recipe, normalise=normalise)
    with torch.inference_mode(False), torch.enable_grad():
        run = _Run(layout, data, recipe=recipe, device=device)
        if checkpoint is not None and checkpoint.exists():
            run.read(checkpoint, of)
        if run.progress.history:
            report(tuple(run.progress.history))

        def save() -> None:
            if checkpoint is not None:
                run.write(checkpoint, of)

        while not run.is_over:
            order = ask(run.steps_made, run.steps)
            if order is not Order.GO:
                save()
            if order is Order.STOP:
                break
            if run.update():
                save()
                report(tuple(run.progress.history))
    for network in run.networks:
        network.eval()
    return Result(run.networks, tuple(run.progress.history), run.is_over)


def identity(
    layout: Layout, images: np.ndarray, targets: np.ndarray, *, recipe: Recipe, normalise: Normalisation
) -> dict[str, str]:
    """What a training is of, as a message names it."""
    return {
        "version": str(VERSION),
        "layout": fingerprint.of_settings(asdict(layout)),
        "recipe": fingerprint.of_settings(asdict(recipe)),
        "images": fingerprint.of_array(images),
        "targets": fingerprint.of_array(targets),
        "normalisation": fingerprint.of_settings([list(row) for row in normalise]),
    }


class _Run:
    """Networks, stages and optimiser between two updates."""

    def __init__(self, layout: Layout, data: Data, *, recipe: Recipe, device: str) -> None:
        self.data, self.recipe = data, recipe
        self.training, self.validation = (
            torch.from_numpy(part).to(data.images.device)
            for part in split(len(data.images), validation=recipe.validation)
        )
        self.networks = new_networks(layout, recipe)
        for network in self.networks:
            network.to(device)
        self.stages = stages_of(self.networks, recipe, n=len(self.training))
        self.progress = Progress()
        self._optimiser: torch.optim.Optimizer | None = None
        self._planned: tuple[int, int, Tensor, Draws] | None = None

    @property
    def steps(self) -> int:
        """Updates of all stages."""
        return sum(stage.plan.epochs * stage.plan.per_epoch for stage in self.stages)

    @property
    def steps_made(self) -> int:
        """Updates so far."""
        over = self.stages[: self.progress.stage]
        return sum(stage.plan.epochs * stage.plan.per_epoch for stage in over) + self.progress.step

    @property
    def is_over(self) -> bool:
        """Whether no stage is left."""
        return self.progress.stage == len(self.stages)

    def update(self) -> bool:
        """One step down a gradient; whether an epoch is over with it.

        Raises
        ------
        RequestError
            The loss is not finite.
        """
        progress, stage = self.progress, self.stages[self.progress.stage]
        epoch, place = divmod(progress.step, stage.plan.per_epoch)
        optimiser = self._prepared(stage, epoch, place)
        places, draws = self._batch(stage, epoch, place)
        for group in optimiser.param_groups:
            group["lr"] = stage.rate(progress.step)
        pixels = self.data.pixels(shift_and_flip(self.data.images[places], draws))
        outcome = stage.outcome(pixels, self.data.targets[places])
        value = outcome.loss.item()
        if not math.isfinite(value):
            raise RequestError(
                f"training {stage.name}: the loss is {value} in epoch {epoch} (update {progress.step}); give a smaller "
                f"training.{stage.name}_rate"
            )
        optimiser.zero_grad()
        outcome.loss.backward()
        clip((each for group in optimiser.param_groups for each in group["params"]), stage.clip)
        optimiser.step()
        progress.loss_sum += value * len(places)
        progress.right += self.data.right(outcome.logits, places)
        progress.step += 1
        if place + 1 < stage.plan.per_epoch:
            return False
        self._end_epoch(stage, epoch)
        return True

    def write(self, path: Path, of: Mapping[str, str]) -> None:
        """Keep everything that the next update depends on."""
        write_state(path, self.progress, networks=self.networks, optimiser=self._optimiser, identity=of)

    def read(self, path: Path, of: Mapping[str, str]) -> None:
        """Go on from what `write` kept."""
        self.progress, kept = read_state(path, networks=self.networks, identity=of)
        if kept is not None:
            self._optimiser = self.stages[self.progress.stage].optimiser()
            self._optimiser.load_state_dict(kept)

    def _prepared(self, stage: Stage, epoch: int, place: int) -> torch.optim.Optimizer:
        """The optimiser of the update to come, with the networks as the stage wants them."""
        if self.progress.step == 0:
            stage.begin()
        if self._optimiser is None or (place == 0 and stage.renews):
            self._optimiser = stage.optimiser()
        stage.begin_epoch(epoch)
        stage.trained.train()
        return self._optimiser

    def _batch(self, stage: Stage, epoch: int, place: int) -> tuple[Tensor, Draws]:
        """Places of the images of an update, and what is done to them: by seed, stage and epoch alone."""
        if self._planned is None or self._planned[:2] != (self.progress.stage, epoch):
            seed, n = self.recipe.seed, len(self.data.images)
            device = self.training.device
            order = seeds.generator(seed, "cordsnet", stage.name, epoch).permutation(len(self.training))
            own = seeds.derive(seed, "cordsnet", stage.name)
            draws = draw(n, epoch=epoch, padding=self.recipe.padding, flip=self.recipe.flip, seed=own)
            chosen = self.training[torch.from_numpy(order).to(device)][: stage.plan.images]
            self._planned = self.progress.stage, epoch, chosen, Draws(*(each.to(device) for each in draws))
        *_, chosen, draws = self._planned
        places = chosen[place * stage.plan.batch : (place + 1) * stage.plan.batch]
        return places, Draws(draws.shifts[places], draws.flips[places])

    def _end_epoch(self, stage: Stage, epoch: int) -> None:
        progress, n = self.progress, stage.plan.images
        is_last = epoch + 1 == stage.plan.epochs
        row = Row(
            stage.name,
            epoch,
            slope=self.networks.network.slope,
            loss=progress.loss_sum / n,
            accuracy=progress.right / n,
            validation_accuracy=self._validated(stage) if is_last else None,
        )
        progress.history.append(row)
        progress.loss_sum, progress.right = 0.0, 0
        if is_last:
            progress.stage, progress.step = progress.stage + 1, 0
            self._optimiser = None

    def _validated(self, stage: Stage) -> float:
        right = 0
        with torch.no_grad(), evaluating(stage.trained):
            for places in self.validation.split(EVALUATION_BATCH):
                right += self.data.right(stage.logits(self.data.pixels(self.data.images[places])), places)
        return right / len(self.validation)
