"""Lists of classes in a text file, in the order that was written."""

from pathlib import Path

import pytest

from alignment.errors import DataError
from benchmarks.datasets.class_names import classes_of_labels, read_class_names


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "classes.txt"


def test_the_order_of_the_file_is_kept(listed: Path) -> None:
    listed.write_bytes("\ufeffzebra\r\n ant lion \r\nélan\r\n\r\n".encode())
    assert read_class_names(listed) == ("zebra", "ant lion", "élan")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"cat\n\ndog\n", r"classes\.txt: line 2 is blank; write one class name a line$"),
        (b"cat\ndog\n cat", r"classes\.txt: class 'cat' is there 2 times"),
        (b"cat\n", r"classes\.txt: 1 classes; at least 2 are needed"),
        (b"", r"classes\.txt: 0 classes; at least 2 are needed"),
        (
            b"caf\xe9\ndog\n",
            r"classes\.txt: cannot read the class names \('utf-8' codec .*; write one a line, as UTF-8",
        ),
    ],
)
def test_faults_are_one_line(listed: Path, content: bytes, fault: str) -> None:
    listed.write_bytes(content)
    with pytest.raises(DataError, match=fault) as raised:
        read_class_names(listed)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(listed))


def test_an_order_that_cannot_be_guessed() -> None:
    assert classes_of_labels(["b10", "a2", "a1"], where="here") == ("a1", "a2", "b10")
    assert classes_of_labels(list("9876543210"), where="here") == tuple("0123456789")
    with pytest.raises(DataError, match=r"^here: not given, and class 'a10' comes before 'a2' by name but not by num"):
        classes_of_labels(["a1", "a2", "a10"], where="here")
