"""Compare the memory of two subjects after equal numbers of requests. Pure.

Under load at the same time, the slower of two subjects answers fewer requests. If memory grows with each request (a
leak, a cache), it would seem to need less. So both are compared at the number of requests that both have reached.
"""

from itertools import pairwise

from bench_action.model.result import Trial

_Point = tuple[float, float]  # requests since the restart, memory in MiB


def find_memory(base: Trial, head: Trial) -> tuple[float, float] | None:
    """Find the memory of both sides of a duet in MiB, after the most requests that both had answered at a mark.

    None if a side has fewer than two marks with its memory (the host does not show it, or both share a network), or if
    one had answered more requests at its first mark than the other at its last.
    """
    points = [_list_points(trial) for trial in (base, head)]
    if not all(points):
        return None
    requests = min(own[-1][0] for own in points)
    if requests < max(own[0][0] for own in points):
        return None
    return _interpolate(points[0], requests), _interpolate(points[1], requests)


def _list_points(trial: Trial) -> list[_Point]:
    """List the memory at each mark, with the requests answered until then; none with fewer than two marks.

    wrk keeps all connections busy, so its requests are spread evenly over its time.
    """
    before = trial.warm_up.requests if trial.warm_up is not None else None
    points = [
        ((before or 0) + trial.requests * mark.s / trial.duration_s, mark.memory_mib)
        for mark in trial.marks
        if mark.memory_mib is not None
    ]
    return points if len(points) > 1 and trial.duration_s > 0 else []


def _interpolate(points: list[_Point], requests: float) -> float:
    """Interpolate the memory after so many requests, which lie between the first point and the last."""
    for (early, memory), (late, next_memory) in pairwise(points):
        if requests <= late:
            share = (requests - early) / (late - early) if late > early else 1.0
            return memory + share * (next_memory - memory)
    return points[-1][1]
