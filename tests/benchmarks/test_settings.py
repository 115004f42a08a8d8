import pytest

from alignment.errors import RequestError
from benchmarks.settings import NAMED, check_data_names, check_heeded, described_keys, known_keys, parse


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
        (["MODEL=toy"], "unknown key 'MODEL'; did you mean model"),
        (["toy"], "'toy' is not key=value"),
        (["model", "suite=smoke"], "'model' is not key=value; write model=<value>"),
        (["modle", "suite=smoke"], "'modle' is not key=value; did you mean model"),
        (["model.=toy"], "unknown key 'model.'"),
        (["results.x=1"], "unknown key 'results.x'; did you mean results?"),
        (["data=here"], "data=here: data says nothing alone; write such as data.root=<value>"),
        (["device=gpu"], "device=gpu: give cpu, cuda, cuda:<number> or mps"),
        (["device=meta"], "device=meta: give cpu, cuda"),
        (["threads=99999999999"], "threads=99999999999: input should be less than or equal to 1024"),
        (["n_bootstrap=999999999"], "n_bootstrap=999999999: input should be less than"),
        (["batch_size=9999999999"], "batch_size=9999999999: input should be less than"),
        (["block_size=9999999999"], "block_size=9999999999: input should be less than"),
        (["seed=-1"], "seed=-1: input should be greater than or equal to 0"),
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


@pytest.mark.parametrize(
    "key", ["results", "data.root", "data.nsd", "suite", "device", "model.weights", "benchmark.pool", "data.subjects"]
)
@pytest.mark.parametrize("value", ["", "  "])
def test_nothing_is_no_place_and_no_name(key, value):
    with pytest.raises(RequestError, match=f"^{key}={value}: it is empty; give a value, or leave it out$"):
        parse([f"{key}={value}"])


def test_devices():
    assert [parse([f"device={name}"]).device for name in ("cpu", "mps", "cuda:3")] == ["cpu", "mps", "cuda:3"]


def test_names_are_listed_once():
    assert parse(["model.layers=a,b,a", "model=toy,toy"]).model.model_dump() == {
        "name": ("toy",), "weights": "default", "layers": ("a", "b")
    }  # fmt: skip


def test_keys_that_mean_nothing_to_a_command_are_refused_together():
    words = ["model.name=toy", "suite=smoke", "seed=5", "data.nsd=x"]
    check_heeded(words, ["model", "suite", "data.*", "seed"], command="bench go")
    with pytest.raises(
        RequestError, match=r"^bench go makes no use of model.name, seed; .*\(it takes suite, data\.\*\)$"
    ):
        check_heeded(words, ["suite", "data.*"], command="bench go")


def test_every_key_is_described_with_its_default():
    described = dict(described_keys(["*"]))
    assert set(described) == {*known_keys(), "data.<data set>"} - {f"{name}.name" for name in NAMED}
    assert all(described.values())
    assert described["batch_size"].endswith("(default 32)") and described["data.root"].endswith("(default data)")
    keys = [key for key, _ in described_keys(["model", "data.*"])]
    assert (keys[:2], keys[-1]) == (["model", "data.root"], "data.<data set>")
    assert [key for key, _ in described_keys(["data.nsd", "data.root"])] == ["data.root", "data.nsd"]


def test_a_folder_key_must_be_a_data_set():
    settings = parse(["data.nsdd=/x", "data.root=/y"])
    with pytest.raises(RequestError, match=r"did you mean data\.nsd"):
        check_data_names(settings.data, ["nsd", "cowley2023"])
    assert parse(["data.nsd=/x"]).data.folders()["nsd"].name == "x"
