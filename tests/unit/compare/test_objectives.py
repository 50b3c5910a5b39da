"""The highest rates of base and head that hold an objective, compared."""

import math
from collections import Counter
from random import Random
from statistics import fmean, stdev
from typing import Any

import pytest
from tests.unit.compare.test_rates import PAIR, PROFILE, make_turn
from tests.unit.factories import make_subject

from bench_action.compare.alphas import split_alpha
from bench_action.compare.objectives import build_rate_evidence, find_lost_objectives, warn_of_objectives
from bench_action.compare.pairs import Rules, compare_pairs
from bench_action.compare.steps import judge_step, list_rates
from bench_action.compare.summary import summarise
from bench_action.config.gates import default_gates
from bench_action.config.schema import Objective, Profile
from bench_action.measure.objectives import Search, choose_seconds, plan_search
from bench_action.model.result import Comparison, Errors, Trial
from bench_action.model.warning import Code
from bench_action.stats.distributions import t_quantile

pytestmark = pytest.mark.unit

OBJECTIVE = Objective.model_validate({"p99": "30ms"})
OBJECTIVES = {PROFILE: OBJECTIVE}


def make_step(side: str, block: int, rate: float, highest: float, **changes: Any) -> Trial:
    """Build a step of a subject whose p99 is at 30 ms at its highest rate, and grows with the fourth power."""
    p50_us = 10_000 * (rate / highest) ** 4
    figures = {"rate": rate, "iterations": round(3 * rate), "iteration_us": p50_us}
    return make_turn(side, block, p50_us, rate=figures, phase="slo", requests=round(3 * rate), **changes)


def measure(head: float, blocks: int = 5, base: float = 400.0, stuck: int = 0) -> list[Trial]:
    """Measure some blocks; in block `stuck`, head holds nothing that is tried."""
    trials: list[Trial] = []
    for block in range(1, blocks + 1):
        highest = {"base": base * (1 + 0.01 * (block % 3)), "head": head * (1 + 0.01 * (block % 2))}
        highest["head"] *= 0.3 if block == stuck else 1.0
        sides = [[t for t in trials if t.side == side] for side in ("base", "head")]

        def step(
            number: int, rate: float, _seconds: int, block: int = block, highest: dict[str, float] = highest
        ) -> Trial:
            side = ("base", "head")[number]
            return make_step(side, block, rate, highest[side])

        trials += plan_search(sides, OBJECTIVE, 500.0, block).run(step)
    return trials


def compare(trials: list[Trial]) -> dict[str, Comparison]:
    gates = default_gates()
    rules = Rules(gates, {}, split_alpha(gates, 1, 0, 0, 1), objectives=OBJECTIVES)
    return {c.metric: c for c in compare_pairs(trials, [PAIR], rules)}


def test_judge_step__errors_and_rates_that_are_missed_do_not_hold() -> None:
    held = make_step("head", 1, 300, 400)
    assert judge_step(held, OBJECTIVE).over == pytest.approx((3 / 4) ** 4, rel=0.01)
    assert judge_step(held, OBJECTIVE).holds
    assert not judge_step(held.model_copy(update={"errors": Errors(status=5)}), OBJECTIVE).holds
    assert judge_step(
        held.model_copy(update={"errors": Errors(status=1)}), OBJECTIVE.model_copy(update={"errors": 0.01})
    ).holds
    assert not judge_step(held.model_copy(update={"latency": None}), OBJECTIVE).holds
    assert held.at_rate is not None
    dropped = held.model_copy(update={"at_rate": held.at_rate.model_copy(update={"dropped": 3})})
    assert not judge_step(dropped, OBJECTIVE).holds


def test_compare_pairs__a_lower_rate_regresses_with_its_interval() -> None:
    worse = compare(measure(340.0))["slo_rate"]
    assert (worse.verdict, worse.method, worse.blocks) == ("regressed", "slo", 5)
    assert worse.base_value == pytest.approx(404, rel=0.02)
    assert worse.head_value == pytest.approx(342, rel=0.02)
    assert worse.ci_low is not None
    assert worse.ci_high is not None
    assert worse.ci_low < 0.85 < worse.ci_high < 1
    assert compare(measure(400.0))["slo_rate"].verdict == "unchanged"


def test_compare_pairs__without_an_objective_nothing_is_said_of_it() -> None:
    gates = default_gates()
    assert "slo_rate" not in {c.metric for c in compare_pairs([], [PAIR], Rules(gates, {}, split_alpha(gates, 1)))}
    unmeasured = compare([])["slo_rate"]
    assert (unmeasured.verdict, unmeasured.reason) == ("inconclusive", "no block with steps of the rate was measured")


def test_objectives__that_no_rate_holds() -> None:
    never = [make_step(side, block, 50.0, 1.0) for block in range(1, 6) for side in ("base", "head")]
    assert build_rate_evidence(never, PAIR, OBJECTIVE) is None
    (warning,) = warn_of_objectives(never, [PAIR], OBJECTIVES)
    assert (warning.code, warning.message) == (
        Code.SLO_NOT_HELD,
        "base does not hold p99 ≤ 30 ms at 50/s, and head does not either",
    )
    new = measure(400.0)
    better = [trial for trial in new if trial.side == "head"] + [t for t in never if t.side == "base"]
    (warning,) = warn_of_objectives(better, [PAIR], OBJECTIVES)
    assert warning.message == "base does not hold p99 ≤ 30 ms at 50/s, the lowest rate tried"
    assert list(find_lost_objectives(never, [PAIR], OBJECTIVES)) == []
    lost = [trial for trial in measure(400.0) if trial.side == "base"] + [t for t in never if t.side == "head"]
    (finding,) = find_lost_objectives(lost, [PAIR], OBJECTIVES)
    assert finding.fails
    assert finding.message == "it holds p99 ≤ 30 ms at no rate from 50/s on, and base does"
    assert "in no block was it known of both sides" in compare(lost)["slo_rate"].reason
    unknown = [t.model_copy(update={"generator_busy": 0.9}) if t.side == "base" else t for t in lost]
    assert list(find_lost_objectives(unknown, [PAIR], OBJECTIVES)) == []  # k6 was too busy to know of base


def test_summarise__has_the_highest_rate_of_each_cell() -> None:
    trials = [trial for trial in measure(340.0) if trial.side == "head"]
    (summary,) = summarise(trials, [make_subject("aiohttp")], OBJECTIVES)
    assert summary.metrics["slo_rate"].median == pytest.approx(342, rel=0.02)


def test_search__ends_where_k6_is_the_bottleneck() -> None:
    def step(_number: int, rate: float, _seconds: int) -> Trial:
        return make_step("head", 1, rate, 1e6, generator_busy=0.9 if rate > 1500 else 0.2)

    trials = Search(OBJECTIVE, 1, 1000.0, first=True).run(step)
    rates = [round(trial.at_rate.rate or 0) for trial in trials if trial.at_rate]
    assert rates[:3] == [1000, 1300, 1690]
    assert all(1300 <= rate < 1690 for rate in rates[3:])  # what k6 can send may still be too much
    both = [trial.model_copy(update={"side": side}) for trial in trials for side in ("base", "head")]
    found = compare(both)["slo_rate"]
    assert (found.verdict, found.reason) == ("inconclusive", "k6 was the bottleneck before the objective was missed")


def test_search__goes_down_from_a_step_that_k6_could_not_send() -> None:
    def step(_number: int, rate: float, _seconds: int) -> Trial:
        return make_step("head", 1, rate, 500.0, generator_busy=0.9 if rate > 900 else 0.2)

    rates = [trial.at_rate.rate or 0 for trial in Search(OBJECTIVE, 1, 1000.0, first=True).run(step) if trial.at_rate]
    assert min(rates) < 500
    assert [rate for rate in rates if rate > 900] == [1000]


def test_compare_pairs__a_block_in_which_head_holds_at_no_rate_counts() -> None:
    """It would be called unchanged if just the blocks without trouble counted."""
    found = compare(measure(400.0, stuck=3))["slo_rate"]
    assert found.blocks == 5
    assert found.head_value < found.base_value
    assert found.verdict == "inconclusive"


@pytest.mark.parametrize(("power", "noise"), [(1.0, 0.15), (1.0, 0.25), (4.0, 0.25), (20.0, 0.25)])
def test_search__of_equal_subjects_seldom_finds_a_difference(power: float, noise: float) -> None:
    """Counted over runs of five blocks; p99 grows with a power of the rate, and each step has noise."""
    dice, runs, found = Random(1), 400, Counter[str]()
    for _ in range(runs):
        evidence = build_rate_evidence(measure_noisy(dice, power, noise), PAIR, OBJECTIVE)
        assert evidence is not None
        error = stdev(evidence.losses) / math.sqrt(len(evidence.losses))
        t, degrees = abs(fmean(evidence.losses)) / error if error else 0.0, len(evidence.losses) - 1
        found["1 %"] += t > t_quantile(0.995, degrees)
        found["0.1 %"] += t > t_quantile(0.9995, degrees)
    assert found["1 %"] <= 0.025 * runs
    assert found["0.1 %"] <= 0.005 * runs


def measure_noisy(dice: Random, power: float, noise: float) -> list[Trial]:
    """Measure two equal subjects in five blocks; the limit is at 400/s."""
    trials: list[Trial] = []
    for block in range(1, 6):

        def step(number: int, rate: float, _seconds: int, block: int = block) -> Trial:
            p99_us = 30_000 * (rate / 400) ** power * dice.lognormvariate(0, noise)
            trial = TEMPLATES[number]
            assert trial.at_rate is not None
            assert trial.latency is not None
            figures = trial.at_rate.model_copy(update={"rate": rate, "iterations": 3 * rate, "all_requests": 3 * rate})
            latency = trial.latency.model_copy(update={"p99_us": p99_us})
            return trial.model_copy(update={"block": block, "at_rate": figures, "latency": latency})

        sides = [[t for t in trials if t.side == side] for side in ("base", "head")]
        trials += plan_search(sides, OBJECTIVE, 400.0, block).run(step)
    return trials


TEMPLATES = [make_step(side, 1, 100.0, 400.0) for side in ("base", "head")]


@pytest.mark.parametrize("head", [120.0, 160.0, 1000.0])
def test_compare_pairs__finds_sides_that_are_far_apart(head: float) -> None:
    found = compare(measure(head))["slo_rate"]
    assert (found.verdict, found.blocks) == ("regressed" if head < 400 else "improved", 5)
    assert found.ratio == pytest.approx(head / 400, rel=0.06)


def test_search__finds_a_rate_between_what_holds_and_what_k6_cannot_send() -> None:
    def step(_number: int, rate: float, _seconds: int) -> Trial:
        return make_step("head", 2, rate, 1000.0, generator_busy=0.9 if rate > 1400 else 0.2)

    trials = Search(OBJECTIVE, 1, 547.0, first=False).run(step)
    assert list_rates(trials, OBJECTIVE)[2] == pytest.approx(1000, rel=0.05)


def test_find_lost_objectives__a_tenth_of_the_rate_is_lost() -> None:
    (finding,) = find_lost_objectives(measure(40.0), [PAIR], OBJECTIVES)
    assert finding.fails


def test_choose_seconds__gives_a_percentile_enough_requests() -> None:
    assert [choose_seconds(rate) for rate in (5, 100, 250, 4000)] == [10, 5, 3, 3]


def test_objective__has_one_limit() -> None:
    assert str(Objective.model_validate({"p999": "2s", "errors": "1%"})) == "p99.9 ≤ 2 s"
    for wrong in ({}, {"p50": "1s", "p99": "2s"}, {"p95": "1s"}):
        with pytest.raises(ValueError, match="p9"):
            Objective.model_validate(wrong)
    with pytest.raises(ValueError, match="`slo` needs a `rate` with `k6`"):
        Profile.model_validate({"k6": "buy.js", "slo": {"p99": "1s"}})
