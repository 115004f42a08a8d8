"""What each command of `bench` does, once its words are settings."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from alignment.errors import DataError, RequestError, near_misses, unknown
from alignment.registry import foreign_code
from benchmarks import report
from benchmarks.catalogue import benchmark_names, build_benchmarks, build_dataset, cache_folder, check_files, short_name
from benchmarks.comparison import paired
from benchmarks.datasets.base import DataSet, Fetches, holds_labels, holds_rdms
from benchmarks.datasets.nsd.check import Finding
from benchmarks.model_files import describe_model, display_name
from benchmarks.plan import check, planned
from benchmarks.results import (
    Leaderboard,
    Record,
    leaderboard,
    load_records,
    named_records,
    over_time_folder,
    save_leaderboard,
    save_relation,
)
from benchmarks.run import run
from benchmarks.settings import Settings
from benchmarks.suites import load_suite

SOME_UNIT_FAILED = 1


def run_command(settings: Settings) -> int:
    """`bench run`: returns the exit code."""
    request = check(settings)
    output = report.console()
    for note in request.notes:
        output.print(note, soft_wrap=True)
    with report.progress(output) as notify:
        outcome = run(request, notify=notify)
    for failure in outcome.failures:
        output.print(f"failed: {failure}", style="red", soft_wrap=True)
    for name, board in outcome.boards.items():
        _print_board(name, board, settings, output=output)
    output.print(f"{outcome.computed} scores computed, {outcome.cached} were there, {len(outcome.failures)} failed")
    return SOME_UNIT_FAILED if outcome.failures else 0


def plan_command(settings: Settings) -> None:
    """`bench plan`: no score is computed; data that are simulated and networks that train themselves are made, once."""
    request = check(settings)
    rows = []
    for units in planned(request):
        for unit in units:
            there = len(unit.part_keys) - len(unit.pending)
            state = "cached" if unit.done else f"{len(unit.pending)} pending, {there} cached"
            rows.append((unit.model_name, unit.benchmark.id, state, report.size(unit.bytes)))
    report.console().print(
        report.pairs_table("plan", ("model", "benchmark", "parts (subject x layer)", "to record"), rows)
    )


def leaderboard_command(settings: Settings) -> None:
    """`bench leaderboard`: from the records at hand."""
    names = _board_names(settings)
    records = load_records(settings.results)
    output = report.console()
    for name, benchmarks in names.items():
        _check_recorded(records, name, benchmarks=benchmarks, settings=settings)
        board = leaderboard(records, benchmarks)
        save_leaderboard(settings.results, name, board)
        _print_board(name, board, settings, output=output)


def compare_command(settings: Settings) -> None:
    """`bench compare`: from the records at hand.

    Raises
    ------
    RequestError
        Fewer than two models are named, or one has no record here (with near misses).
    """
    if len(settings.model.name) < 2:
        raise RequestError("name two models or more: model=a,b")
    records = load_records(settings.results)
    output = report.console()
    for name, benchmarks in _board_names(settings).items():
        _check_recorded(records, name, benchmarks=benchmarks, settings=settings)
        named = named_records(records, benchmarks)
        known = [model for model, _, _ in named]
        models = [_in_table(model, known) for model in settings.model.name]
        output.print(report.paired_table(name, paired(named, models)))


def relate_command(settings: Settings) -> None:
    """`bench relate`: from the records at hand.

    Raises
    ------
    RequestError
        One of x and y is missing, is not in the table, or shares too few models with the other.
    """
    from benchmarks.plots import scatter
    from benchmarks.relation import relate

    if settings.x is None or settings.y is None:
        raise RequestError("say what to relate: x=<benchmark> y=<benchmark>")
    records = load_records(settings.results)
    suite = load_suite(settings.suite) if settings.suite else None
    name = suite.name if suite else "all"
    benchmarks = tuple(map(short_name, suite.benchmarks)) if suite else _recorded(records)
    found = relate(named_records(records, benchmarks), settings.x, settings.y, seed=settings.seed)
    output = report.console()
    output.print(report.relation_table(name, found.table))
    x, y = found.table.iloc[0][["x", "y"]]
    for path in save_relation(settings.results, found.table, found.points, plot=scatter(found.points, x=x, y=y)):
        output.print(str(path), soft_wrap=True)


def _recorded(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(sorted({record["benchmark"]["name"] for record in records}))


def _check_recorded(records: Sequence[Record], name: str, *, benchmarks: Sequence[str], settings: Settings) -> None:
    recorded = _recorded(records)
    if not set(recorded).isdisjoint(benchmarks):
        return
    # a suite or a benchmark that there is, and that nobody scored, is no slip of the pen
    hint, known = "", benchmark_names()
    if not settings.suite and name not in known:
        hint = near_misses(name, recorded) or near_misses(name, known)
    raise RequestError(f"no records of {name} in {settings.results / 'records'}; bench run makes them{hint}")


def _in_table(model: str, known: Sequence[str]) -> str:
    """The name that tables give to what a user types: `./net.py:build` is `net:build` there."""
    for name in (model, display_name(model)):
        if name in known:
            return name
    raise unknown("model in the table", model, known)


def show_command(settings: Settings) -> None:
    """`bench show`: models, a suite, benchmarks."""
    output = report.console()
    if not (settings.model.name or settings.suite or settings.benchmark.name):
        raise RequestError("say what to show: model=<name>, suite=<name> or benchmark=<name>")
    if settings.suite:
        suite = load_suite(settings.suite)
        rows = [("measures", suite.summary), ("benchmarks", ", ".join(suite.benchmarks))]
        rows += [("models", ", ".join(suite.models) or "yours"), ("null rows", ", ".join(suite.nulls))]
        output.print(report.pairs_table(f"suite {suite.name}", ("", ""), rows))
    for name in settings.benchmark.name:
        with foreign_code(name):
            described = [benchmark.describe() for benchmark in build_benchmarks(name, settings)]
        for each in described:
            output.print(report.pairs_table(f"benchmark {name}", ("", ""), list(each.items())))
    for name in settings.model.name:
        _show_model(name, settings, output=output)


def simulate_command(settings: Settings) -> None:
    """`bench data simulate`: write the simulated brain where data.nsd-simulated=<folder> says."""
    from benchmarks.datasets.nsd_simulator import LARGE, simulate_nsd

    folder = settings.data.folders().get("nsd-simulated")
    if folder is None:
        raise RequestError("say where: data.nsd-simulated=<folder>")
    if folder.exists():
        raise RequestError(f"{folder} exists; name a new folder, or use this one as data.nsd={folder}")
    simulate_nsd(folder, settings=LARGE, seed=settings.seed)
    output = report.console()
    output.print(f"{folder}\nscore it with: bench run model=toy benchmark=nsd.V1 data.nsd={folder}")


def fetch_command(settings: Settings) -> None:
    """`bench data fetch`: everything the named benchmarks read, downloaded where it is missing."""
    for name in _named_benchmarks(settings):
        with foreign_code(name):
            dataset = build_dataset(name, settings)
            paths = dataset.fetch() if isinstance(dataset, Fetches) else ()
        for path in paths:
            report.console().print(str(path), soft_wrap=True)
        report.console().print(f"{name}: {'at hand' if paths else 'nothing to download'}")


def export_command(settings: Settings) -> None:
    """`bench data export`: the data of the named benchmarks in the files of other tools, in the folder `to=` says."""
    from benchmarks.datasets.export import LAYOUTS

    export = LAYOUTS[settings.layout]
    if settings.to is None:
        raise RequestError("say where: to=<folder>")
    for name in _named_benchmarks(settings):
        with foreign_code(name):
            written = export(build_dataset(name, settings), settings.to)
        for path in written:
            report.console().print(str(path), soft_wrap=True)


def check_command(settings: Settings) -> None:
    """`bench data check`: what is there, and every fault.

    Raises
    ------
    DataError
        Something is not as it must be; the table says what.
    """
    output = report.console()
    for name in _named_benchmarks(settings):
        findings = check_files(name, settings)
        rows = [(_state(finding), finding.what, finding.found) for finding in findings]
        if rows:
            output.print(report.pairs_table(f"files of {name}", ("", "", ""), rows))
        faults = sum(not finding.ok for finding in findings)
        if faults:
            first = next(finding for finding in findings if not finding.ok)
            raise DataError(f"{name}: {faults} of {len(findings)} checks failed, first {first.what}: {first.found}")
        with foreign_code(name):
            _print_loaded(name, settings, output=output)


def _state(finding: Finding) -> str:
    if not finding.ok:
        return "FAULT"
    return "part" if finding.incomplete else "ok"


def _print_loaded(name: str, settings: Settings, *, output: Console) -> None:
    dataset = build_dataset(name, settings)
    if holds_labels(dataset):
        measured = [("labels", f"{len(dataset.targets())} of {len(dataset.classes)} classes")]
    else:
        measured = _rdms_read(dataset) if holds_rdms(dataset) else _responses_read(dataset)
    output.print(report.pairs_table(name, ("", ""), [*dataset.describe().items(), *measured]))


def _rdms_read(dataset: Any) -> list[tuple[str, str]]:
    rdms = dataset.rdms()
    return [("RDMs", f"{len(rdms)} of {len(rdms.stimuli)} stimuli")]


def _responses_read(dataset: DataSet) -> list[tuple[str, str]]:
    rows = []
    for subject in dataset.subjects:
        responses = dataset.responses(subject)
        shape = ", ".join(f"{length} {dim}" for dim, length in responses.sizes.items())
        dropped = responses.attrs.get("dropped", [])
        rows.append((f"responses of {subject}", f"{shape}; dropped neuroids: {', '.join(dropped) or 'none'}"))
    return rows


def _named_benchmarks(settings: Settings) -> tuple[str, ...]:
    if settings.suite and settings.benchmark.name:
        raise RequestError(f"suite={settings.suite} and benchmark={settings.benchmark.name[0]}: give one, not both")
    names = settings.benchmark.name or (load_suite(settings.suite).benchmarks if settings.suite else ())
    if not names:
        raise RequestError("name one of suite=<name> and benchmark=<name>; `bench list` shows what there is")
    return names


def _board_names(settings: Settings) -> dict[str, tuple[str, ...]]:
    names = tuple(map(short_name, _named_benchmarks(settings)))
    return {load_suite(settings.suite).name: names} if settings.suite else {name: (name,) for name in names}


def _print_board(name: str, board: Leaderboard, settings: Settings, *, output: Console) -> None:
    output.print(report.leaderboard_table(name, board, width=output.width))
    means = report.means_table(board)
    if means is not None:
        output.print(means)
    for table in (*report.figures_tables(board), *report.ranking_tables(board)):
        output.print(table)
    output.print(str(settings.results / "leaderboards" / f"{name}.csv"), soft_wrap=True)
    drawn = over_time_folder(settings.results, name)
    if drawn.is_dir():
        output.print(str(drawn), soft_wrap=True)


def _show_model(name: str, settings: Settings, *, output: Console) -> None:
    described = describe_model(
        name,
        cache=cache_folder(settings),
        weights=settings.model.weights,
        layers=settings.model.layers or None,
        data_root=settings.data.root,
        seed=settings.seed,
    )
    rows = [
        ("parameters", f"{described.parameters:,}"),
        ("image size", "any" if described.image_size is None else " x ".join(map(str, described.image_size))),
        ("classes", described.classes or "no logits"),
    ]
    output.print(report.pairs_table(f"model {described.name}", ("", ""), rows))
    layers = [
        (layer, " x ".join(map(str, shape)), len(described.time_bins[layer]))
        for layer, shape in described.shapes.items()
    ]
    output.print(report.pairs_table("layers", ("layer", "units", "time_bins"), layers))
