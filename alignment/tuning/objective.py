"""The loss of tuning, term by term."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from alignment import seeds
from alignment.tuning.batches import Batch, shifted
from alignment.tuning.layered import LayeredReadout
from alignment.tuning.losses import NEURAL, distillation, l2_starting_point
from alignment.tuning.material import Material, Task
from alignment.tuning.recipe import Recipe
from alignment.tuning.student import Student
from alignment.tuning.teacher import Teacher

Logits = Callable[..., Tensor]
Perturb = Callable[[Logits, Tensor, Tensor, Sequence[int]], Tensor]


class Objective:
    """What a step minimises, from the networks and what they are shown.

    Parameters
    ----------
    material : Material
    recipe : Recipe
    student : Student
    teacher : Teacher
    readouts : mapping of subject to readout, from the activations of all layers to (image, neuroid)
    perturb : as of `alignment.tuning.loop.Tuner`
    """

    def __init__(
        self,
        material: Material,
        recipe: Recipe,
        *,
        student: Student,
        teacher: Teacher,
        readouts: Mapping[str, LayeredReadout],
        perturb: Perturb | None,
    ) -> None:
        self.material, self.recipe, self.perturb = material, recipe, perturb
        self.student, self.teacher, self.readouts = student, teacher, readouts

    def terms(self, batch: Batch, *, step: int) -> dict[str, Tensor]:
        """Every enabled term on one batch, before it is weighted; of a part, its share of the whole batch's.

        Parameters
        ----------
        batch : of `alignment.tuning.batches`
        step : since the beginning, which seeds an attack

        Returns
        -------
        dict of str to scalar Tensor
        """
        parts = [self._on_neural(subject, batch) for subject, rows in batch.neural.items() if len(rows)]
        parts += [self._on_task(self.material.task, batch, step=step)] if self.material.task and len(batch.task) else []
        if self.recipe.anchor:
            distance = l2_starting_point(self.student.backbone.values(), self.student.start.values())
            parts.append({"anchor": distance / batch.n_parts})
        found: dict[str, Tensor] = {}
        for part in parts:
            for name, term in part.items():
                found[name] = found[name] + term if name in found else term
        return found

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Their weighted sum."""
        weighted = [getattr(self.recipe, name) * term for name, term in terms.items()]
        return torch.stack(weighted).sum() if weighted else torch.zeros(())

    def _on_neural(self, subject: str, batch: Batch) -> dict[str, Tensor]:
        """Terms of one subject's images, its part of the mean over subjects."""
        recipe, found, share = self.recipe, {}, batch.share(subject) / len(batch.neural)
        material, rows, shifts = self.material.train[subject], batch.neural[subject], batch.shifts.get(subject)
        pixels = material.pixels[rows] if shifts is None else shifted(material.pixels[rows], shifts)
        pixels = pixels.to(self.student.device)
        logits, activations = self.student.pass_on(pixels, "neural", training=True)
        if recipe.neural:
            predicted = self.readouts[subject](activations)
            found["neural"] = share * NEURAL[recipe.loss](predicted, material.responses[rows], material.weights)
        if recipe.distil:
            name = f"neural of {subject}"
            taught = self.teacher.kept(name, material.pixels, rows) if shifts is None else self.teacher.logits(pixels)
            found["distil"] = share * self._distilled(logits, taught)
        return found

    def _on_task(self, task: Task, batch: Batch, *, step: int) -> dict[str, Tensor]:
        recipe, found, share = self.recipe, {}, batch.task_share
        pixels = task.pixels[batch.task]
        logits = None
        if recipe.replay:
            logits, _ = self.student.pass_on(pixels, "task", training=True)
            found["replay"] = share * self._distilled(logits, self.teacher.kept("task", task.pixels, batch.task))
        if recipe.joint:
            assert task.labels is not None
            labels = task.labels[batch.task].to(self.student.device)
            if self.perturb is not None:
                pixels, logits = self._perturbed(self.perturb, pixels, labels, batch=batch, step=step), None
            if logits is None:
                logits, _ = self.student.pass_on(pixels, "task", training=True)
            found["joint"] = share * F.cross_entropy(logits[:, -1], labels)
        return found

    def _perturbed(self, perturb: Perturb, pixels: Tensor, labels: Tensor, *, batch: Batch, step: int) -> Tensor:
        def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
            return self.student.pass_on(images, "task")[0]

        places = range(batch.first_task, batch.first_task + len(pixels))
        own = [seeds.derive(self.recipe.seed, "tuning", "perturb", step, place) for place in places]
        return perturb(logits, pixels.to(self.student.device), labels, own).detach()

    def _distilled(self, logits: Tensor, taught: Tensor) -> Tensor:
        return distillation(logits, taught, temperature=self.recipe.temperature)
