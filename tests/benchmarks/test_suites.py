import shutil

import pytest

from alignment.errors import DataError, RequestError
from benchmarks.suites import configs_folder, load_suite, suite_names

OWN = "summary: mine\nbenchmarks: [nsd.V1]\n"


def test_every_shipped_suite_is_sound():
    assert {"smoke", "nsd", "cowley2023"} <= set(suite_names())
    for name in suite_names():
        assert load_suite(name).name == name


def test_a_suite_of_ones_own_has_the_name_of_its_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(OWN)
    suite = load_suite(f"{tmp_path}/mine.yaml")
    assert (suite.name, suite.benchmarks) == ("mine", ("nsd.V1",))


def test_no_file_takes_the_place_of_a_shipped_suite(tmp_path):
    """Leaderboards are written under the name of their suite."""
    (tmp_path / "smoke.yaml").write_text(OWN)
    with pytest.raises(RequestError, match=r"'smoke' is the name of a shipped suite; give the file another name"):
        load_suite(f"{tmp_path}/smoke.yaml")
    shipped = configs_folder() / "suites" / "smoke.yaml"
    assert load_suite(str(shipped)) == load_suite("smoke")
    shutil.copy(shipped, tmp_path / "smoke.yaml")
    with pytest.raises(RequestError, match="shipped suite"):
        load_suite(f"{tmp_path}/smoke.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (OWN + "benchmark: nsd.V1\n", "unknown key 'benchmark'; did you mean benchmarks"),
        (OWN + "1: 2\n", "unknown key '1'; known: benchmarks, measures, models, nulls, summary"),
        ("- a\n", "it must map summary and benchmarks"),
        ("", "it must map summary and benchmarks"),
        ("summary: mine\n", "it needs a summary and a list of benchmarks"),
        (OWN + "models: toy\n", "models must be a list of names"),
        ("summary: [\n", "while parsing"),
    ],
)
def test_files_that_are_no_suite(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(DataError, match=f"{path} is not a suite: .*{message}") as caught:
        load_suite(str(path))
    assert "\n" not in str(caught.value) and "__init__" not in str(caught.value)


def test_an_unknown_null_row_has_near_misses(tmp_path):
    (tmp_path / "mine.yaml").write_text(OWN + "nulls: [pixel]\n")
    with pytest.raises(RequestError, match="did you mean pixels"):
        load_suite(f"{tmp_path}/mine.yaml")
