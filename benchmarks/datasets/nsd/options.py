"""What a user may ask of the data set, typed and checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

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
    """

    subjects: tuple[int, ...] | None = None
    beta: str = DEFAULT_BETA
    source: str = AUTO
    sessions: tuple[int, ...] | None = None
    nc_min: float | None = None
    split: str = "shared"


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
    check_options(texts, accepted=[option.name for option in fields(Options)], name=data_set)
    chosen, given = Options(), {name: text.strip() for name, text in texts.items()}
    if "subjects" in given:
        chosen = replace(chosen, subjects=_numbers(given["subjects"], option="subjects", most=N_SUBJECTS))
    if "beta" in given:
        chosen = replace(chosen, beta=_beta(given["beta"]))
    if "source" in given:
        chosen = replace(chosen, source=_choice(given["source"], option="source", known=(*SUFFIXES, AUTO)))
    if "sessions" in given:
        chosen = replace(chosen, sessions=_numbers(given["sessions"], option="sessions", most=99))
    if "nc_min" in given:
        chosen = replace(chosen, nc_min=_percent(given["nc_min"]))
    if "split" in given:
        chosen = replace(chosen, split=_choice(given["split"], option="split", known=tuple(SPLITS)))
    return chosen


def marks(options: Options) -> tuple[str, ...]:
    """The choices that change a number and are not the default, in one spelling, in alphabetic order.

    Both formats of betas hold the same integers, so the source is not among them.

    Examples
    --------
    >>> marks(parse_options({"sessions": "3,1,2", "beta": "b3", "nc_min": "10.0"}, data_set="nsd"))
    ('nc_min=10', 'sessions=1-3')
    """
    defaults = Options()
    short = {folder: beta for beta, folder in BETAS.items()}
    texts = {
        "beta": short[options.beta],
        "nc_min": "" if options.nc_min is None else f"{options.nc_min:g}",
        "sessions": ranges(options.sessions or ()),
        "split": options.split,
        "subjects": ranges(options.subjects or ()),
    }
    return tuple(f"{name}={text}" for name, text in texts.items() if getattr(options, name) != getattr(defaults, name))


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in one spelling, without commas, which would part the marks of an id.

    Examples
    --------
    >>> ranges((1, 3, 4, 5))
    '1+3-5'
    """
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return "+".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _numbers(text: str, *, option: str, most: int) -> tuple[int, ...]:
    """`1,3-5` -> (1, 3, 4, 5)."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not _is_number(first) or (dash and not _is_number(last)):
            raise RequestError(f"data.{option}={text!r}: {part.strip()!r} is no number; write such as 1,2 or 1-4")
        if max(int(first), int(last or first)) > most:
            raise RequestError(f"data.{option}={text!r}: expected different numbers from 1 to {most}")
        numbers += range(int(first), int(last or first) + 1)
    if not numbers or min(numbers) < 1 or max(numbers) > most or len(set(numbers)) != len(numbers):
        raise RequestError(f"data.{option}={text!r}: expected different numbers from 1 to {most}")
    return tuple(sorted(numbers))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _beta(text: str) -> str:
    if text not in BETAS and text not in BETAS.values():
        raise unknown("data.beta", text, [*BETAS, *BETAS.values()])
    return BETAS.get(text, text)


def _choice(text: str, *, option: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise unknown(f"data.{option}", text, known)
    return text


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value < 100:
        raise RequestError(f"data.nc_min={text!r}: expected percent of variance, from 0 to below 100")
    return value
