"""k6's command, settings and report."""

import base64
import json
from typing import Any

import pytest

from bench_action.config.schema import Profile
from bench_action.engine.protocol import Handle
from bench_action.load.generator import HttpRequest, Tape
from bench_action.load.k6 import (
    SENTINEL,
    Turn,
    build_inspect_order,
    build_turn_order,
    judge_script,
    parse_k6_report,
)
from bench_action.load.messages import K6Answer, K6Order, require_shape
from bench_action.load.rates import compute_reached, is_missed, judge_turn
from bench_action.model.errors import InputError, InvalidMeasurementError
from bench_action.model.result import QUANTILES, AtRate
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

HANDLE = Handle("id", "web", "subject", "web", 8000, "web-2")
PROFILE = Profile(connections=8, threads=2, duration=2, path="/items", rate="200/s")
SCRIPT = Profile.model_validate({"k6": "load/buy.js", "rate": "50/s"}).with_files(
    [("load/buy.js", b"x")], "load/buy.js", "0123"
)
TURN = Turn(200.0, 3, warmup_s=1)
REPORT: dict[str, Any] = {
    "trend": "iteration_duration",
    "requests": 600,
    "all_requests": 800,
    "over_http2": 0,
    "failed": 0,
    "iterations": 600,
    "iteration_ms": 5.0,
    "early_ms": 5.0,
    "late_ms": 5.0,
    "dropped": 0,
    "bytes": 12_000,
    "duration_ms": 4000.0,
    "times_ms": [6.0, 1.0, 80.0, *(5.0 + 0.1 * number for number in range(len(QUANTILES)))],
    "routes_ms": [[600, 5.0, 6.0, 7.0, 3]],
    "checks": 0,
    "checks_failed": 0,
    "failed_names": [],
    "thresholds": [],
}


def answer(*, status: int = 0, output: str | None = None, **changes: Any) -> K6Answer:
    text = f"{SENTINEL}{json.dumps(REPORT | changes)}\n" if output is None else output
    values: dict[str, Any] = {
        "output": text,
        "status": status,
        "exceptions": 0,
        "cpu_s": 1.0,
        "wall_s": 5.0,
        "memory_mib": 30.0,
    }
    return require_shape(values | {"before": {}, "after": {}, "steal_percent": 0.0}, K6Answer)


def order(profile: Profile = PROFILE, turn: Turn = TURN) -> K6Order:
    tape = HttpRequest.from_config(HANDLE, profile).tape.number_from(600_000_000)
    tape = tape if not profile.is_script else Tape("web-2", 8000, ())
    return build_turn_order(HANDLE, profile, tape, turn, parts={"application": "id"}, limit_s=9.0)


def read_settings(built: K6Order) -> dict[str, Any]:
    files = {file["path"]: base64.b64decode(file["data"]) for file in built["files"]}
    settings: dict[str, Any] = json.loads(files["bench_action/settings.json"])
    return settings


def test_build_turn_order__begins_requests_at_a_rate_with_users_for_every_late_reply() -> None:
    settings = read_settings(order())
    scenarios = settings["options"]["scenarios"]
    assert {name: one["startTime"] for name, one in scenarios.items()} == {"warmup": "0s", "measured": "1s"}
    measured = scenarios["measured"]
    assert (measured["executor"], measured["rate"], measured["timeUnit"]) == ("constant-arrival-rate", 200_000, "1000s")
    assert measured["preAllocatedVUs"] == measured["maxVUs"] == 400
    assert (measured["gracefulStop"], measured["tags"]) == ("2s", {"turn": "measured"})
    assert settings["trends"] == ["iteration_duration"]  # with the time to connect
    assert settings["serials"] == {"warmup": 600_000_000, "measured": 600_500_000}
    assert settings["routes"] == ["GET /items"]
    assert settings["expected"] == [{"min": 200, "max": 299}]


def test_build_turn_order__a_script_is_imported_by_its_path_and_keeps_its_own_scenarios_without_a_rate() -> None:
    built = order(SCRIPT, Turn(None, 5))
    files = {file["path"]: base64.b64decode(file["data"]) for file in built["files"]}
    assert files["load/buy.js"] == b"x"
    assert b'from "../load/buy.js"' in files["bench_action/run.js"]
    assert read_settings(built)["options"] == {}
    assert "--env=BASE_URL=http://web:8000" in built["argv"]
    counted = read_settings(order(SCRIPT, Turn(None, 20, iterations=10, seed=7)))
    assert (counted["iterations"], counted["longest"], counted["seed"], counted["needs_default"]) == (
        10,
        "20s",
        7,
        False,
    )
    assert read_settings(order(SCRIPT))["needs_default"]


def test_parse_k6_report__has_exact_percentiles_of_what_was_measured() -> None:
    report = parse_k6_report(answer(), PROFILE, TURN, "web · list")
    assert report.latency is not None
    assert report.latency.p50_us == 1000 * REPORT["times_ms"][3 + QUANTILES.index(0.5)]
    assert report.latency.p999_us == 1000 * REPORT["times_ms"][-1]
    assert (report.requests, report.at_rate.all_requests, report.duration_s) == (600, 800, 3)
    assert report.at_rate.routes["GET /items"].p99_us == 7000.0
    assert report.at_rate.ended == ""


def test_parse_k6_report__crossed_thresholds_are_no_error_and_an_exception_is() -> None:
    crossed = parse_k6_report(answer(status=99, thresholds=["http_req_duration: p(95)<1"]), PROFILE, TURN, "x")
    assert (crossed.at_rate.thresholds, crossed.at_rate.ended) == (("http_req_duration: p(95)<1",), "")
    assert parse_k6_report(answer(status=107), PROFILE, TURN, "x").at_rate.ended == "it raised an exception"
    stopped = answer(status=99)
    stopped["output"] += 'level=error msg="thresholds …; one has abortOnFail enabled, stopping test prematurely"'
    assert "abortOnFail" in parse_k6_report(stopped, PROFILE, TURN, "x").at_rate.ended
    named = answer(failed_names=["a\nb `c`"], checks_failed=1)
    assert parse_k6_report(named, PROFILE, TURN, "x").at_rate.failed_checks == ("a b 'c'",)


@pytest.mark.parametrize("output", ["", "level=error", f"{SENTINEL}{{", f"{SENTINEL}[]", f'{SENTINEL}{{"trend": 1}}'])
def test_parse_k6_report__what_it_cannot_read_is_invalid(output: str) -> None:
    with pytest.raises(InvalidMeasurementError):
        parse_k6_report(answer(output=output), PROFILE, TURN, "web · list")


def test_parse_k6_report__a_script_that_requests_another_server_is_refused_by_its_address() -> None:
    line = (
        'time="…" level=warning msg="Request Failed" error="Get \\"http://10.1.2.3/login\\": '
        'IP (10.1.2.3) is in a blacklisted range (0.0.0.0/1)"\n'
    )
    said = answer(output=line + answer(routes_ms=[])["output"])
    naming = SCRIPT.with_files([("load/buy.js", b"http.get('http://10.1.2.3/login')")], "load/buy.js", "0123")
    with pytest.raises(InputError, match=r"requests another server, http://10.1.2.3"):
        parse_k6_report(said, naming, TURN, "web · buy")
    fallback = SCRIPT.with_files([("load/buy.js", b"__ENV.BASE_URL || 'http://10.1.2.3'")], "load/buy.js", "0123")
    assert parse_k6_report(said, fallback, TURN, "web · buy").elsewhere == "http://10.1.2.3"
    other = SCRIPT.with_files([("load/buy.js", b"__ENV.AUTH_URL || 'http://10.1.2.3'")], "load/buy.js", "0123")
    with pytest.raises(InputError, match=r"requests another server"):
        parse_k6_report(said, other, TURN, "web · buy")
    sent = parse_k6_report(said, SCRIPT, TURN, "web · buy")  # by a redirect
    assert sent.elsewhere == "http://10.1.2.3"
    unreadable = answer(output=said["output"].replace("10.1.2.3/", "[x/"))
    assert parse_k6_report(unreadable, SCRIPT, TURN, "web · buy").elsewhere == "http://[x"
    printed = 'level=info msg="lookup db: no such host" source=console\n'  # by the script, of what it received
    quiet = printed + answer(routes_ms=[])["output"]
    assert parse_k6_report(answer(output=quiet), SCRIPT, TURN, "web · buy").requests == 600


def test_turn__has_no_more_users_than_k6_can_start() -> None:
    assert Turn(750.0, 3, longest_s=2.0).users == 1500
    assert Turn(750.0, 3, longest_s=30.0).users == 10_000


def inspect(**options: Any) -> K6Answer:
    return answer(output=json.dumps(options))


RAMP = {"scenarios": {"ramp": {"executor": "ramping-vus", "stages": [{"duration": "10s"}, {"duration": "20s"}]}}}
LONG = {"scenarios": {"soak": {"executor": "constant-vus", "startTime": "1m", "duration": "1m30s"}}}


@pytest.mark.parametrize(
    ("rate", "options", "fault"),
    [
        ("50/s", RAMP, r"says itself how it is run: scenario `ramp` \(ramping-vus\)"),
        ("50/s", {"vus": 5, "duration": "10s"}, "`vus`, `duration`"),
        (None, {}, "does not say how often"),
        (None, LONG, "runs for 150 s: scenario `soak`"),
        (None, {"vus": 1, "duration": "61s"}, "runs for 61 s: `vus`, `duration`"),
    ],
)
def test_judge_script__what_it_asks_for_is_used_or_refused_by_name(
    rate: str | None, options: dict[str, Any], fault: str
) -> None:
    profile = Profile.model_validate({"k6": "buy.js", "rate": rate})
    with pytest.raises(InputError, match=fault):
        judge_script(inspect(**options), profile, "profile buy")


def test_judge_script__accepts_what_says_how_it_is_run_once() -> None:
    judge_script(inspect(), Profile.model_validate({"k6": "buy.js", "rate": "5/s"}), "profile buy")
    own = {"scenarios": {"default": {"executor": "constant-arrival-rate", "rate": 50, "vus": None}}}
    judge_script(inspect(**own), Profile.model_validate({"k6": "buy.js"}), "profile buy")
    default = {"scenarios": {"default": {"executor": "per-vu-iterations", "vus": None}}}
    judge_script(inspect(**default), Profile.model_validate({"k6": "buy.js", "rate": "5/s"}), "profile buy")
    judge_script(inspect(**RAMP), Profile.model_validate({"k6": "buy.js"}), "profile buy")


def test_judge_script__a_syntax_error_is_shown() -> None:
    output = 'time="2026" level=error msg="GoError: file:///s/buy.js: Line 4:9 Unexpected token ; (and 1 more errors)"'
    with pytest.raises(InputError) as caught:
        judge_script(answer(status=107, output=output), SCRIPT, "profile buy")
    assert "Line 4:9 Unexpected token ;" in caught.value.cause
    assert build_inspect_order(Tape("127.0.0.1", 1, ()), SCRIPT)["argv"][-1] == "load/buy.js"


def at_rate(**changes: Any) -> AtRate:
    return parse_k6_report(answer(**changes), PROFILE, TURN, "x").at_rate


def test_compute_reached__counts_what_is_under_way_at_the_end() -> None:
    assert compute_reached(at_rate(), 3) == 1
    assert compute_reached(at_rate(iterations=596, iteration_ms=10.0), 3) == 1
    slow = at_rate(iterations=500, iteration_ms=300.0)  # of 600: 60 of them are as long under way as usual
    assert compute_reached(slow, 3) == pytest.approx(562 / 600)
    assert is_missed(slow, 3)
    assert is_missed(at_rate(dropped=1), 3)
    assert not is_missed(at_rate(iterations=595), 3)
    assert not is_missed(at_rate(iterations=100, trend="http_req_duration"), 3)  # a script that waits itself
    assert is_missed(at_rate(trend="http_req_duration", early_ms=200.0, late_ms=600.0), 3)
    assert not is_missed(at_rate(early_ms=5.0, late_ms=50.0), 3)  # one stall
    assert not is_missed(at_rate(early_ms=1000.0, late_ms=1200.0), 3)  # pauses that vary
    assert is_missed(at_rate(dropped=1, trend="http_req_duration"), 3)


@pytest.mark.parametrize(
    ("changes", "busy", "found"),
    [
        ({}, 0.7, []),
        ({}, 0.71, [Code.K6_SATURATED]),
        ({"failed": 3}, 0.1, [Code.APPLICATION_ERRORS]),
        ({"failed": 301}, 0.1, [Code.MOSTLY_ERRORS]),
        ({"failed": 301, "dropped": 20}, 0.1, [Code.APPLICATION_ERRORS, Code.RATE_MISSED]),
        ({"failed": 301, "iterations": 400}, 0.1, [Code.APPLICATION_ERRORS, Code.RATE_MISSED]),
        ({"requests": 0, "times_ms": []}, 0.1, [Code.NOTHING_SERVED]),
        ({"dropped": 20}, 0.1, [Code.RATE_MISSED]),
        ({"iterations": 400}, 0.1, [Code.RATE_MISSED]),
        ({"iterations": 400}, 0.9, [Code.K6_SATURATED]),
    ],
)
def test_judge_turn(changes: dict[str, Any], busy: float, found: list[Code]) -> None:
    report = parse_k6_report(answer(**changes), PROFILE, TURN, "x")
    assert [warning.code for warning in judge_turn(report, PROFILE, "web · list", busy=busy)] == found
