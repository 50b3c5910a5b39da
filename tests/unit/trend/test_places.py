"""The place of a run in the history of the commits, no matter when and how often it was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.model.benchmark import UNNAMED, Benchmark
from bench_action.trend.places import place_runs

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Run:
    run_id: str
    sha: str
    at: str
    committed_at: str = ""
    benchmark: Benchmark = UNNAMED


def day(number: int, hour: int = 3) -> str:
    return f"2024-{1 + number // 28:02}-{1 + number % 28:02}T{hour:02}:00:00Z"


def run(name: str, measured: int, committed: int | None = None) -> Run:
    """Make a run of the commit `name`; text after `:` numbers its runs. Measured at 3, committed at 1 o'clock."""
    return Run(name, name.partition(":")[0], day(measured), "" if committed is None else day(committed, 1))


def order(runs: Sequence[Run]) -> list[str]:
    positions = place_runs(runs)
    return [run.run_id for run in sorted(runs, key=lambda run: positions[run.benchmark, run.run_id].order)]


def repeated(runs: Sequence[Run]) -> set[str]:
    return {run_id for (_, run_id), position in place_runs(runs).items() if position.repeated}


def shown(runs: Sequence[Run]) -> dict[str, str]:
    return {run_id: position.at[:10] for (_, run_id), position in place_runs(runs).items()}


def test_place__one_commit_per_night_is_at_its_measurement() -> None:
    runs = [run(f"c{n}", n, n) for n in range(9)]
    assert order(runs) == [run.run_id for run in runs]
    assert shown(runs) == {run.run_id: run.at[:10] for run in runs}
    assert repeated(runs) == set()


def test_place__a_commit_measured_in_several_nights_is_never_repeated() -> None:
    runs = [run("a:1", 1, 1), run("a:2", 2, 1), run("a:3", 3, 1), run("b", 4, 3)]
    assert order(runs) == ["a:1", "a:2", "a:3", "b"]
    assert shown(runs) == {run.run_id: run.at[:10] for run in runs}
    assert repeated(runs) == set()


@pytest.mark.parametrize("committed", [True, False])
def test_place__an_old_job_that_runs_again_is_next_to_its_first_run(committed: bool) -> None:
    runs = [run(name, measured, measured if committed else None) for name, measured in (("a", 1), ("b", 2), ("c", 3))]
    again = [*runs, run("a:again", 9, 1 if committed else None), run("b:again", 10, 2 if committed else None)]
    assert order(again) == ["a", "a:again", "b", "b:again", "c"]
    assert repeated(again) == {"a:again", "b:again"}
    assert shown(again)["a:again"] == day(2)[:10]
    assert shown(again)["a"] == day(1)[:10]


def test_place__the_newest_commit_that_runs_again_is_not_repeated() -> None:
    runs = [run("a", 1, 1), run("b", 2, 2), run("a:again", 3, 1), run("b:again", 4, 2)]
    assert order(runs) == ["a", "a:again", "b", "b:again"]
    assert repeated(runs) == {"a:again"}


def test_place__an_old_commit_that_is_measured_late_is_between_its_neighbours() -> None:
    runs = [run("a", 1, 1), run("c", 5, 5), run("b", 20, 3), run("c:2", 21, 5)]
    assert order(runs) == ["a", "b", "c", "c:2"]
    assert repeated(runs) == set()
    assert shown(runs) == {"a": day(1)[:10], "b": day(3)[:10], "c": day(5)[:10], "c:2": day(21)[:10]}


def test_place__a_child_that_was_measured_before_its_parent_comes_after_it() -> None:
    child = Run("child", "child", day(2, 3), day(2, 2))
    parent = Run("parent", "parent", day(2, 4), day(2, 1))
    assert order([child, parent]) == ["parent", "child"]
    assert repeated([child, parent]) == set()


def test_place__commits_of_one_second_are_in_the_order_of_their_first_measurements() -> None:
    runs = [run("z", 2, 1), run("y", 3, 1), run("z:again", 4, 1)]
    assert order(runs) == ["z", "z:again", "y"]
    assert repeated(runs) == {"z:again"}


def test_place__a_committers_clock_that_is_ahead_does_no_harm() -> None:
    runs = [run("a", 1, 1), Run("b", "b", day(2), "2099-01-01T00:00:00Z"), run("c", 3, 3), run("d", 4, 4)]
    assert order(runs) == ["a", "b", "c", "d"]
    assert repeated(runs) == set()


def test_place__a_committers_clock_that_is_behind_misplaces_only_its_own_commit() -> None:
    runs = [*(run(f"c{n}", n, n) for n in range(10, 15)), run("late", 15, 3), run("late:2", 16, 3), run("c17", 17, 17)]
    assert order(runs) == ["late", "late:2", *(f"c{n}" for n in range(10, 15)), "c17"]
    assert repeated(runs) == set()


def test_place__after_a_force_push_the_new_commits_follow_and_an_old_commit_is_repeated() -> None:
    runs = [run("a", 1, 1), run("b", 2, 2), run("b2", 4, 4), run("c2", 5, 5)]
    assert order(runs) == ["a", "b", "b2", "c2"]
    back = [run("a", 1, 1), run("b", 2, 2), run("a:again", 3, 1), run("d", 4, 4)]
    assert order(back) == ["a", "a:again", "b", "d"]
    assert repeated(back) == {"a:again"}


def test_place__mixes_old_records_without_dates_with_new_ones_of_the_same_commit() -> None:
    runs = [run("a", 2), run("b", 4), run("a:again", 9, 1), run("c", 10, 9)]
    assert order(runs) == ["a", "a:again", "b", "c"]
    assert repeated(runs) == {"a:again"}


def test_place__runs_without_commits_are_at_their_measurement() -> None:
    runs = [Run("1", "", day(1)), Run("2", "", day(2)), Run("3", "", day(3))]
    assert order(runs) == ["1", "2", "3"]
    assert repeated(runs) == set()


def test_place__benchmarks_do_not_affect_each_other() -> None:
    other = Benchmark("other.yml")
    runs = [
        run("a", 1, 1),
        Run("b", "b", day(2), day(2), other),
        run("a:2", 3, 1),
        Run("a:3", "a", day(4), "", other),
    ]
    assert repeated(runs) == set()


commits = st.integers(0, 6)
times = st.integers(0, 60)


@given(st.lists(st.tuples(commits, times, st.booleans()), max_size=25), st.lists(times, min_size=7, max_size=7))
def test_place__every_run_has_one_and_charts_go_forward(
    measured: list[tuple[int, int, bool]], committed: list[int]
) -> None:
    runs = [
        Run(f"{n}", f"c{commit}", day(at), day(committed[commit], 1) if dated else "")
        for n, (commit, at, dated) in enumerate(measured)
    ]
    positions = [place_runs(runs)[UNNAMED, run.run_id] for run in runs]
    assert sorted(position.order for position in positions) == list(range(len(runs)))
    ordered = sorted(positions, key=lambda position: position.order)
    assert [position.at for position in ordered] == sorted(position.at for position in ordered)
    assert all(position.at <= run.at for position, run in zip(positions, runs, strict=True))
    names = order(runs)
    whole = [next(run.sha for run in runs if run.run_id == name) for name in names]
    assert len([n for n in range(len(whole)) if n == 0 or whole[n] != whole[n - 1]]) == len(set(whole)), "together"
    firsts = {min((run.at, run.run_id) for run in runs if run.sha == sha)[1] for sha in set(whole)}
    assert firsts.isdisjoint(repeated(runs)), "the first measurement of a commit always counts"


@given(st.lists(st.integers(1, 4), max_size=12))
def test_place__runs_measured_in_the_order_of_the_commits_keep_it(nights: list[int]) -> None:
    runs, night = [], 0
    for commit, times in enumerate(nights):
        for number in range(times):
            night += 1
            runs.append(Run(f"{night:03}", f"c{commit}", day(night), day(night - number, 1)))
    assert order(runs) == [run.run_id for run in runs]
    assert shown(runs) == {run.run_id: run.at[:10] for run in runs}
    assert repeated(runs) == set()
