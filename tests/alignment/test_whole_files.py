"""A file has its name when it is whole, and not before."""

from pathlib import Path

import pytest

from alignment.errors import DataError
from alignment.whole_files import whole_file


def test_the_name_comes_last_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "made" / "file"
    for content in (b"first", b"second"):
        before = target.read_bytes() if target.exists() else None
        with whole_file(target) as partial:
            partial.write_bytes(content)
            assert (target.read_bytes() if target.exists() else None) == before
            assert partial.parent == target.parent
        assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(KeyError), whole_file(target) as partial:
        partial.write_bytes(b"half")
        raise KeyError
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*file/new \(File exists\)"), whole_file(tmp_path / "file/new"):
        pass
    with pytest.raises(DataError, match=r"cannot write .*folder"), whole_file(tmp_path / "folder") as partial:
        partial.write_bytes(b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
