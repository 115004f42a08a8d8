"""One run: made from where it was left, written whole, and never made twice."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from alignment import fingerprint
from alignment.attacks.gradient import PGD
from alignment.attacks.threat import Threat
from alignment.errors import DataError
from alignment.models.checkpoints import load_file
from alignment.tuning.controls import CONTROLS
from alignment.tuning.degrade import degrade
from alignment.tuning.loop import Perturb, Tuner
from alignment.tuning.selection import Standing
from alignment.whole_files import whole_file
from benchmarks.model_files import ModelFile, read_model_file, write_model_file
from benchmarks.store import write_whole
from benchmarks.tuning.choices import TUNED
from benchmarks.tuning.material import retargeted
from benchmarks.tuning.study import Run, Study
from benchmarks.tuning.targets import targets_of

# raised when the same settings would give other weights
VERSION = 1
FOLDER = "tuned"
NETWORK, ADVERSARIAL = "network", "adv"
ADVERSARIAL_STEPS = 7

Notify = Callable[[str, int, int], None]


def place_of(run: Run, study: Study) -> Path:
    """The file of the model that a run makes."""
    return study.settings.results / FOLDER / f"{run.stem}.yaml"


def complete(run: Run, study: Study, *, notify: Notify) -> tuple[ModelFile, bool]:
    """The model that a run makes, and whether it was made now.

    Raises
    ------
    DataError
        There is one of this name that was made of other things; or a term of the loss is not finite, and the last
        state stays.
    """
    path = place_of(run, study)
    targets = {
        subject: targets_of(run.condition, subject, study.given, seed=run.seed) for subject in study.sources.subjects
    }
    of = _identity(run, study, targets)
    if path.is_file():
        made = read_model_file(path)
        _check_same(made.said.get("of", {}), of, where=path)
        return made, False
    tuner = Tuner(
        study.teacher,
        retargeted(study.material, targets),
        run.recipe,
        device=study.settings.device,
        perturb=_attack(study.asked.choices.adversarial) if run.condition == ADVERSARIAL else None,
    )
    chosen = _run(tuner, run, study, of=of, notify=notify)
    write_whole(path.with_suffix(".trajectory.csv"), _trajectory(tuner))
    said = {
        "condition": run.condition,
        "seed": run.seed,
        "distil": run.distil,
        "study": study.name,
        "epoch": chosen.epoch,
        "standing": {key: value for key, value in asdict(chosen).items() if key != "losses"},
        "teacher_standing": {key: value for key, value in asdict(tuner.trajectory[0]).items() if key != "losses"},
        "recipe": _plain(run.recipe.settings()),
        "data": {**study.asked.choices.model_dump(mode="json", include={"data", "task", "split", "layers"})},
        "of": of,
    }
    write_model_file(path, tuner.student.module, name=run.name, base=study.base, said=said)
    _state_file(path).unlink(missing_ok=True)
    return read_model_file(path), True


def trajectory(run: Run, study: Study) -> pd.DataFrame:
    """Standing of the student after every epoch."""
    return pd.read_csv(place_of(run, study).with_suffix(".trajectory.csv"))


def _run(tuner: Tuner, run: Run, study: Study, *, of: Mapping[str, str], notify: Notify) -> Standing:
    """Tuning is kept at the epoch it chooses; a control runs for as many, and chooses nothing."""
    path = place_of(run, study)
    state = _state_file(path)
    if state.is_file():
        content = load_file(state)
        _check_same(content["of"], of, where=state)
        tuner.load(content["tuner"])

    def keep(_: Tuner) -> None:
        notify(run.name, tuner.epoch, run.recipe.epochs)
        with whole_file(state) as partial:
            torch.save({"of": dict(of), "tuner": tuner.state()}, partial)

    if run.condition == TUNED:
        return tuner.run(after_epoch=keep)
    if not tuner.trajectory:
        tuner.begin()
    tuned = read_model_file(place_of(study.tuned(run.seed), study))
    if CONTROLS[run.condition].changes == NETWORK:
        degrade(tuner.student.module, tuner.accuracy, target=tuned.said["standing"]["accuracy"], seed=run.seed)
        return replace(tuner.trajectory[0], accuracy=tuner.accuracy())
    while tuner.epoch < int(tuned.said["epoch"]):
        tuner.run_epoch()
        keep(tuner)
    return tuner.trajectory[-1]


def _identity(run: Run, study: Study, targets: Mapping[str, np.ndarray]) -> dict[str, str]:
    """What a run is of, as a message names it."""
    hashed = [text for subject, y in sorted(targets.items()) for text in (subject, fingerprint.of_array(y))]
    return {
        "version": str(VERSION),
        "teacher": study.teacher.fingerprint,
        "recipe": fingerprint.of_settings([_plain(run.recipe.settings()), *_beside(run, study)]),
        "images or validation": study.identity,
        "targets": fingerprint.of_parts(*hashed),
        "kind of device": torch.device(study.settings.device).type,
    }


def _beside(run: Run, study: Study) -> list[float]:
    """Settings of a control that are no part of a recipe."""
    return [study.asked.choices.adversarial] if run.condition == ADVERSARIAL else []


def _attack(epsilon: float) -> Perturb:
    """Projected gradient ascent within a ball of the largest norm, as in Madry et al. 2018 (ICLR)."""
    attack, threat = PGD(steps=ADVERSARIAL_STEPS), Threat("linf", epsilon)

    def perturb(logits: Callable[..., Tensor], pixels: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        return attack.perturb(logits, pixels, labels, threat, seeds=seeds)

    return perturb


def _check_same(found: Mapping[str, str], wanted: Mapping[str, str], *, where: Path) -> None:
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if differing:
        raise DataError(
            f"{where} was made of another {' and '.join(differing)}; move it away, or name another place (results=)"
        )


def _state_file(path: Path) -> Path:
    return path.with_suffix(".state.pt")


def _trajectory(tuner: Tuner) -> bytes:
    rows = [{**asdict(each), **each.losses} for each in tuner.trajectory]
    text = io.StringIO()
    pd.DataFrame(rows).drop(columns="losses").to_csv(text, index=False, float_format="%.6f", lineterminator="\n")
    return text.getvalue().encode()


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
