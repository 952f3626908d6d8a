"""Weights by URL, from servers and over networks that fail in every way: the right file, or a sentence."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ocr_conformance import weights
from ocr_conformance.errors import CacheError, UserError
from ocr_conformance.weights import WeightsSource, resolve
from tests.conftest import serving
from tests.repository import plain_signals, small_disk

from . import toy

DATA = bytes(range(256)) * 4096
SHA = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2


class Server(ThreadingHTTPServer):
    """Answers a path as its function says, which gets the request and how many there were before."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Callable[[_Handler, int], object]] = {}
        self.asked: list[str] = []
        self.ranges: list[int] = []
        """Where the parts begin that `ranged` was asked for."""
        self.over = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: whoever is gone has hung up on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        before = self.server.asked.count(self.path)
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        else:
            answer(self, before)

    def start(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, body: bytes, status: int = 200, **headers: object) -> None:
        self.start(status, **{"Content_Length": len(body), **headers})
        self.wfile.write(body)

    def reset(self) -> None:
        """Hang up as a router does that has forgotten the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is its own."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running, serving(running):
        yield running
        running.over.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once, and end after seconds."""
    monkeypatch.setattr(weights, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(weights, "TIMEOUT_SECONDS", 2.0)


def fetch(server: Server, tmp_path: Path, path: str = "/w.h5", *, offline: bool = False) -> bytes:
    """The bytes of the file that weights by that URL are."""
    sources = {"real": WeightsSource("real", SHA, url=server.url(path) if path.startswith("/") else path)}
    found = resolve("real", "m", sources, folder=tmp_path, cache=tmp_path / "cache", offline=offline).path
    assert found is not None
    return Path(found).read_bytes()


def refused(server: Server, tmp_path: Path, path: str = "/w.h5") -> str:
    """The sentence by which they are refused; nothing that could be taken for them is left."""
    with pytest.raises(UserError) as caught:
        fetch(server, tmp_path, path)
    assert not list((tmp_path / "cache").glob("*.h5"))
    said = str(caught.value)
    assert "\n" not in said
    assert "weights 'real' of m" in said
    return said


def parts(tmp_path: Path) -> list[int]:
    """Sizes of what was begun."""
    return [path.stat().st_size for path in (tmp_path / "cache").glob("*.part")]


# --- what goes on after a failure ------------------------------------------------------------------------------------


def cut(handler: _Handler, before: int) -> None:
    handler.start(200, Content_Length=len(DATA))
    handler.wfile.write(DATA[:HALF])


def cut_chunks(handler: _Handler, before: int) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.start(200, Transfer_Encoding="chunked")
    handler.wfile.write(f"{len(DATA):x}\r\n".encode() + DATA[:HALF])
    handler.close_connection = True


def reset(handler: _Handler, before: int) -> None:
    handler.start(200, Content_Length=len(DATA))
    handler.wfile.write(DATA[:HALF])
    handler.wfile.flush()
    time.sleep(0.2)  # a reset throws away what was not read
    handler.reset()


def hang_up(handler: _Handler, before: int) -> None:
    handler.reset()


def wait(handler: _Handler, before: int) -> None:
    handler.server.over.wait(60)


def drip(handler: _Handler, before: int) -> None:
    """A byte now and then: no read of the socket takes long."""
    handler.start(200, Content_Length=len(DATA))
    trickle(handler)


def drip_header(handler: _Handler, before: int) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    trickle(handler)


def trickle(handler: _Handler) -> None:
    while not handler.server.over.wait(0.2):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def status(code: int, **headers: object) -> Callable[[_Handler, int], None]:
    return lambda handler, before: handler.send(b"", code, **headers)


PASSING: dict[str, tuple[Callable[[_Handler, int], object], str]] = {
    "cut": (cut, "IncompleteRead|cut after|broken"),
    "a chunk cut": (cut_chunks, "IncompleteRead|cut|broken"),
    "reset": (reset, "reset by peer|IncompleteRead|broken"),
    "hung up": (hang_up, "reset by peer|closed connection|aborted"),
    "no answer": (wait, "timed out"),
    "a byte now and then": (drip, "less than 4096 bytes in 2 seconds"),
    "a header's byte now and then": (drip_header, "less than 4096 bytes in 2 seconds|timed out"),
    "408": (status(408), "408 Request Timeout"),
    "429": (status(429, Retry_After=1), "429 Too Many Requests"),
    "500": (status(500), "500 Internal Server Error"),
    "502": (status(502), "502 Bad Gateway"),
    "503": (status(503, Retry_After="soon"), "503 Service Unavailable"),
    "504": (status(504), "504 Gateway Timeout"),
}


@pytest.mark.parametrize("kind", PASSING)
def test_what_may_pass_is_tried_again(server: Server, tmp_path: Path, kind: str) -> None:
    fail, _ = PASSING[kind]
    server.answers["/w.h5"] = lambda handler, before: handler.send(DATA) if before else fail(handler, before)
    assert fetch(server, tmp_path) == DATA
    assert len(server.asked) == 2
    assert parts(tmp_path) == []


@pytest.mark.parametrize("kind", [kind for kind in PASSING if kind != "429"])
def test_what_does_not_pass_is_given_up(
    server: Server, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "ATTEMPTS", 2)
    fail, reason = PASSING[kind]
    server.answers["/w.h5"] = fail
    said = refused(server, tmp_path)
    assert said.startswith(f"cannot fetch {server.url('/w.h5')} for weights 'real' of m (")
    assert re.search(
        rf"\(.*({reason}).*\): check the network, run again, or give the file with --ocr-weights FILE", said
    )
    assert len(server.asked) in (2, 3)  # what brought something new is not counted
    server.answers["/w.h5"] = lambda handler, before: handler.send(DATA)
    assert fetch(server, tmp_path) == DATA  # whatever was begun


def ranged(limit: int, data: bytes = DATA) -> Callable[[_Handler, int], None]:
    """A server that sends ``limit`` bytes a request, and what it was asked for."""

    def answer(handler: _Handler, before: int) -> None:
        wanted = handler.headers.get("Range")
        at = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        left = len(data) - at
        handler.server.ranges.append(at)
        if wanted:
            handler.start(206, Content_Length=left, Content_Range=f"bytes {at}-{len(data) - 1}/{len(data)}")
        else:
            handler.start(200, Content_Length=left)
        handler.wfile.write(data[at : at + limit])

    return answer


def test_a_cut_download_goes_on_where_it_was_cut(server: Server, tmp_path: Path) -> None:
    """Each attempt brings something new: there may be more of them than would be made in vain."""
    server.answers["/w.h5"] = ranged(len(DATA) // 8)
    assert fetch(server, tmp_path) == DATA
    assert server.ranges == [number * len(DATA) // 8 for number in range(8)]


def test_the_next_run_goes_on_where_the_last_gave_up(server: Server, tmp_path: Path) -> None:
    server.answers["/w.h5"] = lambda handler, before: (hang_up if before else cut)(handler, before)
    assert "run again" in refused(server, tmp_path)
    assert parts(tmp_path) == [HALF]
    server.answers["/w.h5"] = ranged(len(DATA))
    assert fetch(server, tmp_path) == DATA
    assert server.ranges == [HALF]
    assert parts(tmp_path) == []


def test_a_file_that_changed_between_its_halves_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    other = b"x" * len(DATA)
    server.answers["/w.h5"] = lambda handler, before: ranged(
        HALF if not before else len(DATA), DATA if before else other
    )(handler, before)
    assert fetch(server, tmp_path) == DATA
    assert server.ranges == [0, HALF, 0]


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: handler.send(b"", 416, Content_Range=f"bytes */{len(DATA)}"),
        lambda handler: handler.send(DATA[:99], 206, Content_Range=f"bytes 0-98/{len(DATA)}"),
        lambda handler: handler.send(DATA[HALF:], 206),
        lambda handler: handler.send(DATA),
    ],
    ids=["there is no more", "another part", "a part that does not say which", "the whole"],
)
def test_a_server_that_cannot_go_on_begins_anew(
    server: Server, tmp_path: Path, answer: Callable[[_Handler], object]
) -> None:
    def answers(handler: _Handler, before: int) -> object:
        if handler.headers.get("Range"):
            return answer(handler)
        return handler.send(DATA) if before else cut(handler, before)

    server.answers["/w.h5"] = answers
    assert fetch(server, tmp_path) == DATA


# --- what does not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451, 501])
def test_what_is_refused_is_asked_for_once(server: Server, tmp_path: Path, code: int) -> None:
    server.answers["/w.h5"] = status(code)
    assert re.search(rf"\({code} .+\): check the URL, or give the file with", refused(server, tmp_path))
    assert len(server.asked) == 1
    assert parts(tmp_path) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda handler, before: handler.send(b"other weights"), ""),
        (lambda handler, before: handler.send(b""), ""),
        (lambda handler, before: handler.send(b"\n<!DOCTYPE HTML><html>Log in</html>"), " (a web page, not the file)"),
        (lambda handler, before: handler.send(DATA, Content_Length=len(DATA) - 1), ""),
        (lambda handler, before: handler.send(DATA + b"x"), ""),
        (lambda handler, before: handler.send(gzip.compress(DATA)), ""),
    ],
    ids=["another file", "nothing", "a web page", "too small a length", "too much", "compressed"],
)
def test_another_file_is_refused_by_both_hashes_and_not_asked_for_again(
    server: Server, tmp_path: Path, answer: Callable[[_Handler, int], object], said: str
) -> None:
    server.answers["/w.h5"] = answer
    text = refused(server, tmp_path)
    assert re.search(rf"{re.escape(server.url('/w.h5') + said)} has the sha256 [0-9a-f]{{64}}, expected {SHA}", text)
    assert len(server.asked) == 1
    assert parts(tmp_path) == []


def test_a_file_that_is_compressed_on_the_way_is_taken(server: Server, tmp_path: Path) -> None:
    def answer(handler: _Handler, before: int) -> None:
        assert handler.headers["Accept-Encoding"] == "identity"
        handler.send(gzip.compress(DATA), Content_Encoding="gzip")

    server.answers["/w.h5"] = answer
    assert fetch(server, tmp_path) == DATA


def test_nonsense_for_a_compressed_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers["/w.h5"] = lambda handler, before: handler.send(b"x" * 99, Content_Encoding="gzip")
    assert "cannot fetch" in refused(server, tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_without_end_is_not_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    """The second is one of 10 KB that unpacks to 10 MB."""
    monkeypatch.setattr(weights, "LARGEST", 5_000_000)

    def answer(handler: _Handler, before: int) -> None:
        if compressed:
            handler.send(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip")
            return
        handler.start(200)
        while not handler.server.over.is_set():
            handler.wfile.write(bytes(100_000))

    server.answers["/w.h5"] = answer
    assert "(more than 5000000 bytes): check the URL" in refused(server, tmp_path)
    assert len(server.asked) == 1
    assert parts(tmp_path) == []


# --- where it leads --------------------------------------------------------------------------------------------------


def test_redirects_are_followed_to_other_hosts_too(server: Server, tmp_path: Path) -> None:
    with Server() as other, serving(other):
        other.answers["/w.h5"] = lambda handler, before: handler.send(DATA)
        server.answers["/w.h5"] = status(302, Location=other.url("/w.h5").replace("127.0.0.1", "localhost"))
        os.environ["NO_PROXY"] += ",localhost"  # the fixture puts it back
        assert fetch(server, tmp_path) == DATA


def test_a_circle_of_redirects_is_left(server: Server, tmp_path: Path) -> None:
    server.answers["/w.h5"] = status(301, Location="/x.h5")
    server.answers["/x.h5"] = status(301, Location="/w.h5")
    assert "Exceeded 30 redirects" in refused(server, tmp_path)
    assert len(server.asked) < 40


@pytest.mark.parametrize("location", ["file://{file}", "ftp://127.0.0.1/w.h5", "data:,x"])
def test_a_redirect_to_no_web_address_is_not_followed(server: Server, tmp_path: Path, location: str) -> None:
    (tmp_path / "w.h5").write_bytes(DATA)  # the right file, even
    server.answers["/w.h5"] = status(302, Location=location.format(file=tmp_path / "w.h5"))
    assert "cannot fetch" in refused(server, tmp_path)
    assert len(server.asked) == 1


def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/w.h5"
        assert re.search(r"\(.*[Cc]onnection refused.*\): check the network", refused(server, tmp_path, url))


def test_a_host_that_is_not_known(server: Server, tmp_path: Path) -> None:
    assert "check the network" in refused(server, tmp_path, "http://no-such-host.invalid/w.h5")


def test_a_proxy_that_does_not_answer(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/w.h5"] = lambda handler, before: handler.send(DATA)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.delenv("no_proxy", raising=False)
        assert "check the network" in refused(server, tmp_path)
    assert server.asked == []
    monkeypatch.delenv("http_proxy")
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("ALL_PROXY", raising=False)
    assert fetch(server, tmp_path) == DATA


def test_a_secure_server_that_is_none(server: Server, tmp_path: Path) -> None:
    said = refused(server, tmp_path, server.url("/w.h5").replace("http:", "https:"))
    assert "check the URL" in said
    assert server.asked == []


# --- this machine ----------------------------------------------------------------------------------------------------

RESOLVE = """
import sys
from pathlib import Path
from ocr_conformance import weights
weights.PAUSE_SECONDS = 0.01
sources = {"real": weights.WeightsSource("real", sys.argv[1], url=sys.argv[2])}
print(weights.resolve("real", "m", sources, folder=Path(), cache=Path(sys.argv[3])).path)
"""


def process(server: Server, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RESOLVE, SHA, server.url("/w.h5"), str(cache)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=plain_signals,  # noqa: PLW1509 - no threads that hold locks
    )


def test_several_processes_fetch_once(server: Server, tmp_path: Path) -> None:
    def answer(handler: _Handler, before: int) -> None:
        time.sleep(0.5)
        handler.send(DATA)

    server.answers["/w.h5"] = answer
    running = [process(server, tmp_path / "cache") for _ in range(3)]
    ends = [each.communicate(timeout=120) for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], ends
    assert len({out for out, _ in ends}) == 1
    assert Path(ends[0][0].strip()).read_bytes() == DATA
    assert server.asked == ["/w.h5"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_ends_in_mid_download_leaves_nothing_to_be_taken(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    halfway = threading.Event()

    def answer(handler: _Handler, before: int) -> None:
        handler.start(200, Content_Length=len(DATA))
        handler.wfile.write(DATA[:HALF])
        handler.wfile.flush()
        halfway.set()
        handler.server.over.wait(60)

    server.answers["/w.h5"] = answer
    running = process(server, tmp_path / "cache")
    assert halfway.wait(60)
    until = time.monotonic() + 60
    while parts(tmp_path) != [HALF]:
        assert time.monotonic() < until
        time.sleep(0.02)
    running.send_signal(number)
    running.communicate(timeout=60)
    assert not list((tmp_path / "cache").glob("*.h5"))
    server.answers["/w.h5"] = ranged(len(DATA))
    assert fetch(server, tmp_path) == DATA
    assert server.ranges == [HALF]
    assert parts(tmp_path) == []


def full(server: Server, tmp_path: Path) -> None:
    server.answers["/w.h5"] = lambda handler, before: handler.send(DATA)
    with pytest.raises(
        CacheError, match=r"no space left in .*cache for weights 'real' of m: free some or choose another"
    ):
        fetch(server, tmp_path)
    assert len(server.asked) == 1
    assert parts(tmp_path) == []  # what would fill the disk of the next run


def test_a_full_disk_is_one_sentence_and_is_emptied(server: Server, tmp_path: Path) -> None:
    with small_disk(tmp_path / "cache", "size=512k"):
        full(server, tmp_path)


def test_a_write_that_finds_no_space(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where nothing can be mounted."""
    opened = Path.open

    def open_(path: Path, mode: str = "r") -> object:
        if path.suffix == ".part" and "b" in mode and mode != "rb":
            opened(path, mode).close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", open_)
    full(server, tmp_path)


def test_a_file_that_was_altered_in_the_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.answers["/w.h5"] = lambda handler, before: handler.send(DATA)
    fetch(server, tmp_path)
    (path,) = (tmp_path / "cache").glob("*.h5")
    for change in (lambda: path.write_bytes(DATA[:-1] + b"x"), lambda: os.truncate(path, 9), path.unlink):
        change()
        with pytest.raises(UserError, match="--ocr-offline forbids"):
            fetch(server, tmp_path, offline=True)
        assert fetch(server, tmp_path) == DATA
    assert len(server.asked) == 4


def test_a_run_whose_weights_cannot_be_had_is_refused(
    server: Server, make_repository: Callable[[Path], Path], tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "repository")
    contract = repository / "models" / "reader" / "contract.toml"
    weights_table = f'[weights.real]\nurl = "{server.url("/w.h5")}"\nsha256 = "{SHA}"\n\n[weights.seeded]'
    text = contract.read_text().replace("[weights.seeded]", weights_table)
    contract.write_text(text.replace('framework = "numpy"', 'framework = "numpy"\ndefault_weights = "seeded"'))
    said = toy.refused(repository, *toy.FAST, "--ocr-weights=real")
    assert f"cannot fetch {server.url('/w.h5')} for weights 'real' of reader (404 Not Found)" in said
    server.asked.clear()
    assert "--ocr-offline forbids to fetch" in toy.refused(repository, *toy.FAST, "--ocr-weights=real", "--ocr-offline")
    assert server.asked == []
