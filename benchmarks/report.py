"""What a person sees: tables of scores, plans and descriptions, and the progress of a run."""

import shutil
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from benchmarks.results import Leaderboard

PLAIN_WIDTH = 200
# from here on, all columns of a leaderboard fit beside each other
WIDE = 150
# narrower than this, the terminal breaks the lines: every number is there in full
LEAST_WIDTH = 80
PLAIN_SECONDS = 5.0


def console() -> Console:
    """The terminal as it is, or wide plain lines where there is none."""
    width = max(shutil.get_terminal_size().columns, LEAST_WIDTH) if sys.stdout.isatty() else PLAIN_WIDTH
    # names are the user's: nothing in them is markup
    return Console(width=width, markup=False, emoji=False, highlight=False)


def leaderboard_table(title: str, board: Leaderboard, *, width: int = PLAIN_WIDTH) -> Table:
    """Scores as people read them: best first within each benchmark, with intervals.

    Parameters
    ----------
    width : of the screen, characters; where it is small, intervals stand below the numbers, layer and status below the
        model, and counts are left out
    """
    return _wide_table(title, board) if width >= WIDE else _narrow_table(title, board)


def _wide_table(title: str, board: Leaderboard) -> Table:
    table = Table(title=Text(title), title_justify="left")
    columns = _columns(board)
    for name in ("benchmark", "model", "layer"):
        table.add_column(name, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    last = None
    for row in board.rows.to_dict("records"):
        fresh = row["benchmark"] != last
        if fresh and last is not None:
            table.add_section()
        known = [row["benchmark"] if fresh else "", row["model"], _text(row["layer"])]
        cells = [*known, *(COLUMNS[name](row) for name in columns), _status(row)]
        table.add_row(*map(Text, cells), style="dim" if row["null"] else "")
        last = row["benchmark"]
    return table


def _narrow_table(title: str, board: Leaderboard) -> Table:
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    columns = [name for name in _columns(board) if name not in COUNTED]
    table.add_column("model\nlayer, status", overflow="fold")
    for name in columns:
        table.add_column(name.replace(" ", "\n", 1), justify="right", no_wrap=True)
    last = None
    for row in board.rows.to_dict("records"):
        if row["benchmark"] != last:
            table.add_section()
            table.add_row(Text(row["benchmark"], style="bold"))
        cells = [
            f"{row['model']}\n{_text(row['layer'])}, {_status(row)}",
            *(COLUMNS[name](row).replace(" ", "\n", 1) for name in columns),
        ]
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
        table.add_column(name, justify="right", no_wrap=True)
    for row in board.means.to_dict("records"):
        cells = (row["model"], row["measure"], _number(row["raw"]), _number(row["normalised"]))
        table.add_row(*map(Text, cells))
    return table


def figures_tables(board: Leaderboard) -> list[Table]:
    """Further numbers of single scores, a table for each benchmark that has some, a column for each model."""
    tables = []
    for benchmark, group in board.figures.groupby("benchmark", sort=False):
        models, figures = list(group["model"].unique()), list(group["figure"].unique())
        values = group.set_index(["figure", "model"])["value"]
        cells = [(figure, *(_number(values.get((figure, model))) for model in models)) for figure in figures]
        tables.append(pairs_table(f"{benchmark}, in parts", ("", *models), cells, whole=models))
    return tables


def ranking_tables(board: Leaderboard) -> list[Table]:
    """Ranks with their ranges, and how far rankings agree; nothing where there is no ranking."""
    tables = []
    if len(board.ranks):
        cells = [
            (
                row["benchmark"],
                row["model"],
                f"{row['rank']:g} [{row['rank_low']:g}, {row['rank_high']:g}]",
                f"{row['first']:.0%}",
            )
            for row in board.ranks.to_dict("records")
        ]
        ranked = ("benchmark", "model", "rank [95 %]", "first in")
        tables.append(pairs_table("ranks", ranked, cells, whole=ranked[2:]))
    if len(board.agreement):
        taus = [
            (row["benchmark"], row["over"], _number(row["kendall_tau"]), row["models"], row["rankings"])
            for row in board.agreement.to_dict("records")
        ]
        columns = ("benchmark", "over", "Kendall's tau", "models", "rankings")
        tables.append(pairs_table("agreement of rankings", columns, taus, whole=columns[2:]))
    return tables


def paired_table(title: str, table: pd.DataFrame) -> Table:
    """Differences between models with their intervals and tests."""
    rows = [
        (
            row["benchmark"],
            f"{row['a']} - {row['b']}",
            f"{_number(row['raw_a'])}, {_number(row['raw_b'])}",
            f"{row['difference']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
            f"{row['p_value']:.2g}",
            f"{row['p_adjusted']:.2g}",
        )
        for row in table.to_dict("records")
    ]
    columns = ("benchmark", "models", "raw", "difference [95 %]", "p", "p (FDR)")
    return pairs_table(title, columns, rows, whole=columns[2:])


def relation_table(title: str, table: pd.DataFrame) -> Table:
    """Correlations over models with their intervals and tests."""
    rows = [
        (
            f"{row['statistic']}{', partial given ' + row['given'] if row['given'] else ''}",
            f"{row['value']:.3f} [{_number(row['low'])}, {_number(row['high'])}]",
            f"{row['p_value']:.2g}",
            row["n_models"],
        )
        for row in table.to_dict("records")
    ]
    x, y = table.iloc[0][["x", "y"]]
    columns = ("correlation", "value [95 %]", "p", "models")
    return pairs_table(f"{title}: {x} and {y}", columns, rows, whole=columns[1:])


def pairs_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, whole: Sequence[str] = ()
) -> Table:
    """Any small table; cells of the columns `whole` stay on one line."""
    table = Table(title=Text(title), title_justify="left", show_header=any(columns))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
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
    # bars must fit the terminal as it is, or they could not be taken back
    with Progress(*columns, console=Console(), transient=True) as bars:
        yield BarProgress(bars)


def _columns(board: Leaderboard) -> list[str]:
    """Those of `COLUMNS` that some row fills; time_bin where it is not 0 for all."""
    rows = board.rows
    some = {name: bool(rows[key].notna().any()) for name, key in OPTIONAL.items()}
    some["time_bin"] = bool((rows["time_bin"].fillna(0) != 0).any())
    return [name for name in COLUMNS if some.get(name, True)]


def _status(row: dict[Hashable, Any]) -> str:
    if row["status"] == "undefined":
        return f"undefined (p = {row['p_value']:.2g})"
    return row["status"] + (f": {row['flags']}" if row["flags"] and not pd.isna(row["flags"]) else "")


def _interval(row: dict[Hashable, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "-"
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _against_lower(row: dict[Hashable, Any]) -> str:
    """The lower bound of the ceiling, on which side of it the row lies, and how surely.

    Bounds of subjects who do not agree say nothing, so there is no side of them.
    """
    if pd.isna(row["ceiling_lower"]) or pd.isna(row["raw"]):
        return "-"
    bound = f"{row['ceiling_lower']:.3f}"
    if row["status"] == "undefined" or pd.isna(row["p_lower"]):
        return bound
    side = "beaten" if row["raw"] > row["ceiling_lower"] else "not beaten"
    return f"{bound} {side}, p = {row['p_lower']:.2g}"


def _subjects(row: dict[Hashable, Any]) -> str:
    """How many, and whether intervals are about fresh subjects or these."""
    if pd.isna(row["n_subjects"]) or row["n_subjects"] == 1:
        return _count(row["n_subjects"])
    return f"{_count(row['n_subjects'])} {'resampled' if row['subjects_resampled'] else 'fixed'}"


def _number(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"


def _count(value: Any) -> str:
    return "-" if pd.isna(value) else str(int(value))


def _text(value: Any) -> str:
    return "-" if pd.isna(value) else str(value)


# column of the table -> its cell; those of COUNTED are left out where the screen is narrow
COLUMNS: Mapping[str, Callable[[dict[Hashable, Any]], str]] = {
    "time_bin": lambda row: "-" if pd.isna(row["time_bin"]) else f"{row['time_bin']:g}",
    "raw [95 %]": lambda row: _interval(row, "raw"),
    "clean [95 %]": lambda row: _interval(row, "clean"),
    "lower bound": _against_lower,
    "ceiling": lambda row: _number(row["ceiling"]),
    "normalised [95 %]": lambda row: _interval(row, "normalised"),
    "stimuli": lambda row: _count(row["n_stimuli"]),
    "neuroids": lambda row: _count(row["n_neuroids"]),
    "subjects": _subjects,
}
COUNTED = ("stimuli", "neuroids", "subjects")
# column of the table -> of the leaderboard, without which it is left out
OPTIONAL = {
    "clean [95 %]": "clean",
    "lower bound": "ceiling_lower",
    "ceiling": "ceiling",
    "normalised [95 %]": "normalised",
    "neuroids": "n_neuroids",
    "subjects": "n_subjects",
}


def verdict_table(name: str, rows: pd.DataFrame) -> Table:
    """What tuning and its controls changed, benchmark by benchmark, as of `benchmarks.tuning.verdict.summary`."""
    table = Table(title=f"{name}: change from the teacher, and by how much tuning exceeds each control [95 %]")
    for column, heading in {
        "condition": "",
        "score": "score",
        "change": "change",
        "behind": "tuning exceeds it by",
    }.items():
        table.add_column(heading, justify="left" if column == "condition" else "right")
    for benchmark, group in rows.groupby("benchmark", sort=False):
        table.add_section()
        table.add_row(Text(str(benchmark), style="bold"))
        for cells in group[["condition", "score", "change", "behind"]].itertuples(index=False):
            table.add_row(*(Text(str(cell)) for cell in cells))
    return table
