"""The whole command on published weights and images: what attacks leave of a network's accuracy."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(sys.executable).parent / "bench"
EPSILONS = ("1/255", "2/255", "4/255", "8/255")

pytestmark = pytest.mark.slow


def bench(folder: Path, shared: Path, *words: str) -> str:
    command = [str(BENCH), "run", "model=cifar_resnet20", "nulls=references", *words, f"data.root={shared / 'data'}"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=3000).stdout


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "leaderboards" / name).open() as file:
        return list(csv.DictReader(file))


def left(folder: Path, name: str, benchmark: str) -> dict[str, float]:
    """Attack and epsilon -> what is left of ResNet-20's accuracy."""
    rows = table(folder, f"{name}.layers.csv")
    return {
        row["layer"]: float(row["raw"])
        for row in rows
        if row["model"] == "cifar_resnet20" and row["benchmark"].startswith(benchmark)
    }


def test_standard_leaves_nothing_of_a_network_that_is_not_defended(tmp_path: Path, shared: Path) -> None:
    bench(tmp_path, shared, "suite=robust-cifar10")
    rows = {row["model"]: row for row in table(tmp_path, "robust-cifar10.csv")}
    own = rows["cifar_resnet20"]
    # 1,000 test images; .9172 of all 10,000 is published
    assert float(own["clean"]) == pytest.approx(0.915, abs=5e-4)
    assert float(own["raw"]) <= 0.01
    assert (own["status"], own["flags"], own["n_stimuli"]) == ("ok", "", "1000")
    assert float(rows["chance"]["raw"]) == float(rows["chance"]["clean"])


def test_pgd_over_radii_is_monotone_and_meets_the_published_share(tmp_path: Path, shared: Path) -> None:
    words = ("benchmark=cifar10", "benchmark.measure=robust", "benchmark.attack=pgd-plain")
    # each radius on its own: one call over all of them attacks only what is left, which cannot rise
    for epsilon in EPSILONS:
        bench(tmp_path, shared, *words, f"benchmark.epsilon={epsilon}")
    found = left(tmp_path, "cifar10", "cifar10-robust")
    curve = [found[f"pgd @ {epsilon}"] for epsilon in EPSILONS]
    assert curve == sorted(curve, reverse=True)
    together = tmp_path / "together"
    together.mkdir()
    bench(together, shared, *words, f"benchmark.epsilon={','.join(EPSILONS)}")
    at_once = left(together, "cifar10", "cifar10-robust")
    assert all(at_once[f"pgd @ {epsilon}"] <= alone for epsilon, alone in zip(EPSILONS, curve, strict=True))
    assert curve[0] == pytest.approx(0.18, abs=0.02)
    assert curve[-1] <= 0.01


@pytest.mark.parametrize("epsilon", ["1/255", "2/255"])
def test_no_attack_beats_the_ensemble(tmp_path: Path, shared: Path, epsilon: str) -> None:
    words = ("benchmark=cifar10", "benchmark.measure=robust", "data.subset=50", f"benchmark.epsilon={epsilon}")
    for attack in ("standard", "pgd", "pgd-plain", "apgd-ce", "apgd-dlr", "fab", "fgsm", "square"):
        bench(tmp_path, shared, *words, f"benchmark.attack={attack}")
    scores = {
        row["benchmark"].removeprefix(f"cifar10-robust-linf-{epsilon}-").partition("[")[0]: float(row["raw"])
        for row in table(tmp_path, "cifar10.csv")
        if row["model"] == "cifar_resnet20"
    }
    assert len(scores) == 8
    assert min(scores, key=lambda attack: (scores[attack], attack != "standard")) == "standard"
