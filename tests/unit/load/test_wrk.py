"""wrk's command, its script, and its report."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.config.schema import Profile
from bench_action.engine.protocol import Handle
from bench_action.load.generator import HttpRequest, Message, Sample, Tape
from bench_action.load.messages import WrkOrder
from bench_action.load.wrk import SENTINEL, build_order, build_script, parse_report
from bench_action.model.errors import InvalidMeasurementError
from bench_action.model.result import Errors, Latency

pytestmark = pytest.mark.unit

DJANGO = Handle("1", "django", "subject", "django", 8000, "slot-a-django")
ARTICLE = Profile(connections=500, threads=10, duration=10, timeout=2)
REPORTED = {
    "duration_us": 10_050_000,
    "requests": 1000,
    "bytes": 5_000_000,
    "connect": 1,
    "read": 2,
    "write": 3,
    "status": 4,
    "timeout": 5,
    "mean_us": 50.5,
    "stdev_us": 9.25,
    "min_us": 10,
    "max_us": 400,
    "p50_us": 48,
    "p90_us": 70,
    "p99_us": 130,
    "p999_us": 310,
    "sent": [],
}


def answer(output: str, **changes: Any) -> Any:
    """Build the agent's answer about a run of wrk."""
    figures = {
        "status": 0,
        "cpu_s": 0.8,
        "wall_s": 10.1,
        "clock_step_s": 0.0,
        "live": 500,
        "open": 500,
        "early": 500,
        "steal_percent": 0.5,
        "idle": {"0": 0.25},
        "machines": {},
        "histogram": [],
        "lateness_s": 0.0,
        "cores": 2,
        "busy": None,
    }
    parts: dict[str, Any] = {"before": {}, "after": {}, "memory_mib": None}
    seen: dict[str, Any] = {"sampled": [[200, 5000, "", "ab", 0, True]], "marks": [[0.25, 70_000, 12.5, 64.5]]}
    return {"output": output} | seen | figures | parts | changes


def report_line(**changes: Any) -> str:
    return SENTINEL + json.dumps(REPORTED | changes)


def parsed_strings(script: str) -> list[str]:
    """Read the string literals of our part of the script as Lua reads them (manual 5.1, 2.1)."""
    own = script.partition("-- Only done()")[0]
    literals = re.findall(r'"((?:[^"\\\n]|\\[0-9]{3})*)"', own)
    return [re.sub(rb"\\([0-9]{3})", lambda m: bytes([int(m[1])]), literal.encode()).decode() for literal in literals]


def make_order(profile: Profile, duration_s: int) -> WrkOrder:
    parts, tape = {"application": "0123"}, HttpRequest.from_config(DJANGO, profile).tape
    return build_order(profile, tape, duration_s=duration_s, parts=parts, limit_s=27.0).order


def test_build_order__is_the_articles_command() -> None:
    order = make_order(ARTICLE, 10)
    assert " ".join(order["argv"]) == "wrk --connections 500 --threads 10 --duration 10s --timeout 2s"
    assert (order["host"], order["port"]) == ("slot-a-django", 8000)
    assert "Host: django:8000" in order["script"]
    assert order["messages"][0]["method"] == "GET"
    assert (order["host"], order["port"], order["connections"]) == ("slot-a-django", 8000, 500)
    assert (order["op"], order["parts"], order["limit_s"]) == ("wrk", {"application": "0123"}, 27.0)


def test_build_order__a_warm_up_is_shorter_than_its_profile() -> None:
    assert "--duration 3s" in " ".join(make_order(ARTICLE, 3)["argv"])


def make_tape(*requests: bytes) -> Tape:
    return Tape("app", 8000, tuple(Message("GET", raw, route) for route, raw in enumerate(requests)))


def make_script(**changes: Any) -> str:
    """Build the script for a profile with these fields."""
    profile = Profile(connections=1, threads=1, duration=1, **changes)
    tape = HttpRequest.from_config(replace(DJANGO, host="app", address=""), profile).tape
    return build_order(profile, tape, duration_s=1, parts={}, limit_s=1.0).order["script"]


def test_build_script__defines_done_and_no_callback_that_slows_wrk_down() -> None:
    script = make_script()
    assert re.findall(r"^function (\w+)", script, re.MULTILINE) == ["done"]
    assert re.findall(r"^(?:wrk\.)?(\w+) =", script, re.MULTILINE) == ["format", "threads"]
    assert parsed_strings(script) == [SENTINEL, "GET / HTTP/1.1\r\nHost: app:8000\r\n\r\n"]


def test_build_script__counts_requests_for_warm_ups_only() -> None:
    tape = make_tape(b"GET / HTTP/1.1\r\n\r\n")
    counted = build_script(tape, counted=True)
    assert counted.startswith(build_script(tape))
    assert re.findall(r"^function (\w+)", counted, re.MULTILINE) == ["done", "init", "request"]


@given(st.text(min_size=1))
def test_build_script__no_text_can_leave_its_string(body: str) -> None:
    body = body.encode(errors="replace").decode()
    script = make_script(method="POST", body=body)
    own = script.partition("-- Only done()")[0]
    assert own.count("\n") == 5  # sentinel, bytes, numbers, histogram, format: one line each
    assert own.isascii()
    assert parsed_strings(script)[1].endswith(f"\r\n\r\n{body}")


def test_build_script__escapes_what_would_end_a_string() -> None:
    script = build_script(make_tape(b'a"b\\c\nd\re\0f]]\xc3\xbc1'))
    assert 'local bytes = "a\\034b\\092c\\010d\\013e\\000f]]\\195\\1881"' in script


def test_parse_report__reads_every_number() -> None:
    report = parse_report(answer(f"Running 10s test\n{report_line()}\n  1000 requests\n"), "a · b")
    assert report.duration_s == 10.05
    assert (report.wall_s, report.requests, report.bytes_read) == (10.1, 1000, 5_000_000)
    assert report.errors == Errors(connect=1, read=2, write=3, status=4, timeout=5)
    assert report.latency == Latency(
        mean_us=50.5, stdev_us=9.25, min_us=10, max_us=400, p50_us=48, p90_us=70, p99_us=130, p999_us=310
    )
    assert report.sampled == [Sample(200, 5000, "", "ab", until_close=True)]
    assert report.marks == [(0.25, 70_000, 12.5, 64.5)]
    assert (report.connections_live, report.generator_cpu_s, report.steal_percent) == (500, 0.8, 0.5)


@pytest.mark.parametrize(
    ("output", "status", "message"),
    [
        (
            "Running 10s test\nRequests/sec: 100\n",
            0,
            "status 0 and printed 0 reports",
        ),  # a script that wrk could not read
        ("", 0, "status 0 and printed 0 reports"),
        (f"{report_line()}\n{report_line()}\n", 0, "status 0 and printed 2 reports"),
        (f"{report_line()}\n", 1, "status 1 and printed 1 report"),
        ("unable to connect\n", 1, "status 1 and printed 0 reports"),
        (f"{report_line()}\n", -9, "status -9 and printed 1 report"),
        (f"  {report_line()}\n", 0, "status 0 and printed 0 reports"),
    ],
)
def test_parse_report__needs_one_report_and_exit_status_0(output: str, status: int, message: str) -> None:
    with pytest.raises(InvalidMeasurementError, match=message) as caught:
        parse_report(answer(output, status=status), "aiohttp · article-500")
    assert caught.value.exit_status == 5
    assert caught.value.where == "aiohttp · article-500"


def test_parse_report__names_the_limit_that_a_second_thread_hit() -> None:
    output = "a.lua: cannot open a.lua: Too many open files\nunable to create thread 1: Too many open files"
    with pytest.raises(InvalidMeasurementError, match="status 2 and printed 0 reports") as caught:
        parse_report(answer(output, status=2), "")
    assert "open files" in caught.value.cause
    assert "nofile" in caught.value.advice


def test_parse_report__does_not_blame_a_limit_for_another_error() -> None:
    with pytest.raises(InvalidMeasurementError) as caught:
        parse_report(answer("unable to connect to 127.0.0.1:1 Connection refused", status=1), "")
    assert (caught.value.cause, caught.value.advice) == ("", "")


def test_parse_report__shows_the_last_lines_of_wrk() -> None:
    output = "\n".join(f"line {number}" for number in range(40))
    with pytest.raises(InvalidMeasurementError) as caught:
        parse_report(answer(output), "")
    assert caught.value.log == tuple(f"line {number}" for number in range(25, 40))


@pytest.mark.parametrize("changes", [{"requests": 0}, {"max_us": 0}])
def test_parse_report__without_an_answer_has_no_latency(changes: dict[str, int]) -> None:
    assert parse_report(answer(report_line(**changes)), "").latency is None


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "-inf"])
def test_parse_report__a_figure_that_is_not_a_number_gives_no_latency(text: str) -> None:
    line = report_line(stdev_us="?").replace('"?"', text)
    report = parse_report(answer(line), "")
    assert report.latency is None
    assert report.requests == 1000


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (SENTINEL, "it is not JSON"),
        (SENTINEL + "[]", "it must be an object, not a list"),
        (report_line(requests="many"), "field `requests` must be a whole number, not text"),
        (report_line(timeout=0.5), "field `timeout` must be a whole number, not a decimal number"),
        (report_line(p999_us=None), "field `p999_us` must be a number, not null"),
        (
            SENTINEL + json.dumps({key: value for key, value in REPORTED.items() if key != "bytes"}),
            "`bytes` is missing",
        ),
    ],
)
def test_parse_report__a_report_of_the_wrong_shape_names_the_field(line: str, problem: str) -> None:
    with pytest.raises(InvalidMeasurementError, match="wrk's report cannot be read: ") as caught:
        parse_report(answer(line), "aiohttp · article-500")
    assert problem in caught.value.what
    assert caught.value.where == "aiohttp · article-500"
