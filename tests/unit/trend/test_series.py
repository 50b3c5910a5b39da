"""Records → series: what is joined, and what never is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from bench_action.model.benchmark import UNNAMED, Benchmark
from bench_action.trend.series import series_of

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Kept:
    at: str = "2024-01-01T00:00:00Z"
    sha: str = "a" * 40
    run_id: str = "1"
    fingerprint: str = "epyc"
    variant: str = "shop"
    profile: str = "list"
    metrics: Mapping[str, Sequence[float | None]] = field(
        default_factory=lambda: {"requests_per_second": [100.0, 98.0, 102.0]}
    )
    control: Mapping[str, Sequence[float | None]] | None = None
    control_id: str | None = None
    counts: Sequence[float] | None = None
    committed_at: str = ""
    benchmark: Benchmark = UNNAMED


RATIO = {"requests_per_second": [0.5, 0.49, 0.51]}


def test_series_of__unlike_machines_are_not_joined_without_a_control() -> None:
    found = series_of([Kept(), Kept(run_id="2", fingerprint="xeon"), Kept(run_id="3")])
    assert [(one.origin, len(one.points), one.relative) for one in found] == [("epyc", 2, False), ("xeon", 1, False)]


def test_series_of__a_control_joins_machines() -> None:
    records = [
        Kept(control=RATIO, control_id="c1"),
        Kept(run_id="2", fingerprint="xeon", control=RATIO, control_id="c1"),
    ]
    (found,) = series_of(records)
    assert found.relative
    assert [one.value for one in found.points] == [0.5, 0.5]


def test_series_of__another_control_is_another_series() -> None:
    found = series_of([Kept(control=RATIO, control_id=name, run_id=name) for name in ("c1", "c2")])
    assert [one.origin for one in found] == ["c1", "c2"]


def test_series_of__absolute_values_stay_apart_by_machine_even_with_a_control() -> None:
    (found,) = series_of([Kept(control=RATIO, control_id="c1")], absolute=True)
    assert (found.relative, found.points[0].value) == (False, 100.0)


def test_series_of__times_order_the_points_not_the_store() -> None:
    (found,) = series_of([Kept(at="2024-01-02T00:00:00Z", run_id="2"), Kept()])
    assert [one.run_id for one in found.points] == ["1", "2"]


@pytest.mark.parametrize("part", Benchmark._fields)
def test_series_of__what_differs_in_any_part_is_another_benchmark(part: str) -> None:
    usual = Benchmark("bench.yml", "bench-action", "trend/benchmark", "ci", "docker")
    other = usual._replace(**{part: "another"})
    records = [Kept(benchmark=usual), Kept(run_id="2", benchmark=other), Kept(run_id="3", benchmark=usual)]
    for absolute in (False, True):
        found = series_of(records, absolute=absolute)
        assert {one.benchmark: [point.run_id for point in one.points] for one in found} == {
            usual: ["1", "3"],
            other: ["2"],
        }


def test_series_of__an_old_job_that_runs_again_lands_beside_its_first_run() -> None:
    def kept(run: str, sha: str, measured: int, committed: int) -> Kept:
        return Kept(f"2024-01-{measured:02}T03:00:00Z", sha, run, committed_at=f"2024-01-{committed:02}T00:00:00Z")

    records = [kept("1", "a", 2, 1), kept("2", "b", 4, 3), kept("3", "c", 6, 5), kept("again", "a", 20, 1)]
    (found,) = series_of(records)
    assert [point.run_id for point in found.points] == ["1", "again", "2", "3"]
    assert [point.run_id for point in found.judged] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "metrics",
    [
        {"unheard_of": [1.0]},
        {"requests_per_second": []},
        {"requests_per_second": [float("nan")]},
        {"requests_per_second": [None]},
    ],
)
def test_series_of__what_is_no_value_is_left_out(metrics: Mapping[str, Sequence[float | None]]) -> None:
    assert series_of([Kept(metrics=metrics)]) == ()


def test_series_of__an_interval_may_be_missing() -> None:
    (found,) = series_of([Kept(metrics={"requests_per_second": [5.0, None, float("inf")]})])
    assert (found.points[0].low, found.points[0].high) == (None, None)
