"""Two stored results: what may be compared, and how."""

from typing import Any

import numpy as np
import pytest
from tests.unit.factories import make_count, make_result, make_trial, two_variants

from bench_action.compare.stored import compare_results
from bench_action.model.errors import InputError
from bench_action.model.result import Result
from bench_action.stats.interval import estimate_unpaired_ratio

pytestmark = pytest.mark.unit


def changed(result: Result, part: str, **changes: Any) -> Result:
    return result.model_copy(update={part: getattr(result, part).model_copy(update=changes)})


def test_compare_results__compares_speed_with_an_interval_and_work_exactly() -> None:
    trials = [make_count("aiohttp", queries=210), *(make_trial("aiohttp", n, 900 + n) for n in range(1, 6))]
    found = {c.metric: c for c in compare_results(make_result(), make_result(trials)) if c.variant == "aiohttp"}
    speed, queries = found["requests_per_second"], found["queries_per_request"]
    assert speed.ratio == pytest.approx(0.88, abs=0.01)
    assert speed.ci_low is not None
    assert speed.ci_low < 0.88 < (speed.ci_high or 0)
    assert (queries.base_value, queries.head_value, queries.relevant) == (1, 21, True)
    assert (queries.ratio, queries.ci_low, queries.ci_high) == (21, 21, 21)
    assert {c.verdict for c in found.values()} == {"measured"}


def test_compare_results__counts_the_blocks_that_have_a_value() -> None:
    trials = [make_trial("aiohttp", n, 900 + n, cpu_ms={} if n <= 2 else {"application": 9e3}) for n in range(1, 6)]
    compared = compare_results(make_result(), make_result([make_count("aiohttp"), *trials]))
    blocks = {c.metric: c.blocks for c in compared if c.variant == "aiohttp"}
    assert (blocks["requests_per_second"], blocks["cpu_ms_per_request"]) == (5, 3)


@pytest.mark.parametrize(
    ("part", "changes", "cause"),
    [
        ("environment", {"cpu_model": "Another CPU", "fingerprint": "x"}, "Another CPU"),
        ("environment", {"fingerprint": "x"}, "fingerprints differ"),
        ("run", {"engine": "local"}, "engine: docker and local"),
    ],
)
def test_compare_results__refuses_different_machines(part: str, changes: dict[str, Any], cause: str) -> None:
    with pytest.raises(InputError, match="different machines") as caught:
        compare_results(make_result(), changed(make_result(), part, **changes))
    assert cause in str(caught.value)


def test_compare_results__refuses_an_invalid_result_and_one_with_nothing_in_common() -> None:
    with pytest.raises(InputError, match="head is invalid"):
        compare_results(make_result(), make_result(verdict="invalid"))
    trials = [trial.model_copy(update={"variant": f"new-{trial.variant}"}) for trial in two_variants()]
    with pytest.raises(InputError, match="no cell in common"):
        compare_results(make_result(), make_result(trials))


def test_estimate_unpaired_ratio__interval_has_its_confidence() -> None:
    random = np.random.default_rng(20261126)
    inside = 0
    for _ in range(3000):
        base, head = np.exp(random.normal(0, 0.03, 5)), np.exp(random.normal(0.05, 0.06, 8))
        found = estimate_unpaired_ratio(base.tolist(), head.tolist())
        assert found is not None
        assert found.interval is not None
        inside += found.interval.low <= np.exp(0.05) <= found.interval.high
    assert 0.985 <= inside / 3000 <= 0.996


def test_estimate_unpaired_ratio__needs_four_blocks_for_an_interval_and_positive_values() -> None:
    few = estimate_unpaired_ratio([1.0, 1.0, 1.0], [2.0, 2.1, 2.0, 2.1])
    assert few is not None
    assert few.ratio == pytest.approx(2.05, abs=0.01)
    assert few.interval is None
    assert estimate_unpaired_ratio([0.0], [1.0]) is None
    assert estimate_unpaired_ratio([], [1.0]) is None
