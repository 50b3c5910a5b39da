"""Decide what can be measured: which subjects, with which profiles, and which cells have a counterpart in base."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.load import Project
from bench_action.git.revisions import Revisions
from bench_action.model.progress import Progress
from bench_action.model.result import Finding, SubjectInfo
from bench_action.model.warning import RunWarning
from bench_action.plan.blocks import Cell
from bench_action.stack.stack import Stack
from bench_action.verify.cells import Counterparts, choose_profiles, send_profiles
from bench_action.verify.connections import choose_connections, find_changed_connections
from bench_action.verify.failures import Failure, describe_failures, make_verification_error
from bench_action.verify.scripts import check_scripts
from bench_action.verify.subjects import verify_subjects


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verification.

    `project`: head, with the profiles to measure. `subjects`: all subjects that came up, and `failures` those of all of
    them. `lacks`: the cells of head without a counterpart in base, and why. `findings`: head does other work than a
    check declares, and base does not; or its server does other things with connections.
    """

    project: Project
    subjects: tuple[SubjectInfo, ...]
    failures: tuple[Failure, ...] = ()
    lacks: Mapping[Cell, Lack] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    warnings: tuple[RunWarning, ...] = ()

    @property
    def head_failures(self) -> tuple[Failure, ...]:
        """The failures of head's subjects; those of base's are in `lacks`."""
        return tuple(failure for failure in self.failures if not failure.subject.endswith("@base"))


def verify(stack: Stack, revisions: Revisions, progress: Progress) -> Verification:
    """Verify all subjects, and find the cells that can be compared.

    A head whose only fault is that it does other work than a check declares, which base does, is measured: that is a
    regression. Raises VerificationError if no subject of head is left to measure, StackError if a part of the stack
    exits.
    """
    check_scripts(stack, revisions.head)
    found = verify_subjects(stack, revisions.head, progress, revisions.base)
    broken = {failure.subject for failure in found if not failure.regression}
    failures = tuple(failure for failure in found if failure.subject in broken)
    failed = describe_failures(failures)
    subjects = tuple(subject.describe(failed.get(subject.name, "")) for subject in stack.subjects)
    findings = [_make_finding(failure) for failure in found if failure.subject not in broken]
    findings += find_changed_connections([subject for subject in stack.subjects if subject.name not in broken])
    verification = Verification(revisions.head, subjects, failures, findings=tuple(findings))
    if not any(subject.verified for subject in subjects if subject.revision == "head"):
        raise make_verification_error(verification.head_failures)
    for failure in verification.head_failures:
        progress.warn(f"not measured: {failure}")
    for finding in findings:
        progress.warn(f"{finding.cell}: {finding.message}")
    if revisions.base is not None:
        verification = _match_base(verification, stack, revisions, revisions.base, progress)
    return _adapt_load(verification, stack, broken, progress)


def _adapt_load(verification: Verification, stack: Stack, broken: Collection[str], progress: Progress) -> Verification:
    """Load all subjects that keep the rules with as many connections as each of them holds."""
    subjects = [subject for subject in stack.subjects if subject.name not in broken]
    project, warnings = choose_connections(verification.project, subjects)
    for warning in warnings:
        progress.warn(f"{warning.message}. {warning.advice}")
    return replace(verification, project=project, warnings=warnings)


def _make_finding(failure: Failure) -> Finding:
    message = f"{failure.rule}: expected {failure.expected}, as base makes; got {failure.got}"
    return Finding(code="work-deviates", message=message, cell=failure.subject, before=None, after=None, fails=True)


def _match_base(
    verification: Verification, stack: Stack, revisions: Revisions, base: Baseline, progress: Progress
) -> Verification:
    """Choose between base's and head's version of each profile, and find head's cells without a counterpart."""
    head, applied = revisions.head, revisions.applied
    replies = send_profiles(stack, head.requested, head.own_variants)
    profiles, changed = choose_profiles(head.profiles, applied.head_profiles or head.profiles, replies)
    project = replace(head, config=head.config.model_copy(update={"profiles": profiles}))
    lacks = Counterparts(base, stack.lacks, verification.failures, replies, changed).find_missing(project)
    for cell, lack in lacks.items():
        if cell.variant not in stack.lacks:
            progress.warn(f"{cell} is measured without base: {lack.reason.replace('`', '')}")
    return replace(verification, project=project, lacks=lacks)
