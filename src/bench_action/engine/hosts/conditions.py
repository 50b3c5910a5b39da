"""What a host must have: each condition says what was found and, if need be, the command that fixes it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench_action.engine.docker import DockerEngine
from bench_action.engine.docker.networks import Swarm
from bench_action.model.machine import Condition

_LATE_S = 2.0  # between the clocks of two machines, with the time that an answer takes
_PORTS = "2377/tcp, 7946/tcp, 7946/udp and 4789/udp"


def check_host(engine: DockerEngine, title: str, clock: Callable[[], float]) -> Iterator[Condition]:
    """Check a host that was reached: its engine, its clock, and whether it is free. `clock`: this machine's."""
    machine = engine.machine()
    found = f"Docker {machine.engine_version}, {machine.cores} CPUs, {machine.memory_mib:,} MiB"
    yield Condition(title, "ok", found)
    before = clock()
    ahead_s = engine.read_clock() - (before + clock()) / 2
    if abs(ahead_s) > _LATE_S:
        which = "ahead of" if ahead_s > 0 else "behind"
        yield Condition(
            f"{title}: clock",
            "warning",
            f"its clock is {abs(ahead_s):,.0f} s {which} this machine's, so times in logs and data differ",
            "run `sudo timedatectl set-ntp true` there",
        )
    if runs := engine.list_other_runs():
        yield Condition(
            f"{title}: other runs",
            "warning",
            f"{', '.join(runs)} may be measuring there",
            "let only one run use a host at a time: put its jobs into one `concurrency` group",
        )


def check_swarm(swarms: Mapping[str, Swarm]) -> list[Condition]:
    """Check that all hosts are in one Swarm that one of them manages. `swarms`: by the host's title."""
    nodes = [swarm.node for swarm in swarms.values()]
    if twice := [title for title, swarm in swarms.items() if swarm.node and nodes.count(swarm.node) > 1]:
        cure = "write the same address for it everywhere"
        return [Condition("Swarm", "fatal", f"{' and '.join(twice)} are the same machine", cure)]
    outside = [title for title, swarm in swarms.items() if swarm.state != "active"]
    managers = {title: swarm for title, swarm in swarms.items() if swarm.manages}
    if outside:
        first = next(iter(managers), "") or outside[0]
        others = " and ".join(title for title in outside if title != first) or "the other hosts"
        init = "" if managers else f"run `docker swarm init` on {first}; then "
        cure = f"{init}run what `docker swarm join-token worker` prints on {first} on {others}"
        return [Condition("Swarm", "fatal", f"{_join(outside)} in no Swarm", cure)]
    if not managers:
        cure = "run `docker node promote NODE` for one of them on the Swarm's manager"
        return [Condition("Swarm", "fatal", "none of the hosts manages the Swarm that they are in", cure)]
    title, manager = next(iter(managers.items()))
    strangers = [other for other, swarm in swarms.items() if swarm.node not in manager.nodes]
    if strangers:
        cure = f"run `docker swarm leave --force`, then what `docker swarm join-token worker` prints on {title}, there"
        return [Condition("Swarm", "fatal", f"{_join(strangers)} in a different Swarm than {title}", cure)]
    down = [other for other, swarm in swarms.items() if manager.nodes[swarm.node] != "ready"]
    if down:
        cure = f"let the hosts reach each other at {_PORTS}"
        return [Condition("Swarm", "fatal", f"{title} does not reach {', '.join(down)}", cure)]
    return [Condition("Swarm", "ok", f"{len(swarms)} hosts, managed by {title}")]


def _join(titles: Sequence[str]) -> str:
    return f"{' and '.join(titles)} {'is' if len(titles) == 1 else 'are'}"
