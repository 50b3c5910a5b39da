"""Verify every subject, before anything is measured: checks, declared work and connections."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project
from bench_action.config.schema import Check, Profile
from bench_action.model.progress import Progress
from bench_action.stack.readiness import require_alive
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.checks import Answers, run_check
from bench_action.verify.connections import check_connections
from bench_action.verify.failures import Failure
from bench_action.verify.pages import mask_tokens, normalise_page, quote_difference

_GONE = frozenset({404, 405, 410})


@dataclass(slots=True)
class _Pages:
    """The pages of a check that must be the same for all variants, if these take turns: sent twice to each."""

    check: Check
    profiles: frozenset[str] | None
    first: list[Answers] = field(default_factory=list)
    again: list[Answers] = field(default_factory=list)


def verify_subjects(
    stack: Stack, project: Project, progress: Progress, base: Baseline | None = None
) -> tuple[Failure, ...]:
    """Verify all subjects; return all failures, by subject. Raises StackError if a part of the run exits.

    Head is verified by head's checks and base by base's, because a change may change what a check expects; base without
    a valid configuration is verified by head's. If base's rules judge, a check that head has removed still applies to
    head, unless head has removed the route as well.
    """
    subjects = {subject.name: subject for subject in stack.subjects}
    progress.step(f"verifying {', '.join(subjects)}")
    failures: list[Failure] = []
    for own, group in _group_by_configuration(project, subjects.values()):
        pages: dict[str, _Pages] = {}
        for turn in stack.split_into_turns(group):
            stack.admit(turn)
            judging = base if own is project else None
            failures += _verify_turn(stack, own, turn, judging, pages=pages, progress=progress)
            failures += check_connections(stack, own, turn, base, progress)
            failures += _stop_dead_bases(stack, turn)
            require_alive(stack.engine, "during verification")
        for kept in pages.values():
            different = _compare_subjects(kept.check, kept.first, partial(tuple, kept.again), progress)
            failures += [replace(failure, profiles=kept.profiles) for failure in different]
    order = list(subjects)
    return tuple(sorted(failures, key=lambda failure: order.index(failure.subject)))


def _verify_turn(
    stack: Stack,
    own: Project,
    turn: Sequence[Subject],
    base: Baseline | None,
    *,
    pages: dict[str, _Pages],
    progress: Progress,
) -> Iterator[Failure]:
    """Yield the failures of all checks of subjects in their slots; `pages` is filled if variants take turns."""
    restless: set[str] = set()
    known = {own_check.name for own_check in own.config.checks}
    for check, checked in assign_checks(own, turn, base):
        profiles = find_profiles(check.request.path, own.profiles)
        answers = run_check(stack, checked, check, restless)
        if check.name not in known:
            answers = [answer for answer in answers if answer.subject.revision == "base" or not is_gone(answer)]
        yield from _collect_failures(answers, check, profiles)
        if not check.expect.same:
            continue
        again = partial(run_check, stack, [answer.subject for answer in answers], check, restless)
        if stack.in_turns:
            kept = pages.setdefault(check.name, _Pages(check, profiles))
            kept.first += answers
            kept.again += again()
        else:
            different = _compare_subjects(check, answers, again, progress)
            yield from (replace(failure, profiles=profiles) for failure in different)


def assign_checks(
    own: Project, subjects: Sequence[Subject], base: Baseline | None
) -> Iterator[tuple[Check, Sequence[Subject]]]:
    """Yield each check with the subjects that it applies to; one that both revisions have is sent to both together."""
    head_checks, base_checks = own.config.checks, own.config.checks
    if base is not None and base.valid:
        base_checks = base.project.config.checks
    elif base is not None:  # base never agreed to head's checks: only those about what is measured apply to it
        base_checks = [check for check in head_checks if find_profiles(check.request.path, own.profiles)]
    for check in head_checks:
        yield check, [subject for subject in subjects if subject.revision == "head" or check in base_checks]
    names = {check.name for check in head_checks}
    for check in base_checks:
        removed = base is not None and base.judges and check.name not in names
        others = [subject for subject in subjects if subject.revision == "base" or removed]
        if check not in head_checks and others:
            yield check, others


def is_gone(answers: Answers) -> bool:
    """Tell whether a subject no longer has the route of a check, or the tables that its SQL prepares."""
    return not answers.replies or any(reply.status in _GONE for reply in answers.replies)


def find_profiles(path: str, profiles: Mapping[str, Profile]) -> frozenset[str] | None:
    """Find the profiles that load the path of a check; None if no profile does, so that it concerns all of them."""
    own, _, _ = path.partition("?")
    loading = frozenset(
        name
        for name, profile in profiles.items()
        if any(route.path.partition("?")[0] == own for route in profile.routes)
    )
    return loading or None


def compare_pages(rule: str, pages: Mapping[str, str]) -> Iterator[Failure]:
    """Yield a failure for each subject whose page differs from the first one's. `pages`: name → normalised body."""
    if not pages:
        return
    first, *others = pages
    for name in others:
        if pages[name] != pages[first]:
            expected, got = quote_difference(pages[first], pages[name])
            yield Failure(name, rule, f"the same page as {first}, {expected}", got)


def compare_changing_pages(rule: str, pages: Mapping[str, str], again: Mapping[str, str]) -> tuple[str, list[Failure]]:
    """Compare pages, without the tokens that change when the page is requested `again`.

    Returns a sentence for the log about what was left out, if anything was, and the failures that remain.
    """
    masked = {name: mask_tokens(page, again.get(name, page)) for name, page in pages.items()}
    failures = list(compare_pages(rule, masked))
    if failures:
        changing = {name for name, page in pages.items() if masked[name] != mask_tokens(again.get(name, page), page)}
        note = " (this page also changes from one request to the next)"
        return "", [
            replace(failure, got=failure.got + note) if failure.subject in changing else failure for failure in failures
        ]
    name = next((name for name in pages if masked[name] != pages[name]), None)
    if name is None:
        return "", []
    part, _ = quote_difference(pages[name], again[name])
    return f"the page changes with every request (a token?); compared without the parts that change: {part}", []


def _group_by_configuration(project: Project, subjects: Iterable[Subject]) -> Iterator[tuple[Project, list[Subject]]]:
    """Yield each configuration with the subjects whose checks are in it: a control may have its own."""
    groups: dict[str, tuple[Project, list[Subject]]] = {}
    for subject in subjects:
        own = project.find_owner(subject.variant)
        groups.setdefault(own.origin, (own, []))[1].append(subject)
    yield from groups.values()


def _collect_failures(answers: Sequence[Answers], check: Check, profiles: frozenset[str] | None) -> Iterator[Failure]:
    passed = {answer.subject.variant for answer in answers if answer.subject.revision == "base" and not answer.problems}
    for answer in answers:
        subject = answer.subject
        is_work = set(answer.problems) <= set(answer.excess)
        regression = is_work and subject.revision == "head" and subject.variant in passed
        for expected, got in answer.problems:
            yield Failure(subject.name, _name_rule(check), expected, got, profiles, regression=regression)


def _compare_subjects(
    check: Check, answers: Sequence[Answers], again: Callable[[], Sequence[Answers]], progress: Progress
) -> Iterator[Failure]:
    """Yield a failure for each subject whose page differs from the others'.

    If some of a revision differ, all are requested `again`, to find out whether they differ from themselves.
    """
    different = {revision: own for revision, own in _collect_pages(answers).items() if any(compare_pages("", own))}
    if not different:
        return
    repeated = _collect_pages(again())
    for revision, own in different.items():
        left_out, failures = compare_changing_pages(_name_rule(check), own, repeated.get(revision, {}))
        yield from failures
        if left_out:
            progress.step(f"{check.name}: {left_out}")


def _collect_pages(answers: Sequence[Answers]) -> Mapping[str, Mapping[str, str]]:
    """Map revision → subject → page. A change may change the page: base is compared with base, head with head."""
    pages: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for answer in answers:
        if answer.replies and not answer.problems:
            pages[answer.subject.revision][answer.subject.name] = normalise_page(answer.replies[-1].text)
    return pages


def _name_rule(check: Check) -> str:
    return f"{check.name} ({check.rule})" if check.rule else check.name


def _stop_dead_bases(stack: Stack, subjects: Sequence[Subject]) -> Iterator[Failure]:
    """Yield a failure for each base subject that has exited on its own; from now on the run goes on without it."""
    bases = {handle.id: subject for subject in subjects if subject.revision == "base" for handle in subject.handles}
    for end in stack.engine.ended():
        if end.handle.id in bases:
            log = tuple(stack.engine.logs(end.handle))
            stack.engine.stop(end.handle)
            yield Failure(bases[end.handle.id].name, "keep running", "an application that runs", f"it {end}", log=log)
