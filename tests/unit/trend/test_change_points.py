"""Change points as a user reads them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.trend.simulated import point, series

from bench_action.trend.change_points import ChangePoint, change_points, latest_changes_of, new_since
from bench_action.trend.series import Series

pytestmark = pytest.mark.unit


def stepped(size: float, *, seed: int = 3, before: int = 100, after: int = 60) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.014, before + after)
    return list(np.exp(noise + np.where(np.arange(before + after) >= before, np.log1p(size), 0.0)))


def only(points: Sequence[ChangePoint]) -> ChangePoint:
    assert len(points) == 1
    return points[0]


def test_change_points__a_step_has_its_commits_size_and_direction() -> None:
    found = only(change_points(series(stepped(-0.05))))
    assert found.index == 100
    assert (found.last_before, found.first_after) == (f"{99:040x}", f"{100:040x}")
    assert found.at == "2024-04-10T03:00:00Z"
    assert found.interval is not None
    assert found.interval.low < -0.05 < found.interval.high
    assert found.size == pytest.approx(-0.05, abs=0.01)
    assert found.direction == "worse"
    assert found.raised <= 110


@pytest.mark.parametrize(
    ("metric", "size", "direction"),
    [
        ("requests_per_second", 0.1, "better"),
        ("requests_per_second", -0.1, "worse"),
        ("latency_p99_us", 0.1, "worse"),
        ("cpu_ms_per_request", -0.1, "better"),
    ],
)
def test_change_points__the_direction_is_the_metrics(metric: str, size: float, direction: str) -> None:
    assert only(change_points(series(stepped(size), metric))).direction == direction


def with_work(whole: Series, *, new: tuple[float, ...] | None) -> Series:
    points = tuple(replace(one, work=new) if n >= 100 else one for n, one in enumerate(whole.points))
    return replace(whole, points=points)


@pytest.mark.parametrize(("new", "changed"), [((1.0, 20.0), False), ((2.0, 20.0), True), (None, None)])
def test_change_points__it_is_told_whether_work_changed(new: tuple[float, ...] | None, changed: bool | None) -> None:
    found = only(change_points(with_work(series(stepped(-0.1)), new=new)))
    assert found.work_changed is changed


def test_change_points__new_runners_at_the_same_time_are_told() -> None:
    whole = series(stepped(-0.1))
    assert not only(change_points(whole)).new_machine
    moved = tuple(replace(one, fingerprint="xeon") if n >= 100 else one for n, one in enumerate(whole.points))
    assert only(change_points(replace(whole, points=moved))).new_machine


def test_change_points__exact_counts_change_without_noise() -> None:
    found = only(change_points(series([5.0] * 40 + [6.0] * 10, "queries_per_request")))
    assert (found.index, found.before, found.after, found.direction) == (40, 5.0, 6.0, "worse")
    assert found.size == pytest.approx(0.2)


def test_change_points__from_none_to_some_has_no_size() -> None:
    found = only(change_points(series([0.0] * 40 + [0.01] * 10, "error_rate")))
    assert (found.size, found.interval, found.direction) == (None, None, "worse")


def test_change_points__what_never_changes_has_none() -> None:
    assert change_points(series([5.0] * 500)) == ()
    assert change_points(series([])) == ()


def test_change_points__less_than_one_percent_is_left_out() -> None:
    values = list(np.exp(np.random.default_rng(5).normal(0, 0.0005, 200) + np.repeat([0.0, 0.004], 100)))
    assert change_points(series(values)) == ()
    assert only(change_points(series(values), smallest=0.001)).index == 100


def test_new_since__each_is_new_once_while_data_grow() -> None:
    for seed in range(5):
        whole = series(stepped(-0.045, seed=seed))
        known: set[str] = set()
        told = 0
        for end in range(95, 160):
            fresh = new_since(change_points(replace(whole, points=whole.points[:end])), known)
            told += len(fresh)
            known |= {one.key for one in fresh}
        assert told == 1


def test_new_since__a_change_far_away_is_another_one() -> None:
    first = only(change_points(series(stepped(-0.1))))
    later = only(change_points(series(stepped(-0.1, before=110))))
    assert new_since([first], {first.key}) == ()
    assert new_since([later], {first.key}) == (later,)
    other = only(change_points(series(stepped(-0.1), variant="other")))
    assert new_since([other], {first.key}) == (other,)


def test_change_points__a_bad_day_at_the_end_is_none() -> None:
    values = [*stepped(0.0), 0.2]
    assert change_points(series(values)) == ()
    assert point(3, 1.0).at == "2024-01-04T03:00:00Z"


def test_latest_changes_of__are_those_of_the_whole_series_that_newest_records_raised() -> None:
    for seed, before, told in ((1, 700, 1), (2, 750, 1), (3, 400, 0)):
        whole = series(stepped(-0.08, seed=seed, before=before, after=800 - before))
        latest = latest_changes_of([whole])
        assert len(latest) == told
        assert [one.key for one in latest] == [one.key for one in change_points(whole) if one.raised >= 600]


def again(whole: Series, index: int, times: int, value: float) -> Series:
    """The series after the job of record `index` ran again, `times` times: beside it, and not to be judged."""
    old = whole.points[index]
    runs = [replace(old, run_id=f"again-{n}", value=value, repeated=True) for n in range(times)]
    return replace(whole, points=(*whole.points[: index + 1], *runs, *whole.points[index + 1 :]))


@pytest.mark.parametrize("index", [20, 99, 100, 101, 140])
@pytest.mark.parametrize("value", [0.2, 1.0, 5.0])
def test_change_points__an_old_job_that_runs_again_is_no_news_whatever_it_measures(index: int, value: float) -> None:
    whole = series(stepped(-0.1))
    known = only(change_points(whole))
    later = only(change_points(again(whole, index, 12, value)))
    assert (later.key, later.index, later.size, later.raised) == (known.key, known.index, known.size, known.raised)
    assert latest_changes_of([again(whole, index, 12, value)]) != ()
    assert new_since(latest_changes_of([again(whole, index, 12, value)]), {known.key}) == ()
    steady = series(stepped(0.0))
    assert change_points(again(steady, index, 40, value)) == ()
