"""The words follow from the numbers."""

import numpy as np
import pandas as pd
import pytest

from alignment.samples import Samples
from benchmarks.tuning.verdict import COLUMNS, Scores, conclusion, summary, table

N_RESAMPLES = 300


def samples(value: float, *, seed: int = 0, spread: float = 0.01) -> Samples:
    """Of a score whose resamples scatter alike for all that share a seed."""
    noise = np.random.default_rng(seed).normal(0, spread, (1, N_RESAMPLES))
    return Samples(np.array([value]), value + noise - noise.mean(), n_stimuli=100)


def judged(**conditions: tuple[float, ...]) -> pd.DataFrame:
    """Differences from a teacher at 0.5, each condition by seed."""
    of_conditions = {name: [samples(0.5 + change) for change in changes] for name, changes in conditions.items()}
    return table([Scores("data-ridge", "fitted", samples(0.5), of_conditions)])


def test_the_table_holds_every_comparison():
    found = judged(lwf=(0.04, 0.05, 0.06), shuffle=(0.00, 0.01, 0.02))
    assert list(found.columns) == list(COLUMNS)
    assert list(found[["a", "b"]].itertuples(index=False, name=None)) == [
        ("lwf", "teacher"), ("shuffle", "teacher"), ("lwf", "shuffle")
    ]  # fmt: skip
    np.testing.assert_allclose(found["difference"], [0.05, 0.01, 0.04], atol=1e-12)
    np.testing.assert_allclose(found["raw_a"], [0.55, 0.51, 0.55])
    # the teacher is the same for all seeds, and each control has the seed of its run
    assert found["of_seeds"].tolist() == pytest.approx([1, 1, 0], abs=1e-9)


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"lwf": (0.04, 0.05, 0.06)}, "a gain .* held against no control; add control=standard"),
        ({"lwf": (-0.04, 0.05, 0.01)}, "no gain .* that can be told from none"),
        ({"lwf": (-0.04, -0.05, -0.06)}, "verdict: a loss"),
        (
            {"lwf": (0.04, 0.05, 0.06), "shuffle": (0.0, 0.001, 0.002), "pixel": (0.05, 0.04, 0.06)},
            r"not apart from pixel \(.*: not owed to responses alone",
        ),
        (
            {"lwf": (0.04, 0.05, 0.06), "shuffle": (0.0, 0.001, 0.002)},
            r"exceeds shuffle by .*; not held against kd_only, matched, pixel",
        ),
        (
            {
                "lwf": (0.04, 0.05, 0.06),
                **dict.fromkeys(("kd_only", "shuffle", "matched", "pixel"), (0.0, 0.001, 0.002)),
                "ft": (0.2, 0.21, 0.22),
                "joint": (0.04, 0.05, 0.06),
            },
            r"exceeds kd_only by [^;]*pixel by \+0\.049 \[[^;]*$",
        ),
    ],
)
def test_the_verdict(conditions: dict[str, tuple[float, ...]], said: str):
    text = conclusion(judged(**conditions))
    assert pd.Series([text]).str.contains(said, regex=True).all(), text
    assert "\n" not in text


def test_one_seed_is_said():
    assert "1 seed (so the interval knows stimuli only)" in conclusion(judged(lwf=(0.05,)))


def test_without_held_out_images_there_is_no_verdict():
    found = table([Scores("task-accuracy", "task", samples(0.5), {"lwf": [samples(0.6)]})])
    assert conclusion(found).startswith("verdict: none")


def test_the_summary_has_a_row_for_each_condition():
    found = summary(judged(lwf=(0.04, 0.05, 0.06), shuffle=(0.00, 0.01, 0.02)))
    assert found["condition"].tolist() == ["teacher (before)", "lwf", "shuffle"]
    assert found["score"].tolist() == ["0.500", "0.550", "0.510"]
    assert found["behind"].iloc[0] == found["behind"].iloc[1] == "" and found["behind"].iloc[2].startswith("+0.040")
