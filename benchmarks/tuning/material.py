"""From data sets to what the loop works on: which images, responses and labels tune, which choose, and which judge.

The test images of the split, and the half of the task's images that judges, never come here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
import xarray as xr

from alignment import fingerprint, seeds
from alignment.ceiling import noise_ceiling_from_ncsnr
from alignment.errors import RequestError
from alignment.models.torch_model import TorchModel
from alignment.stimuli import StimulusSet
from alignment.tuning.images import Images, ReadImages, images_of, in_batches
from alignment.tuning.loop import Material, Neural, Task
from alignment.tuning.neural_losses import ceiling_weights
from benchmarks.datasets.base import DataSet, LabelledDataSet, Split
from benchmarks.datasets.ceilings import from_trials
from benchmarks.datasets.labelled import labelled
from benchmarks.datasets.restricted import Restricted, restricted_labels
from benchmarks.datasets.sources import HasTrainingImages
from benchmarks.datasets.subsets import spread_subset
from benchmarks.datasets.trials import trials_of
from benchmarks.tuning.choices import Choices

# which images and neuroids are set aside is part of the data, so the root is fixed and never the seed of a run
ROOT = 0
FITTED, HELD_OUT = "fitted", "held-out"
FIRST = "first"
LEAST = 3
SD_FLOOR = 0.1
# bytes of a set of images; larger ones are read by the batch
HELD_IN_MEMORY = 2 * 2**30
# rows that are hashed as one
HASHED = 256


@dataclass(frozen=True)
class Responses:
    """One subject's share: ids and responses that tune and that choose, of the neuroids that are fitted.

    Attributes
    ----------
    train, validation : ids, disjoint, both from the training stimuli of the split
    y : (stimulus, neuroid) float32, of `train` and then `validation`, each neuroid of mean 0 and sd 1 over `train`
    ceilings : (neuroid,) on r, from 0 to 1, of the stimuli in `train`; None where nothing is known of them
    roi : (neuroid,) text
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    y: np.ndarray
    ceilings: np.ndarray | None
    roi: np.ndarray


@dataclass(frozen=True)
class Sources:
    """Responses and task images, and how they are divided.

    Parameters
    ----------
    data : responses to tune toward
    task : labelled images of the network's task
    choices : how they are divided
    """

    data: DataSet
    task: LabelledDataSet
    choices: Choices
    _read: dict[str, Responses] = field(default_factory=dict, repr=False)

    def check(self) -> None:
        """Read everything once.

        Raises
        ------
        RequestError, DataError
            Images are too few to be divided, or the data are not as they must be.
        """
        for subject in self.subjects:
            self.responses(subject)
        self._halved()

    @cached_property
    def split(self) -> str:
        """The split whose test images judge."""
        names = [split.name for split in self.data.splits(self.data.subjects[0])]
        return names[0] if self.choices.split == FIRST else self.choices.split

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Those that are tuned toward."""
        return self.choices.subjects or self.data.subjects

    @cached_property
    def fitted(self) -> Restricted:
        """The neuroids that are tuned toward, judged on the test images."""
        return self._restricted(self.subjects, FITTED)

    @cached_property
    def held_out_neuroids(self) -> Restricted | None:
        """The others of the same subjects; None where none are set aside."""
        return self._restricted(self.subjects, HELD_OUT) if self.choices.held_out_neuroids else None

    @cached_property
    def held_out_subjects(self) -> Restricted | None:
        """All neuroids of the subjects that are not tuned toward; None where there are none."""
        others = tuple(each for each in self.data.subjects if each not in self.subjects)
        marks = (*self._split_marks, f"subjects={HELD_OUT}")
        return Restricted(self.data, split=self.split, subjects=others, marks=marks) if others else None

    def responses(self, subject: str) -> Responses:
        """What one subject gives; read once.

        Raises
        ------
        RequestError
            Too few training stimuli.
        """
        if subject not in self._read:
            self._read[subject] = self._responses(subject)
        return self._read[subject]

    def _responses(self, subject: str) -> Responses:
        split = self.fitted.splits(subject)[0]
        train, validation = _divided(split, share=self.choices.validation, name=self.data.name)
        measured = self.fitted.responses(subject)
        if measured.sizes["time_bin"] != 1:
            raise RequestError(
                f"{self.data.name}: responses in {measured.sizes['time_bin']} time_bins; tune toward one"
            )
        means = measured.isel(time_bin=0)
        y = means.sel(stimulus=[*train, *validation]).transpose("stimulus", "neuroid").values.astype(np.float64)
        roi = means["roi"].values if "roi" in means.coords else np.full(means.sizes["neuroid"], self.data.name)
        return Responses(
            train,
            validation=validation,
            y=standardised(y, n_train=len(train)),
            ceilings=self._ceilings(subject, means.sel(stimulus=list(train))),
            roi=np.asarray(roi).astype(str),
        )

    @cached_property
    def task_validation(self) -> LabelledDataSet:
        """Labelled images that choose; the network must not have been trained on them."""
        return self._halves[0]

    @cached_property
    def task_test(self) -> LabelledDataSet:
        """Labelled images that judge."""
        return self._halves[1]

    def replayed(self, model: TorchModel) -> Task | None:
        """Task images to distil and, by their labels, to train on: the task's training images, where it has any."""
        if not isinstance(self.task, HasTrainingImages):
            return None
        images, targets = self.task.train()
        named = {f"train{place:06d}": image for place, image in enumerate(images)}
        classes = tuple(self.task.classes)
        held = labelled(self.task.name, named, [classes[target] for target in targets], classes=classes)
        return Task(_pixels(held.stimuli, held.stimuli.ids, model), torch.from_numpy(held.targets()))

    def material(self, model: TorchModel) -> Material:
        """What a tuner takes; `model` is the one whose size of images is meant."""
        train, validation = {}, {}
        for subject in self.subjects:
            given = self.responses(subject)
            weights = None if given.ceilings is None else ceiling_weights(given.ceilings).float()
            y, observed = (torch.from_numpy(part) for part in np.split(given.y, [len(given.train)]))
            train[subject] = Neural(_pixels(self.shown, given.train, model), y, weights)
            validation[subject] = Neural(_pixels(self.shown, given.validation, model), observed, weights)
        chosen = self.task_validation
        return Material(
            train=train,
            validation=validation,
            task_validation=Task(
                _pixels(chosen.stimuli, chosen.stimuli.ids, model), torch.from_numpy(chosen.targets())
            ),
            task=self.replayed(model),
        )

    @property
    def shown(self) -> StimulusSet:
        """The stimuli as networks see them."""
        whole = self.choices.viewing == "whole"
        return replace(self.data.stimuli, visual_degrees=None) if whole else self.data.stimuli

    @property
    def _split_marks(self) -> tuple[str, ...]:
        several = len(self.data.splits(self.data.subjects[0])) > 1
        return (f"split={self.split}",) if several else ()

    def _restricted(self, subjects: tuple[str, ...], part: str) -> Restricted:
        share = self.choices.held_out_neuroids
        marks = list(self._split_marks)
        if share:
            marks.append(f"neuroids={part}-{share:.3g}")
        if len(subjects) < len(self.data.subjects):
            marks.append(f"subjects={'+'.join(subjects)}")
        masks = {each: self._mask(each, part) for each in subjects} if share else None
        return Restricted(self.data, split=self.split, subjects=subjects, neuroids=masks, marks=marks)

    def _mask(self, subject: str, part: str) -> np.ndarray:
        count = self.data.responses(subject).sizes["neuroid"]
        order = seeds.generator(ROOT, "held-out neuroids", self.data.name, subject).permutation(count)
        held_out = np.zeros(count, bool)
        held_out[order[: round(count * self.choices.held_out_neuroids)]] = True
        return held_out if part == HELD_OUT else ~held_out

    def _ceilings(self, subject: str, means: xr.DataArray) -> np.ndarray | None:
        """Of training stimuli alone: what is judged on must not weigh what is fitted."""
        if self.choices.noise_ceiling is not None:
            return np.full(means.sizes["neuroid"], self.choices.noise_ceiling)
        if "ncsnr" in means.coords:
            found = noise_ceiling_from_ncsnr(means["ncsnr"].values, means["repetitions"].values)
            return np.clip(found, 0.0, 1.0)
        trials = trials_of(self.data, subject)
        if trials is None:
            return None
        names = [str(name) for name in means["stimulus"].values]
        there = trials.isel(stimulus=np.flatnonzero(np.isin(trials["stimulus"].values.astype(str), names)))
        kept = self.fitted.kept
        ours = there if kept is None else there.isel(neuroid=np.flatnonzero(kept[subject]))
        ceiling = from_trials(ours, seed=ROOT, name=self.data.name)
        return None if ceiling is None else np.clip(ceiling["ceiling"].values, 0.0, 1.0)

    @cached_property
    def _halves(self) -> tuple[LabelledDataSet, LabelledDataSet]:
        return self._halved()

    def _halved(self) -> tuple[LabelledDataSet, LabelledDataSet]:
        stimuli = self.task.stimuli
        half = len(stimuli) // 2
        if half < LEAST:
            raise RequestError(f"{self.task.name}: {len(stimuli)} images cannot be halved; give more")
        if self.choices.task_split == FIRST:
            chosen = stimuli.ids[:half]
        else:
            assert stimuli.labels is not None
            labels = dict(zip(stimuli.ids, stimuli.labels, strict=True))
            chosen = spread_subset(labels, n=half, name=f"{self.task.name} validation")
        rest = tuple(name for name in stimuli.ids if name not in set(chosen))
        half_of = f"half={self.choices.task_split}"
        return (
            restricted_labels(self.task, chosen, mark=f"{half_of}-validation"),
            restricted_labels(self.task, rest, mark=f"{half_of}-test"),
        )


def retargeted(material: Material, targets: Mapping[str, np.ndarray]) -> Material:
    """The same material with other targets of the images that tune.

    Parameters
    ----------
    targets : subject -> (train stimulus, neuroid) float32
    """
    train = {
        subject: replace(neural, responses=torch.from_numpy(np.ascontiguousarray(targets[subject])))
        for subject, neural in material.train.items()
    }
    return replace(material, train=train)


def identity(material: Material) -> str:
    """Hash of everything that a tuner is given; other images, responses or divisions give another."""
    parts: list[str] = []
    for name, group in (("train", material.train), ("validation", material.validation)):
        for subject, neural in sorted(group.items()):
            weights = "" if neural.weights is None else _hash(neural.weights)
            parts += [name, subject, _hash(neural.pixels), _hash(neural.responses), weights]
    for task in (material.task_validation, material.task):
        if task is not None:
            parts += ["task", _hash(task.pixels), "" if task.labels is None else _hash(task.labels)]
    return fingerprint.of_parts(*parts)


def standardised(y: np.ndarray, *, n_train: int) -> np.ndarray:
    """Columns of mean 0 and sd 1 over the first rows, float32.

    The sd is floored, or a neuroid that hardly varied there would weigh most.
    """
    y = np.asarray(y, np.float64)
    sd = y[:n_train].std(axis=0)
    scaled = (y - y[:n_train].mean(axis=0)) / np.maximum(sd, SD_FLOOR * np.median(sd))
    return scaled.astype(np.float32)


def _hash(values: Images) -> str:
    """The same whether they are in memory or read."""
    return fingerprint.of_parts(*[fingerprint.of_array(part.numpy()) for part in in_batches(values, HASHED)])


def _pixels(stimuli: StimulusSet, ids: tuple[str, ...], model: TorchModel) -> Images:
    read = ReadImages(stimuli, ids, size=model.image_size, visual_degrees=model.visual_degrees)
    return images_of(read, most_bytes=HELD_IN_MEMORY)


def _divided(split: Split, *, share: float, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training stimuli that tune and that choose, by a hash of their ids: the same for every subject and seed."""
    ranked = sorted(split.train, key=lambda each: (seeds.derive(ROOT, "tuning validation", name, each), each))
    held_out = round(len(ranked) * share)
    if held_out < LEAST or len(ranked) - held_out < LEAST:
        raise RequestError(
            f"{name}: {len(ranked)} training stimuli and tuning.validation={share:g} leave fewer than {LEAST} to tune "
            "or to choose on; give more stimuli or another share"
        )
    return tuple(sorted(ranked[held_out:])), tuple(sorted(ranked[:held_out]))
