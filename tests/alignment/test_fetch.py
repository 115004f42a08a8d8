"""Downloads, against a server on this machine."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alignment.errors import DataError, RequestError
from alignment.fetch import NotUpstreamError, check_file, fetch, fetch_recorded

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests += 1
        if self.path.startswith("/absent"):
            return self.send_error(404)
        if self.path.startswith("/broken"):
            return self.send_error(500)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        short = self.path.startswith("/truncated")
        self.wfile.write(self.server.content[: len(self.server.content) // 2 if short else None])
        return None

    def log_message(self, *args: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def closed_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/data.bin"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_downloads_once_and_then_needs_no_network(server: Server, tmp_path: Path, closed_url: str) -> None:
    folder = tmp_path / "new" / "folder"
    path = fetch(f"{server.url}/data.bin?raw=1", sha256=SHA256.upper(), folder=folder)
    assert path == folder / "data.bin"
    assert path.read_bytes() == CONTENT
    assert files(folder) == {"data.bin"}
    assert fetch(closed_url, sha256=SHA256, folder=folder) == path
    assert server.requests == 1


def test_another_name(server: Server, tmp_path: Path) -> None:
    assert fetch(f"{server.url}/data.bin", sha256=SHA256, folder=tmp_path, name="b.npy").name == "b.npy"


def test_wrong_checksum_of_what_is_received_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"received sha256 {SHA256}, expected {'0' * 64}"):
        fetch(f"{server.url}/data.bin", sha256="0" * 64, folder=tmp_path)
    assert files(tmp_path) == set()


def test_wrong_checksum_of_a_file_there_names_both_and_leaves_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"other")
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(DataError, match=rf"data\.bin: sha256 is {other}, expected {SHA256}"):
        fetch(f"{server.url}/data.bin", sha256=SHA256, folder=tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == b"other"
    assert server.requests == 0


@pytest.mark.parametrize(
    ("where", "reason"),
    [("absent", "HTTP 404, not there"), ("broken", "HTTP 500"), ("truncated", "the transfer broke off")],
)
def test_a_failed_transfer_is_one_line_and_keeps_nothing(
    server: Server, tmp_path: Path, where: str, reason: str
) -> None:
    url = f"{server.url}/{where}/data.bin"
    with pytest.raises(DataError) as raised:
        fetch(url, sha256=SHA256, folder=tmp_path)
    assert str(raised.value) == f"cannot download {url} ({reason}); put the file at {tmp_path / 'data.bin'}"
    assert isinstance(raised.value, NotUpstreamError) == (where == "absent")
    assert files(tmp_path) == set()


def test_no_network(closed_url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        fetch(closed_url, sha256=SHA256, folder=tmp_path)
    assert str(raised.value) == f"cannot download {closed_url} (no network?); put the file at {tmp_path / 'data.bin'}"
    assert files(tmp_path) == set()


@pytest.mark.parametrize("name", ["../out.bin", "a/b", "a\\b", "..", ".", "", "a\0b"])
def test_never_outside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="without separators"):
        fetch("http://127.0.0.1:9/data.bin", sha256=SHA256, folder=tmp_path / "in", name=name)
    assert files(tmp_path) == set()


def test_encoded_separators_in_the_address_do_not_get_out(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="without separators"):
        fetch("http://127.0.0.1:9/..%2Fout.bin", sha256=SHA256, folder=tmp_path / "in")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "data.bin", "ftp://127.0.0.1/data.bin"])
def test_only_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(RequestError, match="not an http or https address"):
        fetch(url, sha256=SHA256, folder=tmp_path)


@pytest.mark.parametrize("sha256", ["", "abc", "z" * 64])
def test_a_checksum_is_needed(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(RequestError, match="64 hexadecimal digits"):
        fetch("http://127.0.0.1:9/data.bin", sha256=sha256, folder=tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write in"):
        fetch("http://127.0.0.1:9/data.bin", sha256=SHA256, folder=tmp_path / "file")


def test_recorded_checksum_is_checked_ever_after(server: Server, tmp_path: Path) -> None:
    url = f"{server.url}/data.bin"
    path = fetch_recorded(url, folder=tmp_path)
    assert (tmp_path / "data.bin.sha256").read_text() == f"{SHA256}  data.bin\n"
    assert fetch_recorded(url, folder=tmp_path) == path
    assert server.requests == 1

    path.write_bytes(b"changed")
    with pytest.raises(DataError, match=f"expected {SHA256}"):
        fetch_recorded(url, folder=tmp_path)

    path.unlink()
    server.content = b"upstream changed"
    with pytest.raises(DataError, match=f"expected {SHA256}"):
        fetch_recorded(url, folder=tmp_path)
    assert files(tmp_path) == {"data.bin.sha256"}


def test_a_truncated_first_transfer_is_not_recorded(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="broke off"):
        fetch_recorded(f"{server.url}/truncated/data.bin", folder=tmp_path)
    assert files(tmp_path) == set()


def test_a_file_put_there_by_hand_is_taken_as_it_is(tmp_path: Path, closed_url: str) -> None:
    (tmp_path / "data.bin").write_bytes(b"mine")
    assert fetch_recorded(closed_url, folder=tmp_path).read_bytes() == b"mine"
    assert files(tmp_path) == {"data.bin"}


def test_a_damaged_record(tmp_path: Path, closed_url: str) -> None:
    (tmp_path / "data.bin.sha256").write_text("?")
    with pytest.raises(DataError, match="no sha256 in it"):
        fetch_recorded(closed_url, folder=tmp_path)


def test_check_file(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(CONTENT)
    assert check_file(path, sha256=SHA256) == path
    with pytest.raises(DataError, match="cannot read"):
        check_file(tmp_path, sha256=SHA256)
