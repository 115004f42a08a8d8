"""What was tried of a model, cell by cell: what is chosen of it, and the rows that people read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from alignment.samples import Estimate
from alignment.steering import Answers, AtShare, WithCues, answers, summarised
from benchmarks.steering.templates import ONE_HOT, RANDOM

UNCUED = "no cue"
CUED, HALLUCINATION = "P(cued)", "hallucination"
# of what `alone` finds, where it stands beside what `challenge` finds
ALONE = "alone_"
# more hallucinations than that, and most cues are followed whatever is there
MOST_HALLUCINATED = 0.5


class Cell(NamedTuple):
    """What is asked with, and how strongly; NaN where nothing is asked for."""

    templates: str
    strength: float

    def __str__(self) -> str:
        return UNCUED if math.isnan(self.strength) else f"{self.templates} @ strength {self.strength:g}"


class Tried(NamedTuple):
    """One kind of template at every strength, nothing asked for first.

    Attributes
    ----------
    answers : of each composite
    table : means over them
    """

    answers: Answers
    table: tuple[WithCues, ...]


def tried(found: xr.Dataset) -> Tried:
    """From what `challenge` and `alone` found, the latter under names that begin with `alone_`."""
    of_alone = [name for name in found.data_vars if str(name).startswith(ALONE)]
    by_itself = found[of_alone].rename({name: str(name).removeprefix(ALONE) for name in of_alone})
    together = found.drop_vars(of_alone)
    return Tried(answers(together), summarised(together, by_itself))


def cells(of_kind: Mapping[str, Tried]) -> dict[Cell, WithCues]:
    """Every cell that was tried; what is said without a cue is the same for all templates, and there once."""
    rows = {Cell(kind, row.strength): row for kind, each in of_kind.items() for row in each.table[1:]}
    return {Cell(ONE_HOT, math.nan): of_kind[ONE_HOT].table[0], **rows}


def choice(of_kind: Mapping[str, Tried], folds: np.ndarray) -> list[Cell]:
    """For each fold, the cell with most P(cued) less hallucinations in the others, the first of equals.

    Parameters
    ----------
    of_kind : by template; random ones are never chosen
    folds : (composite,), from 0 on
    """
    chosen = []
    for fold in range(int(folds.max()) + 1):
        others = folds != fold
        gains = {
            Cell(kind, row.strength): float((of_each.cued[place] - of_each.hallucinated[place])[others].mean())
            for kind, (of_each, table) in of_kind.items()
            if kind != RANDOM
            for place, row in enumerate(table)
            if not math.isnan(row.strength)
        }
        chosen.append(max(gains, key=lambda cell: gains[cell]))
    return chosen


def judged(of_kind: Mapping[str, Tried], chosen: Sequence[Cell], folds: np.ndarray) -> Answers:
    """Each composite at the cell that the other folds chose: `cued`, `hallucinated` and `held`, each (composite,)."""
    taken = []
    for cell in chosen:
        of_each, table = of_kind[cell.templates]
        place = [row.strength for row in table].index(cell.strength)
        taken.append(Answers(*(values[place] for values in of_each)))
    return Answers(*(np.stack(values)[folds, np.arange(len(folds))] for values in zip(*taken, strict=True)))


def surface(rows: Mapping[Cell, WithCues], shares: Sequence[AtShare]) -> list[dict[str, Any]]:
    """P(cued) and hallucination of every cell, one below the other, and of one-hot templates at every share."""
    by_place: dict[str, WithCues | AtShare] = {str(cell): row for cell, row in rows.items()}
    by_place |= {f"{Cell(ONE_HOT, row.strength)}, share {row.share:g}": row for row in shares}
    found = []
    for place, row in by_place.items():
        found += [_surface_row(place, row.cued), _surface_row(f"{place}, {HALLUCINATION}", row.hallucinated)]
    return found


def figures(at: Answers, rows: Mapping[Cell, WithCues], modal: Cell) -> dict[str, float]:
    """Hallucination beside the score, what is seen without a cue, images alone, and P(cued) beside it in every cell."""
    uncued = next(iter(rows.values()))
    return {
        HALLUCINATION: float(at.hallucinated.mean()),
        "a class that is there, asked for one that is not": float(at.held.mean()),
        f"{UNCUED}: first choice is one of the two": uncued.top1.value,
        f"{UNCUED}: first two choices are the two": uncued.top2.value,
        f"each image alone: {CUED}": rows[modal].alone_cued.value,
        f"each image alone: {HALLUCINATION}": rows[modal].alone_hallucinated.value,
        **{
            f"{cell}: {name}": estimate.value
            for cell, row in rows.items()
            for name, estimate in ((CUED, row.cued), (HALLUCINATION, row.hallucinated))
        },
    }


def details(chosen: Sequence[Cell], rows: Mapping[Cell, WithCues], shares: Sequence[AtShare]) -> dict[str, Any]:
    """The choice of each fold, and every row with its intervals."""
    return {
        "chosen": [cell._asdict() for cell in chosen],
        "strengths": [{"templates": cell.templates, **_plain(row)} for cell, row in rows.items()],
        "shares": [_plain(row) for row in shares],
    }


def flags(hallucinated: np.ndarray) -> list[str]:
    """Whether most cues are followed whatever is there, of (composite,)."""
    share = float(hallucinated.mean())
    return [f"hallucinates: {share:.0%} of cues for an absent class are followed"] if share > MOST_HALLUCINATED else []


def _surface_row(place: str, found: Estimate) -> dict[str, Any]:
    return {"layer": place, "time_bin": 0.0, "raw": found.value, "raw_low": found.low, "raw_high": found.high}


def _plain(row: WithCues | AtShare) -> dict[str, Any]:
    """As JSON wants it: without a cue there is no strength."""
    plain = {name: asdict(value) if isinstance(value, Estimate) else value for name, value in row._asdict().items()}
    return {**plain, "strength": None if math.isnan(row.strength) else row.strength}
