"""Agents on several machines ask each other, over real sockets."""

import json
import socket
from collections.abc import Iterator

import pytest

from bench_action.load import agent, counters, peers
from bench_action.load.peers import PeerError, ask_peer, find_peer, serve, stop_serving, strip_peer, write_question

CONTAINER = "ab" * 32


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    serve(number, "secret", agent.answer_question)
    yield number
    stop_serving()
    peers._SECRET.clear()
    while peers._LINES:
        peers._LINES.popitem()[1].close()


def talk(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


def test_part__names_the_agent_that_reads_it() -> None:
    assert find_peer(f"peer:db:7301/{CONTAINER}") == "db:7301"
    assert strip_peer(f"peer:db:7301/{CONTAINER}") == CONTAINER
    assert (find_peer(CONTAINER), strip_peer(CONTAINER)) == ("", CONTAINER)


def test_counters__of_another_machine(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"cpu_ms": 5.0, "memory_mib": 1.0, "throttled_ms": 0.0, "oom_kills": 0, "refused_forks": 0}
    monkeypatch.setattr(agent, "read_usage", lambda part: used if part == CONTAINER else None)
    monkeypatch.setattr(agent, "read_cpu_ms", lambda part: 5.0 if part == CONTAINER else None)
    parts = {"known": f"peer:127.0.0.1:{port}/{CONTAINER}", "gone": f"peer:127.0.0.1:{port}/{'00' * 32}"}
    assert counters.read_all_usage(parts) == {"known": used, "gone": None}
    assert counters.read_cpu_ms(parts["known"]) == 5.0
    found = counters.read_machines({"application": f"peer:127.0.0.1:{port}/{CONTAINER}"})
    assert set(found) == {f"127.0.0.1:{port}", ""}
    shares = counters.compute_machine_shares(found, counters.read_machines({"a": f"peer:127.0.0.1:{port}/x"}))
    assert all(0 <= share <= 1 for machine in shares.values() for share in machine["idle"].values())


def test_serve__answers_no_stranger(port: int) -> None:
    question = {"read": "machine"}
    assert talk(port, write_question(dict(question)))
    assert talk(port, json.dumps({**question, "token": "guess"}).encode() + b"\n") == b""
    assert talk(port, json.dumps(question).encode() + b"\n") == b""
    assert talk(port, b"GET / HTTP/1.1\r\n\r\n") == b""
    assert talk(port, b"[" * 100_000 + b"\n") == b""


@pytest.mark.parametrize("part", ["", "pidfile:/etc/passwd", "..", "peer:127.0.0.1:1/x", "AB" * 32])
def test_serve__reads_containers_only(port: int, part: str) -> None:
    assert ask_peer(f"127.0.0.1:{port}", {"read": "usage", "part": part}) is None
    assert ask_peer(f"127.0.0.1:{port}", {"read": "cpu", "part": part}) is None


def test_reach__goes_as_far_as_large_packets(port: int) -> None:
    answer = agent.reach({"op": "reach", "address": f"127.0.0.1:{port}", "timeout_s": 5.0, "timed": True})
    assert (answer["reached"], answer["problem"]) == ("large", "")
    assert answer["bytes_per_s"] > 1e6
    stop_serving()
    answer = agent.reach({"op": "reach", "address": f"127.0.0.1:{port}", "timeout_s": 1.0, "timed": False})
    assert answer["reached"] == "name"
    answer = agent.reach({"op": "reach", "address": "nobody.invalid:1", "timeout_s": 1.0, "timed": False})
    assert answer["reached"] == "nothing"


def test_peer__that_is_gone() -> None:
    with pytest.raises(PeerError, match=r"at 127\.0\.0\.1:1 does not answer"):
        ask_peer("127.0.0.1:1", {"read": "machine"})
