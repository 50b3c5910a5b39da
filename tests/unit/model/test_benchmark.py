"""The benchmarks of one history have different names and identifiers."""

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


def test_name_each__a_single_benchmark_needs_no_name() -> None:
    assert name_each([FRONT, FRONT]) == {FRONT: ""}
    assert name_each([]) == {}


def test_name_each__old_records_are_named_by_their_age() -> None:
    old = UNNAMED._replace(preset="ci", engine="docker")
    assert name_each([FRONT, old])[old] == "recorded before benchmarks had names"


def test_name_each__never_gives_a_name_twice() -> None:
    both = [Benchmark(config="a"), Benchmark(key="a"), Benchmark()]
    assert len(set(name_each(both).values())) == 3


def test_id__differs_between_benchmarks() -> None:
    benchmarks = [FRONT, UNNAMED, Benchmark("a", "b"), Benchmark("a", "", "b"), Benchmark("ab")]
    assert len({benchmark.id for benchmark in benchmarks}) == len(benchmarks)
