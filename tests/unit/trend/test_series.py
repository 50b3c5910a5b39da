"""Make series from records: what is joined, and what never is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from bench_action.model.benchmark import UNNAMED, Benchmark
from bench_action.trend.series import make_series

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Cell:
    at: str = "2024-01-01T00:00:00Z"
    sha: str = "a" * 40
    run_id: str = "1"
    tool_version: str = "0.1.0"
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


def test_make_series__different_machines_are_not_joined_without_a_control() -> None:
    found = make_series([Cell(), Cell(run_id="2", fingerprint="xeon"), Cell(run_id="3")])
    joined = [(whole.origin, len(whole.points), whole.relative) for whole in found]
    assert joined == [("epyc", 2, False), ("xeon", 1, False)]


def test_make_series__a_control_joins_machines() -> None:
    records = [
        Cell(control=RATIO, control_id="c1"),
        Cell(run_id="2", fingerprint="xeon", control=RATIO, control_id="c1"),
    ]
    (found,) = make_series(records)
    assert found.relative
    assert [point.value for point in found.points] == [0.5, 0.5]


def test_make_series__another_control_is_another_series() -> None:
    found = make_series([Cell(control=RATIO, control_id=name, run_id=name) for name in ("c1", "c2")])
    assert [whole.origin for whole in found] == ["c1", "c2"]


def test_make_series__absolute_values_are_separate_by_machine_even_with_a_control() -> None:
    (found,) = make_series([Cell(control=RATIO, control_id="c1")], absolute=True)
    assert (found.relative, found.points[0].value) == (False, 100.0)


def test_make_series__points_are_in_the_order_of_time_not_of_the_store() -> None:
    (found,) = make_series([Cell(at="2024-01-02T00:00:00Z", run_id="2"), Cell()])
    assert [point.run_id for point in found.points] == ["1", "2"]


PLAIN: Mapping[str, Sequence[float | None]] = {"requests_per_second": [1000.0], "startup_s": [2.0]}


def test_make_series__the_control_itself_is_shown_and_never_judged() -> None:
    records = [
        Cell(control=RATIO, control_id="c1"),
        Cell(variant="frozen", control={}, control_id="c1"),
        Cell(run_id="2", variant="frozen", control_id="c2"),  # another control that nothing was divided by
        Cell(profile="script", variant="own", control={}, control_id="c1"),  # a k6 script has no ratios
    ]
    found = {whole.variant: (len(whole.points), len(whole.judged)) for whole in make_series(records)}
    assert found == {"shop": (1, 1), "frozen": (2, 1), "own": (1, 1)}


def test_make_series__a_plain_value_has_the_control_s_next_to_it() -> None:
    own = Cell(control=RATIO, control_id="c1", metrics=PLAIN)
    frozen = Cell(variant="frozen", control={}, control_id="c1", metrics={**PLAIN, "startup_s": [0.5]})
    found = {(whole.variant, whole.metric): whole.points[0].control for whole in make_series([own, frozen])}
    assert (found["shop", "startup_s"], found["shop", "requests_per_second"]) == (0.5, None)


@pytest.mark.parametrize("part", Benchmark._fields)
def test_make_series__a_difference_in_any_part_makes_another_benchmark(part: str) -> None:
    usual = Benchmark("bench.yml", "bench-action", "trend/benchmark", "ci", "docker")
    other = usual._replace(**{part: "another"})
    records = [Cell(benchmark=usual), Cell(run_id="2", benchmark=other), Cell(run_id="3", benchmark=usual)]
    for absolute in (False, True):
        found = make_series(records, absolute=absolute)
        assert {whole.benchmark: [point.run_id for point in whole.points] for whole in found} == {
            usual: ["1", "3"],
            other: ["2"],
        }


def test_make_series__an_old_job_that_runs_again_is_next_to_its_first_run() -> None:
    def cell(run: str, sha: str, measured: int, committed: int) -> Cell:
        return Cell(f"2024-01-{measured:02}T03:00:00Z", sha, run, committed_at=f"2024-01-{committed:02}T00:00:00Z")

    records = [cell("1", "a", 2, 1), cell("2", "b", 4, 3), cell("3", "c", 6, 5), cell("again", "a", 20, 1)]
    (found,) = make_series(records)
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
def test_make_series__invalid_values_are_left_out(metrics: Mapping[str, Sequence[float | None]]) -> None:
    assert make_series([Cell(metrics=metrics)]) == ()


def test_make_series__a_point_has_the_version_of_the_tool() -> None:
    (found,) = make_series([Cell(), Cell(at="2024-01-02T00:00:00Z", run_id="2", tool_version="0.2.0")])
    assert [point.tool_version for point in found.points] == ["0.1.0", "0.2.0"]


def test_make_series__an_interval_may_be_missing() -> None:
    (found,) = make_series([Cell(metrics={"requests_per_second": [5.0, None, float("inf")]})])
    assert (found.points[0].low, found.points[0].high) == (None, None)
