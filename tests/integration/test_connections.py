"""What verification finds out about connections, with the agent and a real wrk against real servers."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from tests.quiet import Quiet

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config, Profile
from bench_action.engine.protocol import Engine, Handle
from bench_action.load import agent as program
from bench_action.load.generator import Agent, HttpRequest
from bench_action.load.wrk import build_order
from bench_action.model.result import Revision
from bench_action.stack.images import Image
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.connections import check_connections, choose_connections, find_changed_connections
from bench_action.verify.failures import Failure

pytestmark = pytest.mark.integration


class Handler(BaseHTTPRequestHandler):
    """Answers over HTTP/1.0, closing each connection, as many development servers do."""

    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        server = cast(Serving, self.server)
        try:
            self.send_response(500 if server.enter() else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
        finally:
            server.leave()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name is http.server's)
        """Log nothing."""


class KeepAlive(Handler):
    """Keeps connections open."""

    protocol_version = "HTTP/1.1"


class Serving(HTTPServer):
    """Serves one connection at a time. From the second simultaneous request on, all fail, if it is `fragile`."""

    request_queue_size = 128
    fragile = False
    broken = False
    inside = 0
    lock = threading.Lock()

    def enter(self) -> bool:
        with self.lock:
            self.inside += 1
            self.broken |= self.fragile and self.inside > 1
        time.sleep(0.02 if self.fragile else 0)
        return self.broken

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that leave."""


class Threaded(ThreadingHTTPServer, Serving):
    """Serves all connections at the same time."""

    daemon_threads = True


class ShortBacklog(Threaded):
    """Accepts nothing for a moment, and holds only a few connections until then."""

    request_queue_size = 4


class Fragile(Threaded):
    """All requests share one connection to a database."""

    fragile = True


class Local:
    """The engine and the session of an agent that runs in this process."""

    def __init__(self) -> None:
        self._answer = ""

    def session(self, _handle: Handle, _argv: Sequence[str]) -> "Local":
        return self

    def send(self, line: str) -> None:
        self._answer = json.dumps({"ok": program.obey(json.loads(line))})

    def read_line(self, _timeout_s: float) -> str | None:
        return self._answer


@dataclass
class Site:
    """Subjects whose servers run in this process; `renewed` lists those that were renewed."""

    subjects: tuple[Subject, ...] = ()
    servers: dict[str, Serving] = field(default_factory=dict)
    renewed: list[str] = field(default_factory=list)
    agent: Agent = field(default_factory=lambda: Agent(cast(Engine, Local()), Handle("", "load", "load", "", 0)))
    update = Stack.update

    def open_session(self, subject: Subject, *_: object) -> Subject:
        return subject

    def renew(self, subject: Subject) -> None:
        self.renewed.append(subject.name)
        self.servers[subject.name].broken = False


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, kind: type[Serving], handler: type[Handler]) -> Serving:
    server = stack.enter_context(kind(("127.0.0.1", 0), handler))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    stack.callback(server.shutdown)
    return server


def make_project(keep_alive: bool | None = None, **config: Any) -> Project:
    body = {"services": {}, "variants": {"web": {"image": "x", "keep_alive": keep_alive}}, **config}
    return Project(Config.model_validate(body), load_policy("quick"), "quick", Path(), "")


def verify(
    stack: ExitStack, project: Project, **servers: tuple[type[Serving], type[Handler]]
) -> tuple[Site, list[Failure]]:
    """Start the servers of `head` and `base`, and check what they do with connections."""
    site = Site()
    for revision, (kind, handler) in servers.items():
        server = start(stack, kind, handler)
        handle = Handle("", "web", "subject", "127.0.0.1", server.server_port)
        variant = project.config.variants["web"]
        subject = Subject("web", cast(Revision, revision), variant, Image("x", "x"), "", handle)
        site.subjects, site.servers[subject.name] = (*site.subjects, subject), server
    base = Baseline(project, valid=True, profiles=project.profiles)
    failures = check_connections(cast(Stack, site), project, site.subjects, base, Quiet())
    return site, list(failures)


def test_wrk__opens_what_a_short_backlog_has_lost_a_second_later() -> None:
    profile = Profile(connections=16, threads=1, duration=3)
    with ShortBacklog(("127.0.0.1", 0), KeepAlive) as server:
        starting = threading.Timer(0.9, server.serve_forever, kwargs={"poll_interval": 0.01})
        starting.daemon = True
        starting.start()
        tape = HttpRequest.from_config(Handle("", "web", "subject", "127.0.0.1", server.server_port), profile).tape
        answer = program.wrk(build_order(profile, tape, duration_s=3, parts={}, limit_s=30.0).order)
        server.shutdown()
    assert 0 < answer["early"] < answer["live"]


CLOSING, KEEPING = (Threaded, Handler), (Threaded, KeepAlive)


def test_keep_alive__is_found_out_and_a_change_is_named(stack: ExitStack) -> None:
    site, failures = verify(stack, make_project(), head=CLOSING, base=KEEPING)
    assert failures == []
    head, base = site.subjects
    assert (head.kept, base.kept) == ({"quick-64": False}, {"quick-64": True})
    assert (head.keeps_open("quick-64"), base.keeps_open("quick-64")) == (False, True)
    assert choose_connections(make_project(), site.subjects) == (make_project(), ())  # the same load for both
    (finding,) = find_changed_connections(site.subjects)
    assert (finding.code, finding.cell, finding.fails) == ("keep-alive-changed", "web · quick-64", False)
    assert finding.message.startswith("its server closes connections after each reply, and base's keeps them open")


@pytest.mark.parametrize(("configured", "server"), [(True, CLOSING), (False, KEEPING)])
def test_keep_alive__that_is_configured_must_be_so(
    stack: ExitStack, configured: bool, server: tuple[type[Serving], type[Handler]]
) -> None:
    _, (failure,) = verify(stack, make_project(configured), head=server)
    assert failure.rule == f"keep_alive: {str(configured).lower()}"
    assert failure.got == ("the connection closed after the reply" if configured else "the connection kept open")
    assert f"set `keep_alive: {str(not configured).lower()}`, or leave it out" in failure.advice


def test_connections__are_as_few_as_the_server_holds_if_the_preset_chose_them(stack: ExitStack) -> None:
    site, failures = verify(stack, make_project(), head=(Fragile, Handler))
    assert failures == []
    assert site.subjects[0].held == {"quick-64": 1}
    project, (warning,) = choose_connections(make_project(), site.subjects)
    assert (project.profiles["quick-64"].connections, project.profiles["quick-64"].threads) == (1, 1)
    assert project.preset_connections == {"quick-64": 64}
    assert warning.message == "quick-64 opens 1 connection instead of 64, as many as web can hold"
    assert site.renewed  # what failed because of too many requests must not stay


def test_connections__that_are_configured_are_not_reduced(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench_action.verify.connections._CONNECTIONS_S", 0.5)
    own = make_project(profiles={"home": {"connections": 4, "threads": 2, "duration": 1}})
    site, (failure,) = verify(stack, own, head=(Serving, KeepAlive))
    assert (failure.rule, failure.got) == ("live connections", "1")
    assert choose_connections(own, site.subjects) == (own, ())


def test_connections__of_which_head_holds_far_fewer_than_base_are_a_regression(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_action.verify.connections._CONNECTIONS_S", 0.5)
    site, failures = verify(stack, make_project(), head=(Serving, KeepAlive), base=KEEPING)
    assert failures == []
    (finding,) = find_changed_connections(site.subjects)
    assert (finding.code, finding.fails) == ("connections-held", True)
    assert finding.message == "its server holds 1 connection, and base's holds 64"
    project, _ = choose_connections(make_project(), site.subjects)
    assert project.profiles["quick-64"].connections == 1  # for base as well
