"""The losses in the blocks of a pair, and when duets cannot compare rates."""

import math
from typing import Any

import pytest
from tests.unit.factories import make_duet, warn

from bench_action.compare.evidence import build_evidence, build_paired_evidence, check_duets, pair_blocks
from bench_action.model.result import Trial
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

PAIR = "aiohttp · article-500"


def duets(count: int = 8, **changes: Any) -> list[Trial]:
    return [trial for block in range(1, count + 1) for trial in make_duet(block, **changes)]


def test_build_evidence__a_loss_is_above_zero_for_either_direction_of_the_metric() -> None:
    blocks = pair_blocks(duets(base=1000, head=900), PAIR, "duet")
    rate, cost = (build_evidence(blocks, name) for name in ("requests_per_second", "cpu_ms_per_request"))
    assert rate is not None
    assert cost is not None
    assert rate.losses == pytest.approx([math.log(1000 / 900)] * 8)
    assert all(loss > 0 for loss in cost.losses)
    assert [rate.base, rate.head] == pytest.approx([1000, 900])


def test_pair_blocks__leaves_out_incomplete_and_invalid_blocks() -> None:
    trials = duets(3)
    invalid = trials[2].model_copy(update={"warnings": (warn(Code.CLOCK_STEP),)})
    assert [block.number for block in pair_blocks([*trials[:2], invalid, *trials[3:5]], PAIR, "duet")] == [1]
    assert pair_blocks(trials, "django · article-500", "duet") == []


def test_build_evidence__leaves_out_a_block_without_the_metric() -> None:
    trials = duets(2)
    trials[0] = trials[0].model_copy(update={"memory_peak_mib": None})
    found = build_evidence(pair_blocks(trials, PAIR, "duet"), "memory_peak_mib")
    assert found is not None
    assert len(found.losses) == 1
    assert build_evidence(pair_blocks(trials, PAIR, "duet"), "queries_per_request") is None


def make_tracks(heads: tuple[float, ...], block: int = 1, **changes: Any) -> list[Trial]:
    """Build duets that ran at the same time, in a mixed order; base serves 1,000 requests/s."""
    duets = [make_duet(block, head=head, track=track, **changes) for track, head in enumerate(heads)]
    return [*(head for _, head in duets), *(base for base, _ in reversed(duets))]


def test_build_evidence__the_mean_of_duets_at_the_same_time_is_one_loss() -> None:
    trials = [trial for number in (1, 2) for trial in make_tracks((900, 1000, 1100), number)]
    blocks = pair_blocks(trials, PAIR, "duet")
    assert [[duet[0].track for duet in block.tracks] for block in blocks] == [[0, 1, 2]] * 2
    assert all(base.track == head.track for block in blocks for base, head in block.tracks)
    found = build_evidence(blocks, "requests_per_second")
    assert found is not None
    assert found.losses == pytest.approx([-math.log(0.9 * 1.1) / 3] * 2)


def test_check_duets__a_bad_duet_is_left_out_and_the_others_of_its_block_count() -> None:
    good = [trial for number in range(1, 8) for trial in make_tracks((1000, 1000), number)]
    trials = [*good, *make_duet(8, head=500, track=0, connections_live=1), *make_duet(8, shares=(0.57, 0.43), track=1)]
    found = check_duets(pair_blocks(trials, PAIR, "duet"))
    assert (found.left_out, found.faults) == (frozenset({(8, 1)}), {})
    evidence = build_paired_evidence(pair_blocks(trials, PAIR, "duet"), "requests_per_second")
    assert evidence is not None
    assert evidence.losses == pytest.approx([0.0] * 7 + [math.log(2)])
    bad = [trial for number in range(1, 9) for trial in make_tracks((1000, 1000), number, shares=(0.57, 0.43))]
    (clause,) = check_duets(pair_blocks(bad, PAIR, "duet")).faults.values()
    assert clause.startswith("in 16 of 16 duets the two did not get equal shares")


def test_pair_blocks__an_invalid_duet_costs_only_its_track() -> None:
    trials = [trial for number in (1, 2) for trial in make_tracks((1000, 1000), number)]
    trials[1] = trials[1].model_copy(update={"warnings": (warn(Code.CLOCK_STEP),)})
    first, second = pair_blocks(trials, PAIR, "duet")
    assert [base.track for base in first.base] == [1 - trials[1].track]
    assert len(second.tracks) == 2


def test_check_duets__finds_nothing_wrong_with_equal_shares_of_a_busy_cpu() -> None:
    found = check_duets(pair_blocks(duets(), PAIR, "duet"))
    assert (found.faults, found.doubts, found.left_out) == ({}, {}, frozenset())


def test_check_duets__reports_unequal_shares_with_the_one_of_head() -> None:
    blocks = pair_blocks(duets(shares=(0.57, 0.43)), PAIR, "duet")
    found = check_duets(blocks)
    assert list(found.faults) == [Code.UNEQUAL_SHARES]
    assert "head had 43 %" in found.faults[Code.UNEQUAL_SHARES]
    assert build_paired_evidence(blocks, "requests_per_second") is None
    assert build_paired_evidence(blocks, "cpu_ms_per_request") is not None


def test_check_duets__leaves_out_one_odd_block_and_counts_the_rest() -> None:
    trials = [*duets(7), *make_duet(8, shares=(0.55, 0.45))]
    blocks = pair_blocks(trials, PAIR, "duet")
    assert check_duets(blocks).left_out == frozenset({(8, 0)})
    found = build_paired_evidence(blocks, "requests_per_second")
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
def test_check_duets__names_the_fault(changes: dict[str, Any], code: Code) -> None:
    assert code in check_duets(pair_blocks(duets(**changes), PAIR, "duet")).faults


def test_check_duets__another_program_on_the_cpu_is_a_doubt() -> None:
    found = check_duets(pair_blocks(duets(used=0.8), PAIR, "duet"))
    assert (list(found.doubts), found.faults) == ([Code.OTHERS_ON_CPU], {})
