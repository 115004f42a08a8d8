import pytest

from alignment.errors import RequestError
from benchmarks.choices import check_choices
from benchmarks.settings import parse


def test_all_wrong_choices_are_named_at_once():
    words = ["selection=lou", "viewing=half", "pool=big", "projection=0", "precision=tf32"]
    with pytest.raises(RequestError) as caught:
        check_choices(parse([f"benchmark.{word}" for word in words]))
    faults = str(caught.value).split("; ")
    assert faults[:2] == ["unknown benchmark.selection 'lou'", "did you mean loo?"]
    for part in (
        "viewing 'half'",
        "pool=big",
        "projection=0: give a whole number above 0",
        "tf32 means nothing on cpu",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("number", ["²", "1" * 5000, "-1", "1.5", "0"])
def test_numbers_are_whole_and_not_endless(number):
    with pytest.raises(RequestError, match="give a whole number above 0"):
        check_choices(parse([f"benchmark.pool={number}"]))
    check_choices(parse(["benchmark.pool=none", "benchmark.projection=4096"]))
