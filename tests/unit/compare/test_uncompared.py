"""A metric that was not compared is never `unchanged`, and one that was measured alone never `regressed`."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.factories import PAIR, make_count, make_duet, make_latency, make_trial, make_turns

from bench_action.compare.alphas import split_alpha
from bench_action.compare.pairs import Rules, compare_pairs
from bench_action.compare.verdict import collect_warnings, decide_verdict, is_loss
from bench_action.config.gates import AT_RATE, OBJECTIVE, Gate, default_gates
from bench_action.model.result import Comparison, Trial
from bench_action.model.warning import Code
from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

RATE, COST, TOTAL = "requests_per_second", "cpu_ms_per_request", "total_cpu_ms_per_request"
UNEQUAL: dict[str, Any] = {"shares": (0.57, 0.43)}
IDLE: dict[str, Any] = {"application_idle": 0.4, "used": 0.6}


def judged(trials: list[Trial], shortage: str = "", gates: Mapping[str, Gate] = {}) -> dict[str, Comparison]:
    merged = {**default_gates(), **gates}
    found = compare_pairs(trials, [PAIR], Rules(merged, {}, split_alpha(merged, 1), shortage))
    return {comparison.metric: comparison for comparison in found}


def counts(queries: int = 10) -> list[Trial]:
    return [make_count(revision="base", queries=queries), make_count(queries=queries)]


def alone(base: float = 1000, head: float = 1000) -> list[Trial]:
    rates = {"base": base, "head": head}
    return [make_trial(revision=side, block=n, speed=rates[side] + n) for n in (1, 2) for side in rates]


def latencies(blocks: int = 5) -> list[Trial]:
    return [trial for n in range(1, blocks + 1) for trial in make_latency(n, head_us=5000 + 10 * (n % 3))]


def duets(blocks: int = 8, **changes: Any) -> list[Trial]:
    return [trial for n in range(1, blocks + 1) for trial in make_duet(n, base=1000 + 3 * (n % 3), **changes)]


def turns(head: float, blocks: int = 8) -> list[Trial]:
    return [trial for n in range(1, blocks + 1) for trial in make_turns(n, base=1000 + 6 * (n % 3), head=head)]


def verdict(trials: list[Trial], found: dict[str, Comparison]) -> str:
    return decide_verdict(trials, [], list(found.values()))


def test_compare_pairs__has_every_gated_metric_judged_or_with_a_reason() -> None:
    for trials in ([], counts(), [*counts(), *alone()], [*counts(), *duets()], [*counts(), *duets(**UNEQUAL)]):
        found = judged(trials)
        assert set(default_gates()) - {*AT_RATE, *OBJECTIVE} <= set(found)  # without a rate, nothing is compared at one
        for c in found.values():
            assert c.verdict in {"regressed", "improved", "unchanged"} or c.reason or c.gate is None


def test_no_block_of_pairs__is_inconclusive_with_the_reason_and_never_unchanged() -> None:
    trials = [*counts(), *alone(head=770)]
    found = judged(trials, "restarting took 13 s of each block; --max-minutes 4 should do")
    rate = found[RATE]
    assert (rate.verdict, rate.method, rate.blocks) == ("inconclusive", "solo", 0)
    assert rate.reason == (
        "no block of the pair was measured; restarting took 13 s of each block; --max-minutes 4 should do"
    )
    assert round(rate.head_value) == 771  # each side's figure is still shown
    assert verdict(trials, found) == "inconclusive"


def test_measured_alone__never_regresses_and_is_not_a_loss() -> None:
    trials = [*counts(), *latencies(), *duets(**IDLE), *alone(head=500)]
    found = judged(trials)
    assert (found[RATE].verdict, found[RATE].significant) == ("inconclusive", False)
    assert not any(is_loss(comparison) for comparison in found.values())
    assert verdict(trials, found) == "inconclusive"


def test_unequal_shares__let_cost_stand_in_for_rate() -> None:
    trials = [*counts(), *latencies(), *duets(**UNEQUAL), *alone()]
    found = judged(trials)
    # the simulated rates are equal, so unequal shares mean unequal costs
    assert found[COST].verdict == "improved"
    assert found[RATE].verdict == "measured"
    assert found[RATE].reason == (
        "in 8 of 8 blocks the two did not get equal shares of their CPU (head had 43 %); application CPU/request "
        "stands in for it"
    )
    assert verdict(trials, found) == "improved"


def test_unequal_shares__do_not_help_if_cost_is_not_gated() -> None:
    trials = [*counts(), *latencies(), *duets(**UNEQUAL), *alone()]
    gates = {name: gate for name, gate in default_gates().items() if name != COST}
    found = {c.metric: c for c in compare_pairs(trials, [PAIR], Rules(gates, {}, split_alpha(gates, 1)))}
    assert found[RATE].verdict == "inconclusive"


def test_a_cpu_that_is_idle__leaves_the_rate_to_slices_in_turn() -> None:
    without = judged([*counts(), *latencies(), *duets(**IDLE)])[RATE]
    assert without.verdict == "inconclusive"
    assert without.reason.endswith("and no time was left to measure the two in turn")
    slow = judged([*counts(), *latencies(), *duets(**IDLE), *turns(head=800)])
    assert (slow[RATE].verdict, slow[RATE].method, slow[RATE].blocks) == ("regressed", "interleaved", 8)
    assert slow[COST].method == "duet"
    same = judged([*counts(), *latencies(), *duets(**IDLE), *turns(head=1006)])
    assert (same[RATE].verdict, same[RATE].method) == ("unchanged", "interleaved")


def test_a_broken_gate__is_why_slices_in_turn_were_left_out() -> None:
    gates = default_gates()
    for ended, reason in ((False, "as another gate is broken"), (True, "no time was left to measure the two in turn")):
        rules = Rules(gates, {(str(PAIR), "duet"): Course(16, ended=ended)}, split_alpha(gates, 1))
        found = {c.metric: c for c in compare_pairs([*counts(), *duets(5, head=600, **IDLE)], [PAIR], rules)}
        assert (found[COST].verdict, found[RATE].verdict) == ("regressed", "inconclusive")
        assert found[RATE].reason.endswith(reason)


def test_slices_in_turn_that_decide_nothing__keep_the_reason_why_they_were_needed() -> None:
    wild = [trial for n in range(1, 9) for trial in make_turns(n, base=1000 + 400 * (n % 2), head=1200 - 300 * (n % 3))]
    rate = judged([*counts(), *latencies(), *duets(**IDLE), *wild])[RATE]
    assert (rate.verdict, rate.method) == ("inconclusive", "interleaved")
    assert rate.reason.startswith("their CPU was idle for 40 %")
    assert rate.reason.endswith("so the two were measured in turn")


def test_few_blocks__give_no_verdict_and_no_size() -> None:
    found = judged([*counts(), *latencies(), *duets(blocks=3, head=950)], "restarting took 13 s of each block")
    rate = found[RATE]
    assert (rate.verdict, rate.blocks, rate.ci_low, rate.smallest_detectable) == ("inconclusive", 3, None, None)
    assert rate.reason == "only 3 blocks could be measured, but a verdict needs 4; restarting took 13 s of each block"


def test_few_blocks_in_turn__keep_the_reason_why_they_were_needed() -> None:
    rate = judged([*counts(), *latencies(), *duets(**IDLE), *turns(head=800, blocks=2)], "restarting took 7 s")[RATE]
    assert rate.verdict == "inconclusive"
    assert rate.reason.startswith("their CPU was idle for 40 %")
    assert rate.reason.endswith("and only 2 blocks in turn could be measured, but a verdict needs 4")


def test_a_page_without_queries__has_no_gate_on_the_databases_cpu() -> None:
    slower = [
        trial.model_copy(update={"cpu_ms": trial.cpu_ms | {"db": 150.0 + 300 * (trial.side == "head") + n}})
        for n, trial in enumerate(latencies())
    ]
    found = judged([*counts(queries=0), *slower, *duets()])["db_cpu_ms_per_request"]
    assert (found.gate, found.verdict, found.reason) == (None, "measured", "no request makes a query")
    assert not is_loss(found)
    assert judged([*counts(queries=10), *slower, *duets()])["db_cpu_ms_per_request"].verdict == "regressed"


def test_services__that_need_more_cpu_are_found_even_if_they_have_no_separate_gate() -> None:
    def add_search(extra: float) -> list[Trial]:
        return [
            trial.model_copy(
                update={"cpu_ms": trial.cpu_ms | {"search": 900.0 + extra * (trial.side == "head") + trial.block % 3}}
            )
            for trial in duets(head=1000)
        ]

    found = judged([*counts(), *latencies(), *add_search(150.0)])
    assert found[TOTAL].verdict == "regressed"
    assert not is_loss(found[COST])
    assert found[TOTAL].ratio == pytest.approx(1 + 150 / 2880, rel=0.01)
    assert not is_loss(judged([*counts(), *latencies(), *add_search(0.0)])[TOTAL])


def test_an_application_without_services__has_no_gate_on_its_total_cpu() -> None:
    found = judged([*counts(queries=0), *latencies(), *duets()])[TOTAL]
    assert (found.gate, found.verdict, found.reason) == (None, "measured", "no request uses a service")
    idle = [trial.model_copy(update={"cpu_ms": trial.cpu_ms | {"db": 3.0 + trial.block % 3}}) for trial in duets()]
    assert judged([*counts(queries=0), *latencies(), *idle])[TOTAL].gate is None
    assert judged([*counts(), *latencies(), *idle])[TOTAL].gate == 0.03


def test_a_host_without_counters__lets_rate_stand_in_for_cost() -> None:
    trials = [
        trial.model_copy(update={"cpu_ms": {}}) for trial in (*counts(queries=0), *latencies(), *duets(head=1003))
    ]
    found = judged(trials)
    assert found[RATE].verdict == "unchanged"
    assert (found[COST].verdict, found[COST].reason) == (
        "measured",
        "no block has a value for both sides; requests/s stands in for it",
    )
    assert (found[TOTAL].verdict, found[TOTAL].reason) == ("measured", "no block has a value for both sides")


def test_a_certain_loss_without_a_broken_gate__is_neither_unchanged_nor_improved() -> None:
    trials = [*counts(), *latencies(), *duets(head=960)]
    for gate in (Gate(max_loss=0.01, level="warn"), Gate(max_loss=0.10)):
        found = judged(trials, gates={RATE: gate, COST: Gate(max_gain=0.10)})
        assert is_loss(found[RATE])
        assert verdict(trials, found) == "measured"


@pytest.mark.parametrize(("identical", "words"), [((), "numbers of workers"), (("aiohttp",), "run the same image")])
def test_collect_warnings__gives_advice_that_fits_the_case(identical: tuple[str, ...], words: str) -> None:
    found = collect_warnings(duets(**UNEQUAL), [], [PAIR], identical)
    (shares,) = [warning for warning in found if warning.code is Code.UNEQUAL_SHARES]
    assert words in shares.advice
    assert shares.cell == str(PAIR)
