"""A sample of `make faults`: a run that loses a service while it measures."""

import pytest
from tests.faults import moments
from tests.faults.case import Group, examine

pytestmark = pytest.mark.e2e

_KILL: Group = next(group for group in moments.GROUPS if group.name == "kill")
_NUMBER = moments.KILLS.index(("local", "count", "redis"))


def test_kill__of_a_service_keeps_what_was_measured_and_leaves_nothing() -> None:
    assert examine(_KILL, _NUMBER, seed=16) == []
