"""How long blocks took, from the times at which their trials began."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.factories import make_compared, make_comparison, make_duet, make_result, make_trial

from bench_action.config.gates import default_gates
from bench_action.model.result import Result, Trial
from bench_action.report import undecided
from bench_action.report.change_table import tabulate_changes
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


def make_waiting(rate: float) -> list[Trial]:
    """Make duets in which head answers this share of base's requests, with the same CPU for each."""
    trials = []
    for n in range(1, 9):
        for trial in make_duet(n, base=10_000 + n, head=rate * (10_000 + n)):
            factor = (1 + 0.0003 * (-1) ** n) * (rate if trial.side == "head" else 1.0)
            cpu = {**trial.cpu_ms, "application": trial.cpu_ms["application"] * factor}
            trials.append(trial.model_copy(update={"cpu_ms": cpu}))
    return trials


def test_requests_that_cpu_per_request_does_not_confirm__are_explained() -> None:
    gates = {metric: default_gates()[metric] for metric in ("requests_per_second", "cpu_ms_per_request")}
    lost, won = (make_compared(make_waiting(rate), gates=gates) for rate in (0.988, 1.012))
    (why,) = undecided.list_explanations(lost)
    assert why.startswith(
        "Not sure about requests/s of `aiohttp · article-500` (application CPU/request does not show the same change): "
        "the change is −1.2 %, 99 % interval"
    )
    assert why.endswith(
        "More blocks would tell whether it changes as well; if not, requests wait: compare at a fixed `rate`."
    )
    (row,) = (row for row in tabulate_changes(won).rows if row[0] == "requests/s")
    assert row[4] == "⚪ not certain"
    assert undecided.list_explanations(won) == ()


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
