"""Every subject against the checks and the work that it should do, before anything is measured."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project
from bench_action.config.schema import Check, Profile, Request
from bench_action.load.generator import HttpRequest
from bench_action.model.errors import VerificationError
from bench_action.model.progress import Progress
from bench_action.model.wording import plural
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.checks import Answers, run_check
from bench_action.verify.pages import around_difference, normalised, without_tokens

_CONNECTIONS_S = 30.0
_GONE = frozenset({404, 405, 410})


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that a subject breaks. `profiles`: those it concerns, None where it concerns all the subject does."""

    subject: str
    rule: str
    expected: str
    got: str
    profiles: frozenset[str] | None = None
    log: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.subject}: {self.rule}: expected {self.expected}, got {self.got}"


def verify_subjects(
    stack: Stack, project: Project, progress: Progress, base: Baseline | None = None
) -> tuple[Failure, ...]:
    """Collect all failures, by subject. Raises StackError when a part dies.

    Head is verified by head's checks and base by its own, as a change may well change what a check expects; where base
    has no valid configuration, by head's. If base's rules judge, a check that head has removed still applies to head,
    unless head has removed the route as well.
    """
    subjects = {subject.name: subject for subject in stack.subjects}
    progress.step(f"verifying {', '.join(subjects)}")
    failures: list[Failure] = []
    restless: set[str] = set()
    for own, alike in _by_configuration(project, subjects.values()):
        for check, subjects_of_check in checks_of(own, alike, base if own is project else None):
            concerned = profiles_of(check.request.path, own.profiles)
            answers = run_check(stack, subjects_of_check, check, restless)
            if check.name not in {one.name for one in own.config.checks}:
                answers = [one for one in answers if one.subject.revision == "base" or not is_gone(one)]
            failures += _failures(answers, check, concerned)
            if check.expect.same:
                different = _same_pages(stack, answers, check, restless, progress)
                failures += [replace(failure, profiles=concerned) for failure in different]
        failures += _keep_alive(stack, alike, own.profiles, base)
        for subject in alike:
            failures += _connections(stack, subject, own.profiles)
        failures += _dead_bases(stack, alike)
        require_alive(stack.engine, "while it was verified")
    order = list(subjects)
    return tuple(sorted(failures, key=lambda failure: order.index(failure.subject)))


def checks_of(
    own: Project, subjects: Sequence[Subject], base: Baseline | None
) -> Iterator[tuple[Check, Sequence[Subject]]]:
    """Yield each check with the subjects that it applies to; one that both revisions have is sent to all together."""
    heads, bases = own.config.checks, own.config.checks
    if base is not None and base.valid:
        bases = base.project.config.checks
    elif base is not None:  # head's rules, which base never agreed to: only those about what is measured
        bases = [check for check in heads if profiles_of(check.request.path, own.profiles)]
    for check in heads:
        yield check, [one for one in subjects if one.revision == "head" or check in bases]
    named = {check.name for check in heads}
    for check in bases:
        removed = base is not None and base.judges and check.name not in named
        others = [one for one in subjects if one.revision == "base" or removed] if check not in heads else []
        if others:
            yield check, others


def is_gone(answers: Answers) -> bool:
    """Tell whether a subject no longer has the route of a check, or the tables that its SQL prepares."""
    return not answers.replies or any(reply.status in _GONE for reply in answers.replies)


def profiles_of(path: str, profiles: Mapping[str, Profile]) -> frozenset[str] | None:
    """Find the profiles that load the path of a check; None where no profile does, so that it concerns them all."""
    own, _, _ = path.partition("?")
    found = frozenset(name for name, profile in profiles.items() if profile.path.partition("?")[0] == own)
    return found or None


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
        advice="fix the variant, or the `checks:` of the configuration if they expect the wrong thing",
    )


def compare_pages(rule: str, pages: Mapping[str, str]) -> Iterator[Failure]:
    """Subjects whose page differs from the first subject's. `pages`: name → normalised body."""
    if not pages:
        return
    first, *others = pages
    for name in others:
        if pages[name] != pages[first]:
            expected, got = around_difference(pages[first], pages[name])
            yield Failure(name, rule, f"the same page as {first}, {expected}", got)


def compare_restless_pages(rule: str, pages: Mapping[str, str], again: Mapping[str, str]) -> tuple[str, list[Failure]]:
    """Compare pages of which some differ, without the tokens in which each differs from itself when asked `again`.

    Returns what was left out, in words for the log, and the failures that remain.
    """
    steady = {name: without_tokens(page, again.get(name, page)) for name, page in pages.items()}
    failures = list(compare_pages(rule, steady))
    if failures:
        restless = {name for name, page in pages.items() if steady[name] != without_tokens(again.get(name, page), page)}
        text = " (when it is requested again, the page differs from itself too)"
        return "", [replace(one, got=one.got + text) if one.subject in restless else one for one in failures]
    name = next(name for name in pages if steady[name] != pages[name])
    part, _ = around_difference(pages[name], again[name])
    return f"the page differs from itself at each request (a token?), and was compared without such parts: {part}", []


def _by_configuration(project: Project, subjects: Iterable[Subject]) -> Iterator[tuple[Project, list[Subject]]]:
    """Each configuration with the subjects whose checks are in it: a control may have one of its own."""
    found: dict[str, tuple[Project, list[Subject]]] = {}
    for subject in subjects:
        own = project.find_owner(subject.variant)
        found.setdefault(own.origin, (own, []))[1].append(subject)
    yield from found.values()


def _failures(answers: Sequence[Answers], check: Check, profiles: frozenset[str] | None) -> Iterator[Failure]:
    """What is wrong with the answers to one check, each by itself."""
    for one in answers:
        yield from (Failure(one.subject.name, _rule(check), expected, got, profiles) for expected, got in one.problems)


def _same_pages(
    stack: Stack, answers: Sequence[Answers], check: Check, restless: set[str], progress: Progress
) -> Iterator[Failure]:
    """Subjects whose page differs from that of the others. Where some do, all are asked again: do they differ from
    themselves?
    """
    pages = _pages(answers)
    if not any(True for own in pages.values() for _ in compare_pages("", own)):
        return
    again = _pages(run_check(stack, [one.subject for one in answers], check, restless))
    for revision, own in pages.items():
        steady, failures = compare_restless_pages(_rule(check), own, again[revision])
        yield from failures
        if steady:
            progress.step(f"{check.name}: {steady}")


def _pages(answers: Sequence[Answers]) -> Mapping[str, Mapping[str, str]]:
    """Revision → subject → its page. A change may well change it: base is compared with base, head with head."""
    pages: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for one in answers:
        if one.replies and not one.problems:
            pages[one.subject.revision][one.subject.name] = normalised(one.replies[-1].text)
    return pages


def _rule(check: Check) -> str:
    return f"{check.name} ({check.rule})" if check.rule else check.name


def _dead_bases(stack: Stack, subjects: Sequence[Subject]) -> Iterator[Failure]:
    """Yield a failure for each base subject that has ended by itself; nobody waits for it afterwards."""
    bases = {subject.handle.id: subject for subject in subjects if subject.revision == "base"}
    for end in stack.engine.ended():
        if end.handle.id in bases:
            log = tuple(stack.engine.logs(end.handle))
            stack.engine.stop(end.handle)
            yield Failure(bases[end.handle.id].name, "keep running", "an application that runs", f"it {end}", log=log)


def _keep_alive(
    stack: Stack, subjects: Sequence[Subject], profiles: Mapping[str, Profile], base: Baseline | None
) -> Iterator[Failure]:
    """Whether servers keep connections as configured: half of what a comparison may measure hangs on it."""
    reads = {name: profile.path for name, profile in profiles.items() if not profile.writes}
    known = [reads[name] for name in reads if base is not None and name in base.profiles]
    paths = {"head": next(iter(reads.values()), None), "base": next(iter(known), None)}
    requests = [
        HttpRequest.to(one.handle, Request(path=paths[one.revision] or one.config.ready.path)) for one in subjects
    ]
    words = {True: "the connection kept open", False: "the connection closed after the reply"}
    agent = stack.services.agent
    for subject, answers in zip(subjects, agent.requests_together(requests, 2, bodies=False), strict=True):
        wanted, replies = subject.config.keep_alive, answers
        if replies[0].problem:  # such as a stream that never ends, which concerns its own profile only
            replies = agent.requests(HttpRequest.to(subject.handle, Request(path=subject.config.ready.path)), 2)
        kept = not replies[0].problem and replies[0].kept and not replies[-1].problem
        if kept != wanted:
            got = replies[-1].problem or words[kept]
            yield Failure(subject.name, f"keep_alive: {str(wanted).lower()}", words[wanted], got)


def _connections(stack: Stack, subject: Subject, profiles: Mapping[str, Profile]) -> Iterator[Failure]:
    """Whether the server answers on as many connections at once as the largest profile will open."""
    most = max(profiles.values(), key=lambda profile: profile.connections)
    answered = stack.services.agent.connections(
        HttpRequest.to(subject.handle, Request(path=subject.config.ready.path)),
        most.connections,
        hold=subject.config.keep_alive,
        limit_s=_CONNECTIONS_S,
    )
    if answered < most.connections:
        expected = f"{most.connections} connections open at once and all answered within {_CONNECTIONS_S:g} s"
        fewer = frozenset(name for name, profile in profiles.items() if profile.connections > answered)
        yield Failure(subject.name, "live connections", expected, str(answered), fewer)
