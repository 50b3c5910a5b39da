"""What a check says, what a backtest counts, and the badge."""

import json
from xml.etree import ElementTree

import pytest
from tests.unit.trend.simulated import series
from tests.unit.trend.test_change_points import only, stepped, with_work

from bench_action.trend.backtest import replay, table_of
from bench_action.trend.badge import badge_of
from bench_action.trend.change_points import change_points
from bench_action.trend.check import assurance, headline, sentence

pytestmark = pytest.mark.unit


def test_sentence__it_names_what_how_much_which_commits_and_the_work() -> None:
    found = only(change_points(with_work(series(stepped(-0.05)), new=(2.0, 20.0))))
    text = sentence(found)
    assert text.startswith("shop/list: requests/s against the control −")
    assert (
        f"worse, since 2024-04-10 ({'0' * 10}..{'0' * 10})" not in text
    )  # two commits with one short name are told as one
    assert text.endswith("the work of a request changed with it")


def test_headline__it_counts() -> None:
    worse, better = only(change_points(series(stepped(-0.1)))), only(change_points(series(stepped(0.1))))
    assert headline([worse, better], 7) == "2 new change points: 1 worse, 1 better"
    assert headline([], 7) == "no new change point in 7 series"
    assert "10,000 records" in assurance()


def test_replay__an_alarm_whose_level_comes_back_was_undone() -> None:
    noise = [100.0] * 20 + [90.0] + [100.0] * 20  # one bad record
    step = [100.0] * 20 + [90.0] * 20
    for values, undone, stood in ((noise, 1, 0), (step, 0, 1)):
        found = replay(series(values), 0.05)
        assert (found.alarms, found.undone, found.stood, found.pending) == (1, undone, stood, 0)


def test_replay__the_newest_alarm_is_pending() -> None:
    found = replay(series([100.0] * 20 + [90.0] * 3), 0.05)
    assert (found.alarms, found.pending) == (1, 1)


@pytest.mark.parametrize(("metric", "alarms"), [("latency_p99_us", 1), ("requests_per_second", 0)])
def test_replay__the_direction_is_the_metrics(metric: str, alarms: int) -> None:
    assert replay(series([100.0] * 20 + [120.0] * 20, metric), 0.05).alarms == alarms


def test_replay__a_rise_from_nothing_is_an_alarm() -> None:
    assert replay(series([0.0] * 12 + [0.1] * 12, "error_rate"), 0.5).stood == 1


def test_table_of__a_row_for_each_series_and_gate() -> None:
    table = table_of([series([100.0] * 20 + [90.0] * 20)], [0.05, 0.2])
    assert [row[2:5] for row in table.rows] == [("5.0 %", "40", "1"), ("20 %", "40", "0")]
    assert len(table.headings) == len(table.numeric) == len(table.rows[0])


def test_badge_of__it_tells_the_last_thirty_days() -> None:
    whole = series(stepped(-0.1, after=20))
    found = change_points(whole)
    badge = badge_of(found, whole.points[-1].at)
    assert badge.message == "1 regression"
    assert json.loads(badge.endpoint)["schemaVersion"] == 1
    assert ElementTree.fromstring(badge.svg).get("role") == "img"  # noqa: S314  (made by us)
    assert badge_of(found, "2025-12-01T00:00:00Z").message == "steady"
    assert badge_of((), None).message == "no records"
