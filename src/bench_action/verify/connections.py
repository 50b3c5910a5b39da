"""Find out what servers do with connections: whether they keep them open, and how many they hold."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project
from bench_action.config.schema import Profile
from bench_action.load.generator import HttpRequest, Reply, Tape
from bench_action.load.replies import judge_loaded, recount_errors, summarise_replies
from bench_action.load.validity import Circumstances, judge
from bench_action.load.wrk import parse_report
from bench_action.model.progress import Progress
from bench_action.model.result import Finding, cell_name
from bench_action.model.warning import WRONG_REPLIES, Code, RunWarning
from bench_action.model.wording import plural
from bench_action.stack.session import SessionError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.failures import Failure

_CONNECTIONS_S = 30.0
_CHOSEN_S = 10.0  # the same for a smaller number that we choose
_PROBE_S = 1
_TRIES = 2  # of the number that a preset asks for: noise must not reduce it
_WORSE = 4  # head holds so many times fewer connections than base: a change that no noise causes
_MORE_CONNECTIONS = (
    "raise how many connections the server may open (`ulimits: {nofile: …}`), lets wait (the backlog of its `listen`: "
    "gunicorn and uvicorn `--backlog`, Node.js `listen({backlog})`, Python's socketserver `request_queue_size`) or "
    "serves at a time; or lower `connections`"
)
_ANSWERS = "let the application answer one request after the other; its log may show why it does not"
_OPEN = {True: "the connection kept open", False: "the connection closed after the reply"}
_CHANGED = {
    True: "its server keeps connections open, and base's closes them after each reply",
    False: "its server closes connections after each reply, and base's keeps them open: each request needs a new one",
}
_UNCONNECTED = frozenset({Code.CONNECT_ERRORS, Code.FEWER_CONNECTIONS})


class _Seen(NamedTuple):
    """What two requests in a row showed. `status`, `until_close`: of the first reply; a status of 0 without one."""

    kept: bool
    problem: str
    status: int
    until_close: bool


def check_connections(
    stack: Stack, own: Project, subjects: Sequence[Subject], base: Baseline | None, progress: Progress
) -> Iterator[Failure]:
    """Check what the servers of subjects in their slots do with connections, and keep it in the stack's subjects.

    That is: whether they stay open after a reply, which must be as configured, if it is; and whether there may be as
    many as the profiles open. If the preset chose that number, fewer are enough: how many is found out.
    """
    failures = list(_open_sessions(stack, subjects, own.requested, base))
    yield from failures
    if not own.requested:
        return  # scripts may speak another protocol than HTTP
    failed = {failure.subject: failure.profiles or frozenset() for failure in failures}
    seen = _observe_all(stack, subjects, own.requested, base, failed)
    for subject in subjects:
        first = next(iter(seen[subject.name].values()), None)
        first = first or _observe(stack, subject)
        kept = {name: seen[subject.name].get(name, first).kept for name in own.profiles}
        known = replace(subject, kept=kept)
        yield from _judge_keep_alive(known, first)
        if not all(kept.values()) and subject.config.keep_alive is None and not first.problem:
            number = "two, as the reply has no length," if first.until_close else "a new one"
            progress.step(f"{subject.name} closes connections after a reply: wrk opens {number} for each request")
        statuses = {name: found.status for name, found in seen[subject.name].items()}
        held = {} if first.problem else _find_all_held(stack, own, known, statuses)
        stack.update(replace(known, held={name: count for name, count in held.items() if count}))
        yield from _judge_number(stack, own, known, held)


def _list_asked(subjects: Sequence[Subject], profile: str, base: Baseline | None) -> list[Subject]:
    return [each for each in subjects if each.revision == "head" or (base is not None and profile in base.profiles)]


def _open_sessions(
    stack: Stack, subjects: Sequence[Subject], profiles: Mapping[str, Profile], base: Baseline | None
) -> Iterator[Failure]:
    """Open the session of each profile that has one. Yields the subjects that do not let it be opened."""
    for name, profile in profiles.items():
        for subject in _list_asked(subjects, name, base) if profile.session is not None else ():
            try:
                stack.open_session(subject, name, profile)
            except SessionError as error:
                rule, concerned = f"session of profile {name}", frozenset({name})
                yield Failure(subject.name, rule, error.expected, error.got, concerned, advice=error.advice)


def _observe_all(
    stack: Stack,
    subjects: Sequence[Subject],
    profiles: Mapping[str, Profile],
    base: Baseline | None,
    failed: Mapping[str, Collection[str]],
) -> dict[str, dict[str, _Seen]]:
    """Send each profile that only reads twice, to all subjects together: subject → profile → what was seen.

    `failed`: subject → profiles whose session cannot be opened.
    """
    seen: dict[str, dict[str, _Seen]] = {subject.name: {} for subject in subjects}
    for name, profile in profiles.items():
        asked = _list_asked(subjects, name, base)
        if profile.writes or not asked:
            continue
        asked = [stack.open_session(each, name, profile) for each in asked if name not in failed.get(each.name, ())]
        if not asked:
            continue
        tapes = [subject.address_profile(profile) for subject in asked]
        answers = stack.agent.requests_together(tapes, 2, bodies="none")
        for subject, tape, replies in zip(asked, tapes, answers, strict=True):
            if replies[0].problem:  # an endless stream, for example, which concerns its own profile only
                seen[subject.name][name] = _observe(stack, subject)
            else:
                seen[subject.name][name] = _describe(stack, tape, replies)
    return seen


def _observe(stack: Stack, subject: Subject) -> _Seen:
    """Send two requests in a row that the subject accepts, with the host name and the headers by which it is ready."""
    request = subject.address_request(subject.config.ready.request)
    return _describe(stack, request, stack.agent.requests(request, 2, bodies="none"))


def _describe(stack: Stack, request: HttpRequest | Tape, replies: Sequence[Reply]) -> _Seen:
    """Describe the replies to two requests. A server may also close a connection without announcing it."""
    first, last = replies[0], replies[-1]
    problem = last.problem
    if problem and not first.problem:
        problem = stack.agent.requests(request, 1, bodies="none")[-1].problem
    return _Seen(first.kept and not last.problem, problem, first.status, first.until_close)


def _judge_keep_alive(subject: Subject, seen: _Seen) -> Iterator[Failure]:
    """Require keep-alive as configured, as it may be half of a measured difference, or at least two replies."""
    wanted = subject.config.keep_alive
    if wanted is None:
        if seen.problem:
            expected = "a reply to each of two requests in a row"
            yield Failure(subject.name, "requests in a row", expected, seen.problem, advice=_ANSWERS)
    elif seen.kept != wanted:
        got = seen.problem or _OPEN[seen.kept]
        cure = f"if that is how its server works, set `keep_alive: {str(seen.kept).lower()}`, or leave it out"
        advice = "" if seen.problem else cure
        yield Failure(subject.name, f"keep_alive: {str(wanted).lower()}", _OPEN[wanted], got, advice=advice)


def list_chosen(project: Project) -> dict[str, Profile]:
    """List the profiles that are the preset's own, as the configuration has none: these may be adapted to a server."""
    return {name: profile for name, profile in project.profiles.items() if project.policy.profiles.get(name) == profile}


def _judge_number(stack: Stack, own: Project, subject: Subject, held: Mapping[str, int]) -> Iterator[Failure]:
    """Require replies on as many simultaneous connections as the largest profile opens, on one if it may be fewer."""
    if none := frozenset(name for name, count in held.items() if not count):
        expected = f"a reply on one connection within {_CHOSEN_S:g} s"
        yield Failure(subject.name, "live connections", expected, "none", none, advice=_ANSWERS)
    profiles = {name: profile for name, profile in own.requested.items() if name not in list_chosen(own)}
    if not profiles:
        return
    name, most = max(profiles.items(), key=lambda item: item[1].connections)
    hold = subject.keeps_open(name)
    request = subject.address_request(subject.config.ready.request)
    answered = stack.agent.connections(request, most.connections, hold=hold, limit_s=_CONNECTIONS_S).answered
    if answered < most.connections:
        expected = f"{most.connections} simultaneous connections, all answered within {_CONNECTIONS_S:g} s"
        fewer = frozenset(name for name, profile in profiles.items() if profile.connections > answered)
        yield Failure(subject.name, "live connections", expected, str(answered), fewer, advice=_MORE_CONNECTIONS)


def _find_all_held(stack: Stack, own: Project, subject: Subject, statuses: Mapping[str, int]) -> dict[str, int]:
    """Find how many connections a server holds with each profile of the preset. `statuses`: of one request at a time.

    A server that holds all connections of the largest profile holds those of the others.
    """
    held: dict[str, int] = {}
    enough = 0
    for name, profile in sorted(list_chosen(own).items(), key=lambda item: -item[1].connections):
        if profile.connections <= enough:
            held[name] = profile.connections
            continue
        answers = name in statuses and profile.expect.accepts(statuses[name])
        held[name] = _find_held(stack, subject, name, profile, answers=answers)
        enough = held[name] if held[name] == profile.connections else enough
    return held


def _find_held(stack: Stack, subject: Subject, name: str, profile: Profile, *, answers: bool) -> int:
    """Find how many connections a server holds: all that the profile opens, else a power of two; 0 if not even one.

    After a number that it did not hold, the subject is renewed: it may be left with what nobody waits for any more.
    `answers`: it answers the profile's request as expected if there is one at a time.
    """
    count, tries = profile.connections, 1
    while True:
        limit_s = _CONNECTIONS_S if count == profile.connections else _CHOSEN_S
        held = _count_held(stack, subject, name, resize(profile, count), answers=answers, limit_s=limit_s)
        if held >= count and count < profile.connections and count > 1:
            held = count if _bears(stack, subject, name, resize(profile, count), answers=answers) else count - 1
        if held >= count or count == 1:
            return min(held, count)
        if count < profile.connections or tries == _TRIES:
            count = 1 << max(1, min(held, count - 1)).bit_length() - 1
        tries += 1
        stack.renew(subject)


def _count_held(stack: Stack, subject: Subject, name: str, profile: Profile, *, answers: bool, limit_s: float) -> int:
    """Count the connections that are accepted at the same time and answered, out of as many as a profile opens."""
    request = subject.address_profile(profile)
    hold = subject.keeps_open(name)
    burst = stack.agent.connections(request, profile.connections, hold=hold, limit_s=limit_s)
    held = burst.answered - burst.late
    expected = sum(n for status, n in burst.statuses.items() if status and profile.expect.accepts(int(status)))
    return min(held, expected) if answers and 2 * expected < burst.answered else held


def _bears(stack: Stack, subject: Subject, name: str, profile: Profile, *, answers: bool) -> bool:
    """Load a subject for a moment, to see whether a smaller number of connections can be measured."""
    report = parse_report(stack.agent.wrk(subject.order_load(profile, _PROBE_S), lambda: None, _PROBE_S), subject.name)
    report = recount_errors(report, profile.expect)
    keeps_open = subject.keeps_open(name)
    report = report if keeps_open else report.without_keep_alive()
    circumstances = Circumstances(subject.name, keeps_open, 1, throttled_ms=0.0)
    loaded = judge_loaded(report, profile, summarise_replies(report.sampled), None, subject.name)
    codes = {warning.code for warning in (*judge(report, profile, circumstances), *loaded)}
    return not codes & (_UNCONNECTED | (WRONG_REPLIES if answers else frozenset()))


def resize(profile: Profile, connections: int) -> Profile:
    """Give a profile another number of connections, which its threads share equally."""
    return profile.model_copy(update={"connections": connections, "threads": math.gcd(profile.threads, connections)})


def choose_connections(project: Project, subjects: Sequence[Subject]) -> tuple[Project, tuple[RunWarning, ...]]:
    """Load all subjects with as many connections as each of them holds, if the preset chose their number.

    Returns the project, and a warning for each profile that opens fewer.
    """
    smaller: dict[str, int] = {}
    warnings = []
    for name, profile in project.profiles.items():
        held = {subject.name: subject.held[name] for subject in subjects if name in subject.held}
        least = min(held.values(), default=profile.connections)
        if least < profile.connections:
            smaller[name] = least
            few = " and ".join(subject for subject, count in held.items() if count == least)
            number = f"{plural(least, 'connection')} instead of {profile.connections}"
            warnings.append(Code.CONNECTIONS_CHOSEN.warn(f"{name} opens {number}, as many as {few} can hold"))
    return (_resize_all(project, smaller) if smaller else project), tuple(warnings)


def _resize_all(project: Project, smaller: Mapping[str, int]) -> Project:
    """Resize profiles, those of the control as well: it gets the same load."""
    wanted = {name: project.profiles[name].connections for name in smaller}
    profiles = {
        name: resize(profile, smaller.get(name, profile.connections)) for name, profile in project.profiles.items()
    }
    config = project.config.model_copy(update={"profiles": profiles})
    control = project.control_project
    control = _resize_all(control, smaller) if control is not None else None
    return replace(project, config=config, control_project=control, preset_connections=wanted)


def find_changed_connections(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Find what head's servers do with connections otherwise than base's: the load is the same for both.

    Holding fewer is a regression only if it is far fewer, as a number at the limit of a server depends on chance.
    """
    bases = {subject.variant: subject for subject in subjects if subject.revision == "base"}
    for head in subjects:
        base = bases.get(head.variant)
        if head.revision == "base" or base is None:
            continue
        for name in head.kept.keys() & base.kept.keys():
            if head.kept[name] != base.kept[name]:
                yield _make_finding("keep-alive-changed", head, name, _CHANGED[head.kept[name]])
        for name in head.held.keys() & base.held.keys():
            before, after = base.held[name], head.held[name]
            if before != after:
                text = f"its server holds {plural(after, 'connection')}, and base's holds {before}"
                yield _make_finding("connections-held", head, name, text, fails=_WORSE * after <= before)


def _make_finding(code: str, head: Subject, profile: str, message: str, *, fails: bool = False) -> Finding:
    cell = cell_name(head.variant, "head", profile)
    return Finding(code=code, message=message, cell=cell, before=None, after=None, fails=fails)
