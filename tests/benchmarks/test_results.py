import csv
import json

import numpy as np
import pytest

from alignment.errors import DataError
from alignment.samples import Samples
from benchmarks.packing import packed
from benchmarks.results import ROW, SURFACE_ROW, leaderboard, load_records, record_path, save_leaderboard, save_record


def record(
    model="net",
    *,
    benchmark="v4.a",
    raw=0.5,
    version=1,
    model_print="m" * 32,
    data_print="d" * 32,
    key=None,
    measure="ridge",
):
    return {
        "key": key or f"{model}-{benchmark}-{measure}-{version}-{model_print[0]}{data_print[0]}",
        "model": {"name": model, "fingerprint": model_print, "null": None, "of": model_print},
        "benchmark": {
            "name": benchmark,
            "id": f"{benchmark}-{measure}",
            "measure": measure,
            "version": version,
            "fingerprint": data_print,
            "of": data_print,
        },
        "layer": {"name": "layer1", "time_bin": 0.0, "share": 0.8},
        "score": {
            "raw": {"value": raw, "low": raw - 0.1, "high": raw + 0.1},
            "ceiling": {"value": 0.8, "low": 0.8, "high": 0.8},
            "lower": None,
            "p_zero": 0.001,
            "p_lower": None,
            "normalised": {"value": raw / 0.8, "low": raw / 0.8 - 0.1, "high": raw / 0.8 + 0.1},
            "status": "ok",
            "p_value": None,
            "n_stimuli": 100,
            "n_neuroids": 10,
            "n_subjects": 1,
            "subjects_resampled": False,
        },
        "samples": packed(Samples(np.array([raw]), raw + 0.05 * np.sin(np.arange(100.0))[None], n_stimuli=100)),
        "by_split": {},
        "clean": None,
        "clean_samples": None,
        "flags": [],
        "figures": [],
        "surface": [{"layer": "layer1", "time_bin": 0.0, "raw": raw, "raw_low": raw - 0.1, "raw_high": raw + 0.1}],
        "provenance": {"created": "2026-01-01"},
    }


def test_a_record_is_written_once_and_read_back(tmp_path):
    save_record(tmp_path, record(raw=0.5))
    save_record(tmp_path, record(raw=0.9))
    (read,) = load_records(tmp_path)
    assert read["score"]["raw"]["value"] == 0.5


def test_the_csv_has_the_promised_columns_and_no_provenance(tmp_path):
    path = save_leaderboard(tmp_path, "v4.a", leaderboard([record(), record("other", raw=0.6)], ["v4.a"]))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["other", "net"]
    assert set(rows[0]) == set(ROW)
    assert rows[0]["raw"] == "0.600000"
    assert "2026" not in path.read_text()
    with path.with_name("v4.a.layers.csv").open() as file:
        surface = list(csv.DictReader(file))
    assert set(surface[0]) == set(SURFACE_ROW)
    assert len(surface) == 2


def test_a_board_does_not_depend_on_the_order_of_records():
    records = [record(), record("other", raw=0.6), record("net", benchmark="v4.b")]
    forwards = leaderboard(records, ["v4.a", "v4.b"])
    backwards = leaderboard(records[::-1], ["v4.a", "v4.b"])
    assert forwards.rows.equals(backwards.rows)
    assert forwards.surface.equals(backwards.surface)


def test_the_highest_version_counts():
    board = leaderboard([record(raw=0.9, version=1), record(raw=0.4, version=2)], ["v4.a"])
    assert board.rows["raw"].tolist() == [0.4]


def test_two_networks_of_one_name_are_told_apart():
    board = leaderboard([record(model_print="a" * 32), record(model_print="b" * 32)], ["v4.a"])
    assert sorted(board.rows["model"]) == ["net@aaaaaaaa", "net@bbbbbbbb"]


def test_a_reference_is_each_benchmarks_own():
    """Chance on other images is another chance, and the row says on which it is."""
    chances = [record("chance", benchmark=name, model_print=name[-1] * 32) for name in ("v4.a", "v4.b")]
    for each in chances:
        each["model"]["null"] = "references"
    assert leaderboard(chances, ["v4.a", "v4.b"]).rows["model"].tolist() == ["chance", "chance"]


def test_two_states_of_the_data_are_told_apart():
    board = leaderboard([record(data_print="a" * 32), record(data_print="b" * 32)], ["v4.a"])
    assert sorted(board.rows["benchmark"]) == ["v4.a-ridge@aaaaaaaa", "v4.a-ridge@bbbbbbbb"]


def attacked(model, *, raw, clean, flags=()):
    made = record(model, raw=raw, measure="robust")
    estimate = {"value": clean, "low": clean - 0.01, "high": clean + 0.01}
    parts = [["left: square", raw], ["left: apgd-ce", raw + 0.1]]
    return {**made, "clean": estimate, "flags": list(flags), "figures": parts}


def test_clean_scores_flags_and_parts_stand_beside_the_score(tmp_path):
    records = [attacked("weak", raw=0.1, clean=0.9), attacked("odd", raw=0.8, clean=0.9, flags=["flat: none", "slope"])]
    board = leaderboard([*records, record()], ["v4.a"])
    rows = {row["model"]: row for row in board.rows.to_dict("records")}
    assert (rows["weak"]["clean"], rows["weak"]["clean_low"], rows["weak"]["flags"]) == (0.9, pytest.approx(0.89), "")
    assert rows["odd"]["flags"] == "flat: none; slope"
    assert np.isnan(rows["net"]["clean"])
    path = save_leaderboard(tmp_path, "v4.a", board)
    with path.with_name("v4.a.figures.csv").open() as file:
        figures = list(csv.DictReader(file))
    # models as the table ranks them, parts in the order of the measure
    assert [(row["model"], row["figure"], row["value"]) for row in figures] == [
        ("odd", "left: square", "0.800000"),
        ("odd", "left: apgd-ce", "0.900000"),
        ("weak", "left: square", "0.100000"),
        ("weak", "left: apgd-ce", "0.200000"),
    ]


def test_a_missing_score_is_an_incomplete_row():
    board = leaderboard([record(), record("other"), record("net", benchmark="v4.b")], ["v4.a", "v4.b"])
    missing = board.rows[board.rows["status"] == "incomplete"]
    assert missing[["model", "benchmark"]].values.tolist() == [["other", "v4.b-ridge"]]
    assert missing["raw"].isna().all()


def test_means_are_of_one_measure_and_need_every_benchmark():
    records = [
        record(raw=0.5),
        record(benchmark="v4.b", raw=0.3),
        record(raw=0.9, measure="ridge-gcv"),
        record("other", raw=0.6),
    ]
    board = leaderboard(records, ["v4.a", "v4.b"])
    assert board.means[["model", "measure", "raw"]].values.tolist() == [["net", "ridge", 0.4]]
    missing = board.rows[board.rows["status"] == "incomplete"]
    assert missing[["model", "benchmark"]].values.tolist() == [["other", "v4.b-ridge"]]


def test_records_that_are_damaged_or_of_another_schema_are_named(tmp_path):
    path = save_record(tmp_path, record())
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(DataError, match="schema 99"):
        load_records(tmp_path)
    record_path(tmp_path, "broken").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        load_records(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema": 2, "key": "k"}'])
def test_json_that_is_no_record_is_named(tmp_path, content):
    save_record(tmp_path, record()).write_text(content)
    with pytest.raises(DataError, match="no record: it lacks some of"):
        load_records(tmp_path)


def test_one_content_has_one_name_in_all_rows(tmp_path):
    """A network that changed between two benchmarks: every row says which of the two it is."""
    old = [record(benchmark=name, model_print="a" * 32) for name in ("v4.a", "v4.b")]
    new = record(benchmark="v4.a", model_print="b" * 32, raw=0.6)
    board = leaderboard([*old, new], ["v4.a", "v4.b"])
    found = {(row.model, row.benchmark): row.status for row in board.rows.itertuples()}
    assert found == {
        ("net@aaaaaaaa", "v4.a-ridge"): "ok",
        ("net@bbbbbbbb", "v4.a-ridge"): "ok",
        ("net@aaaaaaaa", "v4.b-ridge"): "ok",
        ("net@bbbbbbbb", "v4.b-ridge"): "incomplete",
    }
    assert board.means["model"].tolist() == ["net@aaaaaaaa"]
    path = save_leaderboard(tmp_path, "v4", board)
    column = ROW.index("n_stimuli")
    assert {line.split(",")[column] for line in path.read_text().splitlines()[1:]} == {"100", ""}


def test_shuffled_responses_are_no_other_data(tmp_path):
    shuffled = record("net[responses=shuffled]", data_print="s" * 32, raw=0.0)
    shuffled["model"]["null"] = "shuffled"
    board = leaderboard([record(), shuffled], ["v4.a"])
    assert board.rows["benchmark"].tolist() == ["v4.a-ridge"] * 2


def test_a_trial_on_one_benchmark_leaves_no_gaps_in_a_suite():
    names = ["v4.a", "v4.b"]
    whole = [record(benchmark=name) for name in names]
    trial = record(benchmark="v4.a", measure="ridge-gcv")
    assert "incomplete" not in leaderboard([*whole, trial], names).rows["status"].tolist()
