"""What is said of one run's records, and where: on a terminal, to whoever misspells, and in ids."""

import csv
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.commands import check_command
from benchmarks.settings import parse

BENCH = Path(sys.executable).parent / "bench"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def bench(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300)


def on_a_terminal(*words: str, folder: Path, columns: int) -> str:
    """What a person sees, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen([str(BENCH), *words], cwd=folder, stdout=theirs, env={**environment, "TERM": "xterm"})
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return ANSI.sub("", seen.decode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels scored on a folder of images."""
    place = tmp_path_factory.mktemp("run")
    data = place / "my data"
    (data / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    colours = rng.uniform(size=(30, 3))
    for number, colour in enumerate(colours):
        noise = rng.normal(0, 0.1, size=(16, 16, 3))
        Image.fromarray(np.uint8(255 * np.clip(colour + noise, 0, 1))).save(data / "images" / f"{number:03}.png")
    np.save(data / "responses.npy", colours @ rng.normal(size=(3, 5)) + rng.normal(0, 0.3, size=(30, 5)))
    pd.DataFrame({"stimulus": [f"{number:03}" for number in range(30)]}).to_csv(data / "presentations.csv", index=False)
    words = ["model=pixels", "benchmark=folder", "data.folder=my data", "nulls=none", "n_bootstrap=100"]
    done = bench("run", *words, folder=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_the_id_says_which_folder(folder):
    with (folder / "results" / "leaderboards" / "folder.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["benchmark"] == "folder-ridge-loo-avg4x4[folder=my-data,n_bootstrap=100]"


def test_a_leaderboard_on_a_terminal_of_80_columns(folder):
    seen = on_a_terminal("leaderboard", "benchmark=folder", folder=folder, columns=80)
    with (folder / "results" / "leaderboards" / "folder.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert f"{float(row['raw']):.3f}" in seen
    assert f"[{float(row['raw_low']):.3f}, {float(row['raw_high']):.3f}]" in seen
    assert "…" not in seen
    assert max(map(len, seen.splitlines())) <= 80


def test_rdms_are_checked_as_responses_are(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for number in range(5):
        Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
    np.save(tmp_path / "rdms.npy", np.random.default_rng(0).uniform(size=(2, 10)))
    check_command(parse(["benchmark=folder", f"data.folder={tmp_path}", f"results={tmp_path}/results"]))
    assert "2 of 5 stimuli" in capsys.readouterr().out


def test_records_of_another_name_are_offered(folder):
    done = bench("leaderboard", "benchmark=fodler", folder=folder)
    assert done.returncode == 2
    assert (
        done.stderr
        == "bench: error: no records of fodler in results/records; bench run makes them; did you mean folder?\n"
    )
