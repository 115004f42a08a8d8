"""What a user may type of attacks and corruptions."""

import pytest

from alignment.errors import RequestError
from benchmarks.catalogue import build_benchmarks
from benchmarks.robustness.builders import radii
from benchmarks.settings import parse


def built(*words: str):
    (benchmark,) = build_benchmarks("digits", parse(["benchmark=digits", *words]))
    return benchmark


def test_ids_name_everything_that_enters_the_number() -> None:
    assert built().id == "digits-accuracy"
    assert built("benchmark.measure=robust").id == "digits-robust-linf-8/255-standard"
    words = ("benchmark.measure=robust", "benchmark.norm=l2", "benchmark.attack=pgd", "benchmark.steps=50")
    assert built(*words, "data.subset=20", "seed=3").id == "digits-robust-l2-0.5-pgd-50steps[subset=20,seed=3]"
    curve = built("benchmark.measure=robust", "benchmark.epsilon=8/255,2/255", "benchmark.moment=mean")
    assert curve.id == "digits-robust-linf-2/255+8/255-standard-mean"
    assert built("benchmark.measure=corruptions").id == "digits-corruptions-all-frost-procedural"
    assert built("benchmark.measure=corruptions", "benchmark.kinds=frost").id == "digits-corruptions-frost-procedural"
    assert built("benchmark.measure=corruptions", "benchmark.kinds=fog,snow").id == "digits-corruptions-snow+fog"


def test_radii_are_numbers_and_quotients() -> None:
    assert radii("8/255, 0.5,8/255") == (("8/255", 8 / 255), ("0.5", 0.5))


@pytest.mark.parametrize("text", ["0", "-1", "8/0", "eight", "1/2/3", "inf", "nan", "1,,2"])
def test_other_radii_are_refused(text: str) -> None:
    with pytest.raises(
        RequestError, match=r"^benchmark\.epsilon=.*: give a radius above 0 in pixel units, such as 8/255"
    ):
        radii(text)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["benchmark.attack=pdg"], "benchmark.attack 'pdg'; did you mean pgd"),
        (["benchmark.norm=l1"], "benchmark.norm 'l1'"),
        (["benchmark.epsilon=8"], "benchmark.epsilon=8: pixels lie in [0, 1]; for grey levels of 255 write 8/255"),
        (
            ["benchmark.attack=fgsm", "benchmark.steps=50"],
            "benchmark.attack=fgsm has no steps; leave benchmark.steps out",
        ),
        (["benchmark.epsilon=0"], "benchmark.epsilon=0: give a radius"),
        (["benchmark.steps=-1"], "benchmark.steps=-1: give a whole number"),
        (["benchmark.moment=first"], "benchmark.moment 'first'"),
        (["benchmark.comparator=spearman"], "benchmark.comparator means nothing to robust"),
        (["benchmark.kinds=fog"], "benchmark.kinds means nothing to robust; it is a setting of corruptions"),
    ],
)
def test_slips_are_named(words: list[str], line: str) -> None:
    with pytest.raises(RequestError) as caught:
        built("benchmark.measure=robust", *words)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_severities_and_kinds_must_exist() -> None:
    with pytest.raises(RequestError, match=r"benchmark\.severities '6'"):
        built("benchmark.measure=corruptions", "benchmark.severities=6")
    with pytest.raises(RequestError, match=r"benchmark\.kinds 'fogg'; did you mean fog"):
        built("benchmark.measure=corruptions", "benchmark.kinds=fogg")
    with pytest.raises(RequestError, match="moment=each makes no single accuracy"):
        built("benchmark.moment=each")
