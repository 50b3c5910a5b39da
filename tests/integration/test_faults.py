"""A sample of `make faults`: artifacts of forks, and GitHub's API."""

import pytest
from tests.faults import api, artifacts
from tests.faults.case import Group, examine

pytestmark = pytest.mark.integration

_SEED = 16
_SAMPLE = {"artifacts": range(14), "api": range(0, 836, 97), "runner-files": range(3)}
_GROUPS = {group.name: group for group in (*api.GROUPS, *artifacts.GROUPS)}


@pytest.mark.parametrize("group", [_GROUPS[name] for name in _SAMPLE], ids=_SAMPLE)
def test_faults__show_no_problem(group: Group) -> None:
    shown = [(number, problem) for number in _SAMPLE[group.name] for problem in examine(group, number, _SEED)]
    assert shown == []
