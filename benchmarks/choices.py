"""What a user may set of a benchmark: which values exist, and what they make of a recording and of an id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignment.attacks.threat import MOMENTS, NORMS
from alignment.errors import RequestError, unknown
from alignment.record import PRECISIONS
from alignment.resampling import Subjects, resamples_subjects
from alignment.rsa.comparators import COMPARATORS
from alignment.rsa.crossnobis import CROSSNOBIS
from alignment.rsa.distances import DISTANCES
from benchmarks.recordings import Recording
from benchmarks.settings import Settings

SQUARED = "-squared"

CHOICES: Mapping[str, tuple[str, ...]] = {
    "selection": ("loo", "gcv", "kfold"),
    "scale": ("none", "floored_sd"),
    "precision": tuple(PRECISIONS),
    "viewing": ("degrees", "whole"),
    "comparator": (*COMPARATORS, *(f"{name}{SQUARED}" for name in COMPARATORS)),
    # those that need a covariance of the units are for notebooks; the brain's own comes with its trials
    "distance": (*(name for name, distance in DISTANCES.items() if not distance.needs_precision), CROSSNOBIS),
    "pooling": ("optimal", "mean"),
    "subjects": ("auto", "fixed", "resampled"),
    "norm": NORMS,
    "moment": MOMENTS,
}
NUMBERS = ("pool", "projection", "components", "units", "steps")
DIGITS = 10
# those of a run that enter a number without being part of a measure's own name
OF_THE_RUN = ("seed", "n_bootstrap")


@dataclass(frozen=True)
class Inference:
    """How intervals are made; nothing here enters a fit.

    Attributes
    ----------
    n_bootstrap : resamples of stimuli
    seed : of the draws
    subjects : whether intervals are about fresh subjects too
    """

    n_bootstrap: int = 1000
    seed: int = 0
    subjects: Subjects = "auto"


def check_choices(settings: Settings) -> None:
    """Refuse a choice that does not exist, or that means nothing here; reads no data.

    Raises
    ------
    RequestError
        Some settings have no such choice (with near misses); all of them are named.
    """
    asked = asked_of(settings)
    faults = [
        str(unknown(f"benchmark.{key}", asked[key], choices))
        for key, choices in CHOICES.items()
        if key in asked and asked[key] not in choices
    ]
    for key in NUMBERS:
        try:
            whole_number(key, asked.get(key, "none"))
        except RequestError as fault:
            faults.append(str(fault))
    if asked.get("precision") == "tf32" and not settings.device.startswith("cuda"):
        faults.append(f"benchmark.precision=tf32 means nothing on {settings.device}; use device=cuda or float32")
    if faults:
        raise RequestError("; ".join(faults))


def check_subjects(inference: Inference, subjects: Sequence[str], *, name: str) -> None:
    """Refuse to resample the only subject.

    Raises
    ------
    RequestError
        It was asked for.
    """
    try:
        resamples_subjects(len(subjects), subjects=inference.subjects)
    except RequestError as error:
        raise RequestError(f"{name}: benchmark.subjects={inference.subjects}: {error}") from None


def asked_of(settings: Settings) -> dict[str, str]:
    """What the user said of the benchmark, key by key."""
    given = settings.benchmark.model_dump().items()
    return {key: value for key, value in given if value is not None and key not in ("name", "measure")}


def whole_number(key: str, text: str) -> int | None:
    """A number above 0, or None for `none`."""
    if text == "none":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < DIGITS) or int(text) < 1:
        raise RequestError(f"benchmark.{key}={text}: give a whole number above 0, or none")
    return int(text)


def listed(text: str) -> tuple[str, ...]:
    """Names that are separated by commas, each once.

    Examples
    --------
    >>> listed("layer3, layer4")
    ('layer3', 'layer4')
    """
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def recording_of(options: Mapping[str, Any]) -> Recording:
    """How activations are recorded: maps average-pooled to 4x4, nothing projected, where nothing else was asked for."""
    return Recording(
        pool=whole_number("pool", options.get("pool", "4")),
        projection=whole_number("projection", options.get("projection", "none")),
        precision=options.get("precision", "float32"),
        viewing=options.get("viewing", "degrees"),
    )


def inference_of(options: Mapping[str, Any], settings: Settings) -> Inference:
    """How intervals are made: subjects resampled from 8 on, where nothing else was asked for."""
    return Inference(settings.n_bootstrap, seed=settings.seed, subjects=options.get("subjects", "auto"))


def marks_of(settings: Settings) -> tuple[str, ...]:
    """Non-default settings of the run that enter a number, as an id names them."""
    defaults, marks = Settings(), {key: getattr(settings, key) for key in OF_THE_RUN}
    subjects = settings.benchmark.subjects
    if subjects not in (None, "auto"):
        marks["subjects"] = subjects
    return tuple(f"{key}={value}" for key, value in marks.items() if value != getattr(defaults, key, None))


def card_of_data(described: Mapping[str, Any]) -> dict[str, str]:
    """What a data set says of itself, so that it stands beside what the measure says of itself."""
    return {
        f"data: {key}": ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for key, value in described.items()
    }


def recording_words(recording: Recording) -> tuple[str, ...]:
    """What of a recording an id names."""
    words = (
        f"avg{recording.pool}x{recording.pool}" if recording.pool else "maps",
        f"srp{recording.projection}" if recording.projection else "",
        recording.precision if recording.precision != "float32" else "",
        recording.viewing if recording.viewing != "degrees" else "",
    )
    return tuple(word for word in words if word)


def id_of(words: tuple[str, ...], marks: tuple[str, ...]) -> str:
    """`ridge-loo-avg4x4[seed=1]`."""
    return "-".join(word for word in words if word) + (f"[{','.join(marks)}]" if marks else "")
