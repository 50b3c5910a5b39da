"""Replies that were not expected, by status and size; every limit from both sides."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.factories import LATENCY

from bench_action.config.schema import ExpectedReply, Profile
from bench_action.load.generator import Sample
from bench_action.load.replies import (
    compute_size_gap,
    describe_statuses,
    discount_closes,
    judge_each,
    judge_loaded,
    merge_counts,
    recount_errors,
    summarise_replies,
)
from bench_action.load.wrk import Report
from bench_action.model.result import Errors, Replies
from bench_action.model.warning import Code, RunWarning

pytestmark = pytest.mark.unit

CELL = "api · list"
COUNTED = Replies(statuses={"200": 50}, bytes_min=6000, bytes_mean=6000.0, bytes_max=6000)
REPORT = Report(
    duration_s=4.0,
    wall_s=4.1,
    clock_step_s=0.0,
    requests=1000,
    bytes_read=6_000_000,
    errors=Errors(),
    latency=LATENCY,
    connections_live=10,
    generator_cpu_s=0.1,
    steal_percent=0.0,
)


def make_profile(**changes: Any) -> Profile:
    return Profile(**{"path": "/items", "connections": 10, "threads": 1, "duration": 4} | changes)


def sampled(**statuses: int) -> Replies:
    """Replies by status: `s200=3`."""
    return summarise_replies([Sample(int(name[1:]), 6000, "", "d") for name, n in statuses.items() for _ in range(n)])


def judge_report(report: Report, seen: Replies, counted: Replies | None = COUNTED, **changes: Any) -> list[RunWarning]:
    profile = make_profile(**changes)
    return list(judge_loaded(recount_errors(report, profile.expect), profile, seen, counted, CELL))


def with_errors(share: float) -> Report:
    return replace(REPORT, errors=Errors(status=round(1000 * share)))


def with_mean_size(size: float) -> Report:
    return replace(REPORT, bytes_read=round(1000 * size))


@pytest.mark.parametrize(
    ("expected", "accepted", "others"),
    [
        ("2xx", [200, 204, 299], [199, 301, 404]),
        (404, [404], [200, 403, 405]),
        ([200, "3xx"], [200, 301, 304], [201, 404, 500]),
    ],
)
def test_expected_reply__accepts_codes_and_classes(expected: object, accepted: list[int], others: list[int]) -> None:
    expect = ExpectedReply.model_validate({"status": expected})
    assert [status for status in (*accepted, *others) if expect.accepts(status)] == accepted


def test_profile__head_cannot_be_measured_by_wrk() -> None:
    with pytest.raises(ValueError, match="wrk cannot measure HEAD"):
        make_profile(method="HEAD")


def test_profile__a_header_cannot_end_its_line() -> None:
    with pytest.raises(ValueError, match="headers"):
        make_profile(headers={"X-A": "1\r\nX-B: 2"})


@pytest.mark.parametrize("status", [[], 99, 600, "6xx", "x", None])
def test_expected_reply__other_values_are_refused(status: object) -> None:
    with pytest.raises(ValueError, match="status"):
        ExpectedReply.model_validate({"status": status})


def test_summarise_replies__range_statuses_and_what_all_have_in_common() -> None:
    seen = [Sample(200, 10, "", "a"), Sample(301, 30, "/items/", "a"), Sample(200, 20, "", "a")]
    assert summarise_replies(seen) == Replies(
        statuses={"200": 2, "301": 1}, bytes_min=10, bytes_mean=20.0, bytes_max=30, location="/items/", digest="a"
    )
    assert summarise_replies([*seen, Sample(200, 20, "", "b")]).digest == ""
    assert summarise_replies([], "no reply within 10 s") == Replies(problem="no reply within 10 s")


def test_merge_counts__is_the_range_of_all() -> None:
    first = Replies(statuses={"200": 1}, bytes_min=10, bytes_mean=10, bytes_max=10, digest="a")
    second = Replies(statuses={"200": 3}, bytes_min=20, bytes_mean=30, bytes_max=40, digest="a")
    assert merge_counts([first, Replies(), second]) == Replies(
        statuses={"200": 4}, bytes_min=10, bytes_mean=25, bytes_max=40, digest="a"
    )
    assert merge_counts([Replies()]) is None


def test_judge_each__expected_replies_cause_no_warning() -> None:
    assert judge_each(sampled(s200=5, s204=5), make_profile(), CELL) == ()


def test_judge_each__a_redirect_names_its_target_and_how_to_measure_it() -> None:
    seen = summarise_replies([Sample(301, 60, "/items/?page=1", "")] * 5)
    (warning,) = judge_each(seen, make_profile(), CELL)
    assert (warning.code, warning.cell, warning.code.invalidates) == (Code.REDIRECTS, CELL, True)
    assert warning.message == "all 5 replies had the status 301 (a redirect to /items/?page=1), not 2xx"
    assert warning.advice.startswith("Set `path: /items/?page=1` in the profile, or declare `expect: {status: 301}`")


@pytest.mark.parametrize(
    ("location", "advice"),
    [
        ("http://api:8000/items/", "Set `path: /items/`"),
        ("https://api/items", "It redirects HTTP to HTTPS"),
        ("/items", "Measure the page that it redirects to"),
        ("", "Measure the page that it redirects to"),
        ("//[", "The target of its redirect cannot be read"),
        ("http://[x", "The target of its redirect cannot be read"),
    ],
)
def test_judge_each__the_advice_fits_the_redirect(location: str, advice: str) -> None:
    (warning,) = judge_each(summarise_replies([Sample(302, 60, location, "")]), make_profile(), CELL)
    assert warning.advice.startswith(advice)


def test_judge_each__a_value_that_must_be_unique() -> None:
    profile = make_profile(method="POST", body="a@example.org")
    (warning,) = judge_each(sampled(s201=1, s409=49), profile, CELL)
    assert warning.message == "98 % of 50 replies had the status 409, not 2xx"
    assert "put `{seq}` there" in warning.advice
    declared = make_profile(method="POST", expect={"status": ["2xx", 409]})
    assert judge_each(sampled(s201=1, s409=49), declared, CELL) == ()


@pytest.mark.parametrize(("bad", "code"), [(5, Code.APPLICATION_ERRORS), (6, Code.MOSTLY_ERRORS)])
def test_judge_each__most_replies_are_more_than_half(bad: int, code: Code) -> None:
    (warning,) = judge_each(sampled(s200=10 - bad, s500=bad), make_profile(), CELL)
    assert warning.code is code
    assert "500" in warning.message


def test_judge_each__without_a_reply_says_why() -> None:
    problem = "the reply did not end within 10 s (1,234 bytes were read)"
    (warning,) = judge_each(summarise_replies([], problem), make_profile(), CELL)
    assert (warning.code, warning.code.invalidates) == (Code.NO_REPLY, True)
    assert problem in warning.message


def test_judge_each__a_reply_that_never_ended_after_others_is_named() -> None:
    problem = "the reply is larger than 256 MiB, too large to read"
    (warning,) = judge_each(summarise_replies([Sample(200, 10)] * 3, problem), make_profile(), CELL)
    assert warning.code is Code.APPLICATION_ERRORS
    assert warning.message == f"3 requests got a reply, and another one did not: {problem}"


def test_judge_loaded__a_304_that_promises_a_body() -> None:
    unmodified = Replies(statuses={"304": 50}, bytes_min=60, bytes_mean=60, bytes_max=60)
    (warning,) = judge_report(replace(REPORT, requests=0, bytes_read=0), Replies(), unmodified, expect={"status": 304})
    assert warning.code is Code.NO_REPLY
    assert "If-None-Match" in warning.advice


def test_judge_loaded__the_same_replies_cause_no_warning() -> None:
    assert judge_report(REPORT, sampled(s200=8)) == []
    assert judge_report(REPORT, Replies(), None) == []


@pytest.mark.parametrize(("share", "found"), [(0.5, []), (0.501, [Code.MOSTLY_ERRORS])])
def test_judge_loaded__errors_by_wrks_counter(share: float, found: list[Code]) -> None:
    assert [warning.code for warning in judge_report(with_errors(share), Replies())] == found


def test_judge_loaded__names_the_status_that_was_sampled() -> None:
    (warning,) = judge_report(with_errors(0.97), sampled(s200=1, s429=9))
    assert warning.message == "97 % of 1,000 replies under load had an unexpected status (429, not 2xx)"
    assert warning.advice.startswith("Switch the rate limiter off")


def test_judge_loaded__redirects_are_seen_in_samples_only() -> None:
    login = summarise_replies([Sample(302, 6000, "/login", "")] * 3)
    (warning,) = judge_report(REPORT, login)
    assert warning.code is Code.REDIRECTS
    assert "302 (a redirect to /login)" in warning.message
    single = summarise_replies([Sample(302, 6000, "/login", "")])
    assert judge_report(REPORT, single) == []


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (6000, []),
        (5400, []),
        (5399, [Code.REPLIES_DIFFER]),
        (38, [Code.REPLIES_DIFFER]),
        (6660, []),  # at most ten replies, one per connection, have been read in part
        (6661, [Code.REPLIES_DIFFER]),
    ],
)
def test_judge_loaded__replies_of_another_size(size: int, found: list[Code]) -> None:
    assert [warning.code for warning in judge_report(with_mean_size(size), sampled(s200=8))] == found
    assert judge_report(with_mean_size(size), sampled(s200=8), expect={"size": "varies"}) == []


@pytest.mark.parametrize(("size", "found"), [(68, []), (67, [Code.REPLIES_DIFFER])])
def test_judge_loaded__a_few_bytes_are_not_another_page(size: int, found: list[Code]) -> None:
    small = Replies(statuses={"200": 50}, bytes_min=100, bytes_mean=100.0, bytes_max=100)
    assert [warning.code for warning in judge_report(with_mean_size(size), sampled(s200=8), small)] == found


def test_judge_loaded__sizes_are_compared_with_the_counted_range() -> None:
    varying = Replies(statuses={"200": 50}, bytes_min=1000, bytes_mean=4000.0, bytes_max=9000)
    assert judge_report(with_mean_size(2000), sampled(s200=8), varying) == []
    assert [warning.code for warning in judge_report(with_mean_size(500), sampled(s200=8), varying)] == [
        Code.REPLIES_DIFFER
    ]


def test_compute_size_gap__short_error_pages_among_the_replies_are_allowed() -> None:
    mixed = replace(with_errors(0.3), bytes_read=700 * 6000 + 300 * 50)
    assert compute_size_gap(mixed, make_profile(), COUNTED) == 0.0
    short = replace(with_errors(0.3), bytes_read=1000 * 50)
    assert compute_size_gap(short, make_profile(), COUNTED) == pytest.approx(0.7 * 6000 - 50)


@pytest.mark.parametrize(
    ("expected", "counter", "unexpected"),
    [
        ("2xx", 30, 30),
        (404, 1000, 0),  # wrk counts every one as an error, and each was expected
        (404, 990, 10),
        ([200, 404], 300, 0),  # wrk's counter cannot distinguish the two
    ],
)
def test_recount_errors__counts_replies_that_were_not_expected(expected: object, counter: int, unexpected: int) -> None:
    report = replace(REPORT, errors=Errors(read=2, status=counter))
    expect = ExpectedReply.model_validate({"status": expected})
    assert recount_errors(report, expect).errors == Errors(read=2, status=unexpected)


ENDED = Replies(statuses={"200": 8}, until_close=8)


@pytest.mark.parametrize(
    ("sampled", "counted", "left"),
    [
        (ENDED, None, 5),
        (ENDED, ENDED, 5),
        (Replies(), ENDED, 5),  # with one connection, nothing is sampled
        (ENDED, Replies(statuses={"200": 8}, until_close=4), 1005),  # of a mix, one request has a length
        (Replies(statuses={"200": 8}), ENDED, 1005),
        (Replies(), Replies(problem="no reply"), 1005),
        (Replies(), None, 1005),
    ],
)
def test_discount_closes__only_if_every_reply_ends_with_its_connection(
    sampled: Replies, counted: Replies | None, left: int
) -> None:
    report = replace(REPORT, errors=Errors(read=REPORT.requests + 5, timeout=2))
    assert discount_closes(report, sampled, counted).errors == Errors(read=left, timeout=2)


def test_discount_closes__never_leaves_fewer_than_none() -> None:
    report = replace(REPORT, errors=Errors(read=REPORT.requests - 1))
    assert discount_closes(report, ENDED, None).errors == Errors()


def test_judge_loaded__says_why_wrk_reads_no_reply_over_tls() -> None:
    report = replace(REPORT, requests=0, errors=Errors(read=70))
    (warning,) = judge_loaded(report, make_profile(), Replies(), ENDED, CELL)
    assert (warning.code, warning.advice) == (
        Code.NO_REPLY,
        "Let the server send `Content-Length`, or `Transfer-Encoding: chunked`.",
    )


def test_describe_statuses__only_those_that_were_not_expected() -> None:
    assert describe_statuses(sampled(s200=5, s429=3), ExpectedReply()) == "429 in 3 of 8 sampled"
    assert describe_statuses(sampled(s200=8), ExpectedReply()) == ""
