"""Records and leaderboards.

A record is one JSON file per (model, benchmark), immutable, named by its key: a hash of everything that enters the
number. A leaderboard is a pure function of the records; provenance stays in the records.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from alignment.errors import DataError
from benchmarks import comparison
from benchmarks.model_files import file_stem
from benchmarks.nulls import REFERENCES, SHUFFLED
from benchmarks.over_time import figures_over_time
from benchmarks.score_figures import drawable, figures_of_scores
from benchmarks.store import write_whole

SCHEMA = 2
ROW = (
    "model",
    "benchmark",
    "layer",
    "time_bin",
    "raw",
    "raw_low",
    "raw_high",
    "clean",
    "clean_low",
    "clean_high",
    "ceiling",
    "ceiling_lower",
    "normalised",
    "normalised_low",
    "normalised_high",
    "n_stimuli",
    "n_neuroids",
    "n_subjects",
    "subjects_resampled",
    "status",
    "flags",
    "p_value",
    "p_zero",
    "p_lower",
    "p_null",
    "layer_share",
    "null",
    "record",
)
COUNTS = ("n_stimuli", "n_neuroids", "n_subjects")
SURFACE_ROW = ("model", "benchmark", "layer", "time_bin", "raw", "raw_low", "raw_high")
FIGURE = ("model", "benchmark", "figure", "value")
SHORT = 8

FIELDS = frozenset(
    {"schema", "key", "model", "benchmark", "layer", "score", "clean", "clean_samples", "flags", "figures"}
    | {"samples", "by_split", "surface"}
)

Record = dict[str, Any]


@dataclass(frozen=True)
class Leaderboard:
    """Rows, the whole layer x time_bin surface, means over benchmarks of one measure, and how far ranks can be trusted.

    `figures` are further numbers of single scores, (model, benchmark, figure, value), in the order of the rows; `ranks`
    and `agreement` are those of `benchmarks.comparison`; `drawn` is what figures of single scores are made of, by
    (model, benchmark).
    """

    rows: pd.DataFrame
    surface: pd.DataFrame
    means: pd.DataFrame
    ranks: pd.DataFrame
    agreement: pd.DataFrame
    figures: pd.DataFrame
    drawn: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


def save_record(folder: Path, record: Record) -> Path:
    """Write a record under its key; the first writer wins."""
    text = json.dumps({"schema": SCHEMA, **record}, indent=1, sort_keys=True, allow_nan=False)
    return write_whole(record_path(folder, record["key"]), text.encode() + b"\n", exclusive=True)


def record_path(folder: Path, key: str) -> Path:
    """Where a record lies, whether or not it exists."""
    return folder / "records" / f"{key}.json"


def load_records(folder: Path) -> list[Record]:
    """Every record, in the order of their keys.

    Raises
    ------
    DataError
        A file is no record, or of a schema this version does not know.
    """
    return [_load(path) for path in sorted((folder / "records").glob("*.json"))]


def _load(path: Path) -> Record:
    try:
        record = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"record {path} is not JSON ({error}); restore or delete it") from None
    if isinstance(record, dict) and record.get("schema", SCHEMA) != SCHEMA:
        raise DataError(
            f"record {path} has schema {record['schema']}, this version reads {SCHEMA}; update, or move it and rerun"
        )
    if not isinstance(record, dict) or not record.keys() >= FIELDS:
        fields = ", ".join(sorted(FIELDS))
        raise DataError(f"record {path} is no record: it lacks some of {fields}; restore or delete it")
    return record


def leaderboard(records: Iterable[Record], benchmarks: Sequence[str]) -> Leaderboard:
    """The rows of some benchmarks.

    Of each (model, benchmark id) the highest benchmark version counts. Where two records still share both names, the
    model or the data behind the name differ: both rows are kept and told apart by `@` and their fingerprint. A model
    without a score in one of the benchmarks has a row there with status `incomplete`.
    """
    named = named_records(records, benchmarks)
    tested = comparison.p_values(named).to_dict("records")
    rows = [
        {**_row(model, benchmark, record), **tests}
        for (model, benchmark, record), tests in zip(named, tested, strict=True)
    ]
    rows += _incomplete(named, benchmarks)
    order = {name: position for position, name in enumerate(benchmarks)}
    frame = pd.DataFrame(rows, columns=[*ROW, "_name", "_measure"])
    frame = frame.astype(dict.fromkeys(COUNTS, "Int64"))
    frame["_place"] = frame["_name"].map(order)
    frame = frame.sort_values(["_place", "benchmark", "raw", "model"], ascending=[True, True, False, True])
    surface = [
        {"model": model, "benchmark": benchmark, **cell}
        for model, benchmark, record in named
        for cell in record["surface"]
    ]
    return Leaderboard(
        rows=frame[list(ROW)].reset_index(drop=True),
        surface=pd.DataFrame(surface, columns=list(SURFACE_ROW)).sort_values(
            ["benchmark", "model"], kind="stable", ignore_index=True
        ),
        means=_means(frame if len(benchmarks) > 1 else frame.iloc[:0], len(benchmarks)),
        ranks=comparison.ranks(named),
        agreement=comparison.agreement(named),
        figures=_figures(named, frame),
        drawn={(model, benchmark): drawable(record.get("details", {})) for model, benchmark, record in named},
    )


def _figures(named: Sequence[tuple[str, str, Record]], frame: pd.DataFrame) -> pd.DataFrame:
    place = {pair: position for position, pair in enumerate(zip(frame["model"], frame["benchmark"], strict=True))}
    rows = [
        (model, benchmark, figure, value)
        for model, benchmark, record in sorted(named, key=lambda each: place[each[0], each[1]])
        for figure, value in record["figures"]
    ]
    return pd.DataFrame(rows, columns=list(FIGURE))


def named_records(records: Iterable[Record], benchmarks: Sequence[str]) -> list[tuple[str, str, Record]]:
    """(name of the model, id of the benchmark, record) of what counts, as `leaderboard` names them.

    In the order of `benchmarks`, of ids, then of the records.
    """
    wanted = [each for each in records if each["benchmark"]["name"] in benchmarks]
    place = {name: position for position, name in enumerate(benchmarks)}
    return sorted(
        _tell_apart(_highest_versions(wanted)), key=lambda named: (place[named[2]["benchmark"]["name"]], named[1])
    )


def _means(frame: pd.DataFrame, n_benchmarks: int) -> pd.DataFrame:
    """A model has a mean where it has every benchmark once by one measure; a normalised one where all have a ceiling.

    Where the data behind a benchmark changed, a model scored before and after has two rows there, and no mean.
    """
    rows = [
        {
            "model": model,
            "measure": measure,
            "raw": group["raw"].mean(skipna=False),
            "normalised": group["normalised"].mean(skipna=False),
        }
        for (model, measure), group in frame.groupby(["model", "_measure"])
        if len(group) == n_benchmarks and group["raw"].notna().all()
    ]
    means = pd.DataFrame(rows, columns=["model", "measure", "raw", "normalised"])
    return means.sort_values(["measure", "raw"], ascending=[True, False], ignore_index=True)


def save_leaderboard(folder: Path, name: str, board: Leaderboard) -> Path:
    """Write `<name>.csv`, `<name>.layers.csv` and, where there are any, `<name>.figures.csv`; the path of the first.

    Where models have time, figures of the surface as well, `<benchmark>.maps.png` and `<benchmark>.curves.png` in
    `over_time_folder`, and those of single scores, such as `<benchmark>.<model>.spectra.png`.
    """
    path = folder / "leaderboards" / f"{name}.csv"
    place = over_time_folder(folder, name)
    for (benchmark, kind), drawn in figures_over_time(board.rows, board.surface).items():
        write_whole(place / f"{file_stem(benchmark)}.{kind}.png", drawn)
    for (benchmark, model, kind), drawn in figures_of_scores(board.rows, board.drawn).items():
        write_whole(place / f"{file_stem(benchmark)}.{file_stem(model)}.{kind}.png", drawn)
    if len(board.figures):
        write_whole(path.with_name(f"{name}.figures.csv"), table_bytes(board.figures))
    write_whole(path.with_name(f"{name}.layers.csv"), table_bytes(board.surface))
    return write_whole(path, table_bytes(board.rows))


def over_time_folder(folder: Path, name: str) -> Path:
    """Where the figures of a leaderboard's models with time lie, beside the leaderboards."""
    return folder / "over_time" / name


def save_relation(folder: Path, table: pd.DataFrame, points: pd.DataFrame, *, plot: bytes) -> tuple[Path, ...]:
    """Write `<x> and <y>.csv`, `.models.csv` and `.png`, a folder beside the leaderboards; where they lie."""
    x, y = (key.replace("/", "_") for key in table.iloc[0][["x", "y"]])
    place = folder / "relations"
    return (
        write_whole(place / f"{x} and {y}.csv", table_bytes(table)),
        write_whole(place / f"{x} and {y}.models.csv", table_bytes(points)),
        write_whole(place / f"{x} and {y}.png", plot),
    )


def table_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV, the same bytes for the same numbers on any machine."""
    text = io.StringIO()
    frame.to_csv(text, index=False, float_format="%.6f", lineterminator="\n")
    return text.getvalue().encode()


def _highest_versions(records: Sequence[Record]) -> list[Record]:
    highest: dict[tuple[str, str], int] = {}
    for record in records:
        pair = _pair(record)
        highest[pair] = max(highest.get(pair, 0), record["benchmark"]["version"])
    return [record for record in records if record["benchmark"]["version"] == highest[_pair(record)]]


def _pair(record: Record) -> tuple[str, str]:
    return record["model"]["name"], record["benchmark"]["id"]


def _tell_apart(records: Sequence[Record]) -> list[tuple[str, str, Record]]:
    """(name of the model, id of the benchmark, record); one name for one content in all rows of the table.

    Responses shuffled on purpose are other responses under the same id, which the row says already.
    """
    models: dict[tuple[str, str], set[str]] = {}
    benchmarks: dict[tuple[str, bool], set[str]] = {}
    for record in records:
        models.setdefault(_model_of(record), set()).add(record["model"]["fingerprint"])
        benchmarks.setdefault(_data_of(record), set()).add(record["benchmark"]["fingerprint"])

    def marked(name: str, digest: str, contents: set[str]) -> str:
        return f"{name}@{digest[:SHORT]}" if len(contents) > 1 else name

    return [
        (
            marked(record["model"]["name"], record["model"]["fingerprint"], models[_model_of(record)]),
            marked(record["benchmark"]["id"], record["benchmark"]["fingerprint"], benchmarks[_data_of(record)]),
            record,
        )
        for record in records
    ]


def _model_of(record: Record) -> tuple[str, str]:
    """What must be the same wherever it has this name; a reference, such as chance, is each benchmark's own."""
    of = record["benchmark"]["id"] if record["model"]["null"] == REFERENCES else ""
    return record["model"]["name"], of


def _data_of(record: Record) -> tuple[str, bool]:
    return record["benchmark"]["id"], record["model"]["null"] == SHUFFLED


def _row(model: str, benchmark: str, record: Record) -> dict[str, Any]:
    score = record["score"]
    counts = (*COUNTS, "subjects_resampled", "status", "p_value")
    cells = {name: score[name] for name in counts}
    return {
        "model": model,
        "benchmark": benchmark,
        "layer": record["layer"]["name"],
        "time_bin": record["layer"]["time_bin"],
        **_estimate("raw", score["raw"]),
        **_estimate("clean", record["clean"]),
        "ceiling": (score["ceiling"] or {}).get("value"),
        "ceiling_lower": (score["lower"] or {}).get("value"),
        **_estimate("normalised", score["normalised"]),
        **cells,
        "flags": "; ".join(record["flags"]),
        "layer_share": record["layer"]["share"],
        "null": record["model"]["null"] or "",
        "record": record["key"],
        "_name": record["benchmark"]["name"],
        "_measure": record["benchmark"]["measure"],
    }


def _estimate(name: str, estimate: Mapping[str, float] | None) -> dict[str, float | None]:
    found = estimate or {}
    return {name: found.get("value"), f"{name}_low": found.get("low"), f"{name}_high": found.get("high")}


def _incomplete(named: Sequence[tuple[str, str, Record]], benchmarks: Sequence[str]) -> list[dict[str, Any]]:
    """A row for every benchmark that a model lacks, among those it has by the same measure.

    Measures that nobody took on some of the benchmarks are a user's trials, not a part of the suite.
    """
    covered: dict[str, set[str]] = {}
    for _, _, record in named:
        covered.setdefault(record["benchmark"]["measure"], set()).add(record["benchmark"]["name"])
    have: dict[tuple[str, str], set[str]] = {}
    nulls: dict[str, str] = {}
    for model, _, record in named:
        have.setdefault((model, record["benchmark"]["measure"]), set()).add(record["benchmark"]["name"])
        nulls[model] = record["model"]["null"] or ""
    return [
        {
            "model": model,
            "benchmark": f"{name}-{measure}",
            "status": "incomplete",
            "null": nulls[model],
            "_name": name,
            "_measure": measure,
        }
        for model, measure in sorted(have)
        for name in benchmarks
        if name not in have[model, measure] and covered[measure] >= set(benchmarks) and nulls[model] != REFERENCES
    ]
