"""Verification of real applications: the correct ones pass, and each fault of the others is named."""

from dataclasses import replace

import pytest
from tests.docker.conftest import FAULTS
from tests.quiet import Quiet

from bench_action.config.load import Project
from bench_action.stack.stack import Stack
from bench_action.verify.failures import Failure
from bench_action.verify.subjects import verify_subjects

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def failures(stack: Stack, project: Project) -> tuple[Failure, ...]:
    """Verify every subject except the tiny one, which does not implement the contract."""
    subjects = tuple(subject for subject in stack.subjects if subject.name != "tiny")
    stack.renew(*subjects)
    return verify_subjects(replace(stack, subjects=subjects), project, Quiet())


def describe(failures: tuple[Failure, ...], subject: str) -> list[str]:
    """Describe the failures of one subject."""
    return [str(failure).removeprefix(f"{subject}: ") for failure in failures if failure.subject == subject]


@pytest.mark.parametrize("subject", ["aiohttp", "django", "late-query"])
def test_verify__counts_the_work_of_a_correct_application_exactly(failures: tuple[Failure, ...], subject: str) -> None:
    assert describe(failures, subject) == []


def test_verify__finds_nothing_else(failures: tuple[Failure, ...]) -> None:
    assert {failure.subject for failure in failures} == {*FAULTS, "closing"}


def test_verify__finds_a_script_that_is_not_escaped(failures: tuple[Failure, ...]) -> None:
    escaped, script, page = describe(failures, "unescaped")
    assert escaped.startswith(
        "the home page (C1, C4): expected a body that contains '&lt;script&gt;alert(1)&lt;/script&gt;', got '<!DOCTYPE"
    )
    assert script.startswith("the home page (C1, C4): expected a body without '<script', got ")
    assert page.startswith("its work and the counter (C2, C3, C5): expected the same page as aiohttp, ")


def test_verify__finds_one_query_too_many(failures: tuple[Failure, ...]) -> None:
    rule = "its work and the counter (C2, C3, C5)"
    assert f"{rule}: expected 5 queries in 5 requests, got 10" in describe(failures, "extra-query")
    assert f"{rule}: expected 100 rows in 5 requests, got 200" in describe(failures, "extra-query")


def test_verify__finds_a_row_that_was_not_written(failures: tuple[Failure, ...]) -> None:
    lost = [line.removeprefix("a new item (C7, C18): ") for line in describe(failures, "lost-row")]
    assert "expected SELECT count(*) FROM item to change by +1, got +0" in lost
    assert "expected 1 query in 1 request, got 0" in lost
    assert "expected id = 20 (SELECT max(id) FROM item), got 21" in lost


def test_verify__finds_keep_alive_other_than_configured(failures: tuple[Failure, ...]) -> None:
    assert describe(failures, "closing") == [
        "keep_alive: false: expected the connection closed after the reply, got the connection kept open"
    ]
