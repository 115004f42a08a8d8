"""The `bench` command. Nothing heavy is imported before a command needs it.

Exit codes: 0 all scores exist, 1 some unit failed, 2 the request is wrong, 3 data or environment are not as needed,
130 and 143 interrupted; the same command resumes.
"""

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from alignment.errors import AlignmentError, DataError, unknown

if TYPE_CHECKING:
    from benchmarks.settings import Settings

REQUEST, DATA, INTERRUPTED, TERMINATED = 2, 3, 130, 143

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


def _settings(words: list[str]) -> "Settings":
    from benchmarks.catalogue import DATASETS
    from benchmarks.settings import check_data_names, parse

    settings = parse(words)
    check_data_names(settings.data, DATASETS.names())
    return settings


Words = Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", show_default=False)]
KINDS = ("models", "suites", "benchmarks", "measures", "datasets")


@app.command()
def run(words: Words) -> None:
    """Score models: bench run model=toy suite=smoke."""
    from benchmarks.commands import run_command

    raise typer.Exit(run_command(_settings(words)))


@app.command()
def plan(words: Words) -> None:
    """What a run would compute, what is there already, and how many bytes it needs."""
    from benchmarks.commands import plan_command

    plan_command(_settings(words))


@app.command("list")
def list_(kind: Annotated[str, typer.Argument(metavar="|".join(KINDS))] = "") -> None:
    """Name what there is: models, suites, benchmarks, measures, datasets."""
    from benchmarks.listing import listing

    if kind and kind not in KINDS:
        raise unknown("kind of list", kind, KINDS)
    for section in [kind] if kind else KINDS:
        typer.echo(f"{section}:")
        for name, summary in listing(section):
            typer.echo(f"  {name:<26} {summary}".rstrip())


@app.command()
def show(words: Words) -> None:
    """Describe: bench show model=resnet18 | suite=smoke | benchmark=nsd-smoke.V1."""
    from benchmarks.commands import show_command

    show_command(_settings(words))


@app.command()
def leaderboard(words: Words) -> None:
    """Print and write a leaderboard from the records at hand: bench leaderboard suite=smoke."""
    from benchmarks.commands import leaderboard_command

    leaderboard_command(_settings(words))


@data_app.command()
def simulate(words: Words) -> None:
    """Write a simulated brain in the NSD layout: bench data simulate data.nsd-simulated=<folder>."""
    from benchmarks.commands import simulate_command

    simulate_command(_settings(words))


@data_app.command()
def fetch(words: Words) -> None:
    """Download what a benchmark needs: bench data fetch benchmark=cowley2023.201025."""
    from benchmarks.commands import fetch_command

    fetch_command(_settings(words))


@data_app.command()
def check(words: Words) -> None:
    """Check files on disk: bench data check benchmark=nsd.V1 data.nsd=<folder>."""
    from benchmarks.commands import check_command

    check_command(_settings(words))


def main() -> NoReturn:
    """Run the command; every fault a user can cause is one line and an exit code."""
    _heed(signal.SIGINT, INTERRUPTED)
    _heed(signal.SIGTERM, TERMINATED)
    # waiting threads that spin make a decomposition a hundred times slower where others share the processors
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        code = REQUEST
        _say(_message(error))
    except AlignmentError as error:
        code = DATA if isinstance(error, DataError) else REQUEST
        _say(str(error))
    except OSError as error:
        code = DATA
        _say(f"{error.filename or 'a file'}: {error.strerror or error}; check the place and the room there")
    except _Stopped as stopped:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        code = stopped.code
        _say("stopped; the same command resumes")
    sys.exit(code)


class _Stopped(BaseException):
    """A signal asked the command to end; not an Exception, so that nothing on the way takes it for a failure."""

    def __init__(self, code: int) -> None:
        self.code = code


def _heed(number: signal.Signals, code: int) -> None:
    """End the command on a signal, unless whoever started it had the signal ignored."""

    def stop(*_: object) -> NoReturn:
        # what is raised inside a destructor or a weak reference's callback is lost there: ask again until it is heard
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
        raise _Stopped(code)

    def unheard(lost: Any) -> None:
        if not isinstance(lost.exc_value, _Stopped):
            sys.__unraisablehook__(lost)

    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, stop)
        sys.unraisablehook = unheard


def _message(error: typer.TyperException) -> str:
    command = getattr(getattr(error, "ctx", None), "command_path", "bench")
    formatted = getattr(error, "format_message", lambda: str(error))()
    return f"{formatted} (see {command} --help)"


def _say(text: str) -> None:
    line = " ".join(text.split())
    typer.echo(f"bench: error: {line}", err=True)
