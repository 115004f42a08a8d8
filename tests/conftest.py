"""Where real data lie, for the tests that need them."""

import os
import signal
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("BENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))

# a shell has what it runs in the background ignore this, and tests of interruption would inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with `data/` and `models/`: beside the checkout, or where BENCH_SHARED says."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data: {SHARED} does not exist (set BENCH_SHARED to a folder with data/ and models/)")
    return SHARED


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """The folder of published data sets, one sub-folder each."""
    return shared / "data"
