"""What users get wrong of networks with time: each is one line, before anything is computed."""

import subprocess
import sys
from pathlib import Path

import pytest

from alignment.errors import AlignmentError
from benchmarks.plan import check
from benchmarks.settings import parse
from benchmarks.tuning.study import studies

BENCH = Path(sys.executable).parent / "bench"
THORAT = ("model=thorat_rnn_lean", "model.weights=none", "nulls=none")
DATA = """
import numpy as np
from alignment.stimuli.clutter import CLASSES
from benchmarks.datasets.labelled import labelled

def made(image):
    return labelled("mine", {f"i{n}": image for n in range(20)}, CLASSES, classes=CLASSES)

def grey_levels(settings, selection):
    return made(np.full((8, 8, 3), 300, np.int64))

def unit_range(settings, selection):
    return made(np.full((8, 8, 3), 0.5, np.float32))

def four_channels(settings, selection):
    return made(np.zeros((8, 8, 4), np.uint8))

def no_rows(settings, selection):
    return made(np.zeros((0, 8, 3), np.uint8))

def alike(settings, selection):
    return made(np.zeros((8, 8, 3), np.uint8))
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(DATA)
    return tmp_path / "mine.py"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["benchmark=digits"], "tells 20 classes apart, digits has 10"),
        (
            ["benchmark=nsd-smoke.V4", "model.layers=flows.conv3.gain"],
            "'flows.conv3.gain'; did you mean flows.conv2.gain",
        ),
        (
            ["benchmark=nsd-smoke.V4", "model.layers=flows.conv1.bias"],
            "unknown layer of thorat_rnn_lean 'flows.conv1.bias'; did you mean flows.conv1",
        ),
        (["benchmark=MINE:grey_levels"], "stimulus 'i0' is int64 (8, 8, 3), expected uint8 (row, column, 3)"),
        (["benchmark=MINE:unit_range"], "stimulus 'i0' is float32 (8, 8, 3), expected uint8 (row, column, 3)"),
        (["benchmark=MINE:four_channels"], "stimulus 'i0' is uint8 (8, 8, 4), expected uint8 (row, column, 3)"),
        (["benchmark=MINE:no_rows"], "stimulus 'i0' is uint8 (0, 8, 3), expected uint8 (row, column, 3)"),
        (["benchmark=MINE:alike", "benchmark.measure=perturbation"], "its images have no partners that differ in one"),
        (
            ["benchmark=MINE:alike", "benchmark.measure=robust", "benchmark.moment=each"],
            "makes one decision; leave benchmark.moment=each out",
        ),
        (["benchmark=MINE:alike", "benchmark.moment=first"], "benchmark.moment 'first'"),
        (["benchmark=perturbation-digits.scales"], "'scales'; did you mean scale?"),
        (["benchmark=perturbation-digits"], "perturbation-digits needs a selection: perturbation-digits.location"),
    ],
)
def test_a_run_is_refused(mine: Path, tmp_path: Path, words: list[str], message: str) -> None:
    asked = [word.replace("MINE", str(mine)) for word in words]
    with pytest.raises(AlignmentError) as caught:
        check(parse([*THORAT, *asked, f"results={tmp_path / 'results'}"]))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tuning.layers=second", "tuning.time_bins=4"], "layer 'second' has no time_bin 4; it has 0 to 3"),
        (["tuning.layers=second", "tuning.time_bins=-1"], "layer 'second' has no time_bin -1; it has 0 to 3"),
        (["tuning.layers=stem", "tuning.time_bins=0,2"], "layer 'stem' has no time_bin 2; it has 0 to 0"),
        (["tuning.layers=second", "tuning.time_bins=late"], "tuning.time_bins.0=late: "),
    ],
)
def test_tuning_at_times_that_there_are_not_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    asked = ["model=toy_recurrent", "model.weights=none", "tuning=smoke", f"results={tmp_path / 'results'}"]
    with pytest.raises(AlignmentError) as caught:
        studies(parse([*asked, *words]))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_says_it_in_one_line_with_its_code(mine: Path, tmp_path: Path) -> None:
    for words, code in ((["benchmark=digits"], 2), ([f"benchmark={mine}:unit_range"], 3)):
        done = subprocess.run(
            [str(BENCH), "run", *THORAT, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code and len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("bench: error: ")
