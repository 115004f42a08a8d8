"""A user's folder: images, and four repetitions of each in mixed order; and servers in the place of upstream ones."""

import functools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

STIMULI, NEUROIDS, REPETITIONS = 30, 8, 4
NAMES = [f"image{number:03d}.png" for number in range(STIMULI)]


def write_images(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for shade, name in enumerate(NAMES):
        Image.fromarray(np.full((6, 6, 3), shade, np.uint8)).save(folder / "images" / name)


def simulated() -> tuple[pd.DataFrame, np.ndarray]:
    """Presentations in mixed order, and their responses: signal variance 4, noise variance 1."""
    random = np.random.default_rng(0)
    shown = pd.DataFrame({"stimulus": np.tile(NAMES, REPETITIONS)}).sample(frac=1, random_state=0, ignore_index=True)
    signal = pd.DataFrame(random.normal(size=(STIMULI, NEUROIDS)) * 2, index=NAMES)
    return shown, signal.loc[shown["stimulus"]].to_numpy() + random.normal(size=(len(shown), NEUROIDS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """npy and csv, four repetitions, nothing optional."""
    place = tmp_path / "my data"
    write_images(place)
    shown, values = simulated()
    shown.to_csv(place / "presentations.csv", index=False)
    np.save(place / "responses.npy", values)
    return place


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Call it with a folder, and the address it returns answers with the folder's files."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    with ExitStack() as running:

        def start(folder: Path) -> str:
            handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            running.callback(thread.join)
            running.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield start


@pytest.fixture
def closed_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
