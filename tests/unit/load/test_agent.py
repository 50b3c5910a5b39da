"""The agent of the load container, imported as a module: control groups on disk, HTTP on loopback."""

import base64
import io
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, count, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench_action.load import agent, counters
from bench_action.load.generator import HttpRequest, Reply
from bench_action.load.messages import Counters, CpuNumber, ShapeError, WireReply, require_shape
from bench_action.stack.certificate import make_certificate
from bench_action.stats.steady import WINDOW_S, Reading, is_steady

pytestmark = pytest.mark.unit

CONTAINER = "3f" * 32


class Handler(BaseHTTPRequestHandler):
    """Returns what it received; `/close` closes the connection, `/error` fails, `/large` is too large to check."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        received = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = {
            "method": self.command,
            "body": received.decode(),
            "headers": {k.lower(): v for k, v in self.headers.items()},
        }
        body = b"x" * (agent._LARGEST_BODY + 1) if self.path == "/large" else json.dumps(request).encode()
        self.send_response(503 if self.path == "/error" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Mixed-Case", "Yes")
        if self.path == "/close":
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = answer  # noqa: N815 (the names are http.server's)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name is http.server's)
        pass


class Server(ThreadingHTTPServer):
    """Many simultaneous connections; the default backlog of 5 would make most of them wait for a second."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that leave without reading everything."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a real HTTP server."""
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a server that handles each connection with `serve`, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):  # the client may have left already
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (more := connection.recv(4096)):
        data += more
    return data


def reply_and_close(connection: socket.socket) -> None:
    """Close an HTTP/1.1 connection without sending `Connection: close`, as careless servers do."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def hang_up(connection: socket.socket) -> None:
    read_request(connection)


def say_nothing(connection: socket.socket) -> None:
    """Wait until the client gives up."""
    while connection.recv(4096):
        pass


REQUEST = ("host", "path", "method", "headers", "body", "tls")


def order(port: int, **changes: Any) -> Any:
    sent = {"host": "127.0.0.1", "path": "/"} | {key: changes.pop(key) for key in REQUEST if key in changes}
    fields = {
        "repeat": 1,
        "timeout_s": 10.0,
        "bodies": "all",
        "limit_s": 60.0,
        "connections": 1,
        "wait_s": 30.0,
    } | changes
    return {**HttpRequest(port=port, **sent).tape.order, **fields}


def received(reply: WireReply) -> Any:
    """Decode what the server received."""
    return json.loads(base64.b64decode(reply["body"]))


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


ANSWERED = {"status": 200, "failure": "", "problem": "", "location": "", "body": ""}


def test_get__returns_the_status(port: int) -> None:
    assert agent.get(order(port)) == ANSWERED
    failed = agent.get(order(port, path="/error"))
    assert (failed["status"], failed["failure"], failed["problem"]) == (503, "", "")


def test_get__says_why_there_is_no_reply() -> None:
    answer = agent.get(order(closed_port()))
    assert answer["status"] == 0
    assert answer["problem"].startswith("ConnectionRefusedError: ")


@pytest.mark.parametrize(
    ("serve", "failure"),
    [
        (hang_up, "closed"),
        (lambda connection: connection.sendall(b"-ERR unknown command\r\n"), "not-http"),
    ],
)
def test_get__reports_what_kind_of_server_does_not_answer(serve: Callable[[socket.socket], None], failure: str) -> None:
    with listening(serve) as port:
        assert agent.get(order(port, timeout_s=0.5))["failure"] == failure


@contextmanager
def listening_in_tls(folder: Path, serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve connections over TLS, with a certificate as it is made for a run."""
    certificate = make_certificate(["app"])
    for name, text in certificate.files.items():
        (folder / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    def secure(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            serve(wrapped)

    with (
        ThreadPoolExecutor(max_workers=60) as pool,
        listening(lambda c: (pool.submit(secure, c.dup()), None)[1]) as port,
    ):
        yield port


def test_get__recognises_tls(tmp_path: Path) -> None:
    with listening_in_tls(tmp_path, reply_and_close) as port:
        assert agent.get(order(port))["failure"] == "tls"
        assert agent.get(order(port, tls=True)) == ANSWERED


def test_get__reports_a_server_that_does_not_speak_tls(port: int) -> None:
    answer = agent.get(order(port, tls=True))
    assert (answer["failure"], answer["status"]) == ("no-tls", 0)
    with listening(lambda connection: (connection.recv(1), None)[1]) as other:
        assert agent.get(order(other, tls=True, timeout_s=5.0))["failure"] == "closed"


def test_get__a_server_that_does_not_answer_yet_keeps_no_other_waiting(port: int) -> None:
    answering = threading.Event()
    requests: list[int] = []

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        requests.append(1)
        answering.wait(20)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with listening(serve) as slow:
        began = time.monotonic()
        probe = order(slow, wait_s=0.05)
        assert [agent.get(probe)["failure"] for _ in range(3)] == ["pending"] * 3
        assert agent.get(order(port))["status"] == 200
        assert time.monotonic() - began < 5
        answering.set()
        answers = (agent.get(probe) for _ in range(100))
        assert next(answer for answer in answers if answer["failure"] != "pending")["status"] == 204
    assert requests == [1]


def test_get__does_not_take_an_old_reply_for_that_of_another_container() -> None:
    with listening(say_nothing) as port:
        probe = order(port, timeout_s=0.01, wait_s=0.0)
        assert agent.get(probe)["failure"] == "pending"
        time.sleep(0.05)
        assert agent.get(probe)["failure"] == "pending"  # the first one's would be `late`


@pytest.mark.parametrize("hold", [True, False])
def test_connections__over_tls_are_counted_like_others(tmp_path: Path, *, hold: bool) -> None:
    with listening_in_tls(tmp_path, reply_and_close) as port:
        answer = agent.connections(order(port, tls=True, count=50, hold=hold, limit_s=10.0))
    assert answer == {"answered": 50, "late": 0, "statuses": {"200": 50}, "refused_here": 0}


def test_get__reports_where_a_redirect_leads_and_how_an_error_begins() -> None:
    replies = [
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99999\r\n\r\nDisallowedHost",
    ]

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(replies.pop(0))

    with listening(serve) as port:
        redirect, refusal = agent.get(order(port)), agent.get(order(port))
    assert (redirect["status"], redirect["location"], redirect["body"]) == (302, "/login", "")
    assert (refusal["status"], base64.b64decode(refusal["body"])) == (400, b"DisallowedHost")


@pytest.mark.parametrize(("host", "failure"), [("127.0.0.1", "refused"), ("no-such-host.invalid", "unresolved")])
def test_get_and_connect__report_why_there_is_no_connection(host: str, failure: str) -> None:
    port = closed_port()
    assert agent.get(order(port, host=host))["failure"] == failure
    answer = agent.connect({"op": "connect", "host": host, "port": port, "timeout_s": 5.0})
    assert answer["failure"] == failure
    assert answer["problem"]


def test_connect__needs_no_answer() -> None:
    with listening(say_nothing) as port:
        answer = agent.connect({"op": "connect", "host": "127.0.0.1", "port": port, "timeout_s": 5.0})
    assert answer == {"failure": "", "problem": ""}


def test_get__gives_up_on_a_server_that_says_nothing() -> None:
    with listening(say_nothing) as port:
        answer = agent.get(order(port, timeout_s=0.05))
    assert answer["status"] == 0
    assert answer["problem"] == "no reply within 0.05 s"


def test_get__an_answer_that_is_not_http_is_a_problem() -> None:
    with listening(lambda connection: connection.sendall(b"hello\r\n\r\n")) as port:
        answer = agent.get(order(port))
    assert answer["status"] == 0
    assert answer["problem"]


def test_requests__use_one_connection_that_stays_open(port: int) -> None:
    replies = agent.requests(order(port, repeat=3))["replies"]
    assert [(reply["status"], reply["kept"], reply["problem"]) for reply in replies] == [(200, True, "")] * 3
    assert replies[0]["headers"]["x-mixed-case"] == "Yes"


def test_requests__report_that_the_server_closes(port: int) -> None:
    replies = agent.requests(order(port, path="/close", repeat=3))["replies"]
    assert [(reply["status"], reply["kept"]) for reply in replies] == [(200, False)] * 3


def test_requests__end_at_a_server_that_closes_without_a_word() -> None:
    with listening(reply_and_close) as port:
        replies = agent.requests(order(port, repeat=3))["replies"]
    assert (replies[0]["status"], base64.b64decode(replies[0]["body"])) == (200, b"ok")
    assert replies[-1]["status"] == 0
    assert replies[-1]["problem"]
    assert len(replies) == 2


def test_requests__end_at_the_first_that_gets_no_reply() -> None:
    with listening(hang_up) as port:
        (reply,) = agent.requests(order(port, repeat=5))["replies"]
    assert reply["problem"].startswith("RemoteDisconnected")
    assert reply["kept"] is False


def test_requests__without_bodies_are_short(port: int) -> None:
    (reply,) = agent.requests(order(port, bodies="none"))["replies"]
    assert (reply["status"], reply["headers"], reply["body"]) == (200, {}, "")


def test_requests__a_page_that_is_too_large_to_check_is_a_problem(port: int) -> None:
    (reply,) = agent.requests(order(port, path="/large", repeat=3))["replies"]
    assert reply["problem"] == "the body is larger than 4 MiB, too large to check"
    assert reply["body"] == ""
    (digested,) = agent.requests(order(port, path="/large", bodies="none"))["replies"]
    (started,) = agent.requests(order(port, path="/large", bodies="start"))["replies"]
    assert digested["problem"] == started["problem"] == ""
    assert base64.b64decode(started["body"]) == b"x" * agent._START
    assert started["headers"]["content-length"] == str(agent._LARGEST_BODY + 1)
    assert started["digest"] == digested["digest"]


def test_requests__the_start_of_a_short_body_is_all_of_it(port: int) -> None:
    whole, started = (agent.requests(order(port, bodies=bodies))["replies"][0] for bodies in ("all", "start"))
    assert whole == started


def test_requests__headers_keep_every_value_and_every_byte() -> None:
    lines = ["Vary: Accept", "Set-Cookie: a=\x85ž", "vary: Cookie", "X-Folded: a\r\n b", "Set-Cookie: b="]

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 0", *lines]).encode()
        connection.sendall(head + b"\xe9; Path=/\r\n\r\n")

    with listening(serve) as port:
        (reply,) = agent.requests(order(port))["replies"]
    headers = json.loads(json.dumps(reply["headers"]))  # as it is sent
    decoded = Reply(200, headers, b"", kept=True, problem="")
    assert decoded.list_values("Vary") == ["Accept", "Cookie"]
    assert decoded.list_values("Set-Cookie") == ["a=\x85ž", "b=\udce9; Path=/"]
    assert decoded.list_values("X-Folded") == ["a b"]
    assert decoded.list_values("X-None") == []


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def test_requests__a_reply_that_comes_in_drops_is_given_up_at_its_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD % 10_000)
        while True:  # each byte is in time
            connection.sendall(b"x")
            time.sleep(0.01)

    with listening(drip) as port:
        (reply,) = agent.requests(order(port, repeat=3, bodies="none", timeout_s=0.2))["replies"]
    assert reply["problem"].startswith("the reply did not end within 0.2 s (")
    assert reply["size"] > len(HEAD)


def test_requests__headers_that_never_end_are_given_up() -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with listening(serve) as port:
        (reply,) = agent.requests(order(port, bodies="none", timeout_s=0.2))["replies"]
    assert reply["problem"].startswith("the reply did not end within 0.2 s (")


@pytest.mark.parametrize("bodies", ["all", "start", "none"])
def test_requests__an_announced_length_reserves_no_memory(bodies: bool) -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD % 10**15 + b"x")

    with listening(serve) as port:
        (reply,) = agent.requests(order(port, bodies=bodies))["replies"]
    assert reply["problem"].startswith("IncompleteRead")


def test_requests__a_large_reply_is_read_to_its_end_and_thrown_away() -> None:
    size = 64 * 2**20

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD % size)
        for _ in range(64):
            connection.sendall(b"x" * 2**20)

    with listening(serve) as port:
        tracemalloc.start()
        (reply,) = agent.requests(order(port, bodies="none"))["replies"]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (reply["status"], reply["size"]) == (200, size + len(HEAD % size))
    assert peak < 16 * 2**20


@pytest.mark.parametrize("size", ["-1", "-2", "-ffffffff"])
def test_requests__a_chunk_of_a_negative_size_is_a_problem_of_the_server(size: str) -> None:
    """http.client would read the rest of the stream into memory, or fail with an error of ours."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n".encode())
        while True:
            connection.sendall(b"x" * 2**16)

    with listening(serve) as port:
        (reply,) = agent.requests(order(port, repeat=2, bodies="none"))["replies"]
    assert reply["problem"] == "HTTPException: a chunk of the reply has a negative size"
    assert reply["size"] < 2**20


def test_requests__a_reply_without_end_is_given_up_at_its_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_LARGEST_REPLY", 2**20)

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 2**16)

    with listening(serve) as port:
        (reply,) = agent.requests(order(port, repeat=2, bodies="none"))["replies"]
    assert reply["problem"] == "the reply is larger than 1 MiB, too large to read"


def test_requests__bodies_that_are_too_large_together_are_not_kept(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    (one,) = agent.requests(order(port))["replies"]
    monkeypatch.setattr(agent, "_LARGEST_BODIES", 2 * len(one["body"]))
    replies = agent.requests(order(port, repeat=9))["replies"]
    assert [reply["problem"] for reply in replies[:2]] == ["", ""]
    assert replies[2]["problem"].startswith("the bodies of 3 replies are too large to check together")
    assert len(replies) == 3


def test_requests__end_after_their_time() -> None:
    with listening(reply_and_close) as port:
        assert len(agent.requests(order(port, repeat=1000, limit_s=0.0))["replies"]) == 1


def test_requests__a_redirect_names_its_location() -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 301 Moved\r\nLocation: /\x1bitems/\xe2\x80\xae\r\nContent-Length: 0\r\n\r\n")

    with listening(serve) as port:
        (reply,) = agent.requests(order(port, bodies="none"))["replies"]
    assert (reply["status"], reply["location"]) == (301, "/items/")


def test_requests__equal_bodies_have_equal_digests(port: int) -> None:
    small, large = (agent.requests(order(port, path=path, bodies="none"))["replies"][0] for path in ("/", "/large"))
    again = agent.requests(order(port, path="/", bodies="all"))["replies"][0]
    assert small["digest"] == again["digest"] != large["digest"]


def test_requests__send_method_headers_and_body(port: int) -> None:
    (reply,) = agent.requests(order(port, method="POST", headers={"X-A": "1"}, body='{"text": "ü"}'))["replies"]
    request = received(reply)
    assert (request["method"], request["body"], request["headers"]["x-a"]) == ("POST", '{"text": "ü"}', "1")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_requests__an_empty_body_has_its_length(port: int, method: str) -> None:
    (reply,) = agent.requests(order(port, method=method))["replies"]
    assert received(reply)["headers"]["content-length"] == "0"


def test_requests__get_has_no_body(port: int) -> None:
    (reply,) = agent.requests(order(port))["replies"]
    assert "content-length" not in received(reply)["headers"]


def test_requests__head_has_headers_and_no_body(port: int) -> None:
    replies = agent.requests(order(port, method="HEAD", repeat=2))["replies"]
    assert [(reply["status"], reply["body"], reply["kept"]) for reply in replies] == [(200, "", True)] * 2
    assert int(replies[0]["headers"]["content-length"]) > 0


@pytest.mark.parametrize("hold", [True, False])
def test_connections__all_are_answered(port: int, hold: bool) -> None:
    answer = agent.connections(order(port, count=50, hold=hold, limit_s=30.0))
    assert answer == {"answered": 50, "late": 0, "statuses": {"200": 50}, "refused_here": 0}


def test_connections__a_server_that_serves_one_at_a_time_cannot_hold_many() -> None:
    def serve(connection: socket.socket) -> None:
        reply_and_close(connection)
        say_nothing(connection)  # keeps this connection until its client closes it, and nobody else is served

    with listening(serve) as port:
        held = agent.connections(order(port, count=3, hold=True, limit_s=1.0))
        in_turn = agent.connections(order(port, count=3, hold=False, limit_s=30.0))
    assert (held["answered"], held["refused_here"]) == (1, 0)
    assert (in_turn["answered"], in_turn["statuses"]) == (3, {"200": 3})


def test_connections__to_a_closed_port_are_not_answered() -> None:
    answer = agent.connections(order(closed_port(), count=5, hold=True, limit_s=30.0))
    assert answer == {"answered": 0, "late": 0, "statuses": {}, "refused_here": 0}


@pytest.mark.parametrize(
    ("reply", "status"),
    [(b"HTTP/1.0 500 Oh\r\n", "500"), (b"HTTP/1.1 200", "200"), (b"220 mail ready", ""), (b"HTTP/1.1 2000 x", "")],
)
def test_read_status__of_a_reply_that_has_begun(reply: bytes, status: str) -> None:
    assert agent.read_status(reply) == status


def test_connections__that_a_server_does_not_accept_at_once_are_late() -> None:
    def serve(listener: socket.socket) -> None:
        time.sleep(0.3)  # only two connections can wait so long; the others try again after a second
        for _ in range(6):
            with listener.accept()[0] as connection:
                reply_and_close(connection)

    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener, ThreadPoolExecutor() as pool:
        served = pool.submit(serve, listener)
        answer = agent.connections(order(listener.getsockname()[1], count=6, hold=False, limit_s=30.0))
        served.result()
    assert answer["answered"] == 6
    assert 2 <= answer["late"] <= 5


def test_connections__a_hang_up_is_no_answer() -> None:
    with listening(hang_up) as port:
        assert agent.connections(order(port, count=4, hold=True, limit_s=30.0))["answered"] == 0


def test_connections__its_own_limit_of_open_files_is_not_the_servers_fault(port: int) -> None:
    program = (
        "import json, resource, sys\n"
        "from bench_action.load import agent\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "print(json.dumps(agent.connections(json.loads(sys.argv[1]))))\n"
    )
    sent = json.dumps(order(port, count=100, hold=True, limit_s=30.0))
    done = subprocess.run([sys.executable, "-c", program, sent], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["answered"] + answer["refused_here"] == 100
    assert 20 < answer["answered"] < 40


def watch(port: int, connections: int) -> agent.Watcher:
    return agent.Watcher(order(port, parts={}), connections)


def test_watcher__counts_established_connections_to_the_server_and_no_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        watcher, elsewhere = watch(server.getsockname()[1], 9), watch(other.getsockname()[1], 9)
        assert watcher._read_states()["01"] == 0
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        assert (watcher._read_states()["01"], elsewhere._read_states()["01"]) == (3, 0)
        for client in clients:
            client.close()
        assert watcher._read_states()["01"] == 0


def test_watcher__does_not_count_the_connection_of_the_probe() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        order_ = order(server.getsockname()[1], limit_s=30.0, connections=1)
        prober = agent.Prober(order_)
        watcher = agent.Watcher(order_ | {"parts": {}}, 1, prober)
        with closing(socket.create_connection(server.getsockname())), closing(prober._wire):
            prober._wire._connect(time.monotonic() + 30)
            assert watcher._read_states()["01"] == 1
            assert watch(order_["port"], 1)._read_states()["01"] == 2


def test_prober__gives_up_a_request_that_is_not_answered() -> None:
    with listening(say_nothing) as port:
        prober = agent.Prober(order(port, limit_s=600.0))
        prober.start()
        while prober.local_port is None:
            assert prober.is_alive()
        prober.stop()
    assert (prober.seen, prober.is_alive()) == ([], False)


def make_usage() -> Counters:
    return {"cpu_ms": 7.0, "throttled_ms": 0.0, "memory_mib": 64.5, "oom_kills": 0, "refused_forks": 0}


def test_watcher__marks_what_came_from_the_servers_network_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "find_interface", lambda _address: "eth1")
    monkeypatch.setattr(agent, "read_received", {"eth1": 5000}.get)
    watcher = watch(9, connections=0)
    for at_s in (0.25, 0.5, 1.2, 1.3, 2.2):
        watcher._mark(at_s, 7.0, 64.5)
    assert watcher.marks == [(0.25, 5000, 7.0, 64.5), (1.2, 5000, 7.0, 64.5), (2.2, 5000, 7.0, 64.5)]


def test_watcher__has_no_marks_of_a_server_that_shares_its_network(port: int) -> None:
    watcher = watch(port, connections=0)
    watcher._mark(0.25, 7.0, 64.5)
    assert watcher.marks == []


def test_watcher__adds_what_companions_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application of several containers leaks where any of them does."""
    found = {"a": make_usage(), "b": make_usage() | {"memory_mib": 100.0}, "db": make_usage()}
    monkeypatch.setattr(agent, "_SAMPLE_S", 0.001)
    monkeypatch.setattr(agent, "find_interface", lambda _address: "eth1")
    monkeypatch.setattr(agent, "read_received", {"eth1": 5000}.get)
    monkeypatch.setattr(agent, "read_usage", found.get)
    watcher = agent.Watcher(order(9, parts={"application": "a", "application:api": "b", "db": "db"}), 0)
    watcher.start()
    while not watcher.marks:
        assert watcher.is_alive()
    watcher.stop()
    assert watcher.marks[0][1:] == (5000, 14.0, 164.5)
    assert watcher.peak_memory_mib == 164.5


def test_find_interface__is_that_of_the_network_itself_and_not_of_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    # 172.18.0.0/16 on eth0, 172.19.0.0/16 on eth1, all else through a gateway on eth0
    rows = [
        ["eth0", "00000000", "010012AC", "0003", "0", "0", "0", "00000000", "0", "0", "0"],
        ["eth0", "000012AC", "00000000", "0001", "0", "0", "0", "0000FFFF", "0", "0", "0"],
        ["eth1", "000013AC", "00000000", "0001", "0", "0", "0", "0000FFFF", "0", "0", "0"],
    ]
    monkeypatch.setattr(counters, "read_rows", lambda _path: rows)
    assert counters.find_interface(0x050013AC) == "eth1"
    assert counters.find_interface(0x0100007F) == ""


def test_read_received__is_that_of_the_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (counters.read_received("lo") or 0) >= 0
    assert counters.read_received("lo") is not None
    assert counters.read_received("no-such") is None
    assert counters.read_rows("/proc/no/such") == []


def test_watcher__keeps_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_SAMPLE_S", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as server:
        watcher = watch(server.getsockname()[1], 1)
        with closing(socket.create_connection(server.getsockname())):
            watcher.start()
            while not watcher.peak_connections:
                assert watcher.is_alive()
        watcher.stop()
    assert (watcher.peak_connections, watcher.is_alive()) == (1, False)
    assert watcher.peak_memory_mib is None


def test_watcher__knows_how_many_connections_were_open_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_SAMPLE_S", 0.001)
    monkeypatch.setattr(agent, "_OPENED_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server:
        watcher = watch(server.getsockname()[1], 2)
        with closing(socket.create_connection(server.getsockname())):
            watcher.start()
            while not watcher.peak_connections:
                assert watcher.is_alive()
            time.sleep(0.05)
            with closing(socket.create_connection(server.getsockname())):
                while watcher.peak_connections < 2:
                    assert watcher.is_alive()
        watcher.stop()
    assert watcher.early_connections == 1


def test_watcher__counts_connections_that_the_server_has_closed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_SAMPLE_S", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as server:
        watcher = watch(server.getsockname()[1], 2)
        with closing(socket.create_connection(server.getsockname())):
            server.accept()[0].close()
            watcher.start()
            while not watcher.peak_open:
                assert watcher.is_alive()
        watcher.stop()
    assert (watcher.peak_connections, watcher.peak_open) == (0, 1)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty control group tree that the agent reads."""
    monkeypatch.setattr(counters, "CGROUPS", str(tmp_path))
    counters.find_cgroups.cache_clear()
    yield tmp_path
    counters.find_cgroups.cache_clear()


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


V2_FILES = {
    "cpu__stat": "usage_usec 1500000\nuser_usec 1\nnr_throttled 3\nthrottled_usec 250000\n",
    "memory__stat": f"anon 1\nfile 5\ninactive_file {2 * 2**20}\n",
    "memory__current": f"{10 * 2**20}\n",
}


@pytest.mark.parametrize(
    "place", [f"system.slice/docker-{CONTAINER}.scope", f"docker/{CONTAINER}", f"a/b/c/kubepods/cri-{CONTAINER}.scope"]
)
def test_read_usage__control_groups_2(cgroups: Path, place: str) -> None:
    write(cgroups, cgroup__controllers="cpu memory")
    write(cgroups / place, **V2_FILES)
    write(cgroups / place.replace("3f", "4e"), **dict.fromkeys(V2_FILES, "broken"))
    expected = {"cpu_ms": 1500.0, "throttled_ms": 250.0, "memory_mib": 8.0, "oom_kills": 0, "refused_forks": 0}
    assert dict(counters.read_usage(CONTAINER) or {}) == expected
    write(cgroups / place, memory__events="low 0\noom 5\noom_kill 2\n", pids__events="max 7\n")
    assert dict(counters.read_usage(CONTAINER) or {}) == expected | {"oom_kills": 2, "refused_forks": 7}


def test_read_usage__control_groups_2_without_a_cpu_controller_have_no_throttling(cgroups: Path) -> None:
    write(cgroups, cgroup__controllers="")
    write(cgroups / "docker" / CONTAINER, **V2_FILES | {"cpu__stat": "usage_usec 2000\n"})
    found = counters.read_usage(CONTAINER)
    assert found is not None
    assert (found["cpu_ms"], found["throttled_ms"]) == (2.0, 0.0)


def make_v1(cgroups: Path) -> None:
    for controller in ("cpu", "cpuacct", "memory"):
        (cgroups / controller / "docker" / CONTAINER).mkdir(parents=True)
    write(cgroups / "cpu" / "docker" / CONTAINER, cpu__stat="nr_periods 5\nthrottled_time 250000000\n")
    write(cgroups / "cpuacct" / "docker" / CONTAINER, cpuacct__usage="1500000000\n")
    write(
        cgroups / "memory" / "docker" / CONTAINER,
        memory__usage_in_bytes=f"{10 * 2**20}\n",
        memory__stat=f"inactive_file 1\ntotal_inactive_file {2 * 2**20}\n",
    )


def test_read_usage__control_groups_1(cgroups: Path) -> None:
    make_v1(cgroups)
    expected = {"cpu_ms": 1500.0, "throttled_ms": 250.0, "memory_mib": 8.0, "oom_kills": 0, "refused_forks": 0}
    assert dict(counters.read_usage(CONTAINER) or {}) == expected
    counters.find_cgroups.cache_clear()
    oom = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"
    write(cgroups / "memory" / "docker" / CONTAINER, memory__oom_control=oom)
    write(cgroups / "pids" / "docker" / CONTAINER, pids__events="max 7\n")
    assert dict(counters.read_usage(CONTAINER) or {}) == expected | {"oom_kills": 2, "refused_forks": 7}


def test_read_usage__control_groups_1_with_joint_controllers(cgroups: Path) -> None:
    make_v1(cgroups)
    usage = cgroups / "cpuacct" / "docker" / CONTAINER / "cpuacct.usage"
    usage.rename(cgroups / "cpu" / "docker" / CONTAINER / "cpuacct.usage")
    os.renames(cgroups / "cpuacct" / "docker" / CONTAINER, cgroups / "gone")
    (cgroups / "cpuacct").symlink_to("cpu")
    found = counters.read_usage(CONTAINER)
    assert found is not None
    assert found["cpu_ms"] == 1500.0


@pytest.mark.parametrize("part", [None, "", CONTAINER])
def test_read_usage__is_none_if_nothing_is_shown(cgroups: Path, part: str | None) -> None:
    assert counters.read_usage(part) is None


def test_read_usage__is_none_if_a_file_is_missing_or_broken(cgroups: Path) -> None:
    write(cgroups, cgroup__controllers="cpu memory")
    place = cgroups / "docker" / CONTAINER
    write(place, **V2_FILES | {"memory__current": "max\n"})
    assert counters.read_usage(CONTAINER) is None
    write(place, memory__current="1048576")
    assert counters.read_usage(CONTAINER) is not None
    (place / "cpu.stat").unlink()
    assert counters.read_usage(CONTAINER) is None


def test_usage__reads_every_part(cgroups: Path) -> None:
    make_v1(cgroups)
    found = agent.usage({"op": "usage", "parts": {"application": CONTAINER, "db": "gone"}})["parts"]
    assert found["application"] is not None
    assert found["application"]["cpu_ms"] == 1500.0
    assert found["db"] is None


def test_settle__ends_immediately_if_nothing_is_shown_or_the_part_is_idle(cgroups: Path) -> None:
    assert agent.settle({"op": "settle", "parts": [CONTAINER], "limit_s": 600.0}) == {"working": []}
    counters.find_cgroups.cache_clear()
    make_v1(cgroups)
    assert agent.settle({"op": "settle", "parts": [CONTAINER], "limit_s": 600.0}) == {"working": []}


def test_settle__waits_while_the_part_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_SETTLE_S", 0.001)
    # a minute of CPU time between two readings is busy, however late the second one comes
    busy = [0.0, 60_000.0, 60_000.0, 120_000.0, 120_000.0, 120_000.0]
    readings = {"busy": iter(busy), "idle": iter([7.0, 7.0]), "hidden": iter([None, None])}
    monkeypatch.setattr(agent, "read_cpu_ms", lambda part: next(readings[part]))
    agent.settle({"op": "settle", "parts": ["busy", "idle", "hidden"], "limit_s": 600.0})
    assert [list(left) for left in readings.values()] == [[], [], []]


def test_settle__names_the_part_that_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_SETTLE_S", 0.001)
    busy = iter(range(0, 10**9, 60_000))
    monkeypatch.setattr(agent, "read_cpu_ms", lambda part: next(busy) if part == "busy" else None)
    answer = agent.settle({"op": "settle", "parts": ["busy", "hidden"], "limit_s": 0.05})
    assert answer == {"working": ["busy"]}


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [((1000, 10), (2000, 60), 5.0), ((1000, 10), (2000, 10), 0.0), ((1000, 10), (1000, 10), 0.0)],
)
def test_compute_steal_percent__is_a_share_of_the_time_between(
    before: tuple[int, int], after: tuple[int, int], percent: float
) -> None:
    assert counters.compute_steal_percent(before, after) == percent


def test_read_cpu_ticks__grow() -> None:
    first, stolen = counters.read_cpu_ticks()
    assert 0 <= stolen < first
    assert counters.read_cpu_ticks()[0] >= first


def test_machine__describes_what_wrk_may_use() -> None:
    found = agent.machine({"op": "machine"})
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert found["open_files"] > 0
    assert found["machine"] == os.uname().machine


def converse(monkeypatch: pytest.MonkeyPatch, *orders: object) -> list[Any]:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(json.dumps(order) + "\n" for order in orders)))
    monkeypatch.setattr(sys, "stdout", output := io.StringIO())
    agent.main()
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_main__answers_each_order_with_one_line(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    answers = converse(monkeypatch, {"op": "get", **order(port)}, {"op": "machine"})
    assert answers[0] == {"ok": ANSWERED}
    assert answers[1]["ok"]["machine"] == os.uname().machine


def test_main__goes_on_after_a_failure_of_its_own(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    answers = converse(
        monkeypatch,
        {"op": "dance"},
        {"op": "get"},
        {"op": "connections", **order(port, host="no.such.host.invalid", count=1, hold=True, limit_s=1.0)},
        {"op": "get", **order(port)},
    )
    assert [list(answer) for answer in answers] == [["error"], ["error"], ["error"], ["ok"]]
    assert answers[1]["error"] == "the order has the wrong shape: field `host` is missing"


def test_main__does_not_offer_its_inner_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    (answer,) = converse(monkeypatch, {"op": "read_number", "path": "/proc/1/environ"})
    assert list(answer) == ["error"]
    assert "not 'read_number'" in answer["error"]


def complete_orders() -> dict[str, dict[str, Any]]:
    """One order of each kind that the agent takes."""
    request = HttpRequest("app", 8000, "/").tape.order
    requests = {"op": "requests", **request, "repeat": 1, "timeout_s": 1, "bodies": "all", "limit_s": 1.5}
    limits = {"limit_s": 1, "interrupt_s": 1}
    fields = {"argv": ["wrk"], "script": "", "connections": 1, "parts": {"application": "a"}, "divided": False} | limits
    wrk = {"op": "wrk", **request, **fields}
    loads = [{**request, "parts": {}}]
    return {
        "machine": {"op": "machine"},
        "serve": {"op": "serve", "port": 7301, "token": "secret"},
        "reach": {"op": "reach", "address": "app:7301", "timeout_s": 1.0, "timed": True},
        "keep": {"op": "keep", "tape": "0123", "forget": ["a"], "messages": request["messages"]},
        "get": {"op": "get", **request, "timeout_s": 1.0, "wait_s": 1.0},
        "connect": {"op": "connect", "host": "app", "port": 8000, "timeout_s": 1.0},
        "requests": requests,
        "requests_together": {"op": "requests_together", "orders": [requests]},
        "connections": {"op": "connections", **request, "count": 1, "hold": True, "limit_s": 1.0},
        "turns": {
            "op": "turns",
            "loads": loads,
            "seconds": 1,
            "requests": 1,
            "enough": 1,
            "first": 0,
            "timeout_s": 1,
            "seed": 1,
        },
        "wrk": wrk,
        "k6": {"op": "k6", **request, "argv": ["k6"], "files": [{"path": "a", "data": ""}], "parts": {}, "limit_s": 1},
        "duet": {"op": "duet", "orders": [wrk]},
        "warm": {"op": "warm", "orders": [wrk], "least_s": 1, "most_s": 20, "rests": True},
        "usage": {"op": "usage", "parts": {}},
        "settle": {"op": "settle", "parts": [], "limit_s": 1},
    }


FIELDS = [(op, field) for op, sent in complete_orders().items() for field in sent if field != "op"]


def test_operations__have_an_order_here() -> None:
    assert set(complete_orders()) == set(agent.OPERATIONS)
    for sent in complete_orders().values():
        require_shape(sent, agent.OPERATIONS[sent["op"]][0])


@pytest.mark.parametrize(("op", "field"), FIELDS)
def test_obey__a_missing_field_is_named(op: str, field: str) -> None:
    sent = complete_orders()[op]
    del sent[field]
    with pytest.raises(ShapeError) as caught:
        agent.obey(sent)
    assert str(caught.value) == f"field `{field}` is missing"


@pytest.mark.parametrize(("op", "field"), FIELDS)
def test_obey__a_field_of_the_wrong_type_is_named(op: str, field: str) -> None:
    with pytest.raises(ShapeError) as caught:
        agent.obey(complete_orders()[op] | {field: None})
    assert str(caught.value).startswith(f"field `{field}` must be ")
    assert str(caught.value).endswith(", not null")


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ([], "it must be an object, not a list"),
        ({}, "field `op` is missing"),
        ({"op": ["get"]}, "field `op` must be text, not a list"),
        ({"op": "dance"}, "field `op` must be one of machine, serve, reach, keep, get, "),
        (complete_orders()["get"] | {"port": "8000"}, "field `port` must be a whole number, not text"),
        (complete_orders()["get"] | {"port": True}, "field `port` must be a whole number, not true or false"),
        (complete_orders()["get"] | {"port": 80.5}, "field `port` must be a whole number, not a decimal number"),
        (complete_orders()["requests"] | {"bodies": 1}, "field `bodies` must be all or start or none, not a whole"),
        (complete_orders()["requests"] | {"bodies": "x"}, "field `bodies` must be all or start or none"),
        (complete_orders()["usage"] | {"parts": {"db": 1}}, "field `parts['db']` must be text, not a whole number"),
        (complete_orders()["settle"] | {"parts": ["a", {}]}, "field `parts[1]` must be text, not an object"),
        ({"op": "duet", "orders": [complete_orders()["get"]]}, "field `orders[0].op` must be wrk"),
        ({"op": "duet", "orders": [complete_orders()["wrk"], {"op": "wrk"}]}, "field `orders[1].host` is missing"),
        (complete_orders()["turns"] | {"loads": [{"host": "app"}]}, "field `loads[0].port` is missing"),
    ],
)
def test_obey__an_order_of_the_wrong_shape_is_refused(sent: object, problem: str) -> None:
    with pytest.raises(ShapeError) as caught:
        agent.obey(sent)
    assert str(caught.value).startswith(problem)


def test_wrk__runs_a_program_and_reports_how_it_went(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    program = "import sys; print(open(sys.argv[2]).read(), sys.argv[3]); sys.exit(3)"
    answer = agent.wrk(
        order(
            port,
            argv=[sys.executable, "-c", program],
            script="-- lua",
            connections=1,
            parts={},
            limit_s=60.0,
            interrupt_s=60.0,
            divided=False,
        )
    )
    assert answer["output"] == f"-- lua http://127.0.0.1:{port}/\n"  # an IPv4 address, which the watcher counts
    assert answer["status"] == 3
    assert answer["cpu_s"] > 0
    assert answer["before"] == answer["after"] == {}


def test_wrk__is_killed_at_its_limit(port: int) -> None:
    answer = agent.wrk(
        order(
            port,
            argv=[sys.executable, "-c", "input_ = __import__('time').sleep(600)"],
            script="",
            connections=1,
            parts={},
            limit_s=0.05,
            interrupt_s=60.0,
            divided=False,
        )
    )
    assert answer["status"] == -9


def test_wrk__is_interrupted_before_and_reports_like_one_whose_time_is_up(port: int, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: (print('report'), sys.exit(0)))\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(600)\n"
    )
    fields = {"script": "", "connections": 1, "parts": {}, "limit_s": 60.0, "interrupt_s": 4.0, "divided": False}
    answer = agent.wrk(order(port, argv=[sys.executable, "-c", program, str(ready)], **fields))
    assert ready.exists()
    assert (answer["output"], answer["status"]) == ("report\n", 0)


def turns_order(*ports: int, **changes: Any) -> Any:
    loads = [order(port, parts={}) for port in ports]
    return {
        "loads": loads,
        "seconds": 0.05,
        "requests": 3,
        "enough": 10_000,
        "first": 0,
        "timeout_s": 10.0,
        "seed": 1,
    } | changes


def test_turns__each_server_has_as_many_requests_in_the_order_it_was_named(port: int) -> None:
    with listening(hang_up) as silent:
        answering, broken = agent.turns(turns_order(port, silent))["loads"]
    assert len(answering["latencies_us"]) == broken["errors"] > 0
    assert len(answering["latencies_us"]) % 3 == 0
    assert (answering["errors"], broken["latencies_us"]) == (0, [])
    assert all(latency > 0 for latency in answering["latencies_us"])
    assert answering["duration_s"] >= sum(answering["latencies_us"]) / 1e6


def test_turns__end_after_enough_requests_of_each(port: int) -> None:
    answer = agent.turns(turns_order(port, port, seconds=5.0, enough=7))
    assert [len(found["latencies_us"]) for found in answer["loads"]] == [9, 9]  # turns of three


def test_turns__error_replies_are_counted_and_timed(port: int) -> None:
    def refuse(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with listening(refuse) as refusing:
        found = agent.turns(turns_order(refusing))["loads"][0]
    assert {status for status, *_ in found["seen"]} == {500}
    assert len(found["seen"]) == len(found["latencies_us"]) > 0


def test_turns__cpu_is_read_by_part_and_none_if_it_is_hidden(cgroups: Path, port: int) -> None:
    make_v1(cgroups)
    parts = {"application": CONTAINER, "db": "0000"}
    found = agent.turns(turns_order(port, loads=[order(port, parts=parts)]))["loads"][0]
    assert found["cpu_ms"] == {"application": 0.0, "db": None}


def test_duet__runs_both_at_the_same_time_and_answers_in_order(port: int, tmp_path: Path) -> None:
    """Each waits for the other's file, so running one after the other would never end."""
    program = (
        "import pathlib, sys, time\n"
        "own, other = sys.argv[1], sys.argv[2]\n"
        "pathlib.Path(own).touch()\n"
        "while not pathlib.Path(other).exists(): time.sleep(0.001)\n"
        "print(pathlib.Path(own).name)\n"
    )
    files = [str(tmp_path / name) for name in ("first", "second")]
    loads = [
        order(
            port,
            op="wrk",
            argv=[sys.executable, "-c", program, *names],
            script="",
            connections=1,
            parts={},
            limit_s=60.0,
            interrupt_s=60.0,
            divided=False,
        )
        for names in (files, files[::-1])
    ]
    answers = agent.duet({"op": "duet", "orders": loads})["answers"]
    assert [answer["output"] for answer in answers] == ["first\n", "second\n"]
    assert all(0 <= share <= 1 for answer in answers for share in answer["idle"].values())


# Serves as wrk: sends a request every millisecond, which is a byte in a file, and reports when it is interrupted.
WRK = """
import signal, sys, time
over = []
signal.signal(signal.SIGINT, lambda *_: over.append(1))
with open(sys.argv[-2], "ab", buffering=0) as sent:
    while not over:
        sent.write(b".")
        time.sleep(0.001)
print("done")
"""


def warm_order(port: int, *, least_s: float = 0.0, most_s: float = 60.0, program: str = WRK, **changes: Any) -> Any:
    argv = [sys.executable, "-c", program]
    loads = [
        order(port, op="wrk", argv=argv, script="", connections=1, parts={"application": part}, limit_s=60.0) | changes
        for part in ("base", "head")
    ]
    return {"op": "warm", "orders": loads, "least_s": least_s, "most_s": most_s, "rests": False}


def serve_costs(monkeypatch: pytest.MonkeyPatch, costs: Mapping[str, Iterator[float]]) -> None:
    """Let each part answer 100 requests in each window, which each use the next of its costs. No real time passes.

    wrk is waited for, also after it was started again: an interrupt would kill it before it has begun.
    """
    now_s = [0.0]
    requests, used, cost = dict.fromkeys(costs, 0), dict.fromkeys(costs, 0.0), dict.fromkeys(costs, 0.0)
    files: dict[str, int] = {}
    get_size = os.path.getsize

    def sleep(seconds: float) -> None:
        now_s[0] += seconds
        deadline = time.monotonic() + 5
        while any(get_size(path) == size for path, size in files.items()) and time.monotonic() < deadline:
            time.sleep(0.001)
        files.update({path: get_size(path) for path in files})

    def read(part: str) -> float:
        while requests[part] < int(100 * now_s[0] / WINDOW_S + 0.01):
            if requests[part] % 100 == 0:
                cost[part] = next(costs[part])
            requests[part] += 1
            used[part] += cost[part]
        return used[part]

    def size(path: str) -> int:
        files.setdefault(path, 0)
        part = list(costs)[int(Path(path).stem)]
        read(part)
        return requests[part]

    monkeypatch.setattr(agent, "time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep))
    monkeypatch.setattr(os.path, "getsize", size)
    monkeypatch.setattr(agent, "read_cpu_ms", read)


def test_warm__lasts_until_both_are_steady(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    falling = chain((4 - 3 * window / 20 for window in range(20)), repeat(1.0))
    serve_costs(monkeypatch, {"base": repeat(1.0), "head": falling})
    runs = agent.warm(warm_order(port, least_s=1.0))["runs"]
    assert all(end == {"output": "done\n", "status": 0} for run in runs for end in run["ends"])
    assert [is_steady([Reading(*row) for row in run["readings"]]) for run in runs] == [True, True]
    assert len(runs[0]["readings"]) == len(runs[1]["readings"])
    assert 5 < runs[0]["duration_s"] == runs[1]["duration_s"] < 12  # the fall takes three seconds and a third
    assert runs[0]["readings"][0] == (0.0, 0.0, 0)


def test_warm__ends_at_its_limit(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    serve_costs(monkeypatch, {"base": repeat(1.0), "head": (0.9**window for window in count())})
    runs = agent.warm(warm_order(port, most_s=20.0))["runs"]
    assert [is_steady([Reading(*row) for row in run["readings"]]) for run in runs] == [True, False]
    assert all(20 <= run["duration_s"] < 20.2 for run in runs)


def test_warm__lasts_as_long_as_it_must(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    serve_costs(monkeypatch, {"base": repeat(1.0), "head": repeat(1.0)})
    runs = agent.warm(warm_order(port, least_s=5.0))["runs"]
    assert all(5 <= run["duration_s"] < 5.2 for run in runs)


def test_warm__ends_soon_if_cpu_times_are_hidden(monkeypatch: pytest.MonkeyPatch, cgroups: Path, port: int) -> None:
    monkeypatch.setattr(agent, "WINDOW_S", 0.01)
    runs = agent.warm(warm_order(port))["runs"]
    assert [run["readings"] for run in runs] == [[], []]


def test_warm__ends_if_wrk_does(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(agent, "read_cpu_ms", lambda _part: 0.0)
    runs = agent.warm(warm_order(port, program="import sys; sys.exit('no')"))["runs"]
    assert {"output": "no\n", "status": 1} in [end for run in runs for end in run["ends"]]


def test_warm__connects_again_every_few_seconds(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    serve_costs(monkeypatch, {"base": repeat(1.0), "head": repeat(1.0)})
    runs = agent.warm(warm_order(port, least_s=7.0))["runs"]
    assert [run["ends"] for run in runs] == [[{"output": "done\n", "status": 0}] * 3] * 2


def test_warm__is_not_started_again_after_a_failure(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    serve_costs(monkeypatch, {"base": repeat(1.0), "head": repeat(1.0)})
    order = warm_order(port, least_s=7.0)
    order["orders"][1]["argv"] = [sys.executable, "-c", WRK + "sys.exit(3)"]
    runs = agent.warm(order)["runs"]
    assert [run["ends"] for run in runs] == [[{"output": "done\n", "status": status}] for status in (0, 3)]


def test_warm__leaves_no_program_behind_if_it_fails(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        if len(started) == 1:
            raise OSError("no such host")
        started.append(subprocess.Popen(argv, **options))
        return started[-1]

    monkeypatch.setattr(agent, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": start}))
    with pytest.raises(OSError, match="no such host"):
        agent.warm(warm_order(port))
    assert started[0].returncode == -signal.SIGKILL


def test_warm__counts_the_requests_that_are_sent(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(agent, "WINDOW_S", 0.01)
    used = count()
    monkeypatch.setattr(agent, "read_cpu_ms", lambda _part: float(next(used)))
    runs = agent.warm(warm_order(port, least_s=0.5))["runs"]
    for run in runs:
        sent = [requests for _, _, requests in run["readings"]]
        assert sent == sorted(sent)
        assert sent[-1] > 0


def test_warm__kills_what_does_not_end(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(agent, "_INTERRUPT_S", 0.01)
    program = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    runs = agent.warm(warm_order(port, program=program, limit_s=0.0))["runs"]
    assert all(end["status"] for run in runs for end in run["ends"])


def test_compute_idle_shares__of_each_cpu() -> None:
    first, second, third = (CpuNumber(number) for number in "012")
    before = {first: (1000, 400), second: (1000, 100)}
    after = {first: (1100, 430), second: (1000, 100), third: (5, 5)}
    assert counters.compute_idle_shares(before, after) == {"0": 0.3, "1": 0.0}


def test_machine__lists_cpus_and_those_that_share_a_core() -> None:
    found = agent.machine({"op": "machine"})
    assert found["cpus"] == sorted(os.sched_getaffinity(0))
    assert all(cpu in found["siblings"][CpuNumber(str(cpu))] for cpu in found["cpus"])
    assert found["boot_id"]
    assert found["load_average"] >= 0
    assert found["free_disk_mib"] > 0


def test_read_scheduled_ms__grows_with_work() -> None:
    before = counters.read_scheduled_ms(os.getpid())
    assert before > 0
    deadline = time.monotonic() + 60
    while counters.read_scheduled_ms(os.getpid()) == before:  # the scheduler updates it, not each reading
        assert time.monotonic() < deadline
    assert counters.read_scheduled_ms(4194305) == 0.0
