"""`bench tune` as a user runs it: made once, scored once, resumed exactly, refused in one line."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

BENCH = Path(sys.executable).parent / "bench"
QUICK = ("model=toy", "tuning=smoke", "tuning.epochs=2", "n_bootstrap=200")
NAME = "toy+smoke-epochs=2"


def bench(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *words], cwd=folder, capture_output=True, text=True, timeout=300)


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / "results" / "tuned" / f"{name}.pt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two controls, and what the command said of it."""
    place = tmp_path_factory.mktemp("study")
    ended = bench("tune", *QUICK, "control=kd_only,shuffle", folder=place)
    assert ended.returncode == 0, ended.stderr
    (place / "said.txt").write_text(ended.stdout)
    return place


def test_a_study_is_written_and_said(folder: Path):
    said = (folder / "said.txt").read_text()
    assert "3 networks made, 0 were there, 0 failed" in said
    assert "verdict: " in said
    study = folder / "results" / "tuning" / NAME
    assert (study / "verdict.txt").read_text() in said
    for plot in ("trajectories", "front", "gains"):
        assert (study / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
    standings = pd.read_csv(study / "trajectories.csv")
    assert standings.groupby("model")["chosen"].sum().tolist() == [1, 1, 1]
    # a control runs for as many epochs as tuning was kept for, and chooses none itself
    kept = standings[standings["chosen"]].set_index("condition")["epoch"]
    assert kept["kd_only"] == kept["shuffle"] == kept["lwf"] > 0
    assert standings[standings["condition"] == "lwf"]["epoch"].tolist() == [0, 1, 2]


def test_the_verdict_is_that_of_the_leaderboard(folder: Path):
    board = pd.read_csv(folder / "results" / "leaderboards" / f"{NAME}.csv").set_index(["benchmark", "model"])["raw"]
    compared = pd.read_csv(folder / "results" / "tuning" / NAME / "verdict.csv")
    own = compared[(compared["a"] == "lwf") & (compared["b"] == "shuffle")]
    assert len(own) == 4
    for _, row in own.iterrows():
        tuned, control = (board[row["benchmark"], f"{NAME}-{each}-seed0"] for each in ("lwf", "shuffle"))
        assert row["raw_a"] == pytest.approx(tuned, abs=2e-6)
        assert row["difference"] == pytest.approx(tuned - control, abs=2e-6)
        assert row["low"] <= row["difference"] <= row["high"]
    fitted = own[own["about"] == "fitted"].iloc[0]["benchmark"]
    assert {"pixels", "gabor", "toy", "toy[untrained]", "toy[responses=shuffled]"} <= set(board[fitted].index)


def test_the_same_command_again_makes_and_scores_nothing(folder: Path):
    before = {path: path.read_bytes() for path in (folder / "results" / "tuning").rglob("*.csv")}
    ended = bench("tune", *QUICK, "control=kd_only,shuffle", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert "0 networks made, 3 were there" in ended.stdout and "measure" not in ended.stdout
    assert before == {path: path.read_bytes() for path in before}


def test_other_settings_of_a_control_leave_tuning_as_it_is(folder: Path):
    ended = bench("tune", *QUICK, "tuning.pixel_features=pixels", "control=pixel", "tuning.audit=none", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert "1 networks made, 1 were there" in ended.stdout
    assert (folder / "results" / "tuned" / f"{NAME}-pixel-pixel_features=pixels-seed0.yaml").is_file()


def test_a_tuned_network_is_a_model(folder: Path):
    name = f"results/tuned/{NAME}-lwf-seed0.yaml"
    ended = bench("run", f"model={name}", "benchmark=digits", "nulls=none", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert f"{NAME}-lwf-seed0" in ended.stdout.replace("\n", "")
    shown = bench("show", f"model={name}", folder=folder)
    assert shown.returncode == 0, shown.stderr
    assert f"{NAME}-lwf-seed0" in "".join(shown.stdout.split())
    content = yaml.safe_load((folder / name).read_text())
    assert content["base"] == "toy" and content["condition"] == "lwf"
    changed = weights(folder, f"{NAME}-lwf-seed0")
    again = weights(folder, f"{NAME}-shuffle-seed0")
    assert any(not torch.equal(changed[key], again[key]) for key in changed)


def test_what_was_made_of_another_teacher_is_refused_and_stays(folder: Path):
    """Another seed of `toy` under the same name."""
    place = folder / "results" / "tuned" / f"{NAME}-lwf-seed0.yaml"
    whole = place.read_text()
    content = yaml.safe_load(whole)
    content["of"]["teacher"] = "0" * 32
    place.write_text(yaml.safe_dump(content, sort_keys=False))
    ended = bench("tune", *QUICK, "tuning.audit=none", folder=folder)
    place.write_text(whole)
    assert ended.returncode == 1
    line = " ".join(ended.stdout.split())
    assert "was made of another teacher; move it away" in line and "Traceback" not in ended.stderr


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path):
    words = ("model=toy", "tuning=smoke", "tuning.epochs=60", "tuning.patience=60", "tuning.audit=none")
    name = "toy+smoke-epochs=60-patience=60-lwf-seed0"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for place in (whole, killed):
        place.mkdir()
    assert bench("tune", *words, folder=whole).returncode == 0
    state = killed / "results" / "tuned" / f"{name}.state.pt"
    process = subprocess.Popen([str(BENCH), "tune", *words], cwd=killed, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while time.monotonic() < limit and process.poll() is None:
        if state.is_file() and len(torch.load(state, weights_only=True)["tuner"]["trajectory"]) >= 2:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state.is_file() and not (state.parent / f"{name}.yaml").exists(), "it ended before it could be killed"
    assert bench("tune", *words, folder=killed).returncode == 0
    assert not state.exists()
    first, second = weights(whole, name), weights(killed, name)
    assert all(torch.equal(first[key], second[key]) for key in first)
    trajectories = [place / "results" / "tuned" / f"{name}.trajectory.csv" for place in (whole, killed)]
    assert trajectories[0].read_bytes() == trajectories[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model=pixels", "tuning=smoke"), "pixels has no task head"),
        (("model=toy", "tuning=smoke", "tuning.layers=stage9"), "unknown layer of toy 'stage9'; did you mean stage"),
        (("model=toy", "tuning=smoke", "tuning.data=digits"), "digits holds no responses"),
        (("model=toy", "tuning=smoke", "tuning.task=nsd-smoke.V1"), "it has no labels"),
        (("model=toy", "tuning=smoke", "tuning.data=nsd-smoke.V9"), "V9"),
        (("model=toy", "tuning=smoke", "control=other_net"), "tuning.other_model=resnet18"),
        (("model=toy", "tuning=smok"), "did you mean smoke"),
        (("tuning=smoke",), "no model; add model=<name>"),
        (("model=toy",), "tuning.data is missing"),
        (("model=toy", "tuning=smoke", "x=1"), "bench tune makes no use of x"),
    ],
)
def test_bad_requests_are_one_line_and_write_no_network(words: tuple[str, ...], said: str, tmp_path: Path):
    ended = bench("tune", *words, folder=tmp_path)
    assert ended.returncode == 2, ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1 and said in lines[0], ended.stderr
    assert not (tmp_path / "results" / "tuned").exists()
