"""A sample of `make faults`: configurations, stored results, histories and texts of strangers."""

import pytest
from tests.faults import configurations, histories, stored, texts
from tests.faults.case import Group, examine

pytestmark = pytest.mark.unit

_SEED = 16
_SAMPLE = {
    "configurations": range(40),
    "stored": range(48),
    "histories": range(1, 7),
    "texts": range(0, 6000, 601),
}
_GROUPS = {group.name: group for group in (*configurations.GROUPS, *stored.GROUPS, *histories.GROUPS, *texts.GROUPS)}


@pytest.mark.parametrize("group", [_GROUPS[name] for name in _SAMPLE], ids=_SAMPLE)
def test_fuzz__shows_no_problem(group: Group) -> None:
    shown = [(number, problem) for number in _SAMPLE[group.name] for problem in examine(group, number, _SEED)]
    assert shown == []


def test_texts__reach_every_field() -> None:
    """A field that is added to the result is among those that hostile texts are put into."""
    fields = {field.place[-1] for field in texts.list_all_fields()}
    assert {"message", "reason", "failure", "command", "variant", "profile", "cpu_model", "problem", "cause"} <= fields
