"""Choose how many duets of a pair run at the same time: as many as its services leave room for. Pure."""

from collections.abc import Sequence

from bench_action.model.result import Trial
from bench_action.plan.blocks import Pair
from bench_action.plan.placement import Placement

_BUSY = 0.6  # so much of their CPUs services and wrk may need: above 0.8, duets cannot compare rates


def count_tracks(trials: Sequence[Trial], pair: Pair, placement: Placement) -> int:
    """Count the tracks of a pair, from what its services and wrk needed while its subjects were loaded alone.

    Each track keeps one CPU busy with the application; in proportion to that, services and wrk need theirs. Nothing but
    these sums counts, so the choice says nothing about the difference of base and head.
    """
    cells = {str(pair.base), str(pair.head)}
    alone = [trial.cpu_ms for trial in trials if trial.phase == "capacity" and trial.cell in cells]
    needs = [sum(cpu_ms.values()) / own - 1 for cpu_ms in alone if (own := cpu_ms.get("application", 0.0)) > 0]
    for tracks in range(placement.tracks, 1, -1):
        others = placement.narrow(tracks)
        if tracks * max(needs, default=0.0) <= _BUSY * len({*others.services, *others.load}):
            return tracks
    return 1
