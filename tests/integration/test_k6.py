"""A real k6 sends requests at a fixed rate and runs scripts: what is sent, what is reported, and what it may not do."""

import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_mixes import make_profile, name
from tests.integration.test_replies import OK, as_sent, serving

from bench_action.config.mixes import read_mixes
from bench_action.config.schema import Config, Profile
from bench_action.engine.protocol import Handle
from bench_action.load import agent
from bench_action.load.generator import Tape
from bench_action.load.k6 import K6Report, Turn, build_inspect_order, build_turn_order, judge_script, parse_k6_report
from bench_action.load.messages import K6Answer, require_shape
from bench_action.load.rates import is_missed
from bench_action.load.tape import build_tape
from bench_action.model.errors import InputError
from bench_action.model.result import QUANTILES

pytestmark = pytest.mark.integration

GET = "import http from 'k6/http';\nimport { check } from 'k6';\n"


@pytest.fixture(autouse=True)
def k6_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the k6 of the environment that the tests run in."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")


def run(port: int, profile: Profile, turn: Turn, tape: Tape | None = None, *, tls: bool = False) -> K6Report:
    handle = Handle("", "app", "subject", "web", port, "127.0.0.1", tls=tls)
    order = build_turn_order(handle, profile, tape or Tape("127.0.0.1", port, ()), turn, parts={}, limit_s=30.0)
    answer = require_shape(as_sent(agent.k6(order)), K6Answer)
    return parse_k6_report(answer, profile, turn, "web · shop")


def make_script(folder: Path, text: str, **fields: Any) -> Profile:
    (folder / "load.js").write_text(text, encoding="utf-8")
    profile = {"k6": "load.js", "rate": "50/s"} | fields
    config = Config.model_validate({"variants": {"web": {"build": "."}}, "profiles": {"buy": profile}})
    return read_mixes(config, folder, folder).profiles["buy"]


def test_k6__sends_a_mix_at_its_rate_with_the_bytes_of_its_tape(tmp_path: Path) -> None:
    profile = make_profile(tmp_path, rate="100/s")
    with serving(lambda *_: OK) as server:
        tape = build_tape(Handle("", "app", "subject", "web", server.port), profile, str, 7).number_from(600_000_000)
        agent.obey(
            {"op": "keep", "tape": tape.name, "forget": [], "messages": [message.order for message in tape.messages]}
        )
        tape = Tape("127.0.0.1", server.port, tape.messages, tape.name, tape.first_serial)
        report = run(server.port, profile, Turn(100.0, 2, warmup_s=1), tape)
        requests = list(server.requests)
    assert report.at_rate.all_requests <= len(requests)
    assert 180 <= report.requests <= 201
    sent = Counter(map(name, requests))
    assert sent["GET /items/"] / len(requests) == pytest.approx(0.7, abs=0.02)
    assert sent["POST /cart"] / len(requests) == pytest.approx(0.1, abs=0.02)
    bodies = [found[1] for request in requests if (found := re.search(rb'{"id": (\d{9})}$', request))]
    headers = [found[1] for request in requests if (found := re.search(rb"(?i)x-id: (\d{9})", request))]
    assert len(set(bodies)) == len(bodies) > 20  # no serial number twice, in the warm-up or after it
    assert sorted(bodies) == sorted(headers)
    assert all(f"Host: web:{server.port}".encode() in request for request in requests)
    assert not any(b"User-Agent" in request for request in requests)
    assert sum(route.requests for route in report.at_rate.routes.values()) == report.requests
    assert not is_missed(report.at_rate, report.duration_s)


def test_k6__a_stall_of_the_server_is_in_the_latencies_and_delays_no_request(tmp_path: Path) -> None:
    """100/s for 4 s, of which the server answers nothing for one: the true p90 is 600 ms, and p99 960 ms."""
    began = time.monotonic() + 2.5
    lock = threading.Lock()

    def answer(*_: object) -> bytes:
        with lock:
            now = time.monotonic()
            if began <= now < began + 1:
                time.sleep(began + 1 - now)
        return OK

    profile = make_script(tmp_path, f"{GET}export default function () {{ http.get(__ENV.BASE_URL + '/'); }}\n")
    with serving(answer) as server:
        report = run(server.port, profile, Turn(100.0, 4))
        assert len(server.requests) >= 395
    assert report.latency is not None
    assert report.latency.p50_us < 300_000
    assert 500_000 < report.latency.p90_us < 700_000
    assert 900_000 < report.latency.p99_us < 1_100_000
    assert len(report.at_rate.quantiles_us) == len(QUANTILES)


def test_k6__what_is_under_way_at_the_end_is_answered_and_no_check_of_it_fails(tmp_path: Path) -> None:
    script = (
        f"{GET}export default function () {{\n"
        "  check(http.get(`${__ENV.BASE_URL}/`), { 'is 200': (r) => r.status === 200 });\n}\n"
    )

    def answer(*_: object) -> bytes:
        time.sleep(0.7)
        return OK

    with serving(answer) as server:
        report = run(server.port, make_script(tmp_path, script), Turn(20.0, 2, warmup_s=1))
        sent = len(server.requests)
    assert (report.at_rate.checks_failed, report.failed) == (0, 0)
    assert report.at_rate.all_requests == sent >= 58
    assert report.requests == report.at_rate.checks >= 38
    assert 24 <= report.at_rate.iterations <= 28  # 0.7 s of 2 s began too late to end in time
    assert not is_missed(report.at_rate, report.duration_s)


def test_k6__a_script_runs_as_it_is_with_its_checks_and_thresholds(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text('["ann", "bob"]')
    script = f"""{GET}
const users = JSON.parse(open('./users.json'));
export const options = {{ thresholds: {{ http_req_duration: ['p(95)<0.0001'] }} }};
export function setup() {{ return http.get(`${{__ENV.BASE_URL}}/setup`).status; }}
export default function (status) {{
  const reply = http.get(`${{__ENV.BASE_URL}}/${{users[0]}}?${{status}}`);
  check(reply, {{ 'is 200': (r) => r.status === 200, 'is empty': (r) => r.body === '' }});
}}
export function handleSummary() {{ return {{ stdout: 'its own summary' }}; }}
"""
    with serving(lambda *_: OK) as server:
        report = run(server.port, make_script(tmp_path, script), Turn(20.0, 1))
        paths = Counter(request.split(b" ")[1] for request in server.requests)
    assert set(paths) == {b"/setup", b"/ann?200"}
    assert report.at_rate.all_requests == report.requests + 1
    assert report.at_rate.checks_failed == report.requests
    assert report.at_rate.failed_checks == ("is empty",)
    assert report.at_rate.thresholds == ("http_req_duration: p(95)<0.0001",)
    assert report.at_rate.ended == ""


def test_k6__scenarios_of_a_script_are_measured_without_setup(tmp_path: Path) -> None:
    script = f"""{GET}
export const options = {{ scenarios: {{
  read: {{ executor: 'shared-iterations', vus: 2, iterations: 6, exec: 'read' }},
  write: {{ executor: 'per-vu-iterations', vus: 1, iterations: 3, exec: 'write' }},
}} }};
export function setup() {{ http.get(`${{__ENV.BASE_URL}}/setup`); }}
export function read() {{ http.get(`${{__ENV.BASE_URL}}/read`); }}
export function write() {{ http.post(`${{__ENV.BASE_URL}}/write`, 'x'); }}
"""
    profile = make_script(tmp_path, script, rate=None)
    nobody = Tape("127.0.0.1", 1, ())
    judge_script(require_shape(as_sent(agent.k6(build_inspect_order(nobody, profile))), K6Answer), profile, "buy")
    with serving(lambda *_: OK) as server:
        report = run(server.port, profile, Turn(None, 5))
        assert len(server.requests) == 10
    assert (report.requests, report.at_rate.all_requests, report.at_rate.iterations) == (9, 10, 9)
    with serving(lambda *_: OK) as server:  # it has no default function: what is counted is each of its scenarios
        counted = run(server.port, profile, Turn(None, 20, iterations=4))
        paths = Counter(request.split(b" ")[1] for request in server.requests)
    assert paths == {b"/setup": 1, b"/read": 4, b"/write": 4}
    assert counted.at_rate.iterations == 8


def test_k6__iterations_that_are_not_begun_are_counted(tmp_path: Path) -> None:
    script = (
        f"{GET}import {{ sleep }} from 'k6';\nexport default function () {{ http.get(__ENV.BASE_URL); sleep(1); }}\n"
    )
    with serving(lambda *_: OK) as server:
        report = run(server.port, make_script(tmp_path, script), Turn(20.0, 2, longest_s=0.25))
    assert 25 <= report.at_rate.dropped <= 36
    assert is_missed(report.at_rate, report.duration_s)


def test_k6__base_and_head_draw_the_same_random_numbers(tmp_path: Path) -> None:
    script = f"{GET}export default function () {{ http.get(__ENV.BASE_URL + '/' + Math.random()); }}\n"
    paths = []
    for seed in (1, 1, 2):
        with serving(lambda *_: OK) as server:
            report = run(server.port, make_script(tmp_path, script), Turn(None, 5, iterations=5, seed=seed))
            assert (report.at_rate.iterations, report.requests) == (5, 5)
            paths.append([request.split(b" ")[1] for request in server.requests])
    assert paths[0] == paths[1] != paths[2]
    assert len(set(paths[0])) == 5


def test_k6__reaches_no_other_server(tmp_path: Path) -> None:
    with serving(lambda *_: OK) as server, serving(lambda *_: OK) as other:
        script = f"{GET}export default function () {{ http.get('http://127.0.0.2:{other.port}/'); }}\n"
        with pytest.raises(InputError, match=r"requests another server, http://127\.0\.0\.2"):
            run(server.port, make_script(tmp_path, script), Turn(20.0, 1))
        assert other.requests == []


def test_k6__a_redirect_by_the_application_to_another_server_is_a_failed_reply(tmp_path: Path) -> None:
    with serving(lambda *_: OK) as other:
        away = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:{other.port}/\r\nContent-Length: 0\r\n\r\n".encode()
        with serving(lambda *_: away) as server:
            script = f"{GET}export default function () {{ http.get(__ENV.BASE_URL); }}\n"
            report = run(server.port, make_script(tmp_path, script), Turn(20.0, 1))
        assert other.requests == []
    assert report.failed > 0
    assert report.elsewhere == f"http://127.0.0.2:{other.port}"


def test_k6__a_script_above_the_capacity_of_its_server_is_noticed(tmp_path: Path) -> None:
    """None of its many users is missing, so that nothing is dropped."""
    lock = threading.Lock()

    def reply(*_: object) -> bytes:
        with lock:
            time.sleep(1 / 50)
        return OK

    script = f"{GET}export default function () {{ http.get(__ENV.BASE_URL); }}\n"
    reports = {}
    for rate in (20.0, 100.0):
        with serving(reply) as server:
            reports[rate] = run(server.port, make_script(tmp_path, script), Turn(rate, 4, longest_s=10.0))
    assert [is_missed(report.at_rate, report.duration_s) for report in reports.values()] == [False, True]
    assert reports[100.0].at_rate.dropped == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("export default function () { let a = ; }", "Unexpected token"),
        ("export const options = { vus: 3 };\nexport default function () {}", "says itself how it is run: `vus`"),
        ("const x = 1;", "no exported functions"),
    ],
)
def test_k6__a_script_that_cannot_be_run_is_refused_before_anything_is_measured(
    tmp_path: Path, text: str, fault: str
) -> None:
    profile = make_script(tmp_path, text)
    answer = require_shape(as_sent(agent.k6(build_inspect_order(Tape("127.0.0.1", 1, ()), profile))), K6Answer)
    with pytest.raises(InputError) as caught:
        judge_script(answer, profile, "profile buy")
    assert fault in f"{caught.value.what} {caught.value.cause}"


def test_k6__a_script_that_raises_an_exception_reports_what_it_sent(tmp_path: Path) -> None:
    script = f"{GET}export default function () {{ http.get(__ENV.BASE_URL); throw new Error('no'); }}\n"
    with serving(lambda *_: OK) as server:
        report = run(server.port, make_script(tmp_path, script), Turn(20.0, 1))
    assert report.requests >= 18
    assert report.at_rate.exceptions >= 18
    aborting = "import exec from 'k6/execution';\nexport default function () { exec.test.abort('enough'); }\n"
    with serving(lambda *_: OK) as server:
        report = run(server.port, make_script(tmp_path, aborting), Turn(20.0, 1))
    assert report.at_rate.ended == "it ended itself (`exec.test.abort`)"
