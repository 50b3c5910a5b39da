"""What the blocks of a pair say, and when they are no duet."""

import math
from typing import Any

import pytest
from tests.unit.factories import make_duet, warn

from bench_action.compare.evidence import build_evidence, pair_blocks, paired_evidence, soundness_of
from bench_action.model.result import Trial
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

PAIR = "aiohttp · article-500"


def duets(count: int = 8, **changes: Any) -> list[Trial]:
    return [trial for block in range(1, count + 1) for trial in make_duet(block, **changes)]


def test_evidence_of__a_loss_is_above_zero_whichever_way_the_metric_is_better() -> None:
    blocks = pair_blocks(duets(base=1000, head=900), PAIR, "duet")
    rate, cost = (build_evidence(blocks, name) for name in ("requests_per_second", "cpu_ms_per_request"))
    assert rate is not None
    assert cost is not None
    assert rate.losses == pytest.approx([math.log(1000 / 900)] * 8)
    assert all(loss > 0 for loss in cost.losses)
    assert [rate.base, rate.head] == pytest.approx([1000, 900])


def test_sides_of__blocks_that_are_not_whole_or_not_valid_are_left_out() -> None:
    trials = duets(3)
    invalid = trials[2].model_copy(update={"warnings": (warn(Code.CLOCK_STEP),)})
    assert [one.number for one in pair_blocks([*trials[:2], invalid, *trials[3:5]], PAIR, "duet")] == [1]
    assert pair_blocks(trials, "django · article-500", "duet") == []


def test_evidence_of__a_block_without_the_metric_is_left_out() -> None:
    trials = duets(2)
    trials[0] = trials[0].model_copy(update={"memory_peak_mib": None})
    found = build_evidence(pair_blocks(trials, PAIR, "duet"), "memory_peak_mib")
    assert found is not None
    assert len(found.losses) == 1
    assert build_evidence(pair_blocks(trials, PAIR, "duet"), "queries_per_request") is None


def test_soundness_of__equal_and_busy_is_sound() -> None:
    found = soundness_of(pair_blocks(duets(), PAIR, "duet"))
    assert (found.faults, found.doubts, found.left_out) == ({}, {}, frozenset())


def test_soundness_of__unequal_shares_are_named_with_heads() -> None:
    blocks = pair_blocks(duets(shares=(0.57, 0.43)), PAIR, "duet")
    found = soundness_of(blocks)
    assert list(found.faults) == [Code.UNEQUAL_SHARES]
    assert "head had 43 %" in found.faults[Code.UNEQUAL_SHARES]
    assert paired_evidence(blocks, "requests_per_second") is None
    assert paired_evidence(blocks, "cpu_ms_per_request") is not None


def test_soundness_of__one_odd_block_is_left_out_and_the_rest_counts() -> None:
    trials = [*duets(7), *make_duet(8, shares=(0.55, 0.45))]
    blocks = pair_blocks(trials, PAIR, "duet")
    assert soundness_of(blocks).left_out == {8}
    found = paired_evidence(blocks, "requests_per_second")
    assert found is not None
    assert len(found.losses) == 7


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"application_idle": 0.4}, Code.NOT_SATURATED),
        ({"services_idle": 0.05}, Code.SERVICES_SATURATED),
        ({"durations": (4.0, 4.2)}, Code.SLICES_DIFFER),
    ],
)
def test_soundness_of__names_what_is_wrong(changes: dict[str, Any], code: Code) -> None:
    assert code in soundness_of(pair_blocks(duets(**changes), PAIR, "duet")).faults


def test_soundness_of__somebody_else_on_the_cpu_is_a_doubt() -> None:
    found = soundness_of(pair_blocks(duets(used=0.8), PAIR, "duet"))
    assert (list(found.doubts), found.faults) == ([Code.OTHERS_ON_CPU], {})
