"""The agent and a real wrk against real servers: what they send, what they read, and what is sampled under load."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bench_action.config.schema import Profile
from bench_action.engine.protocol import Handle
from bench_action.load import agent
from bench_action.load.generator import HttpRequest, Sample
from bench_action.load.messages import RequestsAnswer, WireReply, WrkAnswer, require_shape
from bench_action.load.replies import discount_closes, judge_each, judge_loaded, recount_errors, summarise_replies
from bench_action.load.wrk import build_order, parse_report
from bench_action.model.result import Replies
from bench_action.model.warning import Code, RunWarning
from bench_action.stack.certificate import make_certificate

pytestmark = pytest.mark.integration

Answer = Callable[[bytes, int], bytes]  # a request, and how many came before it → a reply
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def read_request(connection: socket.socket) -> bytes:
    """Read one request to its end; empty if the client has left."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length and (more := connection.recv(65536)):
        data, body = data + more, body + more
    return data


class Server:
    """Records every request, byte by byte, and replies what `answer` returns; closes after an empty answer.

    `keep`: keep connections open after other answers.
    """

    def __init__(self, answer: Answer, *, keep: bool = True) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0  # connections
        self._answer, self._keep = answer, keep
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := read_request(connection):
                self.requests.append(request)
                if not (reply := self._answer(request, len(self.requests) - 1)):
                    return
                connection.sendall(reply)
                if not self._keep:
                    return

    def close(self) -> None:
        with suppress(OSError):  # it may be closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def serving(answer: Answer, *, keep: bool = True) -> Iterator[Server]:
    server = Server(answer, keep=keep)
    yield server
    server.close()


def make_profile(**changes: Any) -> Profile:
    return Profile(**{"connections": 2, "threads": 1, "duration": 1} | changes)


def run_wrk(port: int, profile: Profile) -> WrkAnswer:
    tape = HttpRequest.from_config(Handle("", "app", "subject", "127.0.0.1", port), profile).tape
    order = build_order(profile, tape, duration_s=profile.duration, parts={}, limit_s=30.0).order
    return require_shape(as_sent(agent.wrk(order)), WrkAnswer)


def as_sent(answer: object) -> object:
    """Decode an answer as the other end does."""
    decoded: object = json.loads(json.dumps(answer))
    return decoded


def send(port: int, profile: Profile, repeat: int = 3, timeout_s: float = 10.0) -> list[WireReply]:
    request = HttpRequest("127.0.0.1", port, profile.path, profile.method, profile.headers, profile.body)
    answer = agent.requests(
        {
            "op": "requests",
            **request.tape.order,
            "repeat": repeat,
            "timeout_s": timeout_s,
            "bodies": "none",
            "limit_s": 30.0,
        }
    )
    return require_shape(as_sent(answer), RequestsAnswer)["replies"]


def counted(port: int, profile: Profile, repeat: int = 3) -> Replies:
    """Record replies as phase `count` does."""
    replies = send(port, profile, repeat)
    seen = [Sample(*agent.make_sample(reply, 0)) for reply in replies if not reply["problem"]]
    return summarise_replies(seen, replies[-1]["problem"])


def under_load(port: int, profile: Profile, count: Replies | None) -> tuple[RunWarning, ...]:
    """Judge the replies to one run of wrk."""
    report = recount_errors(parse_report(run_wrk(port, profile), ""), profile.expect)
    return judge_loaded(report, profile, summarise_replies(report.sampled), count, "app · list")


REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "get": {},
    "query": {"path": "/items?page=2&q=%C3%BC#top"},
    "post": {"method": "POST", "body": '{"text": "\u017dlu\u0165"}', "headers": {"Content-Type": "application/json"}},
    "empty-post": {"method": "POST", "path": "/clear"},
    "delete": {"method": "DELETE", "path": "/items/1"},
    "many-headers": {
        "headers": {
            "X-Zebra": "1",
            "Accept": "text/html",
            "Authorization": "Bearer a b",
            "x-zebra": "2",
            "Cookie": "a=1; b=2",
            "X-Quoted": 'a "b" \\ %d',
            "X-Empty": "",
        }
    },
    "own-host": {"headers": {"X-First": "1", "host": "shop.example:8443", "Accept-Encoding": "gzip"}},
    "lengths": {"method": "PUT", "body": "abc\r\n\r\n", "headers": {"content-LENGTH": "4000"}},
}


def test_requests__of_the_agent_and_of_wrk_are_the_same_bytes() -> None:
    """Run all of them at the same time, as each takes wrk a second."""

    def compare(name: str) -> tuple[str, set[bytes], set[bytes], int]:
        profile = make_profile(**REQUESTS[name])
        with serving(lambda *_: OK) as by_agent, serving(lambda *_: OK) as by_wrk:
            port = by_agent.port
            request = HttpRequest(
                "127.0.0.1", port, profile.path, profile.method, profile.headers, profile.body
            ).tape.order
            agent.obey({"op": "requests", **request, "repeat": 2, "timeout_s": 10.0, "bodies": "all", "limit_s": 30.0})
            agent.obey({"op": "get", **request, "timeout_s": 10.0, "wait_s": 20.0})
            agent.obey({"op": "connections", **request, "count": 3, "hold": True, "limit_s": 10.0})
            loads = [{**request, "parts": {}}]
            agent.obey(
                {
                    "op": "turns",
                    "loads": loads,
                    "seconds": 0.01,
                    "requests": 2,
                    "enough": 10_000,
                    "first": 0,
                    "timeout_s": 10.0,
                    "seed": 1,
                }
            )
            answer = run_wrk(by_wrk.port, profile)
            served = parse_report(answer, name).requests
            seen = {sent.replace(str(by_wrk.port).encode(), str(port).encode()) for sent in by_wrk.requests}
            return name, set(by_agent.requests), seen, served

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(compare, REQUESTS))
    assert [name for name, _, _, served in found if not served] == []
    assert {name: sent for name, sent, _, _ in found} == {name: sent for name, _, sent, _ in found}
    assert [name for name, sent, _, _ in found if len(sent) != 1] == []
    bare = next(sent for name, sent, _, _ in found if name == "get").pop()
    assert [line.partition(b":")[0] for line in bare.split(b"\r\n")] == [b"GET / HTTP/1.1", b"Host", b"", b""]


def page(size: int, status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{head}\r\n".encode() + b"x" * size


def chunked(size: int) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + f"{size:x}\r\n".encode() + b"y" * size + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        page(6000),
        page(0),
        chunked(5000),
        page(300, head="Content-Encoding: gzip\r\n"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["length", "empty", "chunked", "compressed", "204"],
)
def test_replies__have_as_many_bytes_as_wrk_counts(reply: bytes) -> None:
    with serving(lambda *_: reply) as server:
        count = counted(server.port, make_profile())
        report = parse_report(run_wrk(server.port, make_profile()), "")
    assert (count.bytes_min, count.bytes_max) == (len(reply), len(reply))
    assert report.requests > 0
    # the replies to the last requests may have been read in part
    assert 0 <= report.bytes_read - report.requests * len(reply) <= 2 * len(reply)
    assert {(sample.size, sample.digest) for sample in report.sampled} == {(len(reply), count.digest)}


def test_replies__without_keep_alive() -> None:
    reply = page(1000, head="Connection: close\r\n")

    with serving(lambda *_: reply) as server:
        count = counted(server.port, make_profile())
        assert count.statuses == {"200": 3}
        assert under_load(server.port, make_profile(), count) == ()


def test_under_load__a_reply_that_is_shorter_than_the_one_that_was_checked() -> None:
    """Test an application that answers with an empty page as soon as it is busy."""
    with serving(lambda _, count: page(6000) if count < 3 else page(0)) as server:
        count = counted(server.port, make_profile())
        (warning,) = under_load(server.port, make_profile(), count)
        varies = make_profile(expect={"size": "varies"})
        assert under_load(server.port, varies, count) == ()
    assert warning.code is Code.REPLIES_DIFFER
    assert warning.code.invalidates
    assert warning.message == (
        "replies under load have 38 bytes on average; when they were counted, they had 6,041 bytes"
    )


def test_under_load__an_application_that_sends_its_page_for_an_accepted_encoding_only() -> None:
    """A client that accepts compressed replies would get another page than wrk."""

    def serve(request: bytes, _count: int) -> bytes:
        return page(6000) if b"accept-encoding" in request.lower() else page(10)

    with serving(serve) as server:
        assert counted(server.port, make_profile()).bytes_max == len(page(10))


@pytest.mark.parametrize(
    ("status", "location", "code"),
    [
        ("429 Too Many Requests", "", Code.MOSTLY_ERRORS),
        ("401 Unauthorized", "", Code.MOSTLY_ERRORS),
        ("302 Found", "Location: /login\r\n", Code.REDIRECTS),
    ],
)
def test_under_load__a_status_that_comes_only_under_load_is_named(status: str, location: str, code: Code) -> None:
    limited = page(6000, status, location)
    with serving(lambda _, count: page(6000) if count < 5 else limited) as server:
        count = counted(server.port, make_profile())
        assert judge_each(count, make_profile(), "app · list") == ()
        (warning,) = under_load(server.port, make_profile(duration=4), count)
    assert warning.code is code
    assert status.partition(" ")[0] in warning.message
    assert ("/login" in warning.message) == bool(location)


def test_under_load__an_expected_error_is_a_success() -> None:
    profile = make_profile(expect={"status": 404})
    with serving(lambda *_: page(10, "404 Not Found")) as server:
        assert judge_each(counted(server.port, profile), profile, "") == ()
        report = recount_errors(parse_report(run_wrk(server.port, profile), ""), profile.expect)
    assert report.requests > 0
    assert report.errors.status == 0


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_under_load__a_reply_that_ends_with_its_connection_is_no_read_error(version: str) -> None:
    """wrk counts each of them as a request and as a read error; one in ten is cut, and is an error."""
    reply = f"{version} 200 OK\r\nConnection: close\r\n\r\nok".encode()
    profile = make_profile(connections=4)
    with serving(lambda _, count: reply if count % 10 else b"", keep=False) as server:
        report = parse_report(run_wrk(server.port, profile), "")
    assert report.errors.read > report.requests > 0
    assert all(sample.until_close for sample in report.sampled)
    found = discount_closes(report, summarise_replies(report.sampled), None)
    assert found.errors.read == pytest.approx(report.requests / 9, abs=profile.connections + 2)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_wrk__sends_a_name_over_tls_and_no_address(tmp_path: Path, host: str) -> None:
    for name, text in make_certificate(["app"]).files.items():
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            while read_request(wrapped):
                wrapped.sendall(OK)

    profile = make_profile(connections=1)
    with streaming(serve) as port:
        handle = Handle("", "app", "subject", host, port, tls=True)
        order = build_order(
            profile, HttpRequest.from_config(handle, profile).tape, duration_s=1, parts={}, limit_s=30.0
        )
        report = parse_report(require_shape(as_sent(agent.wrk(order.order)), WrkAnswer), "")
    assert report.requests > 0
    assert report.errors.total == 0
    assert set(names) == {"localhost"}


def test_under_load__pages_that_vary_are_compared_with_their_own_range() -> None:
    with serving(lambda _, count: page(1000 + 500 * (count % 7))) as server:
        count = counted(server.port, make_profile(), repeat=14)
        assert (count.bytes_min, count.bytes_max) == (len(page(1000)), len(page(4000)))
        assert under_load(server.port, make_profile(), count) == ()


def test_requests__a_stream_that_never_ends_is_given_up() -> None:
    events = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while not events.wait(0.02):
            connection.sendall(b"data: tick\n\n")

    with streaming(serve) as port:
        (reply,) = send(port, make_profile(), timeout_s=0.3)
        answer = run_wrk(port, make_profile())
        events.set()
    assert reply["problem"].startswith("the reply did not end within 0.3 s (")
    assert parse_report(answer, "").requests == 0
    assert answer["sampled"] == []


@contextmanager
def streaming(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a server that handles each connection with `serve`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def guarded(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
