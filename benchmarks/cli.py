"""The `bench` command. Nothing heavy is imported before a command needs it.

Exit codes: 0 all scores exist, 1 some unit failed, 2 the request is wrong, 3 data or environment are not as needed,
130 and 143 interrupted; the same command resumes.
"""

import inspect
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from alignment.errors import AlignmentError, DataError, unknown

if TYPE_CHECKING:
    from benchmarks.settings import Settings

REQUEST, DATA, INTERRUPTED, TERMINATED = 2, 3, 130, 143
SCORING = (
    *("model", "model.*", "suite", "benchmark", "benchmark.*", "data.*", "results", "device", "batch_size"),
    *("block_size", "threads", "seed", "n_bootstrap", "nulls"),
)
WIDEST = 100

app = typer.Typer(
    name="bench",
    help="How brain-like is a vision network, how robust, and at what cost?\n\n"
    "Settings are key=value words: bench run model=resnet18,./net.py:build suite=cowley2023",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Make, fetch and check data.", no_args_is_help=True)
app.add_typer(data_app, name="data")


Words = Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", show_default=False)]
Action = Callable[["Settings"], int | None]
KINDS = ("models", "suites", "benchmarks", "measures", "datasets", "trainings", "tunings", "controls")


class KeyedCommand(TyperCommand):
    """A command of key=value words; its help ends with the keys it makes use of."""

    heeded: tuple[str, ...] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from benchmarks.settings import described_keys

        super().format_help(ctx, formatter)
        keys = described_keys(self.heeded)
        typer.echo(" Keys")
        indent = max(len(key) for key, _ in keys) + 5
        width = min(shutil.get_terminal_size().columns, WIDEST)
        for key, meaning in keys:
            start = f"  {key}=".ljust(indent)
            typer.echo(textwrap.fill(meaning, width, initial_indent=start, subsequent_indent=" " * indent))


def _keyed(group: typer.Typer, *keys: str) -> Callable[[Action], Action]:
    """Make a function of settings a command of key=value words, whose exit code it returns, or None for 0.

    Parameters
    ----------
    group : where the command belongs
    keys : those it makes use of, or globs of them; others are refused
    """

    class Command(KeyedCommand):
        heeded = keys

    def register(action: Action) -> Action:
        def of_words(ctx: typer.Context, words: Words) -> None:
            raise typer.Exit(action(_settings(words, keys, command=ctx.command_path)) or 0)

        group.command(action.__name__, cls=Command, help=inspect.getdoc(action))(of_words)
        return action

    return register


def _settings(words: list[str], heeded: tuple[str, ...], *, command: str) -> "Settings":
    from benchmarks.catalogue import DATASETS
    from benchmarks.settings import check_data_names, check_heeded, parse

    settings = parse(words)
    check_data_names(settings.data, DATASETS.names())
    check_heeded(words, heeded, command=command)
    return settings


@_keyed(app, *SCORING)
def run(settings: "Settings") -> int:
    """Score models: bench run model=toy suite=smoke."""
    from benchmarks.commands import run_command

    return run_command(settings)


@_keyed(app, *SCORING)
def plan(settings: "Settings") -> None:
    """What a run would compute, what is there already, and how many bytes it needs."""
    from benchmarks.commands import plan_command

    plan_command(settings)


@_keyed(app, *SCORING, "tuning", "tuning.*", "control")
def tune(settings: "Settings") -> int:
    """Tune a network toward responses without forgetting its task: bench tune model=toy tuning=smoke control=standard.

    Writes tuned networks to results/tuned, each a model= for every command, scores teacher and tuned networks on what
    the tuning's audit and benchmark= name, and says by how much the gain exceeds that of each control.
    """
    from benchmarks.tuning.command import tune_command

    return tune_command(settings)


@_keyed(app, "model", "training", "training.*", "data.*", "results", "device", "threads", "seed")
def train(settings: "Settings") -> int:
    """Train a network for its task: bench train model=toy training.data=digits.

    Without training= a model is trained in its own way, where it has one. Writes weights and their yaml, a model= for
    every command, to results/trained; those of a model's own training become its default weights. Stopped or killed,
    the same command goes on to the same weights.
    """
    from benchmarks.training.command import train_command

    return train_command(settings)


@app.command("list")
def list_(kind: Annotated[str, typer.Argument(metavar="|".join(KINDS))] = "") -> None:
    """Name what there is: models, suites, benchmarks, measures, datasets, and how networks are trained and tuned."""
    from benchmarks.listing import listing

    if kind and kind not in KINDS:
        raise unknown("kind of list", kind, KINDS)
    for section in [kind] if kind else KINDS:
        typer.echo(f"{section}:")
        for name, summary in listing(section):
            typer.echo(f"  {name:<26} {summary}".rstrip())


@_keyed(
    app, "model", "model.*", "suite", "benchmark", "benchmark.*", "data.*", "results", "device", "seed", "n_bootstrap"
)
def show(settings: "Settings") -> None:
    """Describe: bench show model=resnet18 | suite=smoke | benchmark=nsd-smoke.V1."""
    from benchmarks.commands import show_command

    show_command(settings)


@_keyed(app, "suite", "benchmark", "results")
def leaderboard(settings: "Settings") -> None:
    """Print and write a leaderboard from the records at hand: bench leaderboard suite=smoke."""
    from benchmarks.commands import leaderboard_command

    leaderboard_command(settings)


@_keyed(app, "model", "suite", "benchmark", "results")
def compare(settings: "Settings") -> None:
    """Compare models paired, from the records at hand: bench compare model=a,b suite=rsa92."""
    from benchmarks.commands import compare_command

    compare_command(settings)


@_keyed(app, "suite", "x", "y", "results", "seed")
def relate(settings: "Settings") -> None:
    """Correlate two benchmarks over models: bench relate suite=./mine.yaml x=cowley2023.201025 y=cifar10.

    From the records at hand, over all models that have both scores, null rows aside; also with clean accuracy held
    fixed, where one of the two has it. Writes a table and a scatter plot.
    """
    from benchmarks.commands import relate_command

    relate_command(settings)


@_keyed(app, "suite", "data.root", "results")
def published(settings: "Settings") -> None:
    """Lay curves of the models at hand beside published ones: bench published suite=thorat2021.

    Published numbers are read from data.root, or downloaded. Writes a table and figures to results/published.
    """
    from benchmarks.published.command import published_command

    published_command(settings)


@_keyed(data_app, "data.nsd-simulated", "seed")
def simulate(settings: "Settings") -> None:
    """Write a simulated brain in the NSD layout: bench data simulate data.nsd-simulated=<folder>."""
    from benchmarks.commands import simulate_command

    simulate_command(settings)


@_keyed(data_app, "suite", "benchmark", "data.*", "results")
def fetch(settings: "Settings") -> None:
    """Download what a benchmark needs: bench data fetch benchmark=cowley2023.201025."""
    from benchmarks.commands import fetch_command

    fetch_command(settings)


@_keyed(data_app, "suite", "benchmark", "data.*", "results", "to", "layout")
def export(settings: "Settings") -> None:
    """Write data for other tools: bench data export benchmark=kriegeskorte2008.humanIT to=<folder>.

    Responses become Brain-Score assemblies (netCDF), RDMs files of rsatoolbox (HDF5); with layout=rep_align, responses
    and images become a data folder of rep_align.
    """
    from benchmarks.commands import export_command

    export_command(settings)


@_keyed(data_app, "suite", "benchmark", "data.*", "results")
def check(settings: "Settings") -> None:
    """Check files on disk: bench data check benchmark=nsd.V1 data.nsd=<folder>."""
    from benchmarks.commands import check_command

    check_command(settings)


def main() -> NoReturn:
    """Run the command; every fault a user can cause is one line and an exit code."""
    stop = _Stop()
    stop.heed(signal.SIGINT, INTERRUPTED)
    stop.heed(signal.SIGTERM, TERMINATED)
    # waiting threads that spin make a decomposition a hundred times slower where others share the processors
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code, line = 0, ""
    try:
        code = app(standalone_mode=False) or 0
    except BaseException as error:
        fault = stop.fault or _fault(error)
        if fault is None:
            raise
        code, line = fault
    stop.rest()
    if line:
        _say(line)
    sys.exit(code)


def _fault(error: BaseException) -> tuple[int, str] | None:
    """Exit code and line of what a user can cause; the line is empty where help has been printed."""
    if isinstance(error, typer.TyperException):
        return REQUEST, _message(error)
    if isinstance(error, AlignmentError):
        return (DATA if isinstance(error, DataError) else REQUEST), str(error)
    if isinstance(error, OSError):
        return DATA, f"{error.filename or 'a file'}: {error.strerror or error}; check the place and the room there"
    return None


class _Stopped(BaseException):
    """A signal asked the command to end; not an Exception, so that nothing on the way takes it for a failure."""


class _Stop:
    """Ends the command on a signal.

    Attributes
    ----------
    fault : exit code and line, once a signal has come. Whatever is raised after it is its doing: an import that is cut
        short fails in its own way
    """

    def __init__(self) -> None:
        self.fault: tuple[int, str] | None = None

    def heed(self, number: signal.Signals, code: int) -> None:
        """End with a code, unless whoever started the command had the signal ignored."""

        def stop(*_: object) -> NoReturn:
            self.fault = code, "stopped; the same command resumes"
            # what is raised inside a destructor or a weak reference's callback is lost there: ask again until it is
            # heard
            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
            raise _Stopped

        def unheard(lost: Any) -> None:
            if not isinstance(lost.exc_value, _Stopped):
                sys.__unraisablehook__(lost)

        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
            sys.unraisablehook = unheard

    def rest(self) -> None:
        """The command has ended: what comes now is too late."""
        for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _message(error: typer.TyperException) -> str:
    formatted = getattr(error, "format_message", lambda: str(error))()
    command = getattr(getattr(error, "ctx", None), "command_path", "bench")
    return f"{formatted} (see {command} --help)" if formatted.strip() else ""


def _say(text: str) -> None:
    line = " ".join(text.split())
    typer.echo(f"bench: error: {line}", err=True)
