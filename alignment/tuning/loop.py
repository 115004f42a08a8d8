"""The loop: a student reads brains while it is held to what its teacher, itself before tuning, says of images."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from alignment import seeds
from alignment.errors import DataError, RequestError
from alignment.models.torch_model import TorchModel
from alignment.tuning.batches import Batch, batches
from alignment.tuning.batchnorm import recalibrate
from alignment.tuning.images import in_batches
from alignment.tuning.layered import LayeredReadout
from alignment.tuning.losses import gradient_norms
from alignment.tuning.material import Material, Neural, Task, check_material
from alignment.tuning.objective import Logits, Objective, Perturb
from alignment.tuning.readouts import readout
from alignment.tuning.recipe import Recipe
from alignment.tuning.selection import Standing, best
from alignment.tuning.student import Student
from alignment.tuning.teacher import Teacher
from alignment.tuning.validation import by_refit, on_neural, on_task

__all__ = ["Batch", "Logits", "Material", "Neural", "Perturb", "Recipe", "Task", "Tuner"]


def _nothing(_: "Tuner") -> None:
    """Where nobody is to be told."""


class Tuner:
    """A run that can be stopped after any step and resumed exactly.

    Parameters
    ----------
    model : is copied, and stays as it is
    material : images, responses, labels
    recipe : everything else
    device : where it runs
    perturb : an attack on task images before the student learns their labels, for adversarial training; takes the
        student's logits as a function of pixels, the pixels, the labels and a seed for each image

    Attributes
    ----------
    teacher, student : the network before tuning, and as it is now
    readouts : of each subject
    epoch, step : epochs that are over, and steps taken in the next one
    trajectory : where the student stood before the first epoch and after each
    drift : how far one pass over the neural images takes running means from those of the task, in sd, as
        `batchnorm.drift`; None unless the recipe says batch_norm=train

    Raises
    ------
    RequestError
        A recipe that needs what the material has not, or that lets statistics of batch normalisation drift without
        saying so; a layer that does not exist, or a model without logits.
    DataError
        Responses that are not finite, or do not fit their images.
    """

    def __init__(
        self,
        model: TorchModel,
        material: Material,
        recipe: Recipe,
        *,
        device: str = "cpu",
        perturb: Perturb | None = None,
    ) -> None:
        check_material(material, recipe)
        self.recipe, self.material, self.device = recipe, material, device
        self.teacher = Teacher(model, device=device, precision=recipe.precision, batch_size=recipe.batch_size)
        self._student = Student(model, recipe, device=device)
        self.drift = self._foreseen_drift() if recipe.batch_norm == "train" else None
        layered = self._new_readouts()
        self.readouts = nn.ModuleDict({_key(subject): each for subject, each in layered.items()}).to(device)
        self._objective = Objective(
            material,
            recipe,
            student=self._student,
            teacher=self.teacher,
            readouts=layered,
            perturb=perturb,
        )
        self.optimiser = _optimiser(recipe, list(self.readouts.parameters()), list(self._student.backbone.values()))
        self.epoch = self.step = 0
        self.sums: dict[str, float] = {}
        self.trajectory: list[Standing] = []
        self.kept: dict[str, Any] | None = None

    @property
    def student(self) -> TorchModel:
        """The network as it is now; outside of passes it has the statistics of the task."""
        return self._student.model

    def begin(self) -> None:
        """Fit the readouts, and note where the student stands before it is tuned."""
        if self.recipe.warm_up:
            for subject, neural in self.material.train.items():
                activations = self._student.activations(neural.pixels)
                self._objective.readouts[subject].initialise(activations, neural.responses.to(self.device))
        self._note({})

    def run(
        self,
        *,
        after_epoch: Callable[["Tuner"], None] = _nothing,
        after_step: Callable[["Tuner"], None] = _nothing,
    ) -> Standing:
        """Tune until the epochs are over or patience is, then restore the best student; the epoch that was chosen.

        Parameters
        ----------
        after_epoch, after_step : told of the tuner each time, also before the first epoch; a `state` taken there is
            one to go on from

        Raises
        ------
        DataError
            A term of the loss, or its gradient, is not finite: no step was taken, and states taken before are sound.
        """
        if not self.trajectory:
            self.begin()
            after_epoch(self)
        while not self.finished:
            self.run_epoch(after_step=after_step)
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

    def accuracy(self) -> float:
        """Of the student as it is, on the task's validation images."""
        return on_task(self._student, self.teacher, self.material.task_validation)[0]

    def restore_best(self) -> Standing:
        """Make the student what it was after the best epoch."""
        assert self.kept is not None
        self._put_back(self.kept)
        return self.best()

    def run_epoch(self, *, after_step: Callable[["Tuner"], None] = _nothing) -> None:
        """What is left of a pass over the neural images of every subject, and as many batches of task images.

        Parameters
        ----------
        after_step, raises : as of `run`
        """
        steps = batches(self.material, self.recipe, epoch=self.epoch)
        for batch in steps[self.step :]:
            step = self.epoch * len(steps) + self.step
            for group in self.optimiser.param_groups:
                group["lr"] = self.recipe.rate(step, steps=self.recipe.epochs * len(steps))
            for name, value in self._descend(batch, step=step).items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.step += 1
            after_step(self)
        losses = {name: total / len(steps) for name, total in self.sums.items()}
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        self._note(losses)

    def terms(self, batch: Batch, *, step: int) -> dict[str, Tensor]:
        """Every enabled term of the loss, before it is weighted; as `Objective.terms`."""
        return self._objective.terms(batch, step=step)

    def gradient_norms(self, batch: Batch | None = None) -> dict[str, float]:
        """Length of the gradient of every enabled term, before it is weighted, on the trained part of the network.

        A term of 0 trains nothing. Distillation and the anchor are at their minimum before the first step, and 0
        there: look after it. The tuner stays as it is.

        Parameters
        ----------
        batch : of `batches`; the first of the next epoch when not given

        Raises
        ------
        RequestError
            Nothing of the network is trained.
        """
        first = batch or batches(self.material, self.recipe, epoch=self.epoch)[0]
        before = self._parts()
        try:
            return gradient_norms(self.terms(first, step=0), self._student.backbone.values())
        finally:
            self._put_back(before)

    @torch.no_grad()
    def weight_change(self) -> float:
        r"""$\lVert \theta - \theta_0 \rVert / \lVert \theta_0 \rVert$ over all parameters of the network."""
        now, then = (
            [value.double() for value in each.module.parameters()] for each in (self.student, self.teacher.model)
        )
        changed = sum(float((a - b).square().sum()) for a, b in zip(now, then, strict=True))
        return math.sqrt(changed / sum(float(value.square().sum()) for value in then))

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to go on exactly; tensors and plain values.

        They are those of the tuner, no copies: write or copy them before it goes on.
        """
        return {
            "recipe": self.recipe.settings(),
            "teacher": self.teacher.fingerprint,
            "student": self.student.module.state_dict(),
            "readouts": self.readouts.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "norms": self._student.norms.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": dict(self.sums),
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
        own = {"recipe": self.recipe.settings(), "teacher": self.teacher.fingerprint}
        other = [name for name, value in own.items() if state[name] != value]
        if other:
            raise DataError(f"the checkpoint is of another {' and '.join(other)}; remove it, or name another place")
        self._put_back(state)
        # the optimiser would go on in the tensors it is given
        self.optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))
        self.epoch, self.step, self.sums = state["epoch"], state["step"], dict(state["sums"])
        self.kept = state["kept"]
        self.trajectory = [Standing(**each) for each in state["trajectory"]]
        torch.set_rng_state(state["random"])

    def _descend(self, batch: Batch, *, step: int) -> dict[str, float]:
        """One step down the gradient of the loss, gathered part by part; every term."""
        self.optimiser.zero_grad(set_to_none=True)
        found: dict[str, float] = {}
        for part in batch.parts(self.recipe.accumulate):
            terms = self.terms(part, step=step)
            for name, value in _values(terms).items():
                if not math.isfinite(value):
                    raise self._diverged(name)
                found[name] = found.get(name, 0.0) + value
            loss = self._objective.total(terms)
            if loss.requires_grad:
                loss.backward()
        trained = [each for group in self.optimiser.param_groups for each in group["params"]]
        lengths = [each.grad.norm() for each in trained if each.grad is not None]
        if lengths:
            # of weights spoilt by it a checkpoint might be taken before the next loss shows that they are
            if not torch.stack(lengths).isfinite().all():
                norms = gradient_norms(self.terms(batch, step=step), trained)
                wrong = [name for name, norm in norms.items() if not math.isfinite(norm)] or list(norms)
                raise self._diverged(f"the gradient of {' and '.join(wrong)}")
            self.optimiser.step()
        return found

    def _diverged(self, what: str) -> DataError:
        return DataError(f"{what} is not finite in epoch {self.epoch + 1}; lower the learning rate")

    def _foreseen_drift(self) -> float:
        """What one pass does to running means.

        Raises
        ------
        RequestError
            They would drift, and the recipe does not say that they may.
        """
        found = self._student.foreseen_drift({name: each.pixels for name, each in self.material.train.items()})
        if found and not self.recipe.allow_drift:
            raise RequestError(
                f"batch_norm=train: one pass over the neural images moves running means by up to {found:.2g} sd, away "
                "from the task; take freeze, dual or recalibrate, or say allow_drift=true"
            )
        return found

    def _new_readouts(self) -> dict[str, LayeredReadout]:
        """Of each subject."""
        some = next(iter(self.material.train.values())).pixels[torch.arange(1)]
        shapes = [tuple(each.shape[1:]) for each in self._student.activations(some)]
        found = {}
        for subject, neural in self.material.train.items():
            parts = [
                readout(
                    self.recipe.readout,
                    shape=shape,
                    n_neuroids=neural.responses.shape[1],
                    seed=seeds.derive(self.recipe.seed, "tuning", "readout", subject, *([place] if place else [])),
                )
                for place, shape in enumerate(shapes)
            ]
            found[subject] = LayeredReadout(parts)
        return found

    def _parts(self) -> dict[str, Any]:
        """Copies of what tuning changes of the network and its readouts."""
        return {**self._student.state(), "readouts": copy.deepcopy(self.readouts.state_dict())}

    def _put_back(self, parts: Mapping[str, Any]) -> None:
        self._student.put_back(parts)
        self.readouts.load_state_dict(parts["readouts"])

    def _note(self, losses: dict[str, float]) -> None:
        """Where the student stands; the best one so far is kept."""
        if self.recipe.batch_norm == "recalibrate" and self.epoch and self.material.task is not None:
            parts = in_batches(self.material.task.pixels, self.recipe.batch_size)
            recalibrate(self.student.module, (self.student.prepare(part.to(self.device)) for part in parts))
        accuracy, agreement = on_task(self._student, self.teacher, self.material.task_validation)
        if self.recipe.judged_by == "refit":
            predictivity = by_refit(self._student, self.material.train, self.material.validation)
        else:
            predictivity = on_neural(self._student, self._objective.readouts, self.material.validation)
        self.trajectory.append(Standing(self.epoch, accuracy, predictivity, agreement, losses))
        if self.best().epoch == self.epoch:
            self.kept = self._parts()


def _values(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """All read back from the device at once."""
    if not terms:
        return {}
    return dict(zip(terms, torch.stack([term.detach().float() for term in terms.values()]).tolist(), strict=True))


def _optimiser(recipe: Recipe, readouts: list[nn.Parameter], backbone: list[nn.Parameter]) -> torch.optim.Optimizer:
    if recipe.optimiser == "adam":
        return torch.optim.Adam([*readouts, *backbone], lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    groups: list[dict[str, Any]] = [{"params": readouts, "weight_decay": recipe.weight_decay}]
    if backbone:
        groups.append({"params": backbone, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _key(subject: str) -> str:
    """A module's name has no dot."""
    return f"of {subject}".replace(".", "_")
