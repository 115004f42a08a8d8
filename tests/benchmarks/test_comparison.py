"""Tests, paired differences and rankings, against SciPy on samples of known distribution."""

import numpy as np
import pytest
from scipy import stats

from alignment.samples import Samples
from benchmarks.comparison import agreement, p_values, paired, ranks
from benchmarks.packing import packed

N_RESAMPLES = 2000


def named(
    model,
    value,
    *,
    benchmark="v4-ridge",
    null=None,
    of=None,
    data="v4",
    noise=0.02,
    common=None,
    splits=None,
    measure="ridge",
    p=0.01,
    status="ok",
):
    random = np.random.default_rng(sum(map(ord, model + benchmark)))
    drawn = value + 0.02 * random.standard_normal(N_RESAMPLES) + (0 if common is None else common)
    return (
        model,
        benchmark,
        {
            "model": {"name": model, "null": null, "of": of or model},
            "benchmark": {"name": "v4", "id": benchmark, "measure": measure, "of": data},
            "score": {"p_zero": p, "p_lower": None, "status": status},
            "samples": packed(Samples(np.array([value]), drawn[None], n_stimuli=500)),
            "by_split": splits or {},
        },
    )


@pytest.fixture
def common():
    return 0.05 * np.random.default_rng(0).standard_normal(N_RESAMPLES)


def test_a_paired_difference_is_finer_than_the_scores(common):
    rows = [named("a", 0.5, common=common), named("b", 0.45, common=common), named("c", 0.2, common=common)]
    table = paired(rows, ["a", "b", "c"])
    assert table[["a", "b"]].values.tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    first = table.iloc[0]
    assert first["difference"] == pytest.approx(0.05)
    expected = 1.96 * 0.02 * np.sqrt(2)
    assert first["high"] - first["difference"] == pytest.approx(expected, rel=0.1)
    np.testing.assert_allclose(table["p_adjusted"], stats.false_discovery_control(table["p_value"]))


def test_only_what_both_have_is_compared(common):
    rows = [named("a", 0.5), named("b", 0.4), named("a", 0.5, benchmark="it-ridge")]
    assert paired(rows, ["a", "b"])["benchmark"].tolist() == ["v4-ridge"]
    assert len(paired(rows, ["a", "missing"])) == 0


def test_ranks_have_ranges():
    table = ranks([named("a", 0.5), named("b", 0.49), named("c", 0.1), named("pixels", 0.9, null="pixels")])
    assert table["model"].tolist() == ["a", "b", "c"]
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["rank_high"].tolist() == [2, 2, 3]
    assert table["rank_low"].tolist() == [1, 1, 3]
    chance = stats.norm.cdf(0.01 / (0.02 * np.sqrt(2)))
    assert table["first"].tolist() == pytest.approx([chance, 1 - chance, 0], abs=0.05)
    assert len(ranks([named("a", 0.5)])) == 0


def test_agreement_over_resamples_splits_and_measures():
    values = {"a": 0.5, "b": 0.4, "c": 0.3}
    rows = [named(m, v, splits={"x": v, "y": -v}) for m, v in values.items()]
    rows += [named(m, 1 - v, benchmark="v4-rsa", measure="rsa") for m, v in values.items()]
    table = agreement(rows).set_index(["benchmark", "over"])["kendall_tau"]
    assert table["v4-ridge", "resamples"] > 0.95
    assert table["v4-ridge", "splits"] == pytest.approx(0)
    assert table["v4", "measures: ridge and rsa"] == pytest.approx(-1)
    assert len(agreement(rows[:2])) == 0


def test_models_are_tested_against_the_null_rows_that_belong_to_them():
    rows = [
        named("a", 0.5, p=0.01),
        named("b", 0.5, p=0.03),
        named("pixels", 0.4, null="pixels"),
        named("a[untrained]", 0.49, null="untrained", of="a"),
        named("b[untrained]", 0.1, null="untrained", of="b"),
        named("net", 0.9, null="references", p=0.04),
    ]
    found = p_values(rows)
    assert found["p_null"].isna().tolist() == [False, False, True, True, True, True]
    # a is no better than its own untrained copy; b beats all of its own; both are adjusted together
    assert found["p_null"][0] > 0.3
    assert found["p_null"][1] < 0.01
    assert found["p_zero"][:2].tolist() == pytest.approx([0.02, 0.03])
    # published results are a family of their own, and so are null rows
    assert found["p_zero"][5] == 0.04
    below = p_values([named("a", 0.3), named("pixels", 0.4, null="pixels")])
    assert below["p_null"][0] == 1


def test_null_rows_of_other_data_or_of_another_model_of_that_name_do_not_count():
    rows = [
        named("net@1", 0.5, of="first", data="old"),
        named("net@2", 0.5, of="second", data="new"),
        named("pixels", 0.1, null="pixels", data="old"),
        named("pixels", 0.9, null="pixels", data="new"),
        named("net[untrained]", 0.9, null="untrained", of="second", data="old"),
    ]
    found = p_values(rows)["p_null"]
    assert found[0] < 0.01
    assert found[1] == 1


def test_what_is_unreliable_is_neither_ranked_nor_compared_without_a_word():
    rows = [named("a", 0.5), named("b", 0.4), named("odd", 0.9, status="unreliable")]
    assert ranks(rows)["model"].tolist() == ["a", "b"]
    assert paired(rows, ["odd", "a"]).iloc[0][["a", "b"]].tolist() == ["odd (unreliable)", "a"]
