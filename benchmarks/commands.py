"""What each command of `bench` does, once its words are settings."""

from rich.console import Console

from alignment.errors import DataError, RequestError
from alignment.models import describe_model
from alignment.registry import foreign_code
from benchmarks import report
from benchmarks.catalogue import build_benchmarks, build_dataset, cache_folder, check_files, short_name
from benchmarks.datasets.base import Fetches
from benchmarks.plan import check, planned
from benchmarks.results import Leaderboard, leaderboard, load_records, save_leaderboard
from benchmarks.run import run
from benchmarks.settings import Settings
from benchmarks.suites import load_suite

SOME_UNIT_FAILED = 1


def run_command(settings: Settings) -> int:
    """`bench run`: returns the exit code."""
    request = check(settings)
    output = report.console()
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
        board = leaderboard(records, benchmarks)
        if board.rows.empty:
            raise RequestError(f"no records of {name} in {settings.results / 'records'}; bench run makes them")
        save_leaderboard(settings.results, name, board)
        _print_board(name, board, settings, output=output)


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
        rows = [("ok" if finding.ok else "FAULT", finding.what, finding.found) for finding in findings]
        if rows:
            output.print(report.pairs_table(f"files of {name}", ("", "", ""), rows))
        faults = sum(not finding.ok for finding in findings)
        if faults:
            first = next(finding for finding in findings if not finding.ok)
            raise DataError(f"{name}: {faults} of {len(findings)} checks failed, first {first.what}: {first.found}")
        with foreign_code(name):
            _print_loaded(name, settings, output=output)


def _print_loaded(name: str, settings: Settings, *, output: Console) -> None:
    dataset = build_dataset(name, settings)
    rows = list(dataset.describe().items())
    for subject in dataset.subjects:
        responses = dataset.responses(subject)
        shape = ", ".join(f"{length} {dim}" for dim, length in responses.sizes.items())
        dropped = responses.attrs.get("dropped", [])
        rows.append((f"responses of {subject}", f"{shape}; dropped neuroids: {', '.join(dropped) or 'none'}"))
    output.print(report.pairs_table(name, ("", ""), rows))


def _named_benchmarks(settings: Settings) -> tuple[str, ...]:
    names = settings.benchmark.name or (load_suite(settings.suite).benchmarks if settings.suite else ())
    if not names:
        raise RequestError("name one of suite=<name> and benchmark=<name>; `bench list` shows what there is")
    return names


def _board_names(settings: Settings) -> dict[str, tuple[str, ...]]:
    if settings.suite:
        suite = load_suite(settings.suite)
        return {suite.name: tuple(map(short_name, suite.benchmarks))}
    return {name: (name,) for name in map(short_name, _named_benchmarks(settings))}


def _print_board(name: str, board: Leaderboard, settings: Settings, *, output: Console) -> None:
    output.print(report.leaderboard_table(name, board))
    means = report.means_table(board)
    if means is not None:
        output.print(means)
    output.print(str(settings.results / "leaderboards" / f"{name}.csv"), soft_wrap=True)


def _show_model(name: str, settings: Settings, *, output: Console) -> None:
    described = describe_model(
        name,
        cache=cache_folder(settings),
        weights=settings.model.weights,
        layers=settings.model.layers or None,
        data_root=settings.data.root,
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
