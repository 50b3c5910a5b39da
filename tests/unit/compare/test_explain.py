"""Exact changes and their statements, and the verdict of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.unit.factories import LATENCY, make_count, make_duet, make_trial, warn

from bench_action.compare.alphas import split_alpha
from bench_action.compare.comparison import refuse_gains
from bench_action.compare.explain import find_changes
from bench_action.compare.pairs import Rules, compare_pairs
from bench_action.compare.verdict import collect_warnings, decide_verdict
from bench_action.config.gates import ALONE, AT_RATE, OBJECTIVE, PAIRED, Gate, default_gates
from bench_action.config.schema import ExpectedWork
from bench_action.model.result import Comparison, Errors, Finding, PhaseName, Statement, Trial, Verdict
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell, Pair
from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

PROFILE = "article-500"
PAIR = Pair("revision", Cell("aiohttp", "base", PROFILE), Cell("aiohttp", "head", PROFILE))
SELECT = Statement(text="SELECT id FROM item", calls=10, rows=200)
UNCONFIRMED = "application CPU/request does not show the same change"
LOOP = Statement(text="SELECT text FROM tag WHERE id = $1", calls=200, rows=200)


def counts(**head: Any) -> list[Trial]:
    return [make_count(revision="base", statements=(SELECT,)), make_count(**({"statements": (SELECT,)} | head))]


def rules(**gates: Gate) -> Rules:
    merged = {**default_gates(), **gates}
    return Rules(merged, {(str(PAIR), "duet"): Course(8, ended=True)}, split_alpha(merged, 1))


def by_metric(trials: list[Trial], **gates: Gate) -> dict[str, Comparison]:
    return {comparison.metric: comparison for comparison in compare_pairs(trials, [PAIR], rules(**gates))}


def test_find_changes__names_the_statement_of_one_query_per_row() -> None:
    trials = counts(queries=210, statements=(LOOP, SELECT))
    found = {finding.code: finding for finding in find_changes(trials, [PAIR], {})}
    assert found["n-plus-one"].message == "queries/request 1 → 21 (N+1: one query per row?)"
    assert (found["n-plus-one"].before, found["n-plus-one"].after) == (1, 21)
    assert found["statement"].message == "new query: `SELECT text FROM tag WHERE id = $1`, 0 → 20 per request"
    assert not any(finding.fails for finding in found.values())  # the gate decides, not the finding


def test_find_changes__reports_nothing_for_the_same_work() -> None:
    assert find_changes(counts(), [PAIR], {PROFILE: ExpectedWork(queries=1)}) == ()


def test_find_changes__a_deviation_from_declared_work_fails_by_itself() -> None:
    (found,) = find_changes([make_count(queries=20)], [], {PROFILE: ExpectedWork(queries=1, cache_commands=1)})
    assert found.message == "queries/request 2 instead of the declared 1"
    assert decide_verdict([make_trial()], [], [], [found]) == "regressed"


def with_errors(base: int, head: int, trials: int = 6, **errors: int) -> list[Trial]:
    """Build trials of base and head, of which `base` and `head` have these errors."""
    return [
        make_trial(revision=side, block=block, errors=Errors(**errors) if block <= bad else Errors())
        for side, bad in (("base", base), ("head", head))
        for block in range(1, trials + 1)
    ]


def test_find_changes__errors_that_base_does_not_have_fail() -> None:
    (found,) = find_changes(with_errors(0, 6, status=500), [PAIR], {})
    assert (found.code, found.fails, found.message) == ("errors", True, "errors: 0 % → 5.0 % of all requests")
    assert find_changes(with_errors(0, 6, timeout=500), [PAIR], {}) == ()


@pytest.mark.parametrize(("base", "head", "trials"), [(0, 1, 6), (1, 4, 6), (0, 2, 2)])
def test_find_changes__errors_that_may_be_chance_fail_nothing(base: int, head: int, trials: int) -> None:
    (found,) = find_changes(with_errors(base, head, trials, read=500), [PAIR], {})
    assert (found.code, found.fails) == ("errors", False)
    assert found.message.endswith(f"in {head} of {trials} blocks: this may be chance")


def test_refuse_gains__errors_that_are_quick_are_no_gain() -> None:
    duets = [trial for n in range(1, 9) for trial in make_duet(n, base=1000 + n, head=1100 + n)]
    quick = LATENCY.model_copy(update={"p99_us": 0.2 * LATENCY.p99_us})
    duets = [t.model_copy(update={"latency": quick}) if t.side == "head" else t for t in duets]
    compared = compare_pairs(duets, [PAIR], rules())
    assert any(c.relevant and c.gate is None for c in compared)
    errors = find_changes(with_errors(0, 6, status=500), [PAIR], {})
    (refused,) = (c for c in refuse_gains(compared, errors) if c.metric == "cpu_ms_per_request")
    assert (refused.verdict, refused.ratio, refused.blocks) == ("inconclusive", None, 0)
    assert refused.reason == "head answers with errors, which may be quicker than its replies"
    assert {c.verdict for c in refuse_gains(compared, errors) if c.relevant or c.verdict == "improved"} == set()
    by_chance = find_changes(with_errors(0, 1, status=500), [PAIR], {})
    assert refuse_gains(compared, by_chance) == compared
    assert next(c for c in compared if c.metric == "cpu_ms_per_request").verdict == "improved"


@pytest.mark.parametrize(
    ("code", "before", "after", "refused"),
    [
        ("replies-changed", 6013, 38, True),
        ("replies-changed", 6013, 5800, False),
        ("replies-changed", 38, 6013, False),
        ("status-changed", 200, 302, True),
        ("status-changed", 200, 201, False),
    ],
)
def test_refuse_gains__a_head_that_answers_less_is_not_quicker(
    code: str, before: float, after: float, *, refused: bool
) -> None:
    duets = [trial for n in range(1, 9) for trial in make_duet(n, base=1000 + n, head=1100 + n)]
    compared = compare_pairs(duets, [PAIR], rules())
    for cell in (str(PAIR.head), f"{PAIR.head} · GET /items"):  # of a mix, one of its requests
        finding = Finding(code=code, message="other replies", cell=cell, before=before, after=after)
        (cost,) = (c for c in refuse_gains(compared, [finding]) if c.metric == "cpu_ms_per_request")
        assert (cost.verdict, cost.reason) == (
            ("inconclusive", "head may do less: other replies") if refused else ("improved", "")
        )
    elsewhere = Finding(code=code, message="", cell=f"{PAIR.head}-2", before=before, after=after)
    assert refuse_gains(compared, [elsewhere]) == compared


def test_refuse_gains__fewer_queries_are_a_gain_of_requests_that_are_served() -> None:
    compared = compare_pairs(counts(queries=5), [PAIR], rules())
    errors = find_changes(with_errors(0, 6, status=500), [PAIR], {})
    assert refuse_gains(compared, errors) == compared


def test_find_changes__an_application_that_fails_now_and_then_hardly_ever_fails_the_run() -> None:
    dice = np.random.default_rng(4)
    found = 0
    for _ in range(1000):
        bad = [int(count) for count in dice.binomial(8, 0.3, size=2)]
        found += any(finding.fails for finding in find_changes(with_errors(bad[0], bad[1], 8, status=500), [PAIR], {}))
    assert found <= 5


def test_compare_pairs__one_more_query_is_a_regression_without_noise() -> None:
    found = by_metric(counts(queries=20))["queries_per_request"]
    assert (found.kind, found.method, found.verdict, found.level) == ("revision", "count", "regressed", "fail")
    assert (found.base, found.head) == ("aiohttp@base · article-500", "aiohttp · article-500")
    assert (found.ratio, found.confidence) == (2.0, 1.0)
    assert by_metric(counts(queries=5))["queries_per_request"].verdict == "improved"
    assert by_metric(counts())["queries_per_request"].verdict == "unchanged"


def test_compare_pairs__a_duet_compares_rate_and_cost() -> None:
    trials = [trial for n in range(1, 9) for trial in make_duet(n, base=1000 + n, head=940 + n)]
    found = by_metric(trials)
    assert found["requests_per_second"].verdict == found["cpu_ms_per_request"].verdict == "regressed"
    assert found["requests_per_second"].ratio == pytest.approx(0.94, abs=0.001)
    assert found["requests_per_second"].method == "duet"
    assert found["memory_peak_mib"].verdict == "measured"


def test_split_alpha__divides_alpha_among_everything_that_may_raise_an_alarm() -> None:
    gates = default_gates()
    alphas = split_alpha(gates, 1)
    # requests/s by duets is no further way: it is tested only where CPU/request is significant
    once = ("cpu_ms_per_request", "total_cpu_ms_per_request", "latency_p50_us", "db_cpu_ms_per_request")
    assert alphas.turns + sum(alphas.gated[metric] for metric in once) == pytest.approx(0.01)
    assert split_alpha(gates, 5).gated["latency_p50_us"] == pytest.approx(alphas.gated["latency_p50_us"] / 5)
    in_turn = split_alpha(gates, 1, duets=False)
    assert sum(in_turn.gated[metric] for metric in ("requests_per_second", *once)) == pytest.approx(0.01)
    assert in_turn.turns == in_turn.gated["requests_per_second"] > alphas.turns


@pytest.mark.parametrize("without", ["requests_per_second", "cpu_ms_per_request"])
def test_split_alpha__only_two_gates_share_theirs(without: str) -> None:
    gates = {metric: gate for metric, gate in default_gates().items() if metric in {*PAIRED, *ALONE}}
    del gates[without]
    alphas = split_alpha(gates, 1)
    turns = alphas.turns if "requests_per_second" in gates else 0.0
    assert sum(alphas.gated.values()) + turns == pytest.approx(0.01)


@pytest.mark.parametrize("without", [(), ("latency_p50_us",), tuple(default_gates())])
@pytest.mark.parametrize("counts", [(1,), (3, 5), (0, 0, 2), (2, 4, 2, 1)])
def test_split_alpha__metrics_without_a_gate_share_one_percent_whether_others_have_gates_or_not(
    without: Sequence[str], counts: Sequence[int]
) -> None:
    gates = {metric: gate for metric, gate in default_gates().items() if metric not in without}
    pairs, routes, rated, objectives = (*counts, 0, 0, 0)[:4]
    alphas = split_alpha(gates, *counts)
    times = dict.fromkeys(PAIRED, pairs) | {"cpu_ms_per_request of a request": routes}
    times |= dict.fromkeys(ALONE, pairs + routes) | dict.fromkeys(AT_RATE, rated) | dict.fromkeys(OBJECTIVE, objectives)
    assert sum(number for metric, number in times.items() if metric not in gates) * alphas.ungated == pytest.approx(
        0.01
    )


def test_rules__cpu_of_a_request_of_a_mix_has_no_gate_and_no_gated_alpha() -> None:
    gates = default_gates()
    whole, single = gates, {metric: gate for metric, gate in gates.items() if metric in ALONE}
    alphas = split_alpha(gates, 1, 5)
    assert Rules(whole, {}, alphas).choose_alpha("cpu_ms_per_request") == alphas.gated["cpu_ms_per_request"]
    assert Rules(single, {}, alphas).choose_alpha("cpu_ms_per_request") == alphas.ungated == pytest.approx(0.01 / 15)


def test_split_alpha__a_coarse_gate_needs_less_of_it() -> None:
    alphas = split_alpha(default_gates(), 1).gated
    assert alphas["requests_per_second"] == alphas["cpu_ms_per_request"] == pytest.approx(0.01 * 200 / 373.3, rel=0.001)
    assert alphas["total_cpu_ms_per_request"] == pytest.approx(alphas["cpu_ms_per_request"] / 6)
    assert (
        alphas["latency_p50_us"] == alphas["db_cpu_ms_per_request"] == pytest.approx(alphas["cpu_ms_per_request"] / 10)
    )
    tiny, large = Gate(max_loss=0.0001), Gate(max_gain=5.0)
    odd = split_alpha({"requests_per_second": tiny, "total_cpu_ms_per_request": large}, 1).gated
    assert odd["requests_per_second"] == pytest.approx(5 * odd["total_cpu_ms_per_request"])


def make_blocks(dice: np.random.Generator, blocks: int, rate_sd: float, cost_sd: float) -> list[Trial]:
    """Make duets of the same code whose CPU/request varies by `cost_sd`, and requests/s by `rate_sd` in addition."""
    trials = []
    for n in range(1, blocks + 1):
        for trial in make_duet(n, base=10_000, head=10_000):
            cost, rate = (float(np.exp(sd * dice.standard_normal())) for sd in (cost_sd, rate_sd))
            rate /= cost
            cpu = {**trial.cpu_ms, "application": trial.cpu_ms["application"] * cost * rate}
            trials.append(trial.model_copy(update={"cpu_ms": cpu, "requests": round(trial.requests * rate)}))
    return trials


def test_compare_pairs__requests_per_second_and_cpu_per_request_raise_no_more_alarms_than_one() -> None:
    """With interim analyses, and a gate that noise reaches."""
    tiny = {"requests_per_second": Gate(max_loss=0.0001), "cpu_ms_per_request": Gate(max_gain=0.0001)}
    alphas = split_alpha(tiny, 1)
    assert alphas.gated["cpu_ms_per_request"] == alphas.gated["requests_per_second"] == pytest.approx(0.01 * 2 / 3)
    runs, alarms, separate, unconfirmed = 1500, 0, 0, 0
    dice, only_rate = np.random.default_rng(8), {"requests_per_second": tiny["requests_per_second"]}
    for _ in range(runs):
        trials = make_blocks(dice, 12, 0.005, 0.01)
        alarmed = alone = False
        for due in Course(12, ended=False).looks:
            courses: dict[tuple[str, PhaseName], Course] = {(str(PAIR), "duet"): Course(12, ended=False)}
            seen = compare_pairs(trials[: 2 * due], [PAIR], Rules(tiny, courses, alphas))
            found = {c.metric: c for c in seen}
            alarmed |= any(c.verdict == "regressed" for c in found.values())
            unconfirmed += found["requests_per_second"].reason == UNCONFIRMED
            (rate,) = (
                c
                for c in compare_pairs(trials[: 2 * due], [PAIR], Rules(only_rate, courses, alphas))
                if c.metric == "requests_per_second"
            )
            alone |= rate.verdict == "regressed"
        alarms += alarmed
        separate += alarmed or alone
    alpha = alphas.gated["cpu_ms_per_request"]
    assert 0 < alarms <= alpha * runs + 2 * (alpha * runs) ** 0.5
    assert separate > alarms
    assert unconfirmed


def compare_changes(rate: float, cost: float) -> tuple[Comparison, Comparison]:
    """Compare duets with these ratios of requests/s and of CPU/request."""
    trials = []
    for n in range(1, 9):
        for trial in make_duet(n, base=1000 + n, head=round((1000 + n) * rate)):
            factor = cost * rate * (1 + 0.0003 * (-1) ** n) if trial.side == "head" else 1.0
            cpu = {**trial.cpu_ms, "application": trial.cpu_ms["application"] * factor}
            trials.append(trial.model_copy(update={"cpu_ms": cpu}))
    found = by_metric(trials)
    return found["requests_per_second"], found["cpu_ms_per_request"]


@pytest.mark.parametrize(
    ("rate", "cost", "expected"),
    [
        (0.989, 1.011, "regressed"),
        (0.989, 1.0, "inconclusive"),
        (0.9885, 0.9985, "inconclusive"),  # in the opposite direction
        (1.012, 0.988, "improved"),
        (1.012, 1.0, "measured"),
        (1.0, 1.0, "unchanged"),
    ],
)
def test_compare_pairs__requests_per_second_differ_only_where_cpu_per_request_does(
    rate: float, cost: float, expected: Verdict
) -> None:
    found, _ = compare_changes(rate, cost)
    assert found.verdict == expected
    assert found.significant == (expected in {"regressed", "improved"})
    assert (found.reason == UNCONFIRMED) == (expected in {"inconclusive", "measured"})


def test_compare_pairs__requests_per_second_detect_no_less_than_cpu_per_request() -> None:
    dice, trials = np.random.default_rng(3), list[Trial]()
    for n in range(1, 9):
        for trial in make_duet(n, base=10_000 + n, head=10_000 - n):
            cpu_ms = trial.cpu_ms["application"] * float(np.exp(0.004 * dice.standard_normal()))
            trials.append(trial.model_copy(update={"cpu_ms": {**trial.cpu_ms, "application": cpu_ms}}))
    found = by_metric(trials)
    rate, cost = found["requests_per_second"], found["cpu_ms_per_request"]
    assert (rate.method, rate.fires) == ("duet", None)
    assert rate.smallest_detectable == cost.smallest_detectable
    assert rate.test is not None
    assert cost.test is not None
    assert rate.test.sd < cost.test.sd


def test_compare_pairs__requests_per_second_without_cpu_times_stand_alone() -> None:
    trials = [
        trial.model_copy(update={"cpu_ms": {}})
        for n in range(1, 9)
        for trial in make_duet(n, base=1000 + n, head=940 + n)
    ]
    assert by_metric(trials)["requests_per_second"].verdict == "regressed"


@pytest.mark.parametrize(("rate", "verdict"), [(0.94, "inconclusive"), (1.06, "measured")])
def test_compare_pairs__requests_per_second_wait_for_cpu_per_request_that_has_too_few_blocks(
    rate: float, verdict: Verdict
) -> None:
    trials = [
        trial if n <= 3 else trial.model_copy(update={"cpu_ms": {}})
        for n in range(1, 9)
        for trial in make_duet(n, base=1000 + n, head=1000 * rate + n)
    ]
    found = by_metric(trials)
    assert (found["cpu_ms_per_request"].blocks, found["cpu_ms_per_request"].test) == (3, None)
    assert (found["requests_per_second"].verdict, found["requests_per_second"].significant) == (verdict, False)
    assert found["requests_per_second"].reason.endswith("CPU/request has too few blocks to show the same change")


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
def test_decide_verdict__is_the_worst_that_is_certain(verdicts: list[Verdict], invalid: bool, expected: str) -> None:
    comparison = by_metric(counts())["queries_per_request"]
    comparisons = [comparison.model_copy(update={"verdict": verdict}) for verdict in verdicts]
    warnings = [warn(Code.BLOCKS_DROPPED)] if invalid else []
    assert decide_verdict([make_trial()], warnings, comparisons) == expected


def test_decide_verdict__a_gate_that_only_warns_does_not_fail_the_run() -> None:
    found = by_metric(counts(queries=20), queries_per_request=Gate(max_gain=0, level="warn"))["queries_per_request"]
    assert found.verdict == "regressed"
    assert decide_verdict([make_trial()], [], [found]) == "measured"


def test_compare_pairs__lost_counts_are_not_compared_and_make_the_run_invalid() -> None:
    lost = make_count(queries=5, work_known=False, warnings=(warn(Code.COUNTERS_LOST),))
    trials = [make_count(revision="base"), lost]
    counted = by_metric(trials)["queries_per_request"]
    assert counted.verdict == "inconclusive"
    assert "counters were reset while its requests were being counted" in counted.reason
    assert not any(comparison.verdict == "improved" for comparison in by_metric(trials).values())
    assert decide_verdict(trials, collect_warnings(trials, [], [PAIR]), list(by_metric(trials).values())) == "invalid"


def test_compare_pairs__a_count_that_varies_by_itself_is_unchanged_and_not_a_finding() -> None:
    tick = Statement(text="SELECT count(*) FROM job", calls=2, rows=2)
    trials = [
        make_count(revision=side, block=n, queries=10 + (n + ours) % 3, statements=(SELECT, tick)[: 1 + n % 2])
        for side, ours in (("base", 0), ("head", 1))
        for n in range(6)
    ]
    found = by_metric(trials)["queries_per_request"]
    assert (found.verdict, found.exact, found.blocks) == ("unchanged", False, 5)
    assert found.base_value == pytest.approx(1.1, abs=0.05)
    assert find_changes(trials, [PAIR], {PROFILE: ExpectedWork(queries=1)}) == ()
    assert [warning.cell for warning in collect_warnings(trials, [], [PAIR]) if warning.code is Code.COUNTS_VARY] == [
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
    assert [finding.code for finding in find_changes(more, [PAIR], {})] == ["work-changed", "statement"]
