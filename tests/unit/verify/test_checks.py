"""What a check sends, to which subjects in parallel, and how it judges the answers."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench_action.config.schema import Check
from bench_action.engine.protocol import Handle
from bench_action.load.generator import HttpRequest, Reply
from bench_action.load.messages import Bodies
from bench_action.model.result import Work
from bench_action.stack.server import QueryError, Statements
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.checks import (
    WorkCounts,
    _check_json_sql,
    check_changes,
    check_reply,
    check_work,
    run_check,
)

pytestmark = pytest.mark.unit


def check(repeat: int = 1, **expect: Any) -> Check:
    return Check.model_validate({"name": "home", "repeat": repeat, "expect": expect})


def reply(body: str = "", status: int = 200, problem: str = "", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, body.encode(), kept=True, problem=problem)


def make_queries(number: int) -> Work:
    return Work(queries=number, rows=0, cache_commands=0)


def make_counts(*counted: Work) -> WorkCounts:
    counts = WorkCounts()
    for work in counted:
        counts.add((work, 0.05))
    return counts


def test_run_check__survives_json_that_no_reader_takes_apart() -> None:
    subject = SimpleNamespace(database=SimpleNamespace(execute=lambda _: ["1"]), cache=None)
    given = check(json_sql={"id": "SELECT 1"})
    for body, problem in (
        ("[" * 100_000, "a JSON reply"),
        ('{"id": ' + "[" * 500 + "]" * 500 + "}", "id = 1 (SELECT 1)"),
    ):
        (found,) = _check_json_sql(cast(Subject, subject), [reply(body)], given)
        assert found[0] == problem
        assert len(found[1]) < 200


def find_problems(given: Reply, **expect: Any) -> list[tuple[str, str]]:
    return list(check_reply(given, check(**expect)))


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        (reply("anything", 500), {}),
        (reply(status=404), {"status": 404}),
        (reply(content_type="text/html"), {"headers": {"Content-Type": "text/html"}}),
        (reply(vary="Accept\nCookie"), {"headers": {"Vary": "Cookie"}}),
        (reply(vary="Accept\nCookie"), {"headers": {"Vary": "Accept"}}),
        (reply(vary="Accept\nCookie"), {"headers": {"Vary": "Accept, Cookie"}}),
        (reply(x_name="été"), {"headers": {"X-Name": "été"}}),
        (reply(x_name="\udce9t\udce9"), {"headers": {"X-Name": "été"}}),
        (reply("<p>\n  Water   the plants</p>"), {"contains": ["Water the\tplants"]}),
        (reply("safe"), {"excludes": ["<script"]}),
        (reply("  a \n b "), {"body": "a b"}),
        (reply(""), {"body": ""}),
    ],
)
def test_check_reply__accepts_what_is_expected(given: Reply, expect: dict[str, Any]) -> None:
    assert find_problems(given, **expect) == []


@pytest.mark.parametrize(
    ("given", "expect", "problem"),
    [
        (reply("oops", 500), {"status": 200}, ("status 200", "500 with 'oops'")),
        (reply(), {"headers": {"Allow": "GET"}}, ("header Allow: GET", "'none'")),
        (reply(allow="get"), {"headers": {"Allow": "GET"}}, ("header Allow: GET", "'get'")),
        (reply(vary="A\nB"), {"headers": {"Vary": "C"}}, ("header Vary: C", "'A, B'")),
        (reply(x_name="\udce9"), {"headers": {"X-Name": "€"}}, ("header X-Name: €", r"'\udce9'")),
        (reply("x"), {"contains": ["y"]}, ("a body that contains 'y'", "'x'")),
        (reply("a <script> b"), {"excludes": ["<script"]}, ("a body without '<script'", "'…a <script> b'")),
        (reply("ab"), {"body": "a b"}, ("the body 'a b'", "'ab'")),
        (reply("x"), {"body": ""}, ("the body ''", "'x'")),
    ],
)
def test_check_reply__names_what_was_expected_and_received(
    given: Reply, expect: dict[str, Any], problem: tuple[str, str]
) -> None:
    assert find_problems(given, **expect) == [problem]


def test_check_reply__without_a_reply_nothing_else_is_reported() -> None:
    found = find_problems(reply(status=0, problem="refused"), status=200, body="x", contains=["y"])
    assert found == [("a reply", "refused")]


def test_check_reply__a_long_body_is_cut() -> None:
    ((_, got),) = find_problems(reply("x" * 1000), contains=["y"])
    assert len(got) < 150
    assert got.endswith("…'")


def test_check_reply__a_body_that_is_not_text_is_reported_too() -> None:
    broken = Reply(200, {}, b"\xff\xfe", kept=True, problem="")
    assert len(find_problems(broken, contains=["y"])) == 1


def test_check_work__all_repetitions_together_are_exact() -> None:
    declared = check(10, work={"queries": 1, "rows": 20, "cache_commands": 1})
    assert list(check_work(make_counts(Work(queries=10, rows=200, cache_commands=10)), declared)) == []
    assert list(check_work(make_counts(Work(queries=11, rows=200, cache_commands=9)), declared)) == [
        ("10 queries in 10 requests", "11"),
        ("10 cache commands in 10 requests", "9"),
    ]


def test_check_work__zero_is_a_declaration_and_an_absent_number_is_not() -> None:
    work = Work(queries=3, rows=0, cache_commands=7)
    assert list(check_work(make_counts(work), check(work={"queries": 0}))) == [("0 queries in 1 request", "3")]
    assert list(check_work(make_counts(work), check())) == []


def test_check_work__counts_that_vary_must_include_what_was_declared() -> None:
    ping = check(5, work={"queries": 3})
    assert list(check_work(make_counts(make_queries(14), make_queries(15)), ping)) == []
    assert list(check_work(make_counts(make_queries(20), make_queries(19)), ping)) == [
        ("15 queries in 5 requests", "19 to 20 in 2 counts")
    ]


def test_check_work__work_without_requests_is_not_blamed_on_the_requests() -> None:
    declared, scheduled = check(5, work={"queries": 1}), make_counts(make_queries(6))
    scheduled.add((make_queries(8), 0.5), idle=True)  # in ten times the time of the count
    assert list(check_work(scheduled, declared)) == []
    more = make_counts(make_queries(10))
    more.add((make_queries(8), 0.5), idle=True)
    assert list(check_work(more, declared)) == [("5 queries in 5 requests", "10")]


def test_check_changes__each_number_must_change_exactly() -> None:
    declared = check(3, changes={"sql": {"SELECT 1": 2}, "redis": {"counter": -1, "still": 0}})
    before = {"SELECT 1": 10, "counter": 5, "still": 7}
    assert list(check_changes(before, {"SELECT 1": 16, "counter": 2, "still": 7}, declared)) == []
    assert list(check_changes(before, {"SELECT 1": 15, "counter": 5, "still": 8}, declared)) == [
        ("SELECT 1 to change by +6", "+5"),
        ("counter to change by -3", "+0"),
        ("still to change by +0", "+1"),
    ]


class FakeStack:
    """A stack, its agent and its subjects' databases in one: `log` has what they receive, in order."""

    def __init__(self, *names: str) -> None:
        self.log: list[str] = []
        self.refused: set[str] = set()
        self.calls: dict[str, Iterator[int]] = {}  # of one query, at each reading
        self.bodies: Bodies | None = None
        self.agent = self
        self.subjects = [cast("Subject", self._subject(name)) for name in names]

    def run(self, check: Check, restless: set[str] | None = None) -> list[list[tuple[str, str]]]:
        """Run a check; return what is wrong with the answers of each subject."""
        answers = run_check(cast("Stack", self), self.subjects, check, restless if restless is not None else set())
        return [answer.problems for answer in answers]

    def requests_together(
        self, requests: Sequence[HttpRequest], repeat: int, *, timeout_s: float, bodies: Bodies
    ) -> list[list[Reply]]:
        assert timeout_s > 0
        self.bodies = bodies
        self.log.append(" + ".join(request.host for request in requests))
        return [[reply()] * repeat for _ in requests]

    def settle(self, parts: Sequence[str], limit_s: float) -> None:
        assert limit_s > 0
        self.log.append(f"settle {' '.join(parts)}")

    def _subject(self, name: str) -> SimpleNamespace:
        def execute(text: str) -> list[str]:
            if f"{name}: {text}" in self.refused:
                raise QueryError("PostgreSQL refused a statement")
            self.log.append(f"{name}: {text}")
            return ["1"]

        def statements() -> Statements:
            calls = self.calls.get(name)
            return Statements([("1", "SELECT a FROM b", next(calls), 0)] if calls else [], "0 then")

        database = SimpleNamespace(execute=execute, statements=statements)
        handle = SimpleNamespace(id=name, part=name, host=name, port=80, address="", tls=False)
        return SimpleNamespace(
            name=name,
            handle=handle,
            database=database,
            databases={"postgres": database},
            caches={},
            cache=None,
            address_request=lambda wanted: HttpRequest.from_config(cast(Handle, handle), wanted),
        )


def make_breaking_check() -> Check:
    return check().model_copy(update={"before_sql": "break", "after_sql": "fix"})


@pytest.mark.parametrize("expect", [{"status": 200}, {"work": {"queries": 0}}])
def test_run_check__sends_to_all_in_parallel(expect: dict[str, Any]) -> None:
    stack = FakeStack("a", "b")
    assert stack.run(check(2, **expect)) == [[], []]
    assert stack.log == ["a + b"]


@pytest.mark.parametrize(
    ("expect", "bodies"),
    [
        ({"status": 200, "headers": {}}, "start"),
        ({"changes": {"sql": {"SELECT 1": 0}}}, "start"),
        ({"contains": [""]}, "all"),
        ({"excludes": ["Traceback"]}, "all"),
        ({"body": ""}, "all"),
        ({"same": "all-variants"}, "all"),
        ({"json_sql": {"count": "SELECT 1"}}, "all"),
    ],
)
def test_run_check__keeps_bodies_only_if_they_are_compared(expect: dict[str, Any], bodies: Bodies) -> None:
    stack = FakeStack("a")
    stack.run(check(1, **expect))
    assert stack.bodies == bodies


def test_run_check__waits_until_all_are_idle_after_a_provoked_failure_before_work_is_counted() -> None:
    stack, restless = FakeStack("a", "b"), set[str]()
    stack.run(make_breaking_check(), restless)
    stack.run(check(status=200), restless)
    stack.run(check(work={"queries": 0}), restless)
    stack.run(check(work={"queries": 0}), restless)
    assert stack.log == [
        "a: break",
        "b: break",
        "a + b",
        "a: fix",
        "b: fix",
        "a + b",
        "settle a b",
        "a + b",
        "a + b",
    ]


def test_run_check__a_refused_statement_ends_the_check_for_its_subject_only() -> None:
    stack = FakeStack("a", "b")
    stack.refused = {"a: break"}
    refusal = ("the check's SQL to work", "PostgreSQL refused a statement")
    assert stack.run(make_breaking_check()) == [[refusal], []]
    assert stack.log == ["b: break", "b", "b: fix"]


def test_run_check__after_sql_runs_even_if_the_check_cannot() -> None:
    stack = FakeStack("a", "b")
    stack.refused = {"a: SELECT 1"}
    counting = make_breaking_check().model_copy(update={"expect": check(changes={"sql": {"SELECT 1": 0}}).expect})
    assert [len(problems) for problems in stack.run(counting)] == [1, 0]
    assert stack.log == [
        "a: break",
        "b: break",
        "b: SELECT 1",
        "b",
        "b: SELECT 1",
        "a: fix",
        "b: fix",
    ]


@pytest.mark.parametrize(
    ("readings", "problems"),
    [
        ([0, 2], []),
        ([0, 3, 3, 5, 5, 5], []),  # a cache had expired; it has not when counted again
        ([0, 3, 3, 6, 6, 7], []),  # a scheduler, which also works without requests
        ([0, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16, 20, 20, 20], [("2 queries in 2 requests", "4")]),
        ([9, 1], [("work that can be counted", "the statistics of the database or Redis were reset during the check")]),
    ],
)
def test_run_check__counts_again_if_work_is_not_what_was_declared(
    readings: list[int], problems: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_action.verify.checks._IDLE_S", 0.0)
    stack = FakeStack("a")
    stack.calls["a"] = iter(readings)
    assert stack.run(check(2, work={"queries": 1})) == [problems]
    assert next(stack.calls["a"], None) is None


def test_run_check__never_repeats_a_request_that_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench_action.verify.checks._IDLE_S", 0.0)
    stack = FakeStack("a")
    stack.calls["a"] = iter([0] + [4] * 9)
    writing = check(2, work={"queries": 1})
    request = writing.request.model_copy(update={"method": "POST"})
    assert stack.run(writing.model_copy(update={"request": request})) == [[("2 queries in 2 requests", "4")]]
    assert stack.log == ["a"]
