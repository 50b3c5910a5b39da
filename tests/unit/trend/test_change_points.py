"""Change points as a user reads them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.trend.simulated import point, series

from bench_action.trend.change_points import ChangePoint, find_change_points, find_latest_change_points, select_new
from bench_action.trend.series import Series

pytestmark = pytest.mark.unit


def stepped(size: float, *, seed: int = 3, before: int = 100, after: int = 60) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.014, before + after)
    return list(np.exp(noise + np.where(np.arange(before + after) >= before, np.log1p(size), 0.0)))


def only(points: Sequence[ChangePoint]) -> ChangePoint:
    assert len(points) == 1
    return points[0]


def test_find_change_points__a_step_has_its_commits_size_and_direction() -> None:
    found = only(find_change_points(series(stepped(-0.05))))
    assert found.index == 100
    assert (found.last_before, found.first_after) == (f"{99:040x}", f"{100:040x}")
    assert found.at == "2024-04-10T03:00:00Z"
    assert found.interval is not None
    assert found.interval.low < -0.05 < found.interval.high
    assert found.size == pytest.approx(-0.05, abs=0.01)
    assert found.direction == "worse"
    assert found.raised <= 110


def test_find_change_points__the_key_that_a_history_stores_never_changes() -> None:
    found = only(find_change_points(series(stepped(-0.05))))
    assert (found.key, found.series.cell) == ("shop/list/requests_per_second/ratio/run-100", "shop · list")


@pytest.mark.parametrize(
    ("metric", "size", "direction"),
    [
        ("requests_per_second", 0.1, "better"),
        ("requests_per_second", -0.1, "worse"),
        ("latency_p99_us", 0.1, "worse"),
        ("cpu_ms_per_request", -0.1, "better"),
    ],
)
def test_find_change_points__the_metric_decides_the_direction(metric: str, size: float, direction: str) -> None:
    assert only(find_change_points(series(stepped(size), metric))).direction == direction


def with_work(whole: Series, *, new: tuple[float, ...] | None) -> Series:
    points = tuple(replace(point, work=new) if n >= 100 else point for n, point in enumerate(whole.points))
    return replace(whole, points=points)


@pytest.mark.parametrize(("new", "changed"), [((1.0, 20.0), False), ((2.0, 20.0), True), (None, None)])
def test_find_change_points__changed_work_is_reported(new: tuple[float, ...] | None, changed: bool | None) -> None:
    found = only(find_change_points(with_work(series(stepped(-0.1)), new=new)))
    assert found.work_changed is changed


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ((20.1, 20.3), (20.2, 20.4), False),
        ((20.0, 21.0, 20.0), (21.0, 20.0, 21.0), False),
        ((20.1, 20.3), (21.2, 21.4), True),
    ],
)
def test_find_change_points__counts_that_vary_changed_if_their_ranges_do_not_overlap(
    old: tuple[float, ...], new: tuple[float, ...], changed: bool
) -> None:
    whole = series(stepped(-0.1))
    varying = (
        replace(point, work=(1.0, (new if n >= 100 else old)[n % len(old)], 0.0))
        for n, point in enumerate(whole.points)
    )
    assert only(find_change_points(replace(whole, points=tuple(varying)))).work_changed is changed


@pytest.mark.parametrize("step", [98, 99, 101, 102])
def test_find_change_points__changed_work_is_reported_if_the_place_is_a_little_off(step: int) -> None:
    whole = series(stepped(-0.1))
    counted = (replace(point, work=(1.0 + (n >= step),)) for n, point in enumerate(whole.points))
    assert only(find_change_points(replace(whole, points=tuple(counted)))).work_changed is True


def test_find_change_points__new_runners_at_the_same_time_are_reported() -> None:
    whole = series(stepped(-0.1))
    assert not only(find_change_points(whole)).new_machine
    moved = tuple(replace(point, fingerprint="xeon") if n >= 100 else point for n, point in enumerate(whole.points))
    assert only(find_change_points(replace(whole, points=moved))).new_machine


@pytest.mark.parametrize(("size", "changed"), [(-0.1, True), (-0.02, True), (0.1, False), (0.0, False)])
def test_find_change_points__a_change_of_the_control_in_the_same_runs_is_reported(size: float, changed: bool) -> None:
    whole = series(stepped(-0.1), relative=False)
    frozen = zip(whole.points, stepped(size, seed=8), strict=True)
    with_control = replace(whole, points=tuple(replace(point, control=value) for point, value in frozen))
    assert only(find_change_points(with_control)).control_changed is changed
    assert not only(find_change_points(whole)).control_changed


def test_find_change_points__exact_counts_change_without_noise() -> None:
    found = only(find_change_points(series([5.0] * 40 + [6.0] * 10, "queries_per_request")))
    assert (found.index, found.before, found.after, found.direction) == (40, 5.0, 6.0, "worse")
    assert found.size == pytest.approx(0.2)


def test_find_change_points__a_rise_from_zero_has_no_size() -> None:
    found = only(find_change_points(series([0.0] * 40 + [0.01] * 10, "error_rate")))
    assert (found.size, found.interval, found.direction) == (None, None, "worse")


def test_find_change_points__a_constant_series_has_none() -> None:
    assert find_change_points(series([5.0] * 500)) == ()
    assert find_change_points(series([])) == ()


def test_find_change_points__less_than_one_percent_is_left_out() -> None:
    values = list(np.exp(np.random.default_rng(5).normal(0, 0.0005, 200) + np.repeat([0.0, 0.004], 100)))
    assert find_change_points(series(values)) == ()
    assert only(find_change_points(series(values), smallest=0.001)).index == 100


def test_find_change_points__small_losses_add_up() -> None:
    """Seven of 0.9 %, each with fifty records of little noise: none is worth anybody's day, and their sum is."""
    dice = np.random.default_rng(5)
    values = [200.0 * 0.991 ** (number // 50) * (1 + 0.002 * dice.standard_normal()) for number in range(400)]
    found = find_change_points(series(values))
    assert [point.direction for point in found] == ["worse"] * len(found)
    assert 3 <= len(found) <= 4
    assert found[0].size == pytest.approx(0.991**2 - 1, abs=0.002)
    assert found[0].last_before == f"{49:040x}"
    steady = [200.0 * (1 - 0.009 * (number // 50 % 2)) * (1 + 0.002 * dice.standard_normal()) for number in range(400)]
    assert find_change_points(series(steady)) == ()  # back and forth is no sum


def test_select_new__each_is_new_once_while_data_grow() -> None:
    for seed in range(5):
        whole = series(stepped(-0.045, seed=seed))
        known: set[str] = set()
        reported = 0
        for end in range(95, 160):
            fresh = select_new(find_change_points(replace(whole, points=whole.points[:end])), known)
            reported += len(fresh)
            known |= {point.key for point in fresh}
        assert reported == 1


def test_select_new__a_change_far_away_is_another_one() -> None:
    first = only(find_change_points(series(stepped(-0.1))))
    later = only(find_change_points(series(stepped(-0.1, before=110))))
    assert select_new([first], {first.key}) == ()
    assert select_new([later], {first.key}) == (later,)
    other = only(find_change_points(series(stepped(-0.1), variant="other")))
    assert select_new([other], {first.key}) == (other,)


def test_select_new__a_change_that_backfilled_commits_move_is_the_same() -> None:
    """Ten commits between the last fast and the first slow one are measured a year later; all of them are slow."""
    whole = series(stepped(-0.1))
    known = only(find_change_points(whole))
    late = [
        replace(point(99, value), run_id=f"late-{n}", measured_at=f"2025-04-{n + 1:02}")
        for n, value in enumerate(stepped(-0.1, seed=9, before=0, after=10))
    ]
    for backfilled in (late, late[::-1]):
        later = replace(whole, points=(*whole.points[:100], *backfilled, *whole.points[100:]))
        moved = only(find_change_points(later))
        assert moved.first_run == backfilled[0].run_id
        assert select_new([moved], {known.key}) == ()


def test_select_new__a_change_among_backfilled_commits_is_new() -> None:
    """The history was measured backwards from commit 150, which brought a change that was reported."""
    values = [*stepped(-0.1, before=100, after=50), *(0.8 * value for value in stepped(0.0, before=60, after=0))]
    whole = series(values)
    points = (replace(p, measured_at=f"2025-{999 - n}") if n < 150 else p for n, p in enumerate(whole.points))
    first, second = find_change_points(replace(whole, points=tuple(points)))
    assert select_new([first, second], {second.key}) == (first,)
    assert select_new([first, second], {second.key.replace(second.first_run, "run-147")}) == (first,)


def test_select_new__a_change_may_move_from_one_end_of_its_neighbourhood_to_the_other() -> None:
    found = only(find_change_points(series(stepped(-0.1))))
    known = {n: found.key.replace("run-100", f"run-{n}") for n in (93, 94, 106, 107)}
    assert {n for n, key in known.items() if select_new([found], {key}) == ()} == {94, 106}


def test_find_change_points__a_bad_day_at_the_end_is_not_one() -> None:
    values = [*stepped(0.0), 0.2]
    assert find_change_points(series(values)) == ()
    assert point(3, 1.0).at == "2024-01-04T03:00:00Z"


def test_find_latest_change_points__finds_what_the_newest_records_raised() -> None:
    for seed, before, raised in ((1, 700, 1), (2, 750, 1), (3, 400, 0)):
        whole = series(stepped(-0.08, seed=seed, before=before, after=800 - before))
        latest = find_latest_change_points([whole])
        assert len(latest) == raised
        assert [point.key for point in latest] == [
            point.key for point in find_change_points(whole) if point.raised >= 600
        ]


def run_again(whole: Series, index: int, times: int, value: float) -> Series:
    """Add points as if the job of record `index` had run again `times` times: next to it, and not judged."""
    old = whole.points[index]
    runs = [replace(old, run_id=f"again-{n}", value=value, repeated=True) for n in range(times)]
    return replace(whole, points=(*whole.points[: index + 1], *runs, *whole.points[index + 1 :]))


@pytest.mark.parametrize("index", [20, 99, 100, 101, 140])
@pytest.mark.parametrize("value", [0.2, 1.0, 5.0])
def test_find_change_points__an_old_job_that_runs_again_is_never_a_change(index: int, value: float) -> None:
    whole = series(stepped(-0.1))
    known = only(find_change_points(whole))
    later = only(find_change_points(run_again(whole, index, 12, value)))
    assert (later.key, later.index, later.size, later.raised) == (known.key, known.index, known.size, known.raised)
    assert find_latest_change_points([run_again(whole, index, 12, value)]) != ()
    assert select_new(find_latest_change_points([run_again(whole, index, 12, value)]), {known.key}) == ()
    steady = series(stepped(0.0))
    assert find_change_points(run_again(steady, index, 40, value)) == ()
