"""When a pair has been measured enough."""

import math
from collections.abc import Sequence

import pytest
from tests.unit.factories import make_count, make_duet

from bench_action.compare.alphas import split_alpha
from bench_action.compare.evidence import pair_blocks
from bench_action.compare.explain import find_errors
from bench_action.compare.stopping import Decider
from bench_action.config.gates import Gate, default_gates
from bench_action.config.schema import PairPhase
from bench_action.model.result import Errors, PhaseName, Trial, WarmUp, name_route
from bench_action.model.warning import Code
from bench_action.plan.blocks import Block, Cell, ElapsedTime, Pair, Step
from bench_action.plan.timetable import Timetable

pytestmark = pytest.mark.unit

PROFILE = "article-500"
PAIR = Pair("revision", Cell("aiohttp", "base", PROFILE), Cell("aiohttp", "head", PROFILE))
MOST = 60
WIGGLE = (0.004, -0.006, 0.002, -0.003, 0.005, -0.002, 0.001, -0.001)
ALPHAS = split_alpha(default_gates(), 1)


def decider(seconds: float = 120.0, minutes: float | None = None, *, to_the_end: bool = False) -> Decider:
    return Decider(default_gates(), ALPHAS, 1, seconds, minutes, to_the_end=to_the_end)


def duets(count: int, loss: float, noise: float) -> list[Trial]:
    return [
        trial
        for number in range(1, count + 1)
        for trial in make_duet(number, base=10_000, head=10_000 * math.exp(-loss - noise * WIGGLE[number % 8]))
    ]


def blocks_taken(chosen: Decider, loss: float, times: Sequence[float] = (7.5,), noise: float = 1.0) -> int:
    """Count the duets that are measured; `times` says in turn how long each takes."""
    spent: list[float] = []
    for number in range(1, MOST + 1):
        block = Block("duet", number, (), PAIR)
        if chosen.enough(block, duets(number - 1, loss, noise), ElapsedTime(sum(spent), spent)):
            return number - 1
        spent.append(times[(number - 1) % len(times)])
    return MOST


def test_enough__the_same_code_stops_at_a_look() -> None:
    assert blocks_taken(decider(), 0.0) in {5, 8}


def test_enough__a_large_loss_stops_at_the_first_look() -> None:
    assert blocks_taken(decider(), 0.10) == 5


def make_disagreeing(count: int) -> list[Trial]:
    """Make duets in which head answers 1.1 % fewer requests, with hardly more CPU/request, by 0.1 % ± 0.3."""
    found = []
    for number in range(1, count + 1):
        for trial in make_duet(number, base=10_000 + number, head=9_890 + number):
            factor = 0.989 * (1.001 + 0.003 * (-1) ** number) if trial.side == "head" else 1.0
            cpu = {**trial.cpu_ms, "application": trial.cpu_ms["application"] * factor}
            found.append(trial.model_copy(update={"cpu_ms": cpu}))
    return found


def test_enough__a_loss_of_requests_that_cpu_per_request_does_not_show_ends_no_pair() -> None:
    for gates, expected in ((default_gates(), False), ({"requests_per_second": Gate(max_loss=0.01)}, True)):
        chosen = Decider(gates, split_alpha(gates, 1), 1, 120.0)
        for number in range(1, 6):
            chosen.enough(Block("duet", number, (), PAIR), make_disagreeing(number - 1), ElapsedTime(0.0, [7.5] * 3))
        blocks_s = [7.5] * 5
        assert chosen.enough(Block("duet", 6, (), PAIR), make_disagreeing(5), ElapsedTime(0.0, blocks_s)) == expected


def test_enough__a_loss_of_requests_waits_until_cpu_per_request_is_tested() -> None:
    """The first block has no CPU times, so that only four of five have CPU/request."""
    chosen, trials = decider(), list[Trial]()
    for number in range(1, MOST):
        if chosen.enough(Block("duet", number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1))):
            break
        duet = make_duet(number, base=10_000, head=9_000 + number)
        trials += duet if number > 1 else [trial.model_copy(update={"cpu_ms": {}}) for trial in duet]
    assert number == 9


def test_enough__duets_that_cannot_compare_are_judged_as_if_time_were_up() -> None:
    chosen, trials = decider(), list[Trial]()
    for number in range(1, MOST):
        if chosen.enough(Block("duet", number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1))):
            break
        head = 10_000 * 0.55 / 0.45 * math.exp(-0.012 - 5 * WIGGLE[number % 8])  # so that CPU/request is undecided
        trials += make_duet(number, base=10_000, head=head, shares=(0.45, 0.55))
    assert number == 9
    assert chosen.courses()[str(PAIR), "duet"].ended


def make_warm_up(seconds: float, cost_ms: float) -> WarmUp:
    return WarmUp(duration_s=seconds, limit_s=60, steady=True, cpu_ms_first=2.0, cpu_ms_last=cost_ms, change_per_s=0.0)


def test_enough__a_number_of_blocks_is_looked_at_once() -> None:
    """Three blocks turn out to have been cold after the first look, so that five count again after eight."""
    chosen, trials = decider(), list[Trial]()
    for number in range(1, 11):
        if chosen.enough(Block("duet", number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1))):
            break
        cold = number <= 3
        head = 10_000 * math.exp(-0.10 - (20 if cold else 0.1) * WIGGLE[number % 8])
        warm_up = make_warm_up(6.0, 1.5) if cold else make_warm_up(24.0, 0.15)
        trials += [trial.model_copy(update={"warm_up": warm_up}) for trial in make_duet(number, base=10_000, head=head)]
        if number == 8:
            assert len(pair_blocks(trials, str(PAIR), "duet")) == 5
    assert number == 10  # the next look is at eight that count, after eleven


def test_enough__an_undecided_pair_continues_to_the_cap() -> None:
    chosen = decider()
    assert blocks_taken(chosen, 0.012, noise=5) == 16
    assert chosen.courses()[str(PAIR), "duet"].cap == 16


def test_enough__a_self_test_continues_to_the_cap() -> None:
    chosen = decider(to_the_end=True)
    assert blocks_taken(chosen, 0.0) == 16
    assert chosen.courses()[str(PAIR), "duet"].ended


def test_enough__the_cap_is_fixed_by_the_first_three_blocks() -> None:
    slow_later = decider(to_the_end=True)
    assert blocks_taken(slow_later, 0.0, times=[6.0] * 3 + [20.0] * 57) == 20


def test_enough__a_decided_pair_is_never_resumed() -> None:
    chosen = decider()
    blocks = blocks_taken(chosen, 0.10)
    later = Block("duet", blocks + 2, (), PAIR)
    assert chosen.enough(later, [], ElapsedTime(50, [7.5] * blocks))
    assert not chosen.courses()[str(PAIR), "duet"].ended


@pytest.mark.parametrize("phase", ["duet", "rate"])
@pytest.mark.parametrize("tracks", [1, 4])
@pytest.mark.parametrize(
    ("code", "share"), [(Code.MOSTLY_ERRORS, 0.9), (Code.REDIRECTS, 0.0)], ids=["counted", "sampled"]
)
def test_enough__a_head_that_answers_wrongly_ends_a_pair_after_five_blocks(
    phase: PhaseName, tracks: int, code: Code, share: float
) -> None:
    wrong = code.warn("302 in 9 of 10 sampled", str(PAIR.head))

    def make_track(number: int, track: int) -> list[Trial]:
        base, head = (
            trial.model_copy(update={"phase": phase, "track": track}) for trial in make_duet(number, track=track)
        )
        errors = Errors(status=round(share * head.requests))
        return [base, head.model_copy(update={"errors": errors, "warnings": (wrong,)})]

    trials: list[Trial] = []
    chosen = decider(to_the_end=True)
    for number in range(1, 6):
        assert not chosen.enough(Block(phase, number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1)))
        trials += [trial for track in range(tracks) for trial in make_track(number, track)]
    assert chosen.enough(Block(phase, 6, (), PAIR), trials, ElapsedTime(0.0, [7.5] * 5))
    (found,) = find_errors(trials, PAIR)
    assert found.fails
    assert ("of all requests" in found.message) == (share > 0)
    assert not any(finding.fails for finding in find_errors(trials[: 2 * tracks], PAIR))


@pytest.mark.parametrize(("good", "wrong"), [(0, 5), (2, 6), (7, 7)])
def test_enough__good_blocks_before_wrong_ones_delay_the_end(good: int, wrong: int) -> None:
    """The end comes once chance is hardly the cause: before that, the run would be `invalid` instead of `regressed`."""
    chosen, trials = decider(to_the_end=True), list[Trial]()
    for number in range(1, good + wrong + 1):
        assert not chosen.enough(Block("rate", number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1)))
        base, head = (trial.model_copy(update={"phase": "rate"}) for trial in make_duet(number))
        if number > good:
            warnings = (Code.MOSTLY_ERRORS.warn("500 in 9 of 10 sampled", str(PAIR.head)),)
            head = head.model_copy(update={"errors": Errors(status=head.requests), "warnings": warnings})
        trials += [base, head]
    assert chosen.enough(Block("rate", good + wrong + 1, (), PAIR), trials, ElapsedTime(0.0, [7.5]))
    assert next(find_errors(trials, PAIR)).fails


def test_enough__errors_of_both_end_a_pair_too() -> None:
    chosen, trials = decider(to_the_end=True), list[Trial]()
    for number in range(1, 11):
        assert not chosen.enough(Block("rate", number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1)))
        trials += [
            trial.model_copy(
                update={
                    "phase": "rate",
                    "errors": Errors(status=trial.requests),
                    "warnings": (Code.MOSTLY_ERRORS.warn("500", trial.cell),),
                }
            )
            for trial in make_duet(number)
        ]
    assert chosen.enough(Block("rate", 11, (), PAIR), trials, ElapsedTime(0.0, [7.5]))


def test_find_errors__are_not_of_other_pairs() -> None:
    """A variant may be loaded harder next to another one: base is never loaded like that."""
    own = [trial for number in range(1, 6) for trial in make_duet(number)]
    elsewhere = [
        head.model_copy(update={"pair": "quick/slow", "errors": Errors(status=head.requests // 2)})
        for number in range(1, 11)
        for _, head in [make_duet(number)]
    ]
    assert list(find_errors([*own, *elsewhere], PAIR)) == []
    assert next(find_errors([*own, *(trial.model_copy(update={"pair": str(PAIR)}) for trial in elsewhere)], PAIR)).fails


def turns_needed(chosen: Decider, trials: Sequence[Trial]) -> bool:
    spent: list[float] = []
    for number in range(1, 6):
        chosen.enough(Block("duet", number, (), PAIR), trials, ElapsedTime(sum(spent), spent))
        spent.append(7.5)
    return not chosen.enough(Block("interleaved", 1, (), PAIR), trials, ElapsedTime(sum(spent), []))


def test_enough__turns_follow_only_duets_that_cannot_compare_rates() -> None:
    equal = [trial for n in range(1, 6) for trial in make_duet(n)]
    unequal = [trial for n in range(1, 6) for trial in make_duet(n, shares=(0.57, 0.43))]
    assert not turns_needed(decider(), equal)
    assert turns_needed(decider(), unequal)
    without = {name: gate for name, gate in default_gates().items() if name != "requests_per_second"}
    assert not turns_needed(Decider(without, ALPHAS, 1, 120.0), unequal)


def test_enough__turns_are_not_needed_once_a_gate_is_broken() -> None:
    costly = [
        trial for n in range(1, 6) for trial in make_duet(n, base=10_000 + n, head=6_000 + n, shares=(0.43, 0.57))
    ]
    chosen = decider()
    spent: list[float] = []
    for number in range(1, 7):
        chosen.enough(Block("duet", number, (), PAIR), costly[: 2 * (number - 1)], ElapsedTime(sum(spent), spent))
        spent.append(7.5)
    assert chosen.enough(Block("interleaved", 1, (), PAIR), costly, ElapsedTime(sum(spent), []))


def test_enough__turns_are_not_needed_if_the_last_look_breaks_a_gate() -> None:
    """With five blocks at most, the only look is at the end."""
    costly = [
        trial for n in range(1, 6) for trial in make_duet(n, base=10_000 + n, head=6_000 + n, shares=(0.43, 0.57))
    ]
    chosen = Decider(default_gates(), ALPHAS, 1, 38.0)
    spent: list[float] = []
    for number in range(1, 7):
        chosen.enough(Block("duet", number, (), PAIR), costly[: 2 * (number - 1)], ElapsedTime(sum(spent), spent))
        spent.append(7.5)
    assert chosen.courses()[str(PAIR), "duet"].cap == 5
    assert chosen.enough(Block("interleaved", 1, (), PAIR), costly, ElapsedTime(sum(spent), []))


def test_enough__duets_that_cannot_compare_rates_leave_half_of_the_time() -> None:
    chosen = decider(minutes=2)
    spent: list[float] = []
    taken = 0
    for number in range(1, MOST):
        wild = [duet for n in range(1, number) for duet in make_duet(n, shares=(0.57, 0.43) if n % 2 else (0.43, 0.57))]
        if chosen.enough(Block("duet", number, (), PAIR), wild, ElapsedTime(sum(spent), spent)):
            break
        spent.append(7.5)
        taken += 1
    assert taken == 8
    assert not chosen.enough(Block("interleaved", 1, (), PAIR), wild, ElapsedTime(sum(spent), []))


def test_enough__duets_that_cannot_compare_rates_yet_go_on_to_half_of_their_time() -> None:
    """Everything but requests/s is decided after five blocks, of which chance made two unequal."""
    shares = {False: (0.5, 0.5), True: (0.52, 0.48)}
    for unequal, expected in (({1, 2}, 8), ({1, 2, 4, 6, 8}, 8), (set[int](), 5)):
        chosen, trials = decider(), list[Trial]()
        for number in range(1, MOST):
            if chosen.enough(Block("duet", number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1))):
                break
            share = shares[number in unequal]
            head = 10_000 * share[1] / share[0] * math.exp(-WIGGLE[number % 8] / 4)
            trials += make_duet(number, base=10_000, head=head, shares=share)
        assert number - 1 == expected
        turns = Block("interleaved", 1, (), PAIR)
        assert chosen.enough(turns, trials, ElapsedTime(60.0, [])) == (len(unequal) <= 2)


def test_enough__without_a_gate_on_requests_per_second_unequal_duets_go_on_until_all_is_decided() -> None:
    gates = {"cpu_ms_per_request": Gate(max_gain=0.01)}
    chosen, trials = Decider(gates, split_alpha(gates, 1), 1, 120.0), list[Trial]()
    for number in range(1, MOST):
        if chosen.enough(Block("duet", number, (), PAIR), trials, ElapsedTime(0.0, [7.5] * (number - 1))):
            break
        head = 10_000 * 0.55 / 0.45 * math.exp(-0.012 - 5 * WIGGLE[number % 8])
        trials += make_duet(number, base=10_000, head=head, shares=(0.45, 0.55))
    assert number == 17


def test_enough__without_duets_turns_are_always_needed() -> None:
    assert not decider().enough(Block("interleaved", 1, (), PAIR), [], ElapsedTime(0.0, []))


def test_enough__minutes_end_everything_except_heads_own_figures() -> None:
    chosen = decider(minutes=1)
    late = ElapsedTime(61.0, [])
    assert not chosen.enough(Block("count", 0, ()), [], late)
    assert not chosen.enough(Block("capacity", 1, ()), [], late)
    assert chosen.enough(Block("capacity", 2, ()), [], late)
    assert chosen.enough(Block("latency", 1, (), PAIR), [], late)
    assert chosen.enough(Block("duet", 1, (), PAIR), [], late)
    assert not decider().enough(Block("capacity", 2, ()), [], late)


def test_enough__a_cell_is_counted_again_until_its_counts_agree() -> None:
    step = Step(0, (Cell("aiohttp", "head", "article-500"),))
    late = ElapsedTime(3600.0, [])
    again = Block("count", 2, (step,))
    assert not decider(minutes=1).enough(Block("count", 1, (step,)), [make_count()], late)
    assert decider().enough(again, [make_count(), make_count(block=1)], late)
    assert not decider(minutes=1).enough(again, [make_count(queries=11), make_count(block=1)], late)
    assert not decider().enough(again, [make_count(queries=11), make_count(queries=11, block=1)], late)
    assert decider().enough(again, [make_count(queries=10 + n, block=n) for n in range(6)], late)


def test_enough__minutes_also_bound_the_cap() -> None:
    chosen = decider(seconds=600, minutes=1, to_the_end=True)
    assert blocks_taken(chosen, 0.0) == 8


def test_enough__reserves_time_for_pairs_before_the_other_phases() -> None:
    slow = Timetable(60, 1, 1, 9.5, 4.6, PairPhase(warmup=1, slice=3, blocks=5), PairPhase(warmup=1, slice=4))
    chosen = Decider(default_gates(), ALPHAS, 1, 180.0, 1.0, timetable=slow)
    early = ElapsedTime(25.0, [])
    assert not chosen.enough(Block("count", 0, ()), [], early)
    assert not chosen.enough(Block("capacity", 1, ()), [], early)
    assert chosen.enough(Block("capacity", 2, ()), [], early)
    assert chosen.enough(Block("latency", 1, (), PAIR), [], early)
    assert not chosen.enough(Block("duet", 1, (), PAIR), [], early)


def test_enough__blocks_that_were_slow_by_chance_leave_time_for_as_many_quick_ones_as_a_look_needs() -> None:
    # 42 s are spent after three blocks; their mean allows no more in a minute, the quickest two
    assert blocks_taken(decider(seconds=60), 0.0, times=[16, 20, 6, 6, 6, 6]) == 5
    assert blocks_taken(decider(seconds=60), 0.0, times=[22, 24, 8, 6, 6, 6]) == 3


def count_duets(latency_s: float, counts: Sequence[Trial] = ()) -> int:
    """Count the duets in a minute, if so many seconds with one connection share the first five restarts, or none do."""
    phase = PairPhase(warmup=1, slice=4)
    times = Timetable(60, 1, 1, 2.5, 4.6, PairPhase(warmup=1, slice=3, blocks=5), phase)
    chosen = Decider(default_gates(), ALPHAS, 1, 180.0, 1.0, to_the_end=True, timetable=times)
    spent: list[float] = []
    for number in range(1, MOST):
        then = Block("latency", number, (), PAIR) if latency_s and number <= 5 else None
        total_s = sum(spent) + latency_s * min(5, len(spent))
        trials = [*counts, *duets(number - 1, 0.0, 1.0)]
        if chosen.enough(Block("duet", number, (), PAIR, then=then), trials, ElapsedTime(total_s, spent)):
            break
        spent.append(7.5)
    return len(spent)


def test_enough__latency_that_shares_the_first_restarts_has_its_time_reserved() -> None:
    assert (count_duets(0.0), count_duets(3.3)) == (8, 5)


def test_enough__latency_is_planned_as_long_as_counts_show_that_enough_requests_take() -> None:
    # ten requests of each side take 10 ms, so 500 of both take a second: five blocks of latency 6.5 s, no longer 16.5 s
    quick = [make_count(revision=revision, duration_s=0.01, block=n) for revision in ("base", "head") for n in (0, 1)]
    slow = [count.model_copy(update={"duration_s": 10.0}) for count in quick]
    assert (count_duets(1.3, quick), count_duets(3.3, slow)) == (7, 5)
    assert count_duets(1.3, quick[:2]) == 5  # only of one side
    mixed = [count.model_copy(update={"profile": name_route(PROFILE, title)}) for count in quick for title in "ab"]
    assert count_duets(2.3, [*quick, *mixed]) == 6  # two requests, without their sum
    other = [count.model_copy(update={"variant": "django"}) for count in slow]
    assert count_duets(2.3, [*quick, *other]) == 6  # on average


def test_fit__duets_get_the_length_that_the_first_three_have_shown_and_the_cap_follows_from_time_alone() -> None:
    caps = {}
    for loss in (0.0, 0.05):
        phase = PairPhase(warmup=1, slice=4, shortest=4, longest=8)
        times = Timetable(None, 1, 1, 20.0, 4.6, PairPhase(warmup=1, slice=3, blocks=5), phase)
        chosen = Decider(default_gates(), ALPHAS, 1, 300.0, None, to_the_end=True, timetable=times)
        step = Step(0, (PAIR.base, PAIR.head), slice_s=4)
        spent: list[float] = []
        for number in range(1, MOST):
            block = Block("duet", number, (step,), PAIR)
            if chosen.enough(block, duets(number - 1, loss, 1.0), ElapsedTime(sum(spent), spent)):
                break
            (fitted,) = chosen.fit(block).steps
            assert fitted.cells == step.cells
            assert fitted.slice_s == 4 if number <= 3 else 4 < fitted.slice_s <= 8
            spent.append(21.0 + fitted.slice_s)
        caps[loss] = chosen.courses()[str(PAIR), "duet"].cap
        assert len(spent) == caps[loss]
        assert 290 - 29 < sum(spent) <= 300
        (noise,) = chosen.list_noise(duets(len(spent), loss, 1.0))
        assert (noise.first_blocks, noise.first_slice_s, noise.cost_s, noise.measured) == (3, 4, 21.0, False)
    assert caps[0.0] == caps[0.05]


def test_fit__other_phases_stay_as_planned() -> None:
    block = Block("latency", 1, (Step(0, (PAIR.base, PAIR.head), slice_s=3),), PAIR)
    assert decider().fit(block) is block
