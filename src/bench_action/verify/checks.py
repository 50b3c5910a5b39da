"""Run one check: send its requests to the subjects, and find out what is wrong with their answers."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench_action.config.schema import Check, ExpectedWork
from bench_action.load.generator import Reply
from bench_action.load.messages import Bodies
from bench_action.model.result import Work
from bench_action.model.wording import plural
from bench_action.stack.meters.work import Reading, count_work, read_work
from bench_action.stack.server import QueryError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.pages import collapse_spaces

_ANSWER_S = 10.0
_MAX_PROBLEMS = 5  # shown for one subject and one check
_ROUNDS = 4  # how often work is counted again if it is not what was declared
_IDLE_S = 0.6  # of each round without requests: four of them include anything that runs every two seconds
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_COUNTABLE = "work that can be counted"
_NOUNS = {"queries": "query", "rows": "row", "cache_commands": "cache command"}

Problem = tuple[str, str]  # what was expected, and what was received instead
TimedWork = tuple[Work, float]  # work, and the seconds in which it was done


@dataclass(slots=True)
class WorkCounts:
    """Work of a check's requests, counted once or more, and work without requests. `lost`: counters were reset."""

    counted: list[Work] = field(default_factory=list)
    counted_s: float = 0.0
    idle: list[Work] = field(default_factory=list)
    idle_s: float = 0.0
    lost: bool = False

    def add(self, count: TimedWork | None, *, idle: bool = False) -> None:
        """Add a count; None for one that was lost."""
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
    """A subject's answers to a check: its replies, and what is wrong with them.

    `excess`: those of the problems that are about counted work. `prepared`: `before_sql` was run, so `after_sql` must
    be. `numbers` and `reading`: state before the requests.
    """

    subject: Subject
    replies: Sequence[Reply] = ()
    problems: list[Problem] = field(default_factory=list)
    excess: list[Problem] = field(default_factory=list)
    prepared: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
    reading: Reading | None = None


def run_check(stack: Stack, subjects: Sequence[Subject], check: Check, restless: set[str]) -> list[Answers]:
    """Run a check on all subjects in parallel: each has its own services, so its work is its own.

    `restless`: ids of the subjects in which a check has provoked a failure; changed here. A failure may cause work
    after the reply (Django then tests its connection), so they must be idle before work is counted.
    """
    answers = [Answers(subject) for subject in subjects]
    counted = check.expect.work != ExpectedWork()  # otherwise nothing is read, as reading counters takes time
    if counted and restless:
        stack.agent.settle(sorted(restless), _ANSWER_S)
        restless.clear()
    _send(stack, answers, check, counted=counted)
    if check.before_sql:
        restless |= {answer.subject.handle.part for answer in answers}
    return answers


def _send(stack: Stack, answers: Sequence[Answers], check: Check, *, counted: bool) -> None:
    """Send the check's requests and judge the replies. A refused statement ends the check for its subject."""
    try:
        for answer in answers:
            with _record_refusals(answer):
                _execute(answer.subject, check.before_sql)
                answer.prepared = True
                answer.numbers = _read_numbers(answer.subject, check)
                answer.reading = read_work(answer.subject) if counted else None
        able = [answer for answer in answers if not answer.problems]
        requests = [answer.subject.address_request(check.request) for answer in able]
        bodies: Bodies = "all" if check.expect.compares_bodies else "start"
        all_replies = stack.agent.requests_together(requests, check.repeat, timeout_s=_ANSWER_S, bodies=bodies)
        for answer, replies in zip(able, all_replies, strict=True):
            with _record_refusals(answer):
                _judge(stack, answer, replies, check)
    finally:
        for answer in answers:
            if answer.prepared:
                with _record_refusals(answer):
                    _execute(answer.subject, check.after_sql)
            answer.problems = list(dict.fromkeys(answer.problems))[:_MAX_PROBLEMS]


def _judge(stack: Stack, answer: Answers, replies: Sequence[Reply], check: Check) -> None:
    answer.replies = replies
    after = read_work(answer.subject) if answer.reading is not None else None
    others = [problem for reply in replies for problem in check_reply(reply, check)]
    others += check_changes(answer.numbers, _read_numbers(answer.subject, check), check)
    others += _check_json_sql(answer.subject, replies, check)
    if answer.reading is not None and after is not None:
        found = _find_work_problems(stack, answer.subject, _count_timed_work(answer.reading, after), check)
        answer.problems += found
        answer.excess = [problem for problem in found if problem[0] != _COUNTABLE]
    answer.problems += others


def _find_work_problems(stack: Stack, subject: Subject, first: TimedWork | None, check: Check) -> list[Problem]:
    """Check the work of a check's requests; count again if it is not what was declared and the requests only read.

    Work without requests is counted too, as background work is not caused by the requests.
    """
    counts = WorkCounts()
    counts.add(first)
    request, idle_s = subject.address_request(check.request), max(_IDLE_S, counts.counted_s)
    for _ in range(_ROUNDS):
        if counts.lost or not list(check_work(counts, check)):
            break
        if check.request.method in _READING:
            before = read_work(subject)
            stack.agent.requests_together([request], check.repeat, timeout_s=_ANSWER_S, bodies="none")
            counts.add(_count_timed_work(before, read_work(subject)))
        before = read_work(subject)
        time.sleep(idle_s)
        counts.add(_count_timed_work(before, read_work(subject)), idle=True)
    if counts.lost:
        return [(_COUNTABLE, "the statistics of the database or Redis were reset during the check")]
    return list(check_work(counts, check))


def _count_timed_work(before: Reading, after: Reading) -> TimedWork | None:
    work = count_work(before, after)
    return (work, after.at - before.at) if work is not None else None


@contextmanager
def _record_refusals(answer: Answers) -> Iterator[None]:
    """Turn a statement that the database refuses into a problem of the subject."""
    try:
        yield
    except QueryError as error:
        answer.problems.append(("the check's SQL to work", error.what))


def _execute(subject: Subject, statements: str) -> None:
    if statements and subject.database is not None:
        subject.database.execute(statements)


def check_reply(reply: Reply, check: Check) -> Iterator[Problem]:
    """Yield what is wrong with one reply."""
    expect = check.expect
    if reply.problem:
        yield "a reply", reply.problem
        return
    text = collapse_spaces(reply.text)
    if expect.status is not None and reply.status != expect.status:
        yield f"status {expect.status}", f"{reply.status} with {_quote(text)}"
    for name, value in expect.headers.items():
        values = reply.list_values(name)
        if not _has_value(values, value):
            yield f"header {name}: {value}", _quote(", ".join(values) or "none")
    for part in expect.contains:
        if collapse_spaces(part) not in text:
            yield f"a body that contains {part!r}", _quote(text)
    for part in expect.excludes:
        if collapse_spaces(part) in text:
            at = text.index(collapse_spaces(part))
            yield f"a body without {part!r}", _quote(f"…{text[max(0, at - 40) : at + 80]}")
    if expect.body is not None and collapse_spaces(expect.body) != text:
        yield f"the body {expect.body!r}", _quote(text)


def _has_value(values: Sequence[str], wanted: str) -> bool:
    """Tell whether a header has a value: all of its lines together (RFC 9110, 5.3), or one of them.

    A server may send UTF-8 or, as HTTP once had it, Latin-1.
    """
    as_latin = wanted.encode("latin-1", "backslashreplace").decode(errors="surrogateescape")
    return bool({wanted, as_latin} & {*values, ", ".join(values)})


def check_work(counts: WorkCounts, check: Check) -> Iterator[Problem]:
    """Yield each kind of work that, over all repetitions, cannot be what the check declares for one request."""
    for name, noun in _NOUNS.items():
        per_request = getattr(check.expect.work, name)
        if per_request is None:
            continue
        wanted, counted = per_request * check.repeat, [getattr(work, name) for work in counts.counted]
        least, most = min(counted), max(counted)
        idle = sum(getattr(work, name) for work in counts.idle)
        allowed = math.ceil(idle * counts.counted_s / counts.idle_s) if idle else 0
        if not least - allowed <= wanted <= most:
            got = str(least) if least == most else f"{least} to {most} in {plural(len(counted), 'count')}"
            yield f"{plural(wanted, noun)} in {plural(check.repeat, 'request')}", got


def check_changes(before: Mapping[str, int], after: Mapping[str, int], check: Check) -> Iterator[Problem]:
    """Yield each number that did not change by exactly what the check declares for each request."""
    declared = {**check.expect.changes.sql, **check.expect.changes.redis}
    for key, per_request in declared.items():
        change = after[key] - before[key]
        if change != per_request * check.repeat:
            yield f"{key} to change by {per_request * check.repeat:+d}", f"{change:+d}"


def _check_json_sql(subject: Subject, replies: Sequence[Reply], check: Check) -> Iterator[Problem]:
    if not check.expect.json_sql or not replies or subject.database is None:
        return
    try:
        body = json.loads(replies[-1].body)
    except (ValueError, RecursionError):
        yield "a JSON reply", _quote(replies[-1].text)
        return
    for key, statement in check.expect.json_sql.items():
        wanted = _query_number(subject, statement)
        got = body.get(key) if isinstance(body, dict) else None
        if isinstance(got, bool) or got != wanted:
            yield f"{key} = {wanted} ({statement})", _shorten(json.dumps(got))


def _read_numbers(subject: Subject, check: Check) -> dict[str, int]:
    changes = check.expect.changes
    numbers = {statement: _query_number(subject, statement) for statement in changes.sql}
    if subject.cache is not None:
        numbers |= {key: subject.cache.integer(key) for key in changes.redis}
    return numbers


def _query_number(subject: Subject, statement: str) -> int:
    if subject.database is None:
        raise QueryError("no database to query", where=statement)
    lines = subject.database.execute(statement)
    try:
        return int(lines[0])
    except (IndexError, ValueError):
        raise QueryError(f"a check's query must return one whole number: {statement}") from None


def _quote(text: str) -> str:
    return repr(_shorten(text))


def _shorten(text: str) -> str:
    return text if len(text) <= 120 else text[:120] + "…"
