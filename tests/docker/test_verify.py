"""Verification of the real applications: nothing wrong with the sound ones, and each fault of the others is named."""

from dataclasses import replace

import pytest
from tests.docker.conftest import FAULTS
from tests.quiet import Quiet

from bench_action.config.load import Project
from bench_action.stack.stack import Stack
from bench_action.verify.subjects import Failure, verify_subjects

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def failures(stack: Stack, project: Project) -> tuple[Failure, ...]:
    """Those of every subject but the tiny one, which knows nothing of the contract."""
    subjects = tuple(subject for subject in stack.subjects if subject.name != "tiny")
    stack.renew(*subjects)
    return verify_subjects(replace(stack, subjects=subjects), project, Quiet())


def told(failures: tuple[Failure, ...], subject: str) -> list[str]:
    """What is said of one subject."""
    return [f"{one.rule}: expected {one.expected}, got {one.got}" for one in failures if one.subject == subject]


@pytest.mark.parametrize("subject", ["aiohttp", "django", "late-query"])
def test_verify__counts_the_work_of_a_sound_application_exactly(failures: tuple[Failure, ...], subject: str) -> None:
    assert told(failures, subject) == []


def test_verify__notices_nothing_else(failures: tuple[Failure, ...]) -> None:
    assert {failure.subject for failure in failures} == {*FAULTS, "closing"}


def test_verify__notices_a_script_that_is_not_escaped(failures: tuple[Failure, ...]) -> None:
    escaped, script, page = told(failures, "unescaped")
    assert escaped.startswith(
        "the home page (C1, C4): expected a body that contains '&lt;script&gt;alert(1)&lt;/script&gt;', got '<!DOCTYPE"
    )
    assert script.startswith("the home page (C1, C4): expected a body without '<script', got ")
    assert page.startswith("its work and the counter (C2, C3, C5): expected the same page as aiohttp, ")


def test_verify__notices_one_query_too_many(failures: tuple[Failure, ...]) -> None:
    rule = "its work and the counter (C2, C3, C5)"
    assert f"{rule}: expected 5 queries in 5 requests, got 10" in told(failures, "extra-query")
    assert f"{rule}: expected 100 rows in 5 requests, got 200" in told(failures, "extra-query")


def test_verify__notices_a_row_that_was_not_written(failures: tuple[Failure, ...]) -> None:
    lost = [line.removeprefix("a new item (C7, C18): ") for line in told(failures, "lost-row")]
    assert "expected SELECT count(*) FROM item to change by +1, got +0" in lost
    assert "expected 1 query in 1 request, got 0" in lost
    assert "expected id = 20 (SELECT max(id) FROM item), got 21" in lost


def test_verify__notices_keep_alive_other_than_configured(failures: tuple[Failure, ...]) -> None:
    assert told(failures, "closing") == [
        "keep_alive: false: expected the connection closed after the reply, got the connection kept open"
    ]
