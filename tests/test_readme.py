"""Every command and every script in the README runs, in its order, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
BIN = Path(sys.executable).parent
SECONDS = 300


def sections() -> dict[str, list[tuple[str, str]]]:
    """Heading -> its code blocks (language, text)."""
    parts = re.split(r"^## (.*)$", README.read_text(), flags=re.MULTILINE)
    return {title: BLOCK.findall(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def run(line: str, folder: Path) -> str:
    words = shlex.split(line)
    words[0] = str(BIN / words[0])
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def lines(title: str) -> list[str]:
    return [line for language, text in sections()[title] if language == "bash" for line in text.splitlines() if line]


def write_scripts(title: str, folder: Path) -> None:
    for language, text in sections()[title]:
        if language == "python":
            name = text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


def test_make_demo_is_the_smoke_suite(folder):
    assert lines("A first score in two minutes")[0] == "make demo"
    makefile = (README.parent / "Makefile").read_text()
    (recipe,) = re.findall(r"^demo:.*\n\t\$\(BIN\)/(.*)$", makefile, flags=re.MULTILINE)
    assert "15 scores computed, 0 were there" in run(recipe, folder)
    assert "0 scores computed, 15 were there" in run(recipe, folder)


@pytest.mark.parametrize(
    "title",
    [
        "A first score in two minutes",
        pytest.param("More measures", marks=pytest.mark.slow),
        pytest.param("How robust is it?", marks=pytest.mark.slow),
        "Train a network",
        pytest.param("Tune a network toward a brain", marks=pytest.mark.slow),
        pytest.param("Networks with time", marks=pytest.mark.slow),
        "Add a model",
        "Add data",
        pytest.param("Use the Natural Scenes Dataset", marks=pytest.mark.slow),
    ],
)
def test_the_commands_of_a_section_run(title, folder):
    write_scripts(title, folder)
    commands = [line for line in lines(title) if not line.startswith("make ")]
    assert commands
    for command in commands:
        run(command, folder)


def test_the_commands_on_macaque_v4_run(shared_data, folder):
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "cowley2023").symlink_to(shared_data / "cowley2023")
    for command in lines("Use macaque V4"):
        run(command, folder)


@pytest.mark.slow
def test_the_commands_on_published_rdms_run(shared_data, folder):
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "kriegeskorte2008").symlink_to(shared_data / "kriegeskorte2008")
    for command in lines("Use published RDMs"):
        run(command, folder)


def test_every_section_with_commands_is_tested():
    tested = {
        "A first score in two minutes",
        "More measures",
        "Use published RDMs",
        "How robust is it?",
        "Train a network",
        "Tune a network toward a brain",
        "Networks with time",
        "Add a model",
        "Add data",
        "Use macaque V4",
        "Use the Natural Scenes Dataset",
    }
    assert {title for title in sections() if lines(title)} == tested


def test_own_files_are_short():
    for title in ("Add a model", "Add data"):
        for language, text in sections()[title]:
            if language == "python" and "make_data" not in text:
                assert len([line for line in text.splitlines() if line.strip()]) <= 15
