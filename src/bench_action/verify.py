"""Every subject against the checks and the work that it should do, before anything is measured."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench_action.config.load import Loaded
from bench_action.config.schema import Check, ExpectedWork, Profile, Request
from bench_action.load.generator import HttpRequest, Reply
from bench_action.meters.work import read_work, work_between
from bench_action.model.errors import VerificationError
from bench_action.model.progress import Progress
from bench_action.model.result import Work
from bench_action.model.wording import plural
from bench_action.stack.postgres import QueryError
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

_ANSWER_S = 10.0
_CONNECTIONS_S = 30.0
_NOUNS = {"queries": "query", "rows": "row", "cache_commands": "cache command"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that a subject breaks."""

    subject: str
    rule: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.rule}: expected {self.expected}, got {self.got}"


def verify(stack: Stack, loaded: Loaded, progress: Progress) -> tuple[Failure, ...]:
    """All failures of all subjects; empty when everything is as it should be. Raises StackError when a part dies."""
    failures: list[Failure] = []
    # of the same checks; and a change may well change the page: base is held against base, head against head
    pages: defaultdict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    restless: list[Subject] = []
    for subject in stack.subjects:
        progress.step(f"verifying {subject.name}")
        own = loaded.of(subject.variant)
        for check in own.config.checks:
            replies, problems = _run_check(stack, subject, check, restless)
            failures += problems
            if check.expect.same and replies and not problems:
                pages[own.origin, _rule(check), subject.revision][subject.name] = normalised(_text(replies[-1]))
        failures += _keep_alive(stack, subject, own.profiles)
        failures += _connections(stack, subject, own.profiles)
        require_alive(stack.engine, f"verifying {subject.name}")
    for (_, rule, _), of_one_revision in pages.items():
        failures += compare_pages(rule, of_one_revision)
    return tuple(failures)


def failed_subjects(failures: Sequence[Failure]) -> dict[str, str]:
    """Name of each subject that broke a rule → what it broke, for a message."""
    return {
        name: "; ".join(f"{f.rule}: expected {f.expected}, got {f.got}" for f in failures if f.subject == name)
        for name in dict.fromkeys(failure.subject for failure in failures)
    }


def as_error(failures: Sequence[Failure]) -> VerificationError:
    """All failures as one error."""
    names = ", ".join(dict.fromkeys(failure.subject for failure in failures))
    return VerificationError(
        f"{names} broke {plural(len(failures), 'rule')} and cannot be compared\n"
        + "\n".join(f"  - {failure}" for failure in failures),
        advice="mend the variant, or the `checks:` of the configuration where they ask for the wrong thing",
    )


def _run_check(
    stack: Stack, subject: Subject, check: Check, restless: list[Subject]
) -> tuple[list[Reply], list[Failure]]:
    """The replies of one check, and what is wrong with them.

    `restless`: subjects that a failure was provoked in. It leaves work behind, as Django asks its connection how it is
    after the reply; so they come to rest before work is counted, all of them, as Redis counts for all together.
    """
    problems: list[tuple[str, str]] = []
    replies: list[Reply] = []
    try:
        if check.before_sql and subject.database:
            subject.database.execute(check.before_sql)
        try:
            numbers = _numbers(subject, check)
            counted = check.expect.work != ExpectedWork()  # else it is not looked at, and to read it takes a while
            if counted:
                for one in restless:
                    stack.services.agent.settle(one.handle.id, _ANSWER_S)
                restless.clear()
            reading = read_work(subject) if counted else None
            replies = stack.services.agent.requests(_request(subject, check.request), check.repeat, timeout_s=_ANSWER_S)
            if reading is not None:
                problems += check_work(work_between(reading, read_work(subject)), check)
            problems += [problem for reply in replies for problem in check_reply(reply, check)]
            problems += check_changes(numbers, _numbers(subject, check), check)
            problems += _check_json_sql(subject, replies, check)
        finally:
            if check.after_sql and subject.database:
                subject.database.execute(check.after_sql)
            if check.before_sql:
                restless.append(subject)
    except QueryError as error:
        problems.append(("the check's SQL to work", error.what))
    problems = list(dict.fromkeys(problems))[:5]
    return replies, [Failure(subject.name, _rule(check), expected, got) for expected, got in problems]


def check_reply(reply: Reply, check: Check) -> Iterator[tuple[str, str]]:
    """What one reply lacks: pairs of expected and got."""
    expect = check.expect
    if reply.problem:
        yield "a reply", reply.problem
        return
    text = collapsed(_text(reply))
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


def check_work(work: Work, check: Check) -> Iterator[tuple[str, str]]:
    """Where the work of all repetitions together is not exactly what was declared for each."""
    for name, noun in _NOUNS.items():
        per_request = getattr(check.expect.work, name)
        if per_request is not None and getattr(work, name) != per_request * check.repeat:
            wanted = plural(per_request * check.repeat, noun)
            yield f"{wanted} in {plural(check.repeat, 'request')}", str(getattr(work, name))


def check_changes(before: Mapping[str, int], after: Mapping[str, int], check: Check) -> Iterator[tuple[str, str]]:
    """Where a number has not moved by exactly what was declared for each request."""
    declared = {**check.expect.changes.sql, **check.expect.changes.redis}
    for key, per_request in declared.items():
        moved = after[key] - before[key]
        if moved != per_request * check.repeat:
            yield f"{key} to change by {per_request * check.repeat:+d}", f"{moved:+d}"


def compare_pages(rule: str, pages: Mapping[str, str]) -> Iterator[Failure]:
    """Subjects whose page differs from the first subject's. `pages`: name → normalised body."""
    if not pages:
        return
    first, *others = pages
    for name in others:
        if pages[name] != pages[first]:
            expected, got = _around_difference(pages[first], pages[name])
            yield Failure(name, rule, f"the same page as {first}, {expected}", got)


def collapsed(text: str) -> str:
    """Every run of white space as one space."""
    return " ".join(text.split())


def normalised(text: str) -> str:
    """Apart from white space: none is left beside a tag, elsewhere a run of it counts as one space."""
    return re.sub(r"\s*([<>])\s*", r"\1", collapsed(text))


def _around_difference(one: str, other: str) -> tuple[str, str]:
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, at - 20)
    return repr(one[start : at + 40]), repr(other[start : at + 40])


def _keep_alive(stack: Stack, subject: Subject, profiles: Mapping[str, Profile]) -> Iterator[Failure]:
    """Whether the server keeps connections as configured: half of what a comparison may measure hangs on it."""
    path = next((profile.path for profile in profiles.values() if not profile.writes), subject.config.ready.path)
    replies = stack.services.agent.requests(_request(subject, Request(path=path)), 2, timeout_s=_ANSWER_S)
    kept = not replies[0].problem and replies[0].kept and not replies[-1].problem
    if kept != subject.config.keep_alive:
        words = {True: "the connection kept open", False: "the connection closed after the reply"}
        got = replies[-1].problem or words[kept]
        yield Failure(subject.name, f"keep_alive: {str(subject.config.keep_alive).lower()}", words[not kept], got)


def _connections(stack: Stack, subject: Subject, profiles: Mapping[str, Profile]) -> Iterator[Failure]:
    """Whether the server answers on as many connections at once as the largest profile will open."""
    most = max(profiles.values(), key=lambda profile: profile.connections)
    answered = stack.services.agent.connections(
        _request(subject, Request(path=subject.config.ready.path)), most.connections,
        hold=subject.config.keep_alive, limit_s=_CONNECTIONS_S,
    )  # fmt: skip
    if answered < most.connections:
        expected = f"{most.connections} connections open at once and all answered within {_CONNECTIONS_S:g} s"
        yield Failure(subject.name, "live connections", expected, str(answered))


def _check_json_sql(subject: Subject, replies: Sequence[Reply], check: Check) -> Iterator[tuple[str, str]]:
    if not check.expect.json_sql or not replies or subject.database is None:
        return
    try:
        body = json.loads(replies[-1].body)
    except ValueError:
        yield "a JSON reply", _short(_text(replies[-1]))
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


def _request(subject: Subject, request: Request) -> HttpRequest:
    handle = subject.handle
    return HttpRequest(handle.host, handle.port, request.path, request.method, request.headers, request.body)


def _rule(check: Check) -> str:
    return f"{check.name} ({check.rule})" if check.rule else check.name


def _text(reply: Reply) -> str:
    return reply.body.decode(errors="replace")


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:120] + "…")
