"""The loop: a student reads brains while it is held to what its teacher, itself before tuning, says of images."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds
from alignment.correlation import pearson
from alignment.errors import DataError, RequestError
from alignment.models.hooks import evaluating
from alignment.models.torch_model import TorchModel
from alignment.tuning.batchnorm import Domain, prepare, recalibrate
from alignment.tuning.losses import NEURAL, distillation, l2_starting_point
from alignment.tuning.readouts import FactorisedReadout, LinearReadout, initialise_by_ridge, readout
from alignment.tuning.recipe import Recipe, cosine
from alignment.tuning.selection import Standing, best
from alignment.tuning.trainable import trainable


@dataclass(frozen=True)
class Neural:
    """Images that one subject saw, and the responses to them.

    Attributes
    ----------
    pixels : (image, 3, row, column) float32 in [0, 1]
    responses : (image, neuroid) float32
    weights : (neuroid,) of the mse, mean 1; None: all alike
    """

    pixels: Tensor
    responses: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Task:
    """Images of the task; labels are needed to validate and to train jointly, not to distil."""

    pixels: Tensor
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


class Tuner:
    """A run that can be stopped after any epoch and resumed exactly.

    Parameters
    ----------
    model : is copied, and stays as it is
    material : images, responses, labels
    recipe : everything else
    device : where it runs

    Raises
    ------
    RequestError
        A recipe that needs what the material has not, a layer that does not exist, or a model without logits.
    DataError
        Responses that are not finite, or do not fit their images.
    """

    def __init__(self, model: TorchModel, material: Material, recipe: Recipe, *, device: str = "cpu") -> None:
        _check(material, recipe)
        self.recipe, self.material, self.device = recipe, material, device
        self.teacher, self.student = _copy(model, device), _copy(model, device)
        self.teacher.module.requires_grad_(False)
        self.norms = prepare(self.student.module, recipe.batch_norm)
        shape, names = self._shape(), trainable(self.student.module, recipe.trainable)
        for name, parameter in self.student.module.named_parameters():
            parameter.requires_grad_(name in names)
        self.readouts = nn.ModuleDict(
            {
                _key(subject): readout(
                    recipe.readout,
                    shape=shape,
                    n_neuroids=neural.responses.shape[1],
                    seed=seeds.derive(recipe.seed, "tuning", "readout", subject),
                )
                for subject, neural in material.train.items()
            }
        ).to(device)
        self.start = {name: value.detach().clone() for name, value in self._backbone().items()}
        groups: list[dict[str, Any]] = [
            {"params": list(self.readouts.parameters()), "weight_decay": recipe.weight_decay}
        ]
        if self.start:
            groups.append({"params": list(self._backbone().values()), "weight_decay": 0.0})
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate)
        self._taught = self._answers_of_teacher()
        self.epoch = 0
        self.trajectory: list[Standing] = []
        self.kept: dict[str, Any] | None = None

    def begin(self) -> None:
        """Fit the readouts, and note where the student stands before it is tuned."""
        if self.recipe.warm_up:
            for subject, neural in self.material.train.items():
                module = self.readouts[_key(subject)]
                if isinstance(module, LinearReadout | FactorisedReadout):
                    activations = torch.cat([each for _, each in self._passes(neural.pixels, "neural")])
                    initialise_by_ridge(module, activations, neural.responses.to(self.device))
        self._note({})

    def run(self, *, after_epoch: Callable[["Tuner"], None] = lambda _: None) -> Standing:
        """Tune until the epochs are over or patience is, then restore the best student; the epoch that was chosen."""
        if not self.trajectory:
            self.begin()
            after_epoch(self)
        while not self.finished:
            self.run_epoch()
            after_epoch(self)
        return self.restore_best()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        waited = self.epoch - self.best().epoch
        return self.epoch >= self.recipe.epochs or waited >= self.recipe.patience

    def best(self) -> Standing:
        """The epoch that would be kept now."""
        teacher = self.trajectory[0].accuracy
        return best(self.trajectory, teacher_accuracy=teacher, tolerance=self.recipe.tolerance)

    def restore_best(self) -> Standing:
        """Make the student what it was after the best epoch."""
        assert self.kept is not None
        self.student.module.load_state_dict(self.kept["student"])
        self.readouts.load_state_dict(self.kept["readouts"])
        self.norms.load_state_dict(self.kept["norms"])
        return self.best()

    def run_epoch(self) -> None:
        """One pass over the neural images of every subject, and as many batches of task images."""
        steps = self._steps()
        sums: dict[str, float] = {}
        for number, batch in enumerate(steps):
            step = self.epoch * len(steps) + number
            for group in self.optimiser.param_groups:
                group["lr"] = cosine(step, self.recipe.epochs * len(steps), peak=self.recipe.learning_rate)
            terms = self.terms(batch, step=step)
            loss = sum((self.weight(name) * term for name, term in terms.items()), torch.zeros((), device=self.device))
            wrong = [name for name, term in terms.items() if not torch.isfinite(term)]
            if wrong:
                raise DataError(f"{wrong[0]} is not finite in epoch {self.epoch + 1}; lower the learning rate")
            self.optimiser.zero_grad(set_to_none=True)
            if loss.requires_grad:
                loss.backward()
                self.optimiser.step()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + float(term.detach())
        self.epoch += 1
        self._note({name: total / len(steps) for name, total in sums.items()})

    def terms(self, batch: "Batch", *, step: int) -> dict[str, Tensor]:
        """Every enabled term of the loss on one batch, before it is weighted."""
        recipe, found = self.recipe, {}
        neural, distilled = [], []
        for subject, rows in batch.neural.items():
            material = self.material.train[subject]
            pixels = self._jittered(material.pixels[rows], subject, step=step).to(self.device)
            logits, activations = self._student(pixels, "neural", training=True)
            if recipe.neural:
                predicted = self.readouts[_key(subject)](activations)
                weights = None if material.weights is None else material.weights.to(self.device)
                neural.append(NEURAL[recipe.loss](predicted, material.responses[rows].to(self.device), weights))
            if recipe.distil:
                distilled.append(self._distilled(pixels, logits))
        if neural:
            found["neural"] = torch.stack(neural).mean()
        if distilled:
            found["distil"] = torch.stack(distilled).mean()
        task = self.material.task
        if task is not None and (recipe.replay or recipe.joint):
            pixels = task.pixels[batch.task].to(self.device)
            logits, _ = self._student(pixels, "task", training=True)
            if recipe.replay:
                found["replay"] = self._distilled(pixels, logits)
            if recipe.joint:
                assert task.labels is not None
                found["joint"] = F.cross_entropy(logits[:, -1], task.labels[batch.task].to(self.device))
        if recipe.anchor:
            found["anchor"] = l2_starting_point(self._backbone().values(), self.start.values())
        return found

    def weight(self, term: str) -> float:
        """Of a term in the loss."""
        return float(getattr(self.recipe, term))

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to go on exactly; tensors and plain values."""
        return {
            "recipe": self.recipe.settings(),
            "teacher": self.teacher.fingerprint,
            "student": self.student.module.state_dict(),
            "readouts": self.readouts.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "norms": self.norms.state_dict(),
            "epoch": self.epoch,
            "trajectory": [vars(each) for each in self.trajectory],
            "kept": self.kept,
            "random": torch.get_rng_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        DataError
            It is of another recipe or teacher.
        """
        if state["recipe"] != self.recipe.settings() or state["teacher"] != self.teacher.fingerprint:
            raise DataError("the checkpoint is of another recipe or teacher; remove it, or name another place")
        self.student.module.load_state_dict(state["student"])
        self.readouts.load_state_dict(state["readouts"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.norms.load_state_dict(state["norms"])
        self.epoch, self.kept = state["epoch"], state["kept"]
        self.trajectory = [Standing(**each) for each in state["trajectory"]]
        torch.set_rng_state(state["random"])

    def _steps(self) -> list["Batch"]:
        """The batches of this epoch: as many for every subject as the one with most images needs."""
        orders = {subject: self._order(len(neural.pixels), subject) for subject, neural in self.material.train.items()}
        count = max(-(-len(order) // self.recipe.batch_size) for order in orders.values())
        parts = {subject: np.array_split(order, count) for subject, order in orders.items()}
        task = self.material.task
        replayed = [np.empty(0, np.int64)] * count
        if task is not None:
            order, size = self._order(len(task.pixels), "task"), min(self.recipe.batch_size, len(task.pixels))
            replayed = [np.take(order, range(at * size, (at + 1) * size), mode="wrap") for at in range(count)]
        return [
            Batch(
                {subject: torch.from_numpy(rows[at]) for subject, rows in parts.items()}, torch.from_numpy(replayed[at])
            )
            for at in range(count)
        ]

    def _order(self, count: int, name: str) -> np.ndarray:
        return seeds.generator(self.recipe.seed, "tuning", "order", name, self.epoch).permutation(count)

    def _jittered(self, pixels: Tensor, subject: str, *, step: int) -> Tensor:
        """Each image shifted by whole pixels, its edge repeated; never mirrored, which would swap the hemifields."""
        most = [int(self.recipe.jitter * edge) for edge in pixels.shape[2:]]
        if not any(most):
            return pixels
        random = seeds.generator(self.recipe.seed, "tuning", "jitter", subject, step)
        down, across = (random.integers(-limit, limit + 1, size=len(pixels)) for limit in most)
        padded = F.pad(pixels, (most[1], most[1], most[0], most[0]), mode="replicate")
        rows, columns = pixels.shape[2:]
        return torch.stack(
            [
                image[:, most[0] + dy : most[0] + dy + rows, most[1] + dx : most[1] + dx + columns]
                for image, dy, dx in zip(padded, down.tolist(), across.tolist(), strict=True)
            ]
        )

    def _distilled(self, pixels: Tensor, logits: Tensor) -> Tensor:
        with torch.no_grad():
            taught, _ = self._read(self.teacher, pixels)
        return distillation(logits, taught, temperature=self.recipe.temperature)

    def _student(self, pixels: Tensor, domain: Domain, *, training: bool = False) -> tuple[Tensor, Tensor]:
        """Logits and activations of the student, its normalisations as the recipe has them on such images."""

        @contextmanager
        def mode(module: nn.Module) -> Iterator[None]:
            # dropout would make student and teacher differ for no reason: only normalisations are ever in training
            with evaluating(module):
                for layer in self.norms.layers.values():
                    layer.training = training
                try:
                    with self.norms.on(domain):
                        yield
                finally:
                    for layer in self.norms.layers.values():
                        layer.training = False

        return self._read(self.student, pixels, mode=mode)

    def _read(self, model: TorchModel, pixels: Tensor, **settings: Any) -> tuple[Tensor, Tensor]:
        """Logits (image, time_bin, class), and the layer's activations (image, *unit); several time_bins come first."""
        layer = self.recipe.layer
        bins = self.recipe.time_bins or (float(model.sites[layer].calls - 1),)
        logits, kept = model.logits_and_activations(pixels, [layer], time_bins=bins, **settings)
        activations = kept[layer]
        return logits, activations[:, 0] if activations.shape[1] == 1 else activations

    def _passes(self, pixels: Tensor, domain: Domain) -> Iterator[tuple[Tensor, Tensor]]:
        with torch.no_grad():
            for part in pixels.split(self.recipe.batch_size):
                yield self._student(part.to(self.device), domain)

    def _shape(self) -> tuple[int, ...]:
        some = next(iter(self.material.train.values())).pixels[:1]
        return tuple(next(self._passes(some, "neural"))[1].shape[1:])

    def _backbone(self) -> dict[str, nn.Parameter]:
        return {name: each for name, each in self.student.module.named_parameters() if each.requires_grad}

    def _note(self, losses: dict[str, float]) -> None:
        """Where the student stands; the best one so far is kept."""
        if self.recipe.batch_norm == "recalibrate" and self.epoch and self.material.task is not None:
            parts = self.material.task.pixels.split(self.recipe.batch_size)
            recalibrate(self.student.module, (self.student.prepare(part.to(self.device)) for part in parts))
        accuracy, agreement = self._on_task()
        self.trajectory.append(Standing(self.epoch, accuracy, self._predictivity(), agreement, losses))
        if self.best().epoch == self.epoch:
            self.kept = copy.deepcopy(
                {
                    "student": self.student.module.state_dict(),
                    "readouts": self.readouts.state_dict(),
                    "norms": self.norms.state_dict(),
                }
            )

    def _on_task(self) -> tuple[float, float]:
        task = self.material.task_validation
        assert task.labels is not None
        said = torch.cat([logits[:, -1].argmax(-1).cpu() for logits, _ in self._passes(task.pixels, "task")])
        taught = self._taught
        return float((said == task.labels.cpu()).double().mean()), float((said == taught).double().mean())

    def _answers_of_teacher(self) -> Tensor:
        parts = self.material.task_validation.pixels.split(self.recipe.batch_size)
        with torch.no_grad():
            return torch.cat(
                [self._read(self.teacher, part.to(self.device))[0][:, -1].argmax(-1).cpu() for part in parts]
            )

    def _predictivity(self) -> float:
        """Mean over neuroids of r, then over subjects."""
        found = []
        with torch.no_grad():
            for subject, neural in self.material.validation.items():
                module = self.readouts[_key(subject)].eval()
                predicted = torch.cat([module(each).cpu() for _, each in self._passes(neural.pixels, "neural")])
                found.append(float(np.mean(pearson(predicted.double().numpy(), neural.responses.double().numpy()))))
                module.train()
        return float(np.mean(found))


@dataclass(frozen=True)
class Batch:
    """Rows of one step: of each subject's images, and of the task's."""

    neural: Mapping[str, Tensor]
    task: Tensor


def _copy(model: TorchModel, device: str) -> TorchModel:
    """Of a model, with a network of its own."""
    copied = copy.copy(model)
    copied.module = copy.deepcopy(model.module).to(device)
    return copied


def _key(subject: str) -> str:
    """A module's name has no dot."""
    return f"of {subject}".replace(".", "_")


def _check(material: Material, recipe: Recipe) -> None:
    if not material.train or material.train.keys() != material.validation.keys():
        raise RequestError("tuning needs images to tune and to validate on of the same subjects, of one at least")
    for subject in material.train:
        for name, neural in (("train", material.train[subject]), ("validation", material.validation[subject])):
            if len(neural.pixels) != len(neural.responses) or not len(neural.pixels):
                raise DataError(f"{name} of {subject}: {len(neural.pixels)} images, {len(neural.responses)} responses")
            if not torch.isfinite(neural.responses).all():
                raise DataError(
                    f"{name} of {subject}: responses are not all finite; leave these images or neuroids out"
                )
    if material.task_validation.labels is None:
        raise RequestError("tuning needs task images with labels to validate on")
    task = material.task
    wanting = [name for name in ("replay", "joint") if getattr(recipe, name)]
    if wanting and (task is None or (recipe.joint and task.labels is None)):
        raise RequestError(
            f"{' and '.join(wanting)} need task images{' with labels' if recipe.joint else ''}; give some"
        )
    if recipe.batch_norm == "recalibrate" and task is None:
        raise RequestError("batch_norm=recalibrate measures statistics on task images; give some, or freeze them")
