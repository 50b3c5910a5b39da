"""What tells the benchmarks of one history apart, and what they are called."""

import pytest

from bench_action.model.benchmark import UNNAMED, Benchmark, name_each

pytestmark = pytest.mark.unit

FRONT = Benchmark("front/bench.yml", "bench-action", "trend/bench", "ci", "docker")


def test_name_each__names_only_what_differs() -> None:
    back = FRONT._replace(config="back/bench.yml")
    assert name_each([FRONT, back, FRONT]) == {FRONT: "front/bench.yml", back: "back/bench.yml"}
    leg = back._replace(job="trend/bench (3.13)")
    assert name_each([FRONT, leg]) == {
        FRONT: "front/bench.yml · trend/bench",
        leg: "back/bench.yml · trend/bench (3.13)",
    }


def test_name_each__of_one_benchmark_is_nothing() -> None:
    assert name_each([FRONT, FRONT]) == {FRONT: ""}
    assert name_each([]) == {}


def test_name_each__of_old_records_says_what_they_are() -> None:
    old = UNNAMED._replace(preset="ci", engine="docker")
    assert name_each([FRONT, old])[old] == "recorded before benchmarks had names"


def test_name_each__never_gives_a_name_twice() -> None:
    both = [Benchmark(config="a"), Benchmark(key="a"), Benchmark()]
    assert len(set(name_each(both).values())) == 3


def test_id__is_each_benchmark_s_own() -> None:
    benchmarks = [FRONT, UNNAMED, Benchmark("a", "b"), Benchmark("a", "", "b"), Benchmark("ab")]
    assert len({one.id for one in benchmarks}) == len(benchmarks)
