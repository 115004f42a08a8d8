import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from alignment.errors import DataError
from benchmarks.store import Store, sweep, write_whole

LOOP = """
import sys
from pathlib import Path
from benchmarks.store import write_whole
data = b"x" * 50_000_000
number = 0
while True:
    write_whole(Path(sys.argv[1]) / f"entry{number % 3}", data)
    number += 1
    print(number, flush=True)
"""


def test_a_dataset_comes_back_as_it_went_in(tmp_path):
    dataset = xr.Dataset({"r": (("fold", "neuroid"), np.random.default_rng(0).normal(size=(5, 7)))}, attrs={"a": "b"})
    store = Store(tmp_path / "store")
    assert not store.has("ab12")
    store.put_dataset("ab12", dataset)
    with store.dataset("ab12") as again:
        xr.testing.assert_identical(again.load(), dataset)


def test_a_damaged_entry_is_named(tmp_path):
    store = Store(tmp_path)
    store.put("ab12", b"not netcdf")
    with pytest.raises(DataError, match="delete it"), store.dataset("ab12"):
        pass


def test_an_entry_damaged_further_in_is_named_when_it_is_read(tmp_path):
    values = np.random.default_rng(0).normal(size=(100, 1000))
    store = Store(tmp_path)
    path = store.put_dataset("ab12", xr.Dataset({"r": (("a", "b"), values)}))
    # the file still says where the values lie, and they do not
    path.write_bytes(path.read_bytes()[:-400_000])
    with pytest.raises(DataError, match=rf"{path} cannot be read .*; delete it"), store.dataset("ab12") as entry:
        entry.load()


def test_exclusive_keeps_the_first_writer(tmp_path):
    path = tmp_path / "record.json"
    write_whole(path, b"first", exclusive=True)
    write_whole(path, b"second", exclusive=True)
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_a_kill_leaves_no_half_file(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", LOOP, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    time.sleep(0.03)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    whole = [path for path in tmp_path.iterdir() if not path.name.endswith(".partial")]
    assert whole
    assert {path.stat().st_size for path in whole} == {50_000_000}


def test_sweep_removes_only_old_partials(tmp_path):
    (tmp_path / "ab").mkdir()
    old, new = tmp_path / "ab" / ".x.1.partial", tmp_path / "ab" / ".y.1.partial"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (0, 0))
    assert sweep(tmp_path) == 1
    assert new.exists()
    assert not old.exists()


def test_sweeping_beside_a_writer_finds_files_gone(tmp_path):
    """Whoever writes gives files their names between being listed and being looked at."""
    process = subprocess.Popen([sys.executable, "-c", LOOP, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    ends = time.monotonic() + 0.5
    while time.monotonic() < ends:
        assert sweep(tmp_path) == 0
    process.kill()
    process.wait()
    process.stdout.close()
