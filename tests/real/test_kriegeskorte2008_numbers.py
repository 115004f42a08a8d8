"""The published 92-image RDMs, judged by what an independent analysis of the same files found."""

from pathlib import Path

import numpy as np
import pytest

from alignment.rsa import Comparison, compare, leave_one_out
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.kriegeskorte2008 import build

SPEARMAN = {
    "animacy": 0.386220,
    "FaceBodyManmadeNatobj": 0.276596,
    "monkeyIT": 0.296324,
    "EVA": 0.245389,
    "HMAX": 0.159868,
    "V1": 0.026514,
    "Silhouette": 0.096570,
    "RADON": 0.038094,
}
# tied predictions are where they differ
RHO_A = SPEARMAN | {"animacy": 0.334462, "FaceBodyManmadeNatobj": 0.205324}
CEILINGS = {
    ("humanIT", "spearman"): (0.372313, 0.665721),
    ("humanIT", "pearson"): (0.394410, 0.680413),
    ("behaviour", "spearman"): (0.477011, 0.576692),
}


@pytest.fixture(scope="module")
def settings(shared_data: Path) -> DataSettings:
    return DataSettings(root=shared_data)


@pytest.mark.parametrize(("selection", "comparator"), CEILINGS)
def test_ceilings(settings: DataSettings, selection: str, comparator: str) -> None:
    bounds = leave_one_out(build(settings, selection).rdms(), Comparison(comparator))
    assert (bounds.lower.mean(), bounds.upper.mean()) == pytest.approx(CEILINGS[selection, comparator], abs=1e-6)


@pytest.mark.parametrize(("comparator", "published"), [("spearman", SPEARMAN), ("rho-a", RHO_A)])
def test_models(settings: DataSettings, comparator: str, published: dict[str, float]) -> None:
    data = build(settings, "humanIT")
    found = {
        name: float(compare(rdm, data.rdms(), comparator=comparator).mean()) for name, rdm in data.references().items()
    }
    assert found == pytest.approx(published, abs=1e-6)


def test_animacy_beats_the_others_only_where_ties_help_it(settings: DataSettings) -> None:
    data = build(settings, "humanIT")
    lower = {name: leave_one_out(data.rdms(), Comparison(name)).lower.mean() for name in ("spearman", "rho-a")}
    assert SPEARMAN["animacy"] > lower["spearman"]
    assert RHO_A["animacy"] < lower["rho-a"]


def test_monkey_and_human(settings: DataSettings) -> None:
    monkey, human = (build(settings, name).rdms() for name in ("monkeyIT", "humanIT-group"))
    for comparator, value in (("pearson", 0.491210), ("spearman", 0.438924)):
        assert compare(monkey, human, comparator=comparator)[0, 0] == pytest.approx(value, abs=1e-6)


def test_a_rotation_of_patterns_with_the_monkey_s_geometry_is_the_monkey(settings: DataSettings) -> None:
    """1 - Pearson is half the squared distance of standardised patterns, so patterns with this RDM can be made."""
    import torch
    from scipy import stats

    from alignment.rsa import RDMs, rdm

    monkey = build(settings, "monkeyIT").rdms()
    correlations = 1 - monkey.squares()[0]
    values, vectors = np.linalg.eigh(correlations)
    assert values.min() > -1e-6
    patterns = vectors * np.sqrt(np.maximum(values, 0))
    turned = 5 * patterns @ stats.ortho_group.rvs(92, random_state=0)
    planted = rdm(torch.from_numpy(turned), distance="squared-euclidean").numpy()
    for comparator in ("pearson", "spearman", "cosine"):
        found = compare(RDMs(planted[None], monkey.stimuli), monkey, comparator=comparator)
        assert found[0, 0] == pytest.approx(1, abs=1e-6)
