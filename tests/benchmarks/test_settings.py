import pytest

from alignment.errors import RequestError
from benchmarks.settings import check_data_names, parse


def test_nested_and_plain_keys_live_together():
    settings = parse(["model=toy,./net.py:build", "model.weights=none", "benchmark=nsd.V1", "benchmark.pool=none"])
    assert settings.model.name == ("toy", "./net.py:build")
    assert settings.model.weights == "none"
    assert settings.benchmark.name == ("nsd.V1",)
    assert settings.benchmark.pool == "none"


@pytest.mark.parametrize(
    "text", ["layer[1-4].*", "https://a.b/c?d=e&f=1", "8/255", "no", "null", "1e3", "{a: b}", "${x}", "~/x y"]
)
def test_any_text_arrives_unchanged(text):
    assert parse([f"model.weights={text}"]).model.weights == text


def test_lists_by_comma_and_none():
    assert parse(["nulls=pixels, gabor"]).nulls == ("pixels", "gabor")
    assert parse(["nulls=none"]).nulls == ()
    assert parse([]).nulls is None


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["modle=toy"], "did you mean model"),
        (["model.wieghts=none"], "did you mean model.weights"),
        (["toy"], "'toy' is not key=value"),
        (["suite=a", "suite=b"], "suite is given twice"),
        (["batch_size=many"], "batch_size=many"),
        (["batch_size=0"], "batch_size=0"),
        (["sweet=smoke", "modle=toy"], "; "),
    ],
)
def test_faults_are_one_line_and_name_what_is_near(words, part):
    with pytest.raises(RequestError) as caught:
        parse(words)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_key_must_be_a_data_set():
    settings = parse(["data.nsdd=/x", "data.root=/y"])
    with pytest.raises(RequestError, match=r"did you mean data\.nsd"):
        check_data_names(settings.data, ["nsd", "cowley2023"])
    assert parse(["data.nsd=/x"]).data.folders()["nsd"].name == "x"
