"""Resume over HTTP, against a server of our own on this machine."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

from understudy.errors import WeightsError
from understudy.weights import WebFile, WeightFile, WeightStore, WeightTable
from understudy.weights import download as module

DATA = bytes(range(256)) * 12_000  # 3 MB
SHA = hashlib.sha256(DATA).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        begin = int(asked.split("=")[1].rstrip("-")) if asked and server.ranges else 0
        if begin >= len(DATA):
            self.send_error(416)
            return
        body = server.data[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.breaks.pop(0)] if server.breaks else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.errors, server.breaks, server.ranges, server.data = [], [], [], True, DATA
        server.url = f"http://127.0.0.1:{server.server_port}/weights.bin"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def got(server, path):
    return list(module.download_web(WebFile(url=server.url), path, SHA))


def test_whole(server, tmp_path):
    progress = got(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    assert progress == sorted(progress)
    assert progress[-1] == len(DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = [1_000_000, 500_000]
    got(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    assert server.asked == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_later_call_goes_on(server, tmp_path):
    call = module.download_web(WebFile(url=server.url), tmp_path / "x", SHA)
    next(call)
    call.close()
    have = (tmp_path / "x.part").stat().st_size
    assert 0 < have < len(DATA)
    got(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    assert server.asked[-1] == f"bytes={have}-"


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "x.part").write_bytes(b"begun")
    got(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


def test_a_part_that_is_whole_is_accepted(server, tmp_path):
    (tmp_path / "x.part").write_bytes(DATA)
    got(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


def test_wrong_content_names_both_hashes_and_is_removed(server, tmp_path):
    server.data = b"other" * 1000
    with pytest.raises(WeightsError) as caught:
        got(server, tmp_path / "x")
    assert SHA in str(caught.value)
    assert hashlib.sha256(server.data).hexdigest() in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_busy_servers_are_asked_again_and_refusals_are_not(server, tmp_path):
    server.errors = [503, 500]
    got(server, tmp_path / "x")
    assert len(server.asked) == 3
    server.errors = [404]
    with pytest.raises(WeightsError, match="404"):
        got(server, tmp_path / "y")
    assert len(server.asked) == 4


def test_it_gives_up_and_keeps_what_came(server, tmp_path):
    server.breaks = [1000] * module.ATTEMPTS
    with pytest.raises(WeightsError, match="call again"):
        got(server, tmp_path / "x")
    assert (tmp_path / "x.part").stat().st_size == 1000 * module.ATTEMPTS


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="http and https"):
        list(module.download_web(WebFile(url="file:///etc/passwd"), tmp_path / "x", SHA))


def test_nobody_answers(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match="broken off"):
        got(server, tmp_path / "x")


def test_the_store_fetches_web_files(server, tmp_path):
    file = WeightFile(
        name="user",
        file_name="weights.bin",
        sha256=SHA,
        size=len(DATA),
        license="CC0-1.0",
        purpose="a test",
        source=WebFile(url=server.url),
    )
    store = WeightStore(tmp_path, WeightTable([file]))
    server.breaks = [1000]
    list(store.fetch(["user"]))
    assert store.path("user").read_bytes() == DATA
    with pytest.raises(WeightsError) as caught:
        WeightStore(tmp_path / "other", WeightTable([file])).path("user")
    assert "understudy weights fetch user" in str(caught.value)
