"""What can be measured after verification."""

from types import SimpleNamespace
from typing import cast

import pytest
from tests.quiet import Quiet
from tests.unit.factories import make_subject

from bench_action.git.revisions import Revisions
from bench_action.model.errors import VerificationError
from bench_action.stack.stack import Stack
from bench_action.verify import verification as module
from bench_action.verify.failures import Failure
from bench_action.verify.verification import Verification, verify

pytestmark = pytest.mark.unit


def verify_with(
    monkeypatch: pytest.MonkeyPatch, *failures: Failure, base: bool = False
) -> tuple[Verification, list[str]]:
    """Verify `web` and `old`, which break these rules; return the result and the warnings."""

    def subject(name: str, revision: str) -> SimpleNamespace:
        full = name if revision == "head" else f"{name}@base"
        return SimpleNamespace(
            name=full,
            variant=name,
            revision=revision,
            kept={},
            held={},
            describe=lambda failure: make_subject(name, revision=revision, verified=not failure, failure=failure),
        )

    monkeypatch.setattr(module, "verify_subjects", lambda *_: failures)
    monkeypatch.setattr(module, "choose_connections", lambda project, _: (project, ()))
    subjects = [subject("web", "head"), subject("old", "head"), *([subject("web", "base")] if base else [])]
    revisions = cast(Revisions, SimpleNamespace(head=SimpleNamespace(scripts={}, needs_k6=False), base=None))
    warnings: list[str] = []
    progress = Quiet()
    monkeypatch.setattr(progress, "warn", warnings.append)
    return verify(cast(Stack, SimpleNamespace(subjects=subjects)), revisions, progress), warnings


def failure(subject: str) -> Failure:
    return Failure(subject, "home", "status 200", "500")


def test_verify__a_head_that_fails_is_reported_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    verification, warnings = verify_with(monkeypatch, failure("old"))
    assert [(subject.name, subject.verified) for subject in verification.subjects] == [("web", True), ("old", False)]
    assert warnings == ["not measured: old: home: expected status 200, got 500"]


def test_verify__nothing_is_measured_if_every_head_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VerificationError, match="web, old broke 2 rules"):
        verify_with(monkeypatch, failure("web"), failure("old"))


def test_verify__a_base_that_fails_does_not_stop_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    verification, warnings = verify_with(monkeypatch, failure("web@base"), base=True)
    assert verification.head_failures == ()
    assert [subject.name for subject in verification.subjects if not subject.verified] == ["web@base"]
    assert warnings == []


def test_verify__work_that_base_does_as_declared_is_a_regression_of_head_which_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = Failure("web", "list", "1 query in 1 request", "21", regression=True)
    verification, warnings = verify_with(monkeypatch, more)
    assert [subject.verified for subject in verification.subjects] == [True, True]
    assert verification.failures == ()
    (finding,) = verification.findings
    assert (finding.code, finding.cell, finding.fails) == ("work-deviates", "web", True)
    assert finding.message == "list: expected 1 query in 1 request, as base makes; got 21"
    assert warnings == [f"web: {finding.message}"]


def test_verify__a_head_that_breaks_another_rule_too_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    more = Failure("old", "list", "1 query in 1 request", "21", regression=True)
    verification, _ = verify_with(monkeypatch, more, failure("old"))
    assert verification.head_failures == (more, failure("old"))
    assert verification.findings == ()
