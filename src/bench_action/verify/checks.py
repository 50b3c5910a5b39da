"""One check: what the subjects are asked, and what is wrong with their answers."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench_action.config.schema import Check, ExpectedWork
from bench_action.load.generator import HttpRequest, Reply
from bench_action.model.result import Work
from bench_action.model.wording import plural
from bench_action.stack.meters.work import Reading, read_work, work_between
from bench_action.stack.postgres import QueryError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.pages import collapsed

_ANSWER_S = 10.0
_MOST_TOLD = 5
_ROUNDS = 4  # of counting again, where the work is not what was declared
_IDLE_S = 0.6  # of each without requests: all together see what runs every two seconds
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_NOUNS = {"queries": "query", "rows": "row", "cache_commands": "cache command"}


Count = tuple[Work, float]  # and in how many seconds


@dataclass(slots=True)
class Seen:
    """Work of a check's requests in each of its counts, and without requests. `lost`: counters were reset."""

    counted: list[Work] = field(default_factory=list)
    counted_s: float = 0.0
    idle: list[Work] = field(default_factory=list)
    idle_s: float = 0.0
    lost: bool = False

    def add(self, count: Count | None, *, idle: bool = False) -> None:
        """Take in one more count, None for one that was lost."""
        if count is None:
            self.lost = True
        elif idle:
            self.idle.append(count[0])
            self.idle_s += count[1]
        else:
            self.counted.append(count[0])
            self.counted_s = max(self.counted_s, count[1])


@dataclass(slots=True)
class Answers:
    """Of one subject to one check: its replies, and what is wrong with them, as pairs of expected and got."""

    subject: Subject
    replies: Sequence[Reply] = ()
    problems: list[tuple[str, str]] = field(default_factory=list)
    prepared: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
    reading: Reading | None = None


def run_check(stack: Stack, subjects: Sequence[Subject], check: Check, restless: set[str]) -> list[Answers]:
    """The answers of each subject. All are asked at once, but one after the other where their work is counted.

    `restless`: ids of those in whom a failure has been provoked. It leaves work behind, as Django asks its connection
    how it is after the reply; so they come to rest before work is counted, all of them, as Redis counts for all
    together.
    """
    answers = [Answers(subject) for subject in subjects]
    counted = check.expect.work != ExpectedWork()  # else it is not looked at, and to read it takes a while
    for together in [[one] for one in answers] if counted else [answers]:
        if counted and restless:
            stack.services.agent.settle(sorted(restless), _ANSWER_S)
            restless.clear()
        _ask(stack, together, check, counted=counted)
        if check.before_sql:
            restless |= {one.subject.handle.id for one in together}
    return answers


def _ask(stack: Stack, answers: Sequence[Answers], check: Check, *, counted: bool) -> None:
    """Send the check's requests, and look at what comes of them. A refused statement ends it for its subject."""
    try:
        for one in answers:
            with _refusals(one):
                _execute(one.subject, check.before_sql)
                one.prepared = True
                one.numbers = _numbers(one.subject, check)
                one.reading = read_work(one.subject) if counted else None
        able = [one for one in answers if not one.problems]
        requests = [HttpRequest.to(one.subject.handle, check.request) for one in able]
        told = stack.services.agent.requests_together(requests, check.repeat, timeout_s=_ANSWER_S)
        for one, replies in zip(able, told, strict=True):
            with _refusals(one):
                _look(stack, one, replies, check)
    finally:
        for one in answers:
            if one.prepared:
                with _refusals(one):
                    _execute(one.subject, check.after_sql)
            one.problems = list(dict.fromkeys(one.problems))[:_MOST_TOLD]


def _look(stack: Stack, one: Answers, replies: Sequence[Reply], check: Check) -> None:
    one.replies = replies
    after = read_work(one.subject) if one.reading is not None else None
    others = [problem for reply in replies for problem in check_reply(reply, check)]
    others += check_changes(one.numbers, _numbers(one.subject, check), check)
    others += _check_json_sql(one.subject, replies, check)
    if one.reading is not None and after is not None:
        one.problems += _work_problems(stack, one.subject, _between(one.reading, after), check)
    one.problems += others


def _work_problems(stack: Stack, subject: Subject, first: Count | None, check: Check) -> list[tuple[str, str]]:
    """What is wrong with the work of a check's requests. What does not agree is counted again, if it only reads.

    Work without requests is measured too: what runs in the background is not the requests'.
    """
    seen = Seen()
    seen.add(first)
    request, idle_s = HttpRequest.to(subject.handle, check.request), max(_IDLE_S, seen.counted_s)
    for _ in range(_ROUNDS):
        if seen.lost or not list(check_work(seen, check)):
            break
        if check.request.method in _READING:
            before = read_work(subject)
            stack.services.agent.requests_together([request], check.repeat, timeout_s=_ANSWER_S)
            seen.add(_between(before, read_work(subject)))
        before = read_work(subject)
        time.sleep(idle_s)
        seen.add(_between(before, read_work(subject)), idle=True)
    if seen.lost:
        return [("work that can be counted", "the statistics of PostgreSQL or Redis were reset during the check")]
    return list(check_work(seen, check))


def _between(before: Reading, after: Reading) -> Count | None:
    work = work_between(before, after)
    return (work, after.at - before.at) if work is not None else None


@contextmanager
def _refusals(one: Answers) -> Iterator[None]:
    try:
        yield
    except QueryError as error:
        one.problems.append(("the check's SQL to work", error.what))


def _execute(subject: Subject, statements: str) -> None:
    if statements and subject.database is not None:
        subject.database.execute(statements)


def check_reply(reply: Reply, check: Check) -> Iterator[tuple[str, str]]:
    """What one reply lacks: pairs of expected and got."""
    expect = check.expect
    if reply.problem:
        yield "a reply", reply.problem
        return
    text = collapsed(reply.text)
    if expect.status is not None and reply.status != expect.status:
        yield f"status {expect.status}", f"{reply.status} with {_short(text)}"
    for name, value in expect.headers.items():
        if reply.headers.get(name.lower()) != value:
            yield f"header {name}: {value}", _short(reply.headers.get(name.lower(), "none"))
    for part in expect.contains:
        if collapsed(part) not in text:
            yield f"a body that contains {part!r}", _short(text)
    for part in expect.excludes:
        if collapsed(part) in text:
            at = text.index(collapsed(part))
            yield f"a body without {part!r}", _short(f"…{text[max(0, at - 40) : at + 80]}")
    if expect.body is not None and collapsed(expect.body) != text:
        yield f"the body {expect.body!r}", _short(text)


def check_work(seen: Seen, check: Check) -> Iterator[tuple[str, str]]:
    """Where the work of all repetitions together cannot be what was declared for each."""
    for name, noun in _NOUNS.items():
        per_request = getattr(check.expect.work, name)
        if per_request is None:
            continue
        wanted, counted = per_request * check.repeat, [getattr(work, name) for work in seen.counted]
        least, most = min(counted), max(counted)
        idle = sum(getattr(work, name) for work in seen.idle)
        allowed = math.ceil(idle * seen.counted_s / seen.idle_s) if idle else 0
        if not least - allowed <= wanted <= most:
            got = str(least) if least == most else f"{least} to {most} in {plural(len(counted), 'count')}"
            yield f"{plural(wanted, noun)} in {plural(check.repeat, 'request')}", got


def check_changes(before: Mapping[str, int], after: Mapping[str, int], check: Check) -> Iterator[tuple[str, str]]:
    """Where a number has not moved by exactly what was declared for each request."""
    declared = {**check.expect.changes.sql, **check.expect.changes.redis}
    for key, per_request in declared.items():
        moved = after[key] - before[key]
        if moved != per_request * check.repeat:
            yield f"{key} to change by {per_request * check.repeat:+d}", f"{moved:+d}"


def _check_json_sql(subject: Subject, replies: Sequence[Reply], check: Check) -> Iterator[tuple[str, str]]:
    if not check.expect.json_sql or not replies or subject.database is None:
        return
    try:
        body = json.loads(replies[-1].body)
    except ValueError:
        yield "a JSON reply", _short(replies[-1].text)
        return
    for key, statement in check.expect.json_sql.items():
        wanted = _number(subject, statement)
        got = body.get(key) if isinstance(body, dict) else None
        if got != wanted:
            yield f"{key} = {wanted} ({statement})", f"{got!r}"


def _numbers(subject: Subject, check: Check) -> dict[str, int]:
    changes = check.expect.changes
    numbers = {statement: _number(subject, statement) for statement in changes.sql}
    if subject.cache is not None:
        numbers |= {key: subject.cache.integer(key) for key in changes.redis}
    return numbers


def _number(subject: Subject, statement: str) -> int:
    if subject.database is None:
        raise QueryError("there is no PostgreSQL to ask", where=statement)
    lines = subject.database.execute(statement)
    try:
        return int(lines[0])
    except (IndexError, ValueError):
        raise QueryError(f"a check's query must give one whole number: {statement}") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:120] + "…")
