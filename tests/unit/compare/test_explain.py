"""What changed exactly, and the run's one verdict."""

from typing import Any

import numpy as np
import pytest
from tests.unit.factories import make_count, make_duet, make_trial, warn

from bench_action.compare.explain import findings_of
from bench_action.compare.pairs import Rules, compare_pairs, split_alpha
from bench_action.compare.verdict import verdict_of, warnings_of
from bench_action.config.gates import Gate, default_gates
from bench_action.config.schema import ExpectedWork
from bench_action.model.result import Comparison, Errors, Statement, Trial, Verdict
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell, Pair
from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

PROFILE = "article-500"
PAIR = Pair("revision", Cell("aiohttp", "base", PROFILE), Cell("aiohttp", "head", PROFILE))
SELECT = Statement(text="SELECT id FROM item", calls=10, rows=200)
LOOP = Statement(text="SELECT text FROM tag WHERE id = $1", calls=200, rows=200)


def counts(**head: Any) -> list[Trial]:
    return [make_count(revision="base", statements=(SELECT,)), make_count(**({"statements": (SELECT,)} | head))]


def rules(**gates: Gate) -> Rules:
    merged = {**default_gates(), **gates}
    return Rules(merged, {(str(PAIR), "duet"): Course(8, ended=True)}, split_alpha(merged, 1))


def by_metric(trials: list[Trial], **gates: Gate) -> dict[str, Comparison]:
    return {one.metric: one for one in compare_pairs(trials, [PAIR], rules(**gates))}


def test_findings_of__a_query_for_each_row_is_named_with_its_statement() -> None:
    trials = counts(queries=210, statements=(LOOP, SELECT))
    found = {one.code: one for one in findings_of(trials, [PAIR], {})}
    assert found["n-plus-one"].message == "queries/request 1 → 21 (N+1: a query for each row?)"
    assert (found["n-plus-one"].before, found["n-plus-one"].after) == (1, 21)
    assert found["statement"].message == "new: `SELECT text FROM tag WHERE id = $1` 0 → 20 for each request"
    assert not any(one.fails for one in found.values())  # the gate decides, not the finding


def test_findings_of__the_same_work_is_no_finding() -> None:
    assert findings_of(counts(), [PAIR], {PROFILE: ExpectedWork(queries=1)}) == ()


def test_findings_of__a_deviation_from_declared_work_fails_by_itself() -> None:
    (found,) = findings_of([make_count(queries=20)], [], {PROFILE: ExpectedWork(queries=1, cache_commands=1)})
    assert found.message == "queries/request 2 instead of the declared 1"
    assert verdict_of([make_trial()], [], [], [found]) == "regressed"


def with_errors(base: int, head: int, trials: int = 6, **errors: int) -> list[Trial]:
    """So many of base's and head's trials have these errors."""
    return [
        make_trial(revision=side, block=block, errors=Errors(**errors) if block <= bad else Errors())
        for side, bad in (("base", base), ("head", head))
        for block in range(1, trials + 1)
    ]


def test_findings_of__errors_that_base_does_not_have_fail() -> None:
    (found,) = findings_of(with_errors(0, 6, status=500), [PAIR], {})
    assert (found.code, found.fails, found.message) == ("errors", True, "errors 0 % → 5 % of all requests")
    assert findings_of(with_errors(0, 6, timeout=500), [PAIR], {}) == ()


@pytest.mark.parametrize(("base", "head", "trials"), [(0, 1, 6), (1, 4, 6), (0, 2, 2)])
def test_findings_of__errors_that_may_be_chance_are_told_and_fail_nothing(base: int, head: int, trials: int) -> None:
    (found,) = findings_of(with_errors(base, head, trials, read=500), [PAIR], {})
    assert (found.code, found.fails) == ("errors", False)
    assert found.message.endswith(f"in {head} of {trials} trials: too few to blame the change")


def test_findings_of__an_application_that_fails_now_and_then_hardly_ever_fails_the_run() -> None:
    dice = np.random.default_rng(4)
    found = 0
    for _ in range(1000):
        bad = [int(count) for count in dice.binomial(8, 0.3, size=2)]
        found += any(one.fails for one in findings_of(with_errors(bad[0], bad[1], 8, status=500), [PAIR], {}))
    assert found <= 5


def test_compare_pairs__one_more_query_is_a_regression_without_noise() -> None:
    found = by_metric(counts(queries=20))["queries_per_request"]
    assert (found.kind, found.method, found.verdict, found.level) == ("revision", "count", "regressed", "fail")
    assert (found.base, found.head) == ("aiohttp@base · article-500", "aiohttp · article-500")
    assert (found.ratio, found.confidence) == (2.0, 1.0)
    assert by_metric(counts(queries=5))["queries_per_request"].verdict == "improved"
    assert by_metric(counts())["queries_per_request"].verdict == "unchanged"


def test_compare_pairs__a_duet_tells_rate_and_cost() -> None:
    trials = [trial for n in range(1, 9) for trial in make_duet(n, base=1000 + n, head=940 + n)]
    found = by_metric(trials)
    assert found["requests_per_second"].verdict == found["cpu_ms_per_request"].verdict == "regressed"
    assert found["requests_per_second"].ratio == pytest.approx(0.94, abs=0.001)
    assert found["requests_per_second"].method == "duet"
    assert found["memory_peak_mib"].verdict == "measured"


def test_alpha_of_each__is_shared_by_everything_that_may_alarm() -> None:
    gates = default_gates()
    assert split_alpha(gates, 1) == pytest.approx(0.01 / 5)  # requests/s by duets, and by slices in turn
    assert split_alpha(gates, 5) == pytest.approx(0.01 / 25)
    assert split_alpha({}, 1) == 0.01


@pytest.mark.parametrize(
    ("verdicts", "invalid", "expected"),
    [
        (["unchanged", "regressed"], True, "regressed"),
        (["unchanged", "improved"], True, "invalid"),
        (["unchanged", "inconclusive", "improved"], False, "inconclusive"),
        (["unchanged", "improved"], False, "improved"),
        (["unchanged"], False, "unchanged"),
        ([], False, "measured"),
    ],
)
def test_verdict_of__is_the_worst_that_is_sure(verdicts: list[Verdict], invalid: bool, expected: str) -> None:
    one = by_metric(counts())["queries_per_request"]
    comparisons = [one.model_copy(update={"verdict": verdict}) for verdict in verdicts]
    warnings = [warn(Code.BLOCKS_DROPPED)] if invalid else []
    assert verdict_of([make_trial()], warnings, comparisons) == expected


def test_verdict_of__what_only_warns_does_not_fail() -> None:
    found = by_metric(counts(queries=20), queries_per_request=Gate(max_gain=0, level="warn"))["queries_per_request"]
    assert found.verdict == "regressed"
    assert verdict_of([make_trial()], [], [found]) == "measured"


def test_compare_pairs__counts_that_were_lost_are_not_compared_and_make_the_run_invalid() -> None:
    lost = make_count(queries=5, work_known=False, warnings=(warn(Code.COUNTERS_LOST),))
    trials = [make_count(revision="base"), lost]
    counted = by_metric(trials)["queries_per_request"]
    assert counted.verdict == "inconclusive"
    assert "counters were reset while its requests were counted" in counted.reason
    assert not any(one.verdict == "improved" for one in by_metric(trials).values())
    assert verdict_of(trials, warnings_of(trials, [], [PAIR]), list(by_metric(trials).values())) == "invalid"


def test_compare_pairs__what_varies_by_itself_is_unchanged_and_no_finding() -> None:
    tick = Statement(text="SELECT count(*) FROM job", calls=2, rows=2)
    trials = [
        make_count(revision=side, block=n, queries=10 + (n + ours) % 3, statements=(SELECT, tick)[: 1 + n % 2])
        for side, ours in (("base", 0), ("head", 1))
        for n in range(6)
    ]
    found = by_metric(trials)["queries_per_request"]
    assert (found.verdict, found.exact, found.blocks) == ("unchanged", False, 5)
    assert found.base_value == pytest.approx(1.1, abs=0.05)
    assert findings_of(trials, [PAIR], {PROFILE: ExpectedWork(queries=1)}) == ()
    assert [one.cell for one in warnings_of(trials, [], [PAIR]) if one.code is Code.COUNTS_VARY] == [
        "aiohttp@base · article-500",
        "aiohttp · article-500",
    ]
    more = [
        t
        if t.revision == "base"
        else t.model_copy(
            update={"work": t.work.model_copy(update={"queries": t.work.queries + 10}), "statements": (SELECT, LOOP)}
        )
        for t in trials
    ]
    assert by_metric(more)["queries_per_request"].verdict == "regressed"
    assert [one.code for one in findings_of(more, [PAIR], {})] == ["work-changed", "statement"]
