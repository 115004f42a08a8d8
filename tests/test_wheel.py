"""What is installed from the wheel is whole: both packages, the suites, the command."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_both_packages_and_the_suites(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("brain_alignment_bench-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    suites = {path.name for path in (ROOT / "configs" / "suites").glob("*.yaml")}
    assert {"smoke.yaml", "cowley2023.yaml", "rsa92.yaml"} <= suites
    assert {f"benchmarks/configs/suites/{name}" for name in suites} <= names
    assert {"alignment/errors.py", "benchmarks/cli.py"} <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_an_installed_copy_finds_its_suites(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "from benchmarks.suites import configs_folder, suite_names; print(configs_folder(), *suite_names())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "site") in done.stdout
    assert "smoke" in done.stdout
