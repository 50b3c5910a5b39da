"""Name what limits a cell that is loaded alone, if the parts of the run have separate machines. Pure."""

from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import Final

from bench_action.model.machine import APPLICATION, SERVICES, WRK, split_roles
from bench_action.model.result import Trial

_FULL: Final = 0.9  # of the CPUs of a machine: with more, requests wait for one
_GENERATOR_FULL = 0.7  # of wrk's threads: with more, a trial is not valid (load/validity.py)
_NETWORK_FULL = 0.7  # of what arrived when nothing else was sent
# A part that uses so little less than a whole number of CPUs probably has that many processes of one thread each, which
# were busy all the time. Of many, the number would fit by chance.
_BELOW, _ABOVE, _MOST_PROCESSES = 0.06, 0.02, 4


def average_hosts(trials: Sequence[Trial]) -> dict[str, float]:
    """Compute the median over trials of how busy each machine was, by what it does."""
    names = dict.fromkeys(name for trial in trials for name in trial.host_busy)
    return {name: median(trial.host_busy[name] for trial in trials if name in trial.host_busy) for name in names}


def name_bottleneck(
    trials: Sequence[Trial], cpus: Mapping[str, int], network_bytes_per_s: float | None, workers: Collection[str] = ()
) -> str:
    """Name the part that limits a cell: `application`, `database`, `generator`, `network`, or another service.

    `cpus`: how many each machine has, by what it does. `workers`: parts that run with the application.
    `network_bytes_per_s`: how much the network carried when nothing else was sent. Empty if nothing was busy: requests
    wait for a lock, a pool or a timer, or there are too few connections. With machines that share roles, the part that
    used most of its machine.
    """
    busy = average_hosts(trials)
    if not busy:
        return ""
    generators = [name for name in busy if WRK in split_roles(name)]
    full = any(busy[name] > _FULL for name in generators if split_roles(name) == [WRK])
    if full or median(trial.generator_busy for trial in trials) > _GENERATOR_FULL:
        return "generator"
    if network_bytes_per_s:
        sent = median(trial.bytes_read / trial.wall_s for trial in trials)
        if sent > _NETWORK_FULL * network_bytes_per_s:  # what the application's machine sends, to all generators
            return "network"
    used = _average_use(trials)
    for roles, share in busy.items():
        parts = _list_parts(roles, used, workers)
        if share > _FULL and parts:
            return name_part(max(parts, key=lambda part: used[part]))
    for roles, count in cpus.items():
        for part in _list_parts(roles, used, workers):
            whole = round(used[part]) if part != "generator" else 0
            if 1 <= whole < count and whole <= _MOST_PROCESSES and -_BELOW < used[part] - whole < _ABOVE:
                return name_part(part)
    return ""


def _average_use(trials: Sequence[Trial]) -> dict[str, float]:
    """Compute the median over trials of how many CPUs each part used."""
    names = dict.fromkeys(name for trial in trials for name in trial.cpu_ms)
    return {
        name: median(trial.cpu_ms[name] / 1000 / trial.wall_s for trial in trials if name in trial.cpu_ms)
        for name in names
    }


def _list_parts(roles: str, used: Mapping[str, float], workers: Collection[str]) -> list[str]:
    """List the parts that a machine with these roles runs."""
    own = split_roles(roles)
    return [part for part in used if _find_role(part, workers) in own]


def _find_role(part: str, workers: Collection[str]) -> str:
    if part == "application" or part in workers:
        return APPLICATION
    return WRK if part == "generator" else SERVICES


def name_part(part: str) -> str:
    """Name a part as people do."""
    return {"db": "database"}.get(part, part)
