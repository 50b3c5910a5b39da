"""A sample of `make faults`: a run that is cancelled while it measures."""

import pytest
from tests.faults import moments
from tests.faults.case import Group, examine

pytestmark = pytest.mark.e2e

_CANCEL: Group = next(group for group in moments.GROUPS if group.name == "cancel")
_NUMBER = 15  # with the local engine, after six seconds


def test_cancel__in_the_middle_of_a_run_keeps_what_was_measured_and_leaves_nothing() -> None:
    assert examine(_CANCEL, _NUMBER, seed=16) == []
