"""A real wrk and the agent send the requests of a mix: in which shares, with which data, and how they are counted."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_replies import OK, Server, as_sent, serving
from tests.integration.test_warming import read_report

from bench_action.config.mixes import read_mixes
from bench_action.config.schema import Config, Profile
from bench_action.engine.protocol import Handle
from bench_action.load import agent
from bench_action.load.generator import Load, Tape
from bench_action.load.messages import TurnsAnswer, WarmAnswer, WrkAnswer, require_shape
from bench_action.load.tape import build_tape, count_sent, cut_routes
from bench_action.load.wrk import build_order, parse_errors, parse_report

pytestmark = pytest.mark.integration

ROUTES: list[dict[str, Any]] = [
    {"path": "/items/{random: 1..50000}", "weight": 7},
    {"path": "/search?q={csv: words.csv, column: word}", "weight": 2},
    {"path": "/cart", "method": "POST", "body": '{"id": {seq}}', "headers": {"X-Id": "{seq}"}},
]


def make_profile(folder: Path, **fields: Any) -> Profile:
    (folder / "words.csv").write_text("word\nred\nblue sky\n")
    profile = {"connections": 6, "threads": 3, "duration": 1, "requests": ROUTES} | fields
    config = Config.model_validate({"variants": {"web": {"build": "."}}, "profiles": {"shop": profile}})
    return read_mixes(config, folder, folder).profiles["shop"]


def build(profile: Profile, port: int) -> Tape:
    return build_tape(Handle("", "app", "subject", "127.0.0.1", port), profile, str, 7).number_from(400_000_000)


def order(profile: Profile, tape: Tape, *, counted: bool = False) -> Load:
    messages = [message.order for message in tape.messages]
    agent.obey({"op": "keep", "tape": tape.name, "forget": [], "messages": messages})
    return build_order(profile, tape, duration_s=1, parts={}, limit_s=30.0, counted=counted)


def name(request: bytes) -> str:
    method, path, _ = request.split(b" ", 2)
    return f"{method.decode()} {re.split(r'[0-9?]', path.decode())[0]}"


def read_serials(server: Server) -> list[int]:
    bodies = [re.search(rb'{"id": (\d{9})}$', request) for request in list(server.requests)]
    return [int(body[1]) for body in bodies if body is not None]


def find_message(tape: Tape, serial: int, threads: int) -> bytes:
    """Find the request that has a serial number: each thread takes every so many, and the first one leaves one out."""
    turn, thread = divmod(serial - tape.first_serial, threads)
    share = tape.messages[thread::threads]
    return share[(turn + (thread == 0)) % len(share)].raw


def test_wrk__sends_a_mix_in_the_shares_of_its_weights_and_counts_it(tmp_path: Path) -> None:
    profile = make_profile(tmp_path)
    with serving(lambda *_: OK) as server:
        tape = build(profile, server.port)
        answer = require_shape(as_sent(agent.wrk(order(profile, tape).order)), WrkAnswer)
        received = list(server.requests)
    report = parse_report(answer, "")
    sent = count_sent(profile, tape, report.sent)
    seen = Counter(map(name, received))
    assert list(sent) == ["GET /items/{random}", "GET /search", "POST /cart"]
    # requests under way when wrk ends are sent and not answered; the agent samples a few itself
    assert 0 <= sum(sent.values()) - report.requests <= 6
    assert abs(sum(seen.values()) - sum(sent.values())) <= 6 + len(report.sampled) + 1
    for route, shown in zip(sent, ("GET /items/", "GET /search", "POST /cart"), strict=True):
        assert abs(seen[shown] - sent[route]) <= 10
    assert sent["GET /items/{random}"] / sum(sent.values()) == pytest.approx(0.7, abs=0.05)
    assert {b"blue%20sky", b"red"} == {m[1] for r in received if (m := re.search(rb"q=(\S+) ", r))}


def test_wrk__serial_numbers_are_unique_and_the_same_in_all_places(tmp_path: Path) -> None:
    profile = make_profile(tmp_path)
    with serving(lambda *_: OK) as server:
        agent.wrk(order(profile, build(profile, server.port)).order)
        serials, received = read_serials(server), list(server.requests)
    assert len(serials) == len(set(serials)) > 10
    assert min(serials) >= 400_000_000
    for request in received:
        if request.startswith(b"POST"):
            head = re.search(rb"X-Id: (\d{9})\r\n", request)
            assert head is not None
            assert request.endswith(b'{"id": %s}' % head[1])


def test_wrk__base_and_head_get_the_same_sequence(tmp_path: Path) -> None:
    profile = make_profile(tmp_path, connections=1, threads=1)
    sequences = []
    for _ in range(2):
        with serving(lambda *_: OK) as server:
            agent.wrk(order(profile, build(profile, server.port)).order)
            sequences.append([re.sub(rb"Host: \S+", b"", request) for request in server.requests])
    common = min(map(len, sequences))
    assert common > 50
    assert sequences[0][:common] == sequences[1][:common]


def test_warm__counts_every_request_of_a_mix(tmp_path: Path) -> None:
    profile = make_profile(tmp_path)
    pidfile = tmp_path / "server.pid"
    with serving(lambda *_: OK) as server:
        load = order(profile, build(profile, server.port), counted=True)
        pidfile.write_text("1")
        parts = {"application": f"pidfile:{pidfile}"}
        orders = [{**load.order, "parts": parts}]
        answer = agent.obey({"op": "warm", "orders": orders, "least_s": 1.0, "most_s": 2.0, "rests": True})
        (run,) = require_shape(as_sent(answer), WarmAnswer)["runs"]
        assert parse_errors(run, "").total == 0
        received = len(server.requests)
    # the last reading is taken a moment before wrk ends, and its last requests may not have been received
    counts = [requests for *_, requests in run["readings"]]
    assert counts == sorted(counts)
    assert received / 2 < counts[-1] <= received + 10
    (end,) = run["ends"]
    assert sum(read_report(end)["sent"]) == pytest.approx(received, abs=10)


@pytest.mark.parametrize("threads", [1, 3])
def test_warm__goes_on_in_its_tape_when_it_connects_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int
) -> None:
    monkeypatch.setattr(agent, "CONNECTED_S", 0.8)
    monkeypatch.setattr(agent, "UNJUDGED_S", 0.6)
    profile = make_profile(tmp_path, threads=threads)
    pidfile = tmp_path / "server.pid"
    with serving(lambda *_: OK) as server:
        tape = build(profile, server.port)
        load = order(profile, tape, counted=True)
        pidfile.write_text(str(os.getpid()))
        orders = [{**load.order, "parts": {"application": f"pidfile:{pidfile}"}}]
        answer = agent.obey({"op": "warm", "orders": orders, "least_s": 5.0, "most_s": 20.0, "rests": False})
        (run,) = require_shape(as_sent(answer), WarmAnswer)["runs"]
    assert len(run["ends"]) > 1
    serials = read_serials(server)
    assert len(serials) == len(set(serials)) > 100
    assert {name(find_message(tape, serial, threads)) for serial in serials} == {"POST /cart"}


def test_turns__routes_take_turns_over_one_connection(tmp_path: Path) -> None:
    profile = make_profile(tmp_path)
    with serving(lambda *_: OK) as server:
        tapes = cut_routes(profile, build(profile, server.port))
        turns = {
            "op": "turns",
            "seconds": 0.3,
            "requests": 5,
            "enough": 10_000,
            "first": 0,
            "timeout_s": 10.0,
            "seed": 1,
        }
        answer = agent.obey({**turns, "loads": [{**tape.order, "parts": {}} for tape in tapes]})
        loads = require_shape(as_sent(answer), TurnsAnswer)["loads"]
        serials = read_serials(server)
    assert {load["seen"][0][4] for load in loads} == {0, 1, 2}
    assert len({len(load["seen"]) for load in loads}) == 1
    assert len(loads[0]["seen"]) % 5 == 0
    assert len(serials) == len(set(serials))


def test_connections__each_has_another_request(tmp_path: Path) -> None:
    profile = make_profile(tmp_path)
    with serving(lambda *_: OK) as server:
        tape = build(profile, server.port)
        order(profile, tape)
        answer = agent.obey({"op": "connections", **tape.order, "count": 40, "hold": True, "limit_s": 10.0})
        assert isinstance(answer, dict)
        assert answer["answered"] == 40
        assert len(set(map(name, server.requests))) == 3
