"""Probe whether services and subjects are ready."""

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from bench_action.config.environment import Address, fill_in_request
from bench_action.config.schema import Container, ExpectedReply, Ready, Request, Variant
from bench_action.engine.protocol import Engine, Handle
from bench_action.load.agent import run_apart
from bench_action.load.generator import Agent, HttpRequest
from bench_action.model.errors import StackError
from bench_action.stack.readiness import Probe, ReadinessCheck, Unready
from bench_action.stack.unready import MORE_TIME, explain_answer, explain_exit, explain_failure, strip_colours

_REPLY_S = 2.0
_WAIT_S = 0.05  # for one reply, in which no other server is probed
_PAUSE_S = 0.2  # between two runs of a command: it uses the CPU that the container needs to start
_ATTEMPT_S = 30.0  # after which a command is run again, like a healthcheck that sets no timeout
_REQUESTS = re.compile(r"https?://|\b(?:curl|wget|http)\b")
_ANY_REPLY = ExpectedReply(status=["1xx", "2xx", "3xx", "4xx", "5xx"])


def make_check(
    engine: Engine,
    agent: Agent,
    handle: Handle,
    container: Container,
    *,
    addresses: Mapping[str, Address] | None = None,
    client: Callable[[], str] | None = None,
) -> ReadinessCheck:
    """Make the check of a service or a subject, as its configuration says.

    A variant is not ready before its own port answers, even if it waits for something else too.

    `addresses`: for placeholders in the headers of an HTTP probe. `client`: the probe of a service's own client, which
    comes first; without containers there is no other. Raises StackError if the image lacks the HEALTHCHECK it needs.
    """
    ready = container.ready
    probes = [_make_client_probe(client)] if client is not None else []
    if client is None or (ready.kind != "default" and engine.name != "local"):
        probes.append(_make_own_probe(engine, agent, handle, container, addresses or {}))
    if isinstance(container, Variant) and not _connects(container):
        probes.append(_make_port_probe(agent, handle, ready))
    return ReadinessCheck(
        handle, ready.timeout, lambda: next((lack for probe in probes if (lack := probe()) is not None), None)
    )


def _connects(variant: Variant) -> bool:
    """Whether a variant is probed on the port that it serves on."""
    return variant.ready.kind in {"http", "tcp"} and variant.ready.port in {None, variant.port}


def _make_port_probe(agent: Agent, handle: Handle, ready: Ready) -> Probe:
    """Make the probe of a variant's port, for a variant that is probed in another way.

    A server may accept connections long before its workers can answer. So any HTTP reply is waited for, unless the
    command has requested a page itself.
    """
    command = ready.command if isinstance(ready.command, str) else " ".join(ready.command or ())
    if _REQUESTS.search(command):
        return make_tcp_probe(agent, handle)
    return make_http_probe(agent, HttpRequest.from_config(handle, Request()), _ANY_REPLY)


def _make_own_probe(
    engine: Engine, agent: Agent, handle: Handle, container: Container, addresses: Mapping[str, Address]
) -> Probe:
    ready = container.ready
    # an engine may have moved the container's port
    port = handle.port if ready.port in {None, container.port} else ready.port or 0
    match ready.kind:
        case "http":
            request = HttpRequest.from_config(handle, fill_in_request(ready.request, addresses))
            return make_http_probe(agent, replace(request, port=port), ready.expect)
        case "tcp":
            return make_tcp_probe(agent, replace(handle, port=port))
        case "command" if ready.command is not None:
            title = ready.command if isinstance(ready.command, str) else shlex.join(ready.command)
            return CommandProbe(engine, handle, ready.command, f"`{title}`")
        case "log" if ready.log is not None:
            return make_log_probe(engine, handle, ready.log)
    command = engine.find_healthcheck(handle)
    if command is not None:
        return CommandProbe(engine, handle, command, "its healthcheck")
    if ready.kind == "healthcheck":
        raise StackError(
            f"the image of {handle.name} has no HEALTHCHECK",
            where="ready: {healthcheck: true}",
            advice="add one to its Dockerfile, or probe it by `path`, `tcp`, `command` or `log`",
        )
    # without a port, nobody can connect to it: it is ready as soon as it runs
    return make_tcp_probe(agent, handle) if handle.port else lambda: None


def _make_client_probe(client: Callable[[], str]) -> Probe:
    return lambda: Unready(problem, f"see its log; {MORE_TIME}") if (problem := client()) else None


def make_http_probe(agent: Agent, request: HttpRequest, expect: ExpectedReply) -> Probe:
    """Make a probe that sends a request and waits for an expected status; until it comes, the last answer counts."""
    none_yet = Unready(f"{request.method} {request.path}: no reply yet", f"see its log; {MORE_TIME}")
    last = none_yet

    def probe() -> Unready | None:
        nonlocal last
        answer = agent.get(request, _REPLY_S, _WAIT_S)
        if answer.failure == "pending":
            return last
        missing = explain_answer(answer, request, expect)
        last = missing or none_yet
        return missing

    return probe


def make_tcp_probe(agent: Agent, handle: Handle) -> Probe:
    """Make a probe that waits until the port of a handle accepts connections."""

    def probe() -> Unready | None:
        answer = agent.connect(handle, _REPLY_S)
        return explain_failure(answer, f"TCP port {handle.port}", handle) if answer.failure else None

    return probe


def make_log_probe(engine: Engine, handle: Handle, pattern: str) -> Probe:
    """Make a probe that waits until a line of the output since the last start matches a regular expression."""
    wanted, again_at = re.compile(pattern), 0.0
    missing = Unready(
        f"no line of its output matches `{pattern}`",
        f"compare `ready: {{log: …}}` with its log; what it writes to files is not seen; {MORE_TIME}",
    )

    def probe() -> Unready | None:
        nonlocal again_at
        if time.monotonic() < again_at:
            return missing
        again_at = time.monotonic() + _PAUSE_S
        return None if any(wanted.search(strip_colours(line)) for line in engine.read_output(handle)) else missing

    return probe


class CommandProbe:
    """Runs a command in a container until it exits with status 0, one at a time."""

    def __init__(self, engine: Engine, handle: Handle, command: str | Sequence[str], title: str) -> None:
        """`command`: a text is for the shell. `title`: what messages call it."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        self._run: Callable[[], tuple[int, str]] = lambda: engine.exec_inside(handle, argv)
        self._title = title
        self._running: Future[tuple[int, str]] | None = None
        self._started_at = self._again_at = 0.0
        self._missing = Unready(f"{title} has not ended yet", f"see its log; {MORE_TIME}")

    def __call__(self) -> Unready | None:
        """Start the command unless it is running, and say what it reported last. Raises StackError."""
        now = time.monotonic()
        if self._running is None and now >= self._again_at:
            self._running, self._started_at = run_apart(self._run), now
        if self._running is not None and self._running.done():
            status, output = self._running.result()
            self._running, self._again_at = None, now + max(_PAUSE_S, now - self._started_at)
            if status == 0:
                return None
            self._missing = explain_exit(self._title, status, output)
        elif self._running is not None and now - self._started_at > _ATTEMPT_S:
            self._running = None
            self._missing = Unready(f"{self._title} did not end within {_ATTEMPT_S:g} s", self._missing.advice)
        return self._missing
