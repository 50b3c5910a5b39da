"""What verification makes of replies; the rest of it needs a stack."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.config.schema import Check
from bench_action.load.generator import Reply
from bench_action.model.result import Work
from bench_action.verify import (
    Failure,
    as_error,
    check_changes,
    check_reply,
    check_work,
    collapsed,
    compare_pages,
    failed_subjects,
    normalised,
)

pytestmark = pytest.mark.unit


def check(repeat: int = 1, **expect: Any) -> Check:
    return Check.model_validate({"name": "home", "repeat": repeat, "expect": expect})


def reply(body: str = "", status: int = 200, problem: str = "", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, body.encode(), kept=True, problem=problem)


def problems(given: Reply, **expect: Any) -> list[tuple[str, str]]:
    return list(check_reply(given, check(**expect)))


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        (reply("anything", 500), {}),
        (reply(status=404), {"status": 404}),
        (reply(content_type="text/html"), {"headers": {"Content-Type": "text/html"}}),
        (reply("<p>\n  Water   the plants</p>"), {"contains": ["Water the\tplants"]}),
        (reply("safe"), {"excludes": ["<script"]}),
        (reply("  a \n b "), {"body": "a b"}),
        (reply(""), {"body": ""}),
    ],
)
def test_check_reply__is_content(given: Reply, expect: dict[str, Any]) -> None:
    assert problems(given, **expect) == []


@pytest.mark.parametrize(
    ("given", "expect", "problem"),
    [
        (reply("oops", 500), {"status": 200}, ("status 200", "500 with 'oops'")),
        (reply(), {"headers": {"Allow": "GET"}}, ("header Allow: GET", "'none'")),
        (reply(allow="get"), {"headers": {"Allow": "GET"}}, ("header Allow: GET", "'get'")),
        (reply("x"), {"contains": ["y"]}, ("a body that contains 'y'", "'x'")),
        (reply("a <script> b"), {"excludes": ["<script"]}, ("a body without '<script'", "'…a <script> b'")),
        (reply("ab"), {"body": "a b"}, ("the body 'a b'", "'ab'")),
        (reply("x"), {"body": ""}, ("the body ''", "'x'")),
    ],
)
def test_check_reply__tells_expected_and_got(given: Reply, expect: dict[str, Any], problem: tuple[str, str]) -> None:
    assert problems(given, **expect) == [problem]


def test_check_reply__without_a_reply_nothing_else_is_told() -> None:
    found = problems(reply(status=0, problem="refused"), status=200, body="x", contains=["y"])
    assert found == [("a reply", "refused")]


def test_check_reply__a_long_body_is_cut() -> None:
    ((_, got),) = problems(reply("x" * 1000), contains=["y"])
    assert len(got) < 150
    assert got.endswith("…'")


def test_check_reply__a_body_that_is_no_text_is_told_all_the_same() -> None:
    broken = Reply(200, {}, b"\xff\xfe", kept=True, problem="")
    assert len(problems(broken, contains=["y"])) == 1


def test_check_work__all_repetitions_together_are_exact() -> None:
    declared = check(10, work={"queries": 1, "rows": 20, "cache_commands": 1})
    assert list(check_work(Work(queries=10, rows=200, cache_commands=10), declared)) == []
    assert list(check_work(Work(queries=11, rows=200, cache_commands=9), declared)) == [
        ("10 queries in 10 requests", "11"),
        ("10 cache commands in 10 requests", "9"),
    ]


def test_check_work__zero_is_declared_and_nothing_is_not() -> None:
    work = Work(queries=3, rows=0, cache_commands=7)
    assert list(check_work(work, check(work={"queries": 0}))) == [("0 queries in 1 request", "3")]
    assert list(check_work(work, check())) == []


def test_check_changes__each_number_moves_exactly() -> None:
    declared = check(3, changes={"sql": {"SELECT 1": 2}, "redis": {"counter": -1, "still": 0}})
    before = {"SELECT 1": 10, "counter": 5, "still": 7}
    assert list(check_changes(before, {"SELECT 1": 16, "counter": 2, "still": 7}, declared)) == []
    assert list(check_changes(before, {"SELECT 1": 15, "counter": 5, "still": 8}, declared)) == [
        ("SELECT 1 to change by +6", "+5"),
        ("counter to change by -3", "+0"),
        ("still to change by +0", "+1"),
    ]


def test_compare_pages__names_those_that_differ_from_the_first() -> None:
    pages = {
        "django": "a" * 100 + "same" + "z" * 9,
        "aiohttp": "a" * 100 + "same" + "z" * 9,
        "flask": "a" * 100 + "not",
    }
    (failure,) = compare_pages("home (C1)", pages)
    assert (failure.subject, failure.rule) == ("flask", "home (C1)")
    assert failure.expected.startswith("the same page as django, ")
    assert "same" in failure.expected
    assert failure.got.endswith("not'")


@pytest.mark.parametrize("pages", [{}, {"django": "x"}, {"django": "x", "aiohttp": "x"}])
def test_compare_pages__nothing_differs(pages: dict[str, str]) -> None:
    assert list(compare_pages("home", pages)) == []


def test_compare_pages__a_page_that_goes_on_differs() -> None:
    (failure,) = compare_pages("home", {"django": "abc", "aiohttp": "abcd"})
    assert failure.got == "'abcd'"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<ul>\n  <li> a </li>\n</ul>", "<ul><li>a</li></ul>"),
        ("<p>a\n\n b</p>", "<p>a b</p>"),
        ("  <p>x</p>\n", "<p>x</p>"),
    ],
)
def test_normalised__white_space_makes_no_difference(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("<p>a</p>", "<p>b</p>"), ("<p>A</p>", "<p>a</p>")])
def test_normalised__anything_else_does(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text())
def test_normalised__once_is_enough(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    assert collapsed(collapsed(text)) == collapsed(text)


FAILURES = [
    Failure("django", "home (C1)", "status 200", "500"),
    Failure("aiohttp", "home (C1)", "a reply", "refused"),
    Failure("django", "keep_alive: true", "open", "closed"),
]


def test_failed_subjects__tells_what_each_broke() -> None:
    assert failed_subjects(FAILURES) == {
        "django": "home (C1): expected status 200, got 500; keep_alive: true: expected open, got closed",
        "aiohttp": "home (C1): expected a reply, got refused",
    }
    assert failed_subjects([]) == {}


def test_as_error__lists_every_rule() -> None:
    error = as_error(FAILURES)
    assert error.exit_status == 4
    assert error.what.startswith("django, aiohttp broke 3 rules")
    assert all(str(failure) in error.what for failure in FAILURES)
    assert "broke 1 rule and" in as_error(FAILURES[:1]).what
