"""The load generator in its container, against a server that records every request."""

import json
import time

import pytest

from bench_action.config.schema import Profile, Request
from bench_action.load.generator import Agent, HttpRequest
from bench_action.load.wrk import Report, build_order, parse_report
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

pytestmark = pytest.mark.docker

WAIT_S = 30.0


@pytest.fixture(scope="module")
def agent(stack: Stack) -> Agent:
    return stack.agent


@pytest.fixture(scope="module")
def tiny(stack: Stack) -> Subject:
    return stack.subject("tiny", "head")


def read_received(agent: Agent, subject: Subject) -> dict[str, int]:
    """Read which requests the server has received, and how often each."""
    (reply,) = agent.requests(HttpRequest.from_config(subject.handle, Request(path="/seen")), 1)
    counts: dict[str, int] = json.loads(reply.body)
    return counts


def load(stack: Stack, subject: Subject, profile: Profile) -> Report:
    order = build_order(
        profile,
        subject.address_profile(profile),
        duration_s=profile.duration,
        parts=subject.parts,
        limit_s=WAIT_S,
    )
    answer = stack.agent.wrk(order, lambda: None, 0.5)
    assert answer["after"]["application"] is not None
    assert answer["memory_mib"] is not None
    assert answer["memory_mib"] > 0
    return parse_report(answer, "test")


def test_wrk__sends_method_headers_and_body_exactly(stack: Stack, agent: Agent, tiny: Subject) -> None:
    headers = {"Content-Type": "application/json", "X-Quoted": 'a "b" \\ c: %d', "Accept-Language": "cs"}
    body = '{"text": "Žluťoučký\\n\\"kůň\\" 100 % [[x]] $1"}\n'
    profile = Profile(
        path="/items?a=1&b=%20", method="POST", headers=headers, body=body, connections=4, threads=2, duration=1
    )
    report = load(stack, tiny, profile)
    host = f"{tiny.handle.host}:{tiny.handle.port}"
    arrived = {**headers, "Content-Length": str(len(body.encode())), "Host": host}
    expected = json.dumps(["POST", "/items?a=1&b=%20", [list(item) for item in sorted(arrived.items())], body])

    def posts() -> dict[str, int]:
        return {
            request: count for request, count in read_received(agent, tiny).items() if request.startswith('["POST"')
        }

    assert list(posts()) == [expected]
    # requests that wrk no longer waits for arrive too, at most one per connection, and the samples of the agent
    most = report.requests + profile.connections + len(report.sampled)
    assert report.requests <= posts()[expected] <= most
    assert report.errors.total == 0
    assert report.bytes_read > 0
    assert report.latency is not None
    assert report.generator_cpu_s > 0


def test_wrk__opens_as_many_connections_as_requested(stack: Stack, tiny: Subject) -> None:
    report = load(stack, tiny, Profile(path="/", connections=300, threads=2, duration=2))
    assert report.connections_live in {300, 301}  # the agent may have one itself
    assert report.errors.connect == 0


def test_connections__are_all_answered(agent: Agent, tiny: Subject) -> None:
    request = HttpRequest.from_config(tiny.handle, Request(path="/health"))
    for hold in (True, False):
        assert agent.connections(request, 300, hold=hold, limit_s=WAIT_S).answered == 300


def test_requests__return_replies_and_whether_the_connection_was_kept(agent: Agent, tiny: Subject) -> None:
    replies = agent.requests(HttpRequest.from_config(tiny.handle, Request(path="/page")), 3)
    assert [(reply.status, reply.body, reply.kept) for reply in replies] == [(200, b"the page", True)] * 3
    assert replies[0].headers["content-type"] == "text/plain; charset=utf-8"


def test_requests__to_a_port_without_a_listener_are_refused(agent: Agent, tiny: Subject) -> None:
    (reply,) = agent.requests(HttpRequest(tiny.handle.address, 9, "/"), 3)
    assert (reply.status, reply.kept) == (0, False)
    assert "refused" in reply.problem


def test_usage__grows_with_the_work_of_each_part(stack: Stack, agent: Agent) -> None:
    subject = stack.subject("django", "head")
    parts = subject.parts
    assert set(parts) == {"application", "db", "cache"}
    before = agent.usage(parts)
    replies = agent.requests(HttpRequest.from_config(subject.handle, Request(path="/")), 50, bodies="none")
    assert [reply.status for reply in replies] == [200] * 50
    for name, usage in agent.usage(parts).items():
        earlier = before[name]
        assert usage is not None
        assert earlier is not None
        assert usage.cpu_ms > earlier.cpu_ms
        assert usage.memory_mib > 1
        assert usage.throttled_ms >= 0


def test_usage__of_an_unknown_container_is_none(agent: Agent) -> None:
    assert agent.usage({"ghost": "0123456789abcdef"}) == {"ghost": None}


def test_settle__returns_when_the_subject_is_idle(stack: Stack, agent: Agent, tiny: Subject) -> None:
    busy = "import time\nend = time.monotonic() + 600\nwhile time.monotonic() < end: pass"
    session = stack.engine.session(
        tiny.handle, ["sh", "-c", f'python -c "{busy}" & read line; kill $!; wait; echo over']
    )
    deadline = time.monotonic() + WAIT_S
    while agent.settle([tiny.handle.id], 0.5) != [tiny.handle.id]:  # not busy yet
        assert time.monotonic() < deadline
    session.send("stop\n")
    assert session.read_line(WAIT_S) == "over"
    assert agent.settle([tiny.handle.id], WAIT_S) == []
    session.close()


def test_machine__is_what_the_generator_sees(agent: Agent) -> None:
    machine = agent.machine()
    assert machine["cores"] >= 1
    assert machine["open_files"] == 16384
    assert machine["machine"]
