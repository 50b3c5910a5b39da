"""Memory is compared after as many requests as both sides of a duet have answered."""

import pytest
from tests.unit.factories import make_duet

from bench_action.compare.alphas import split_alpha
from bench_action.compare.evidence import build_evidence, pair_blocks
from bench_action.compare.memory import find_memory
from bench_action.compare.pairs import Rules, compare_pairs
from bench_action.config.gates import Gate, default_gates
from bench_action.model.result import Mark, Trial, WarmUp
from bench_action.plan.blocks import Cell, Pair

pytestmark = pytest.mark.unit

PAIR = "aiohttp · article-500"
_AT_S = (0.25, 1.25, 2.25, 3.25)
KIB = 1 / 1024


def make_leaking(base: float, head: float, *, leaks: tuple[float, float], warmed: int = 1000) -> list[Trial]:
    """Build a duet of 4 s with these rates; each side keeps `leaks` MiB of every request, in addition to 60 MiB."""
    trials = []
    for trial, leak in zip(make_duet(1, base=base, head=head), leaks, strict=True):
        rate = trial.requests / trial.duration_s
        sent = round(warmed * rate / base)
        marks = [Mark(s=s, bytes_read=0, cpu_ms=0.0, memory_mib=60 + leak * (sent + rate * s)) for s in _AT_S]
        warm = WarmUp(
            duration_s=1.0, requests=sent, limit_s=20, steady=True, cpu_ms_first=1, cpu_ms_last=1, change_per_s=0
        )
        trials.append(trial.model_copy(update={"marks": tuple(marks), "warm_up": warm}))
    return trials


@pytest.mark.parametrize("head", [600.0, 1000.0, 1200.0])
def test_find_memory__of_equal_leaks_is_equal_however_fast_the_two_are(head: float) -> None:
    base_mib, head_mib = find_memory(*make_leaking(1000, head, leaks=(KIB, KIB))) or (0, 1)
    assert base_mib == pytest.approx(head_mib, abs=0.01)
    least = min(1000, head)
    assert base_mib == pytest.approx(60 + KIB * (least + least * 3.25), abs=0.01)


def test_find_memory__shows_a_leak_of_a_side_that_is_slower() -> None:
    base_mib, head_mib = find_memory(*make_leaking(1000, 800, leaks=(0, 4 * KIB))) or (0, 0)
    assert (base_mib, head_mib) == pytest.approx((60, 60 + 4 * KIB * 800 * 4.25), abs=0.01)


def test_find_memory__needs_requests_that_both_have_reached() -> None:
    trials = make_leaking(1000, 1000, leaks=(0, 0))
    assert trials[0].warm_up is not None
    ahead = trials[0].model_copy(update={"warm_up": trials[0].warm_up.model_copy(update={"requests": 9000})})
    assert find_memory(ahead, trials[1]) is None
    assert find_memory(trials[0].model_copy(update={"marks": ()}), trials[1]) is None
    older = [mark.model_copy(update={"memory_mib": None}) for mark in trials[0].marks]
    assert find_memory(trials[0].model_copy(update={"marks": tuple(older)}), trials[1]) is None


def test_compare_pairs__a_gate_on_the_peak_is_judged_next_to_memory_after_equal_requests() -> None:
    trials = [
        trial.model_copy(update={"block": block, "memory_peak_mib": 100.0 + 30 * (trial.side == "head") + block / 10})
        for block in range(1, 6)
        for trial in make_leaking(1000, 1000, leaks=(0, 0))
    ]
    pair = Pair("revision", Cell("aiohttp", "base", "article-500"), Cell("aiohttp", "head", "article-500"))
    verdicts = []
    for more in ({}, {"memory_peak_mib": Gate(max_gain=0.10)}):
        gates = default_gates() | more
        found = {c.metric: c for c in compare_pairs(trials, [pair], Rules(gates, {}, split_alpha(gates, 1)))}
        assert "memory_mib" in found
        verdicts.append(found["memory_peak_mib"].verdict if "memory_peak_mib" in found else None)
    assert verdicts == [None, "regressed"]


def test_build_evidence__compares_memory_after_equal_requests() -> None:
    found = build_evidence(pair_blocks(make_leaking(1000, 500, leaks=(KIB, KIB)), PAIR, "duet"), "memory_mib")
    assert found is not None
    assert found.losses == pytest.approx([0.0], abs=1e-3)
