"""Warn of cells that were measured before they were warm. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean, median

from bench_action.compare.summary import trial_values
from bench_action.model.result import PhaseName, Trial, WarmUp, name_route
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import percent, plural
from bench_action.plan.blocks import LOADED_PHASES, PAIRED_PHASES
from bench_action.stats.interval import LEAST_BLOCKS
from bench_action.stats.steady import LONG_WARM_UP_S

_LONGEST_S = 600  # the largest `warmup` that a profile may set
_FAR_DEARER, _FAR_SHORTER = 1.5, 0.75  # than usual: of a warm-up that ended before a compiler had begun
_CLEAR_FALL = 0.15  # three times the error of what a request costs at the end of a warm-up of a second
_SURE_FALL = 0.5  # which no noise of a single warm-up explains


def compute_fall(trial: Trial, warm_up: WarmUp) -> float | None:
    """Compute by which fraction CPU/request in a trial was below that at the end of its warm-up; None if unknown.

    Only replies count, as in the warm-up: a request that was under way at the end of a duet may have cost nothing yet.
    """
    cost, end = trial_values(trial).get("cpu_ms_per_request"), warm_up.cpu_ms_last
    if not cost or not end:
        return None
    if trial.phase in PAIRED_PHASES:
        replies = trial.requests + trial.sampled
        cost *= (replies + trial.connections_live) / max(1, replies)
    return 1 - cost / end


def is_fall(fall: float | None) -> bool:
    """Tell whether CPU/request has fallen so much that the warm-up was too short."""
    return fall is not None and fall > _CLEAR_FALL


def measure_warm_up_s(trials: Sequence[Trial]) -> float:
    """Measure how long wrk warmed subjects up before they were compared, on average; else alone; 0 if none was."""
    warm_ups = [(bool(trial.pair), trial.warm_up) for trial in trials if trial.warm_up is not None]
    seconds = [(in_pair, each.duration_s) for in_pair, each in warm_ups if each.rounds is None]
    paired = [each_s for in_pair, each_s in seconds if in_pair]
    return fmean(paired or [each_s for _, each_s in seconds] or [0.0])


def find_cold_blocks(trials: Sequence[Trial], pair: str, phase: PhaseName) -> set[int]:
    """Find the blocks of a pair whose warm-up ended long before it was usual, while requests still cost far more.

    A compiler that has not begun yet leaves the cost level for a while, which looks like the end of a warm-up; only the
    other blocks show that it was not. Both sides must have been far dearer than usual, each compared with itself, so
    that neither a difference of the two nor what one of them does after some restarts decides what counts. Blocks of
    `latency` share the restarts of those before them. Each shard is judged apart.
    """
    if phase not in {"latency", *LOADED_PHASES}:
        return set()
    own = [trial for trial in trials if trial.pair == pair or pair.startswith(name_route(trial.pair, ""))]
    phases = PAIRED_PHASES if phase == "latency" else (phase,)
    for each in phases:
        warmed = [trial for trial in own if trial.phase == each and trial.warm_up is not None]
        if warmed:
            shards = dict.fromkeys(trial.shard for trial in warmed)
            return set().union(*(_find_cold([trial for trial in warmed if trial.shard == shard]) for shard in shards))
    return set()


def _find_cold(trials: Sequence[Trial]) -> set[int]:
    """Find the cold blocks among those of one machine; none with fewer than four."""
    blocks: dict[int, list[tuple[str, WarmUp]]] = {}
    for trial in trials:
        if trial.warm_up is not None:
            blocks.setdefault(trial.block, []).append((trial.side, trial.warm_up))
    if len(blocks) < LEAST_BLOCKS:
        return set()
    seconds = {block: max(each.duration_s for _, each in own) for block, own in blocks.items()}
    usual_s = median(seconds.values())
    if usual_s <= LONG_WARM_UP_S:
        return set()
    short = {block for block, each_s in seconds.items() if each_s < _FAR_SHORTER * usual_s}
    return short & _find_dear(blocks, "base") & _find_dear(blocks, "head")


def _find_dear(blocks: Mapping[int, Sequence[tuple[str, WarmUp]]], side: str) -> set[int]:
    """Find the blocks at the end of whose warm-up a request of this side cost far more than in the median."""
    ends = {
        block: fmean(costs)
        for block, own in blocks.items()
        if (costs := [each.cpu_ms_last for name, each in own if name == side and each.cpu_ms_last is not None])
    }
    return {block for block, cost in ends.items() if cost >= _FAR_DEARER * median(ends.values())}


def warn_of_cold_blocks(trials: Sequence[Trial], pair: str, cell: str) -> Iterator[RunWarning]:
    """Warn of the blocks of a pair under load that do not count because they were cold. `cell`: head's."""
    for phase in PAIRED_PHASES:
        if cold := find_cold_blocks(trials, pair, phase):
            blocks = len({trial.block for trial in trials if trial.pair == pair and trial.phase == phase})
            verb = "does" if len(cold) == 1 else "do"
            yield Code.COLD_BLOCKS.warn(
                f"{len(cold)} of {plural(blocks, 'block')} {verb} not count: warm-ups ended early, when requests of "
                "both sides still cost far more than after the others",
                cell,
            )


def warn_of_cold_cells(trials: Sequence[Trial]) -> Iterator[RunWarning]:
    """Warn once of each cell that was measured before its CPU/request had levelled off."""
    cells: dict[str, list[Trial]] = {}
    for trial in trials:
        if not trial.route:
            cells.setdefault(trial.cell, []).append(trial)
    for cell, own in cells.items():
        warm_ups = {
            (trial.phase, trial.block, trial.track): trial.warm_up for trial in own if trial.warm_up is not None
        }
        cold = [each for each in warm_ups.values() if each.steady is False]
        if cold:
            worst = max(cold, key=lambda each: abs(each.change_per_s or 0.0))
            often = f" (in {len(cold)} of {len(warm_ups)} restarts)" if len(warm_ups) > 1 else ""
            yield Code.COLD.warn(f"{describe_cold(worst)}{often}", cell, _advise(worst, own[0].profile))
        elif message := _describe_falls(own) or _describe_broken_off(warm_ups.values()):
            yield Code.COLD.warn(message, cell)


def describe_cold(warm_up: WarmUp) -> str:
    """Say what a request cost at the start and at the end of a warm-up that reached its limit."""
    limit = f"the longest warm-up, {warm_up.limit_s:.0f} s, was too short"
    if warm_up.cpu_ms_first is None or warm_up.cpu_ms_last is None or warm_up.change_per_s is None:
        return f"{limit}: too few requests were answered"
    what = "the CPU time of an iteration" if warm_up.rounds else "CPU/request"
    change = f"{'falling' if warm_up.change_per_s < 0 else 'rising'} by {percent(abs(warm_up.change_per_s))} a second"
    working = ", and it still used CPU when no request was under way" if warm_up.rested is False else ""
    return (
        f"{limit}: {what} was {warm_up.cpu_ms_first:.3g} ms at first, {warm_up.cpu_ms_last:.3g} ms at the end, "
        f"{change}{working}"
    )


def _advise(warm_up: WarmUp, profile: str) -> str:
    longer_s = min(_LONGEST_S, 2 * max(1, round(warm_up.limit_s)))
    if (warm_up.change_per_s or 0.0) > 0 and warm_up.rested is not False:
        return f"{Code.COLD.advice} If it keeps rising, look for a leak, or for data that grow with each request."
    if warm_up.limit_s >= _LONGEST_S:
        return Code.COLD.advice
    return f"{Code.COLD.advice} Set `warmup: {longer_s}s` in profile `{profile}`, and allow more time if it is short."


def _describe_broken_off(warm_ups: Collection[WarmUp]) -> str:
    """Say that warm-ups broke off, as their costs are known and whether they had levelled off is not; empty if none."""
    broken = [each for each in warm_ups if each.steady is None and each.cpu_ms_last is not None and each.rounds is None]
    if not broken:
        return ""
    shortest_s = min(each.duration_s for each in broken)
    return (
        f"{len(broken)} of {plural(len(warm_ups), 'warm-up')} broke off, the shortest after {shortest_s:.2g} s, "
        "as wrk could not connect again"
    )


def _describe_falls(own: Sequence[Trial]) -> str:
    """Say that the trials of a cell cost less than the ends of their warm-ups, if most of them did; empty if not.

    Trials after the same warm-up share its error, so they count as one. Of few warm-ups, only a large fall is sure.
    """
    falls = [median(shared) for shared in _list_falls(own)]
    limit = _CLEAR_FALL if len(falls) >= LEAST_BLOCKS else _SURE_FALL
    if not falls or median(falls) <= limit:
        return ""
    often = f", in the median of {len(falls)} warm-ups" if len(falls) > 1 else ""
    return (
        f"CPU/request kept falling while it was measured: it was {percent(median(falls))} lower than at the end of the "
        f"warm-up{often}"
    )


def _list_falls(own: Sequence[Trial]) -> list[list[float]]:
    """List, for each warm-up of a cell, by which fractions the trials under load after it cost less than its end.

    Trials alone follow the last warm-up alone, however long ago; those of pairs have their own.
    """
    falls: dict[tuple[object, ...], list[float]] = {}
    last: Trial | None = None
    for trial in own:
        if not trial.pair and trial.warm_up is not None:
            last = trial
        warmed = trial if trial.pair else last
        if warmed is None or warmed.warm_up is None or trial.phase not in LOADED_PHASES:
            continue
        if (fall := compute_fall(trial, warmed.warm_up)) is not None:
            place = (warmed.shard, warmed.phase, warmed.pair, warmed.block, warmed.track)
            falls.setdefault(place, []).append(fall)
    return list(falls.values())
