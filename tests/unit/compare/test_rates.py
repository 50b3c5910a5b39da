"""What turns at a fixed rate decide: waiting, rates that are missed, scripts that fail."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.factories import LATENCY, make_result, make_trial

from bench_action.compare.alphas import split_alpha
from bench_action.compare.pairs import Rules, compare_pairs
from bench_action.compare.rates import find_missed_rates, warn_of_rates, warn_of_scripts_alone
from bench_action.compare.stopping import Decider
from bench_action.compare.summary import trial_values
from bench_action.config.gates import AT_RATE, EXACT, OBJECTIVE, Gate, default_gates
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config, Profile
from bench_action.load.k6 import K6Report
from bench_action.load.rates import judge_turn
from bench_action.model.result import QUANTILES, AtRate, Comparison, Finding, Trial
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Block, Cell, ElapsedTime, Pair
from bench_action.report.waits import list_waits

pytestmark = pytest.mark.unit

PROFILE = "article-500"
PAIR = Pair("revision", Cell("aiohttp", "base", PROFILE), Cell("aiohttp", "head", PROFILE))


def make_turn(side: str, block: int, p50_us: float, *, rate: dict[str, Any] | None = None, **changes: Any) -> Trial:
    """Build a turn of 3 s at 200/s, after a warm-up of 1 s."""
    figures: dict[str, Any] = {
        "rate": 200.0,
        "iterations": 599,
        "iteration_us": p50_us,
        "dropped": 0,
        "all_requests": 799,
        "timed": "http_req_duration",
        "quantiles_us": tuple(p50_us * (0.5 + share) for share in QUANTILES),
    }
    fields: dict[str, Any] = {
        "phase": "rate",
        "side": side,
        "revision": side,
        "pair": str(PAIR),
        "duration_s": 3.0,
        "requests": 599,
        "latency": LATENCY.model_copy(update={"p50_us": p50_us, "p90_us": 1.4 * p50_us, "p99_us": 3 * p50_us}),
        "cpu_ms": {"application": 799.0, "db": 100.0, "generator": 400.0},
        "at_rate": AtRate(**figures | (rate or {})),
    }
    return make_trial(block=block, **fields | changes)


def make_turns(
    head_us: float = 5000.0, blocks: int = 6, *, base: dict[str, Any] | None = None, head: dict[str, Any] | None = None
) -> list[Trial]:
    return [
        turn
        for block in range(1, blocks + 1)
        for turn in (
            make_turn("base", block, 5000.0 + 40 * (block % 3), rate=base),
            make_turn("head", block, head_us + 40 * (block % 2), rate=head),
        )
    ]


def compare(trials: list[Trial], *, script: bool = False, **more: Gate) -> dict[str, Comparison]:
    gates = default_gates() | more
    rules = Rules(gates, {}, split_alpha(gates, 0, 0, 1), scripts={PROFILE} if script else (), rated={PROFILE})
    return {c.metric: c for c in compare_pairs(trials, [PAIR], rules)}


def test_trial_values__of_a_turn_have_the_cpu_of_every_request() -> None:
    values = trial_values(make_turn("head", 1, 5000.0))
    assert values["cpu_ms_per_request_at_rate"] == 1.0
    assert values["latency_p90_at_rate_us"] == 7000.0
    assert "requests_per_second" not in values


def test_compare_pairs__waiting_regresses_at_a_fixed_rate_and_the_same_code_does_not() -> None:
    same, slower = compare(make_turns()), compare(make_turns(head_us=5800.0))
    assert (same["latency_p50_at_rate_us"].verdict, same["latency_p50_at_rate_us"].method) == ("unchanged", "rate")
    assert (slower["latency_p50_at_rate_us"].verdict, slower["latency_p50_at_rate_us"].blocks) == ("regressed", 6)
    assert slower["cpu_ms_per_request_at_rate"].verdict == "unchanged"
    assert slower["latency_p999_at_rate_us"].gate is None


def blocks_needed(trials: list[Trial], *, to_the_end: bool = False, most: int = 8, **more: Gate) -> int:
    """Count the blocks of two turns that are measured, `most` at most."""
    gates = default_gates() | more
    decider = Decider(gates, split_alpha(gates, 0, 0, 1), 1, 120.0, to_the_end=to_the_end, rate_blocks=most)
    for number in range(1, most + 1):
        so_far = [trial for trial in trials if trial.block < number]
        if decider.enough(Block("rate", number, (), PAIR), so_far, ElapsedTime(60.0, [10.0] * (number - 1))):
            return number - 1
    return most


def test_enough__turns_at_a_fixed_rate_end_at_a_look_that_decides_everything() -> None:
    assert blocks_needed(make_turns(blocks=8)) == 5
    assert blocks_needed(make_turns(9000.0, blocks=8)) == 5
    assert blocks_needed(make_turns(blocks=8), to_the_end=True) == 8
    noisy = [
        make_turn(side, block, 5000.0 * (1.5 if (block + (side == "head")) % 2 else 1.0))
        for block in range(1, 9)
        for side in ("base", "head")
    ]
    assert blocks_needed(noisy) == 8
    assert blocks_needed(make_turns(blocks=8, head={"checks": 600, "checks_failed": 9, "failed_checks": ("ok",)})) == 5


def test_compare_pairs__a_script_has_no_metric_of_full_load() -> None:
    names = set(compare(make_turns(), script=True))
    assert "requests_per_second" not in names
    assert set(AT_RATE) <= names


def test_compare_pairs__a_rate_that_was_not_measured_has_a_reason() -> None:
    found = compare([], script=True)["latency_p50_at_rate_us"]
    assert (found.verdict, found.reason) == ("inconclusive", "no block at a fixed rate was measured")


def test_compare_pairs__p99_has_no_gate_unless_one_is_configured() -> None:
    worse = compare(make_turns(12_000.0))["latency_p99_at_rate_us"]
    assert (worse.verdict, worse.gate) == ("measured", None)


def test_compare_pairs__a_gate_on_p99_needs_ten_blocks() -> None:
    def scatter(blocks: int) -> list[Trial]:
        trials = make_turns(blocks=blocks)
        wide = LATENCY.model_copy(update={"p50_us": 5000.0, "p90_us": 7000.0, "p99_us": 40_000.0})
        return [t.model_copy(update={"latency": wide}) if t.block % 2 and t.side == "head" else t for t in trials]

    gate = Gate(max_gain=0.5, absolute=2000)
    few, many = (compare(scatter(blocks), latency_p99_at_rate_us=gate)["latency_p99_at_rate_us"] for blocks in (6, 10))
    assert (few.verdict, few.reason) == ("inconclusive", "6 blocks were measured, but this gate needs 10")
    assert (many.verdict, many.gate) == ("inconclusive", 0.5)
    worse = compare(make_turns(12_000.0, blocks=10), latency_p99_at_rate_us=gate)["latency_p99_at_rate_us"]
    assert worse.verdict == "regressed"


def test_enough__a_gate_on_p99_gets_its_ten_blocks(tmp_path: Path) -> None:
    config = {"variants": {"web": {"image": "w"}}, "gates": {"latency_p99_at_rate_us": {"max_gain": "50%"}}}
    assert blocks_needed(make_turns(blocks=10), most=10, latency_p99_at_rate_us=Gate(max_gain=0.5)) == 10
    policy = load_policy("ci")
    projects = [
        Project(Config.model_validate(each), policy, "ci", tmp_path, "bench.yml")
        for each in (config, config | {"gates": {}})
    ]
    assert [project.rate_blocks for project in projects] == [10, 8]


def test_split_alpha__turns_share_the_error_with_what_else_a_run_compares() -> None:
    gates = default_gates()
    shared, alone = split_alpha(gates, 1, 0, 1), split_alpha(gates, 0, 0, 2).gated
    both = shared.gated
    paired = [metric for metric in gates if metric not in {*AT_RATE, *OBJECTIVE, *EXACT}]
    at_rate = [metric for metric in gates if metric in AT_RATE]
    once = [both[metric] for metric in (*paired, *at_rate) if metric != "requests_per_second"]
    assert sum(once) + shared.turns == pytest.approx(0.01)
    assert sum(alone[metric] for metric in at_rate) == pytest.approx(0.01 / 2)
    assert both["requests_per_second"] < split_alpha(gates, 1).gated["requests_per_second"]


def findings(trials: list[Trial]) -> list[Finding]:
    return list(find_missed_rates(trials, [PAIR]))


def codes(trials: list[Trial]) -> list[Code]:
    return [warning.code for warning in warn_of_rates(trials, PAIR)]


MISSED, FAILING = {"dropped": 50, "iterations": 400}, {"checks": 10, "checks_failed": 4, "failed_checks": ("is 200",)}
SLOW = {"iterations": 400, "timed": "iteration_duration"}
ENDED = {"ended": "it ended itself", "dropped": 50}


def test_find_missed_rates__what_head_alone_misses_fails() -> None:
    (dropped,), (slow,) = findings(make_turns(head=MISSED)), findings(make_turns(head=SLOW))
    assert (dropped.code, dropped.fails) == (slow.code, slow.fails) == ("rate-missed", True)
    assert dropped.message.startswith("300 iterations were not begun, as all users waited for replies (in 6 of 6 turns")
    assert slow.message == "it kept up with 67 % of 200/s (in 6 of 6 turns, of base in 0 of 6)"
    assert codes(make_turns(head=MISSED)) == []
    assert findings(make_turns()) == []


def test_warn_of_rates__what_neither_side_can_do_is_invalid_and_what_head_fixes_is_not() -> None:
    for both, code in ((MISSED, Code.RATE_NOT_REACHED), (FAILING, Code.SCRIPT_FAILS), (ENDED, Code.SCRIPT_FAILS)):
        trials = make_turns(base=both, head=both)
        assert (codes(trials), findings(trials)) == ([code], [])
        fixed = make_turns(base=both)
        assert (codes(fixed), findings(fixed)) == ([], [])


def test_find_missed_rates__checks_exceptions_thresholds_and_the_end_of_a_script_count() -> None:
    (check,), (raised,) = findings(make_turns(head=FAILING)), findings(make_turns(head={"exceptions": 2}))
    assert (check.code, check.fails, raised.code, raised.fails) == ("script-fails", True, "script-fails", True)
    assert check.message.startswith("checks fail: is 200 (24 of all 60 checks) (in 6 of 6 turns")
    assert raised.message.startswith("12 exceptions (in 6 of 6")
    (ended,) = findings(make_turns(head=ENDED))  # and not that its rate is missed
    assert (ended.code, ended.fails) == ("script-ended", True)
    crossed = {"thresholds": ("http_req_duration: p(95)<6",)}
    (alone,), (both,) = findings(make_turns(head=crossed)), findings(make_turns(base=crossed, head=crossed))
    assert (alone.fails, both.fails) == (True, False)
    assert both.message.endswith("p(95)<6 (in 6 of 6 turns, of base in 6 of 6), as in base")


def test_find_missed_rates__checks_that_fail_in_some_turns_of_head_only_are_named() -> None:
    trials = make_turns(blocks=8)
    for at in (1, 3, 5):
        trials[at] = make_turn("head", 1 + at // 2, 5000.0, rate=FAILING)
    (finding,) = findings(trials)
    assert (finding.code, finding.fails) == ("script-fails", False)
    assert finding.message.endswith("(in 3 of 8 turns, of base in 0 of 8): this may be chance")


def test_warn_of_scripts_alone__a_script_that_fails_without_a_pair_is_invalid() -> None:
    def alone(**rate: Any) -> list[RunWarning]:
        turns = [make_turn("head", block, 5000.0, rate=rate, pair="") for block in (1, 2, 3)]
        return list(warn_of_scripts_alone(turns))

    assert alone() == []
    (failing,), (ended,) = alone(**FAILING), alone(**ENDED)
    assert (failing.code, failing.message) == (
        Code.SCRIPT_FAILS,
        "the script fails: checks fail: is 200 (12 of all 30 checks)",
    )
    assert ended.message == "the script does not run to its end: it ended itself"
    assert list(warn_of_scripts_alone(make_turns(head=FAILING))) == []


def test_find_missed_rates__a_queue_that_grows_is_named_though_nothing_was_dropped() -> None:
    (finding,) = findings(make_turns(head={"early_us": 4e5, "late_us": 13e5}))
    assert (finding.code, finding.fails) == ("rate-missed", True)
    assert finding.message.startswith("its queue grew: iterations took 0.4 s in the first half of a turn, 1.3 s in the")


def test_judge_turn__a_script_without_checks_whose_requests_all_fail_is_no_measurement() -> None:
    def judge(**rate: Any) -> list[Code]:
        at_rate = make_turn("head", 1, 5000.0, rate={"rate": None, **rate}).at_rate
        assert at_rate is not None
        report = K6Report(at_rate, LATENCY, 600, 600, 1000, 3.0, "https://login.example/")
        warnings = judge_turn(report, Profile.model_validate({"k6": "buy.js"}), "web", busy=0.1)
        assert "one sent k6 to https://login.example/" in warnings[0].message
        return [warning.code for warning in warnings]

    assert judge() == [Code.MOSTLY_ERRORS]
    assert judge(checks=600) == [Code.APPLICATION_ERRORS]  # that expect them


def test_find_missed_rates__what_may_be_chance_fails_nothing() -> None:
    trials = make_turns()
    trials[1] = make_turn("head", 1, 5000.0, rate=MISSED)
    assert (findings(trials), codes(trials)) == ([], [])
    for at in (3, 5, 7, 0):  # four of head's turns and one of base's
        side = "base" if at == 0 else "head"
        trials[at] = make_turn(side, 1 + at // 2, 5000.0, rate=MISSED)
    (finding,) = findings(trials)
    assert not finding.fails
    assert finding.message.endswith("(in 4 of 6 turns, of base in 1 of 6): this may be chance")


def test_list_waits__draws_base_above_head_on_one_scale() -> None:
    result = make_result(make_turns(head_us=10_000.0))
    (waits,) = list_waits(result)
    scale, base, head = waits.draw()
    assert scale.split() == ["2.8", "ms", "15", "ms"]
    assert base.startswith("base ")
    assert "p50 5.0 ms" in base
    assert "p50 10 ms" in head
    assert base.index("█") < head.index("█")
    assert list_waits(make_result(make_turns(), verdict="invalid")) == ()
