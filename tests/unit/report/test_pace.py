"""How long blocks took, from the times at which their trials began."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.factories import make_comparison, make_result, make_trial

from bench_action.model.result import Result, Trial
from bench_action.report import undecided
from bench_action.report.pace import Pace, measure_pace

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 11, 23, tzinfo=UTC)


def make_trials(*minutes: int) -> list[Trial]:
    """Build a duet's trial in each block, begun so many minutes after the first."""
    starts = [(BEGIN + timedelta(minutes=minute)).isoformat() for minute in minutes]
    return [make_trial(block=block, phase="duet", started_at=start) for block, start in enumerate(starts)]


@pytest.mark.parametrize(
    ("minutes", "block_s"),
    [
        ((0, 1, 2, 3), 60.0),
        ((0, 1, 600, 601, 602), 60.0),  # the clock was set forward
        ((0, 1, -600, -599, -598), 60.0),  # and back
        ((0, -600), None),
        ((0,), None),
        ((), None),
    ],
)
def test_measure_pace__is_that_of_most_blocks_even_if_the_clock_was_set(
    minutes: tuple[int, ...], block_s: float | None
) -> None:
    result = make_result(make_trials(*minutes))
    assert measure_pace(result).find_block_s(make_comparison()) == block_s


def test_list_explanations__measures_the_pace_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the times of thousands of trials for each of thousands of comparisons would take hours."""
    measured: list[Pace] = []

    def measure(result: Result) -> Pace:
        measured.append(measure_pace(result))
        return measured[-1]

    monkeypatch.setattr(undecided, "measure_pace", measure)
    many = tuple(make_comparison(variant=f"v{number}", verdict="inconclusive") for number in range(20))
    assert len(undecided.list_explanations(make_result(comparisons=many, verdict="inconclusive"))) == 20
    assert len(measured) == 1
