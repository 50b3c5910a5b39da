"""What a check reports, what a backtest counts, and the badge."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from tests.unit.trend.simulated import series
from tests.unit.trend.test_change_points import only, stepped, with_work

from bench_action.trend.backtest import make_backtest_table, replay
from bench_action.trend.badge import make_badge
from bench_action.trend.change_points import find_change_points
from bench_action.trend.check import describe_change, describe_false_alarms, summarize_check

pytestmark = pytest.mark.unit


def test_describe_change__names_metric_size_commits_and_work() -> None:
    found = only(find_change_points(with_work(series(stepped(-0.05)), new=(2.0, 20.0))))
    text = describe_change(found)
    assert text.startswith("shop · list: requests/s against the control −")
    # two commits with the same short name are shown as one
    assert f"worse, since 2024-04-10 ({'0' * 10}..{'0' * 10})" not in text
    assert text.endswith("the work per request changed too")


def test_describe_change__hints_at_the_machine_if_the_control_changed_as_well() -> None:
    found = only(find_change_points(series(stepped(0.1), "startup_s", relative=False)))
    hint = "; the control's own start-up changed with it, so the machine may be the cause"
    assert hint not in describe_change(found)
    assert describe_change(replace(found, control_changed=True)).endswith(hint)


@pytest.mark.parametrize(("mixed", "hint"), [(False, True), (True, False)])
def test_describe_change__hints_at_a_new_version_of_the_tool(mixed: bool, hint: bool) -> None:
    whole = series(stepped(-0.1))
    points = [replace(p, tool_version="0.2.0" if n >= 100 or mixed else "0.1.0") for n, p in enumerate(whole.points)]
    found = only(find_change_points(replace(whole, points=tuple(points))))
    assert (
        describe_change(found).endswith("; the version of bench-action changed at the same time and may be the cause")
        == hint
    )


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("", "", "worse, since 2024-04-10; the work"),
        ("a" * 40, "a" * 40, f"since 2024-04-10 (at {'a' * 10}, which the previous run measured too); the work"),
        ("", "b" * 40, f"since 2024-04-10 (unknown..{'b' * 10}); the work"),
    ],
)
def test_describe_change__names_the_commits_that_are_known(before: str, after: str, text: str) -> None:
    found = only(find_change_points(series(stepped(-0.05))))
    assert text in describe_change(replace(found, last_before=before, first_after=after))


@pytest.mark.parametrize(("rate", "text"), [(0.002, "0.002"), (0.0123, "0.012"), (0.00001, "0.00001"), (2.5, "2.50")])
def test_describe_change__a_rise_from_zero_has_enough_digits(rate: float, text: str) -> None:
    found = only(find_change_points(series([0.0] * 40 + [rate] * 10, "error_rate")))
    assert f"errors/request against the control from 0 to {text}, worse" in describe_change(found)


def test_summarize_check__counts() -> None:
    worse, better = only(find_change_points(series(stepped(-0.1)))), only(find_change_points(series(stepped(0.1))))
    assert summarize_check([worse, better], 7) == "2 new change points: 1 worse, 1 better"
    assert summarize_check([], 7) == "no new change point in 7 series"
    assert "10,000 records" in describe_false_alarms()


def test_replay__an_alarm_is_undone_if_the_level_returns() -> None:
    noise = [100.0] * 20 + [90.0] + [100.0] * 20  # one bad record
    step = [100.0] * 20 + [90.0] * 20
    for values, undone, confirmed in ((noise, 1, 0), (step, 0, 1)):
        found = replay(series(values), 0.05)
        assert (found.alarms, found.undone, found.confirmed, found.pending) == (1, undone, confirmed, 0)


def test_replay__the_newest_alarm_is_pending() -> None:
    found = replay(series([100.0] * 20 + [90.0] * 3), 0.05)
    assert (found.alarms, found.pending) == (1, 1)


@pytest.mark.parametrize(("metric", "alarms"), [("latency_p99_us", 1), ("requests_per_second", 0)])
def test_replay__the_metric_decides_the_direction(metric: str, alarms: int) -> None:
    assert replay(series([100.0] * 20 + [120.0] * 20, metric), 0.05).alarms == alarms


def test_replay__a_rise_from_zero_is_an_alarm() -> None:
    assert replay(series([0.0] * 12 + [0.1] * 12, "error_rate"), 0.5).confirmed == 1


def test_make_backtest_table__a_row_for_each_series_and_gate() -> None:
    table = make_backtest_table([series([100.0] * 20 + [90.0] * 20)], [0.05, 0.2])
    assert [row[2:5] for row in table.rows] == [("5 %", "40", "1"), ("20 %", "40", "0")]
    assert len(table.headings) == len(table.numeric) == len(table.rows[0])


def test_make_badge__shows_the_last_thirty_days() -> None:
    whole = series(stepped(-0.1, after=20))
    found = find_change_points(whole)
    badge = make_badge(found, whole.points[-1].at)
    assert badge.message == "1 regression"
    assert json.loads(badge.endpoint)["schemaVersion"] == 1
    assert ElementTree.fromstring(badge.svg).get("role") == "img"  # noqa: S314  (made by us)
    assert make_badge(found, "2025-12-01T00:00:00Z").message == "steady"
    assert make_badge((), None).message == "no records"
