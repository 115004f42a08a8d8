"""What a person sees: tables of scores, plans and descriptions, and the progress of a run."""

import sys
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from benchmarks.results import Leaderboard

PLAIN_WIDTH = 200
PLAIN_SECONDS = 5.0


def console() -> Console:
    """The terminal as it is, or wide plain lines where there is none."""
    # names are the user's: nothing in them is markup
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, markup=False, emoji=False, highlight=False)


def leaderboard_table(title: str, board: Leaderboard) -> Table:
    """Scores as people read them: best first within each benchmark, intervals beside the numbers."""
    table = Table(title=Text(title), title_justify="left")
    for name in ("benchmark", "model", "layer"):
        table.add_column(name, overflow="fold")
    for name in ("raw [95 %]", "ceiling", "normalised [95 %]", "stimuli", "neuroids", "subjects"):
        table.add_column(name, justify="right")
    table.add_column("status")
    last = None
    for row in board.rows.to_dict("records"):
        fresh = row["benchmark"] != last
        if fresh and last is not None:
            table.add_section()
        cells = _cells(row, name=row["benchmark"] if fresh else "")
        table.add_row(*map(Text, cells), style="dim" if row["null"] else "")
        last = row["benchmark"]
    return table


def means_table(board: Leaderboard) -> Table | None:
    """Means over benchmarks, where there are several and some model has all of them."""
    if board.means.empty:
        return None
    table = Table(title=Text("mean over benchmarks"), title_justify="left")
    for name in ("model", "measure"):
        table.add_column(name, overflow="fold")
    for name in ("raw", "normalised"):
        table.add_column(name, justify="right")
    for row in board.means.to_dict("records"):
        cells = (row["model"], row["measure"], _number(row["raw"]), _number(row["normalised"]))
        table.add_row(*map(Text, cells))
    return table


def pairs_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Any small table."""
    table = Table(title=Text(title), title_justify="left", show_header=any(columns))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def size(count: float) -> str:
    """Bytes for people.

    Examples
    --------
    >>> size(1_500_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


class PlainProgress:
    """A line when a step begins, every few seconds, and when it ends."""

    def __init__(self, output: Console) -> None:
        self.output = output
        self.last = ("", 0.0)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Told (what, done, of how many)."""
        now = time.monotonic()
        if what != self.last[0] or done == total or now - self.last[1] > PLAIN_SECONDS:
            self.output.print(f"{what}: {done}/{total}")
            self.last = (what, now)


class BarProgress:
    """One bar per step."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, Any] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Told (what, done, of how many)."""
        if what not in self.tasks:
            self.tasks[what] = self.progress.add_task(what, total=total)
        self.progress.update(self.tasks[what], completed=done, total=total)


@contextmanager
def progress(output: Console) -> Iterator[PlainProgress | BarProgress]:
    """Bars on a terminal, plain lines otherwise."""
    if not output.is_terminal:
        yield PlainProgress(output)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output, transient=True) as bars:
        yield BarProgress(bars)


def _cells(row: dict[Hashable, Any], *, name: str) -> list[str]:
    return [
        name,
        row["model"],
        _text(row["layer"]),
        _interval(row, "raw"),
        _number(row["ceiling"]),
        _interval(row, "normalised"),
        *(_count(row[each]) for each in ("n_stimuli", "n_neuroids", "n_subjects")),
        row["status"] + (f" (p = {row['p_value']:.2g})" if row["status"] == "undefined" else ""),
    ]


def _interval(row: dict[Hashable, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "-"
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _number(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"


def _count(value: Any) -> str:
    return "-" if pd.isna(value) else str(int(value))


def _text(value: Any) -> str:
    return "-" if pd.isna(value) else str(value)
