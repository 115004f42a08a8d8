"""`bench train`: make the weights of a network, from where it was left, and say what to do with them."""

import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from alignment.errors import AlignmentError, DataError, RequestError, unknown
from alignment.models.trained import trained_file
from alignment.registry import foreign_code
from alignment.whole_files import whole_file
from benchmarks import report
from benchmarks.catalogue import cache_folder
from benchmarks.model_files import check_model, file_stem, read_model_file, write_model_file
from benchmarks.plan import Faults, check_places
from benchmarks.settings import Settings
from benchmarks.store import sweep
from benchmarks.suites import SUFFIX
from benchmarks.training.base import STATE, SUPERVISED, TRAININGS, Notify, Training, TrainingRequest
from benchmarks.training.interrupt import signals_wait
from benchmarks.training.presets import Preset, load_preset, own_preset, preset_names

SOME_UNIT_FAILED = 1
FOLDER = "trained"


def train_command(settings: Settings) -> int:
    """`bench train`: returns the exit code."""
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    faults = Faults()
    faults.of(lambda: check_places(settings))
    if not settings.model.name:
        faults.found.append(RequestError("no model; add model=<name>, for example model=toy"))
    found = {name: faults.of(partial(build_training, name, settings)) for name in settings.model.name}
    faults.stop()
    sweep(settings.results / FOLDER)
    output, failed = report.console(), 0
    with signals_wait() as stop, report.progress(output) as notify:
        for name, training in found.items():
            assert training is not None
            try:
                lines = complete(training, name, settings=settings, stop=stop, notify=notify)
            except AlignmentError as fault:
                lines = [f"failed: {training.name}: {fault}"]
                failed += 1
            for line in lines:
                output.print(line, soft_wrap=True, highlight=False)
            if stop():
                break
    return SOME_UNIT_FAILED if failed else 0


def build_training(model: str, settings: Settings) -> Training:
    """How a model is trained: as the user says, or else in its own way, or else by its labels.

    Raises
    ------
    RequestError, DataError
        All faults that can be found before a weight is changed.
    """
    preset = _preset(model, settings.training.name)
    builder = TRAININGS.get(preset.kind)
    with foreign_code(f"training {preset.name!r} of {model!r}"):
        return builder(TrainingRequest(model, preset, settings.training.changes(), settings))


def complete(
    training: Training, model: str, *, settings: Settings, stop: Callable[[], bool], notify: Notify
) -> list[str]:
    """Bring the weights of one network into being, where they are not there yet.

    Returns
    -------
    Lines for the user; none where it was stopped before its end

    Raises
    ------
    DataError
        There are weights of this name that were made of other things, or were changed since.
    """
    stem = file_stem(training.name)
    place = settings.results / FOLDER / stem / f"{stem}{SUFFIX}"
    of = dict(training.identity())
    if place.is_file():
        _check_same(place, of, settings)
        summary = "trained already"
    else:
        made = training.run(place.parent, device=settings.device, stop=stop, report=notify)
        if made is None:
            return []
        write_model_file(place, made.module, name=training.name, base=model, said={**made.said, "of": of})
        summary = made.summary
    for path in place.parent.glob(f"{STATE}.*"):
        path.unlink()
    named = str(place)
    if training.makes_default:
        _publish(place, trained_file(model, cache=cache_folder(settings), seed=settings.seed))
        named = model + (f" seed={settings.seed}" if settings.seed else "")
    return [f"{training.name}: {summary}", f"{place}", f"use it: bench run model={named} ..."]


def _preset(model: str, asked: str | None) -> Preset:
    if asked is None:
        return own_preset(model) or Preset(SUPERVISED, SUPERVISED)
    if asked.endswith(SUFFIX) or asked in preset_names():
        return load_preset(asked)
    if asked in TRAININGS:
        return Preset(asked, asked)
    raise unknown("training", asked, (*preset_names(), *TRAININGS.names()))


def _check_same(place: Path, of: dict[str, str], settings: Settings) -> None:
    found = read_model_file(place).said.get("of", {})
    differing = [name for name, value in of.items() if found.get(name) != value]
    if differing:
        raise DataError(
            f"{place} was made of other {' and '.join(differing)}; move it away, or name another place (results=)"
        )
    for fault in check_model(str(place), cache=cache_folder(settings), data_root=settings.data.root):
        raise fault


def _publish(place: Path, target: Path) -> None:
    """Put a copy of the weights where the model looks for them by default."""
    made = read_model_file(place)
    if target.is_file():
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == made.sha256:
                return
    with whole_file(target) as partial:
        shutil.copyfile(made.weights, partial)
