"""What one `bench tune` is about: a teacher, data, and every run of tuning and its controls, by name."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

from alignment.errors import RequestError, unknown
from alignment.models.torch_model import TorchModel
from alignment.registry import foreign_code
from alignment.tuning.loop import Material
from alignment.tuning.recipe import Recipe
from benchmarks.catalogue import build_dataset, cache_folder, check_benchmark
from benchmarks.datasets.base import DataSet, holds_labels, holds_rdms
from benchmarks.model_files import check_model, file_stem, load_model
from benchmarks.plan import Faults
from benchmarks.robustness.images import check_logits
from benchmarks.settings import Settings
from benchmarks.tuning.choices import TUNED, Asked, adapted, asked
from benchmarks.tuning.material import Sources, identity
from benchmarks.tuning.targets import Given, check_control

# settings that change no run, or that the name of a run says by itself
UNNAMED = ("seeds", "distil", "audit")
# settings of a single control, which only its runs are named by
OF_CONTROL = {"other_model": "other_net", "other_data": "other_roi", "adversarial": "adv", "pixel_features": "pixel"}


class Run(NamedTuple):
    """One network to be made.

    Attributes
    ----------
    name : how tables call it
    condition : "lwf", or a control
    distil : weight of distillation, which the front is drawn over
    seed : of everything that is drawn
    recipe : what is run
    """

    name: str
    condition: str
    distil: float
    seed: int
    recipe: Recipe

    @property
    def stem(self) -> str:
        """Of its files."""
        return file_stem(self.name)


@dataclass(frozen=True)
class Study:
    """A teacher, its data, and what is made of it.

    Attributes
    ----------
    settings : as they were asked for
    asked : the same, typed
    base : the teacher as the user typed it
    teacher : loaded
    given : responses, task images, and what controls need beside them
    """

    settings: Settings
    asked: Asked
    base: str
    teacher: TorchModel
    given: Given

    @property
    def sources(self) -> Sources:
        """Responses and task images, and how they are divided."""
        return self.given.sources

    @property
    def name(self) -> str:
        """Of the study: teacher, preset, and what the user changed of it."""
        changed = self._changed({*self.asked.changed} - {*UNNAMED, *OF_CONTROL})
        return "-".join([f"{self.teacher.name}+{self.asked.preset.name}", *changed])

    @property
    def stem(self) -> str:
        """Of its folder."""
        return file_stem(self.name)

    @cached_property
    def material(self) -> Material:
        """What tunes and what chooses, with the responses themselves; read once for all runs."""
        return self.sources.material(self.teacher)

    @cached_property
    def identity(self) -> str:
        """Hash of that."""
        return identity(self.material)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs; a number of them is counted from the seed of the command on."""
        counted = "-" not in self.asked.changed.get("seeds", self.asked.preset.values.get("seeds", ""))
        return tuple(self.settings.seed * counted + seed for seed in self.asked.choices.seeds)

    @property
    def distil(self) -> float:
        """The weight that controls share."""
        return self.asked.choices.distil[0]

    def tuned(self, seed: int, distil: float | None = None) -> Run:
        """Tuning itself."""
        weight = self.distil if distil is None else distil
        recipe = self.asked.choices.recipe(distil=weight, seed=seed)
        return Run(self._named(TUNED, weight, seed), TUNED, weight, seed, recipe)

    def control(self, name: str, seed: int) -> Run:
        """A control of tuning with the same seed."""
        recipe = adapted(self.tuned(seed).recipe, name)
        return Run(self._named(name, self.distil, seed), name, self.distil, seed, recipe)

    def runs(self) -> list[Run]:
        """Every run: of each seed tuning first, since its controls run for as many epochs."""
        found = []
        for seed in self.seeds:
            found += [self.tuned(seed, distil) for distil in self.asked.choices.distil]
            found += [self.control(name, seed) for name in self.asked.controls]
        return found

    def _named(self, condition: str, distil: float, seed: int) -> str:
        front = [f"distil={distil:g}"] if len(self.asked.choices.distil) > 1 or "distil" in self.asked.changed else []
        own = self._changed({key for key, control in OF_CONTROL.items() if control == condition})
        return "-".join([self.name, *front, condition, *own, f"seed{seed}"])

    def _changed(self, keys: set[str]) -> list[str]:
        return [f"{key}={value}" for key, value in sorted(self.asked.changed.items()) if key in keys]


def studies(settings: Settings) -> list[Study]:
    """One for each model that is named, everything checked that can be before anything is trained.

    Raises
    ------
    RequestError, DataError
        All faults of a stage in one line, as of `benchmarks.plan.check`.
    """
    faults = Faults()
    wanted = faults.of(lambda: asked(settings))
    if not settings.model.name:
        faults.found.append(RequestError("no model; add model=<name>, for example model=toy"))
    for name in settings.model.name:
        faults.found += check_model(name, weights=settings.model.weights, **_places(settings))
    if wanted is not None:
        faults.of(lambda: check_benchmark(wanted.choices.data, settings))
        faults.of(lambda: check_benchmark(wanted.choices.task, settings))
    faults.stop()
    assert wanted is not None
    given = faults.of(lambda: _given(wanted, settings))
    faults.stop()
    assert given is not None
    build = partial(_study, wanted=wanted, settings=settings, given=given)
    found = [faults.of(partial(build, name)) for name in settings.model.name]
    faults.stop()
    return [study for study in found if study is not None]


def _study(name: str, *, wanted: Asked, settings: Settings, given: Given) -> Study:
    with foreign_code(f"model {name!r}"):
        teacher = load_model(name, weights=settings.model.weights, seed=settings.seed, **_places(settings))
    if not isinstance(teacher, TorchModel) or teacher.classes is None:
        raise RequestError(f"{teacher.name} has no task head (its classes are not named), so it has nothing to forget")
    for layer in wanted.choices.layers:
        if layer not in teacher.sites:
            raise unknown(f"layer of {teacher.name}", layer, teacher.sites)
        if wanted.choices.time_bins is not None:
            teacher.calls_of(layer, wanted.choices.time_bins)
    check_logits(teacher, given.sources.task)
    for control in wanted.controls:
        check_control(control, given)
    return Study(settings, wanted, name, teacher, given)


def _given(wanted: Asked, settings: Settings) -> Given:
    choices = wanted.choices
    task = build_dataset(choices.task, settings)
    if not holds_labels(task):
        raise RequestError(f"tuning.task={choices.task}: it has no labels; name labelled images, such as cifar10")
    sources = Sources(_responses(choices.data, settings), task, choices)
    sources.check()
    other, other_data = None, None
    if choices.other_model:
        with foreign_code(f"model {choices.other_model!r}"):
            other = load_model(choices.other_model, seed=settings.seed, **_places(settings))
    if choices.other_data:
        other_data = _responses(choices.other_data, settings)
    return Given(sources, other, other_data)


def _responses(name: str, settings: Settings) -> DataSet:
    data = build_dataset(name, settings)
    if holds_labels(data) or holds_rdms(data):
        raise RequestError(f"tuning: {name} holds no responses; name data that do, such as cowley2023.201025")
    return data


def _places(settings: Settings) -> dict[str, Any]:
    return {"data_root": settings.data.root, "cache": cache_folder(settings)}
