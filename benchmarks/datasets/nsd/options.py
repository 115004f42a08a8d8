"""What a user may ask of the data set, typed and checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from alignment.errors import RequestError, unknown
from benchmarks.datasets.nsd.design import Design, shared_by_all
from benchmarks.datasets.nsd.layout import BETAS, N_SUBJECTS, SUFFIXES, Layout
from benchmarks.datasets.options import check_options

AUTO = "auto"
DEFAULT_BETA = BETAS["b3"]


def _shared(design: Design, layout: Layout) -> np.ndarray:
    del layout
    return design.shared


# which shared images are judged on; the images only one subject saw are always what is fitted on
SPLITS: Mapping[str, Callable[[Design, Layout], np.ndarray]] = {"shared": _shared, "test515": shared_by_all}
SPLIT_SUMMARIES: Mapping[str, str] = {
    "shared": "fitted on the images only this subject saw, judged on the shared ones",
    "test515": "fitted on the images only this subject saw, judged on the shared ones that every subject saw three "
    "times",
}


@dataclass(frozen=True)
class Options:
    """A selection of the data set.

    Attributes
    ----------
    subjects : numbers 1..8; None means every subject on disk
    beta : folder name of the beta version
    source : "hdf5", "nii" or "auto": the format with more sessions on disk, hdf5 when equal
    sessions : numbers from 1, each of which must be on disk; None means all completed ones that are
    nc_min : keep voxels whose noise ceiling of three repetitions, estimated from training stimuli only, is above this
        many percent of variance; None keeps all
    split : a key of SPLITS
    stated : the choices that enter a number and differ from the default, for the id
    """

    subjects: tuple[int, ...] | None = None
    beta: str = DEFAULT_BETA
    source: str = AUTO
    sessions: tuple[int, ...] | None = None
    nc_min: float | None = None
    split: str = "shared"
    stated: Mapping[str, str] = field(default_factory=dict)


def parse_options(texts: Mapping[str, str], *, data_set: str) -> Options:
    """Type the options as a user wrote them.

    Parameters
    ----------
    texts : such as {"subjects": "1,2", "sessions": "1-10", "beta": "b2", "source": "nii", "nc_min": "10"}
    data_set : name in messages

    Raises
    ------
    RequestError
        An unknown option, or a value of the wrong kind, with near misses.

    Examples
    --------
    >>> parse_options({"subjects": "2,1", "sessions": "1-3"}, data_set="nsd").sessions
    (1, 2, 3)
    """
    readers: Mapping[str, Callable[[str], object]] = {
        "subjects": lambda text: _numbers(text, option="subjects", most=N_SUBJECTS),
        "beta": _beta,
        "source": lambda text: _choice(text, option="source", known=(*SUFFIXES, AUTO)),
        "sessions": lambda text: _numbers(text, option="sessions", most=99),
        "nc_min": _percent,
        "split": lambda text: _choice(text, option="split", known=tuple(SPLITS)),
    }
    check_options(texts, accepted=tuple(readers), name=data_set)
    typed: dict[str, object] = {}
    for name, text in texts.items():
        typed[name] = readers[name](text.strip())
    defaults = Options()
    stated = {
        name: texts[name].strip().replace(",", "+")
        for name, value in sorted(typed.items())
        # both formats hold the same integers, so the source cannot change a number
        if name != "source" and value != getattr(defaults, name)
    }
    return Options(**typed, stated=stated)  # type: ignore[arg-type]


def _numbers(text: str, *, option: str, most: int) -> tuple[int, ...]:
    """`1,3-5` -> (1, 3, 4, 5)."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise RequestError(f"{option}={text!r}: {part.strip()!r} is no number; write such as 1,2 or 1-4")
        numbers += range(int(first), int(last or first) + 1)
    if not numbers or min(numbers) < 1 or max(numbers) > most or len(set(numbers)) != len(numbers):
        raise RequestError(f"{option}={text!r}: expected different numbers from 1 to {most}")
    return tuple(sorted(numbers))


def _beta(text: str) -> str:
    if text not in BETAS and text not in BETAS.values():
        raise unknown("beta", text, [*BETAS, *BETAS.values()])
    return BETAS.get(text, text)


def _choice(text: str, *, option: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise unknown(option, text, known)
    return text


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value < 100:
        raise RequestError(f"nc_min={text!r}: expected percent of variance, from 0 to below 100")
    return value
