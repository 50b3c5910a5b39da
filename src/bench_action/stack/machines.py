"""What watches the machines of a run that the load generator is not on, and the network between all of them."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from bench_action.engine.protocol import (
    COMMON_SLOT,
    WATCH_PORT,
    Engine,
    Handle,
    MachineRoles,
    ServiceSpec,
    name_watch,
)
from bench_action.load.generator import Agent
from bench_action.load.messages import MachineAnswer
from bench_action.model.errors import StackError
from bench_action.model.machine import Condition
from bench_action.model.result import HostInfo
from bench_action.stack.images import Image
from bench_action.stack.parallel import run_in_parallel

_REACH_S = 5.0
_BUSY_SHARE = 0.5  # as of this machine (preflight.py)
_LOW_DISK_MIB = 2048
# how far it got → for how long it may become better: engines tell each other of names, at the latest every 30 s
_PATIENCE_S = {"nothing": 35.0, "name": 10.0, "small": 0.0}
_CLOSED = {
    "nothing": ("does not know the name of", "2377/tcp, 7946/tcp and 7946/udp"),
    "name": ("cannot reach", "4789/udp"),
}


@dataclass(frozen=True, slots=True)
class Watcher:
    """An agent on a machine, which reads the counters there: that of the load generator itself, or one for it."""

    roles: MachineRoles
    handle: Handle
    agent: Agent
    found: MachineAnswer

    @property
    def address(self) -> str:
        """Where the agents of other machines reach it."""
        host = name_watch(self.roles.name) if self.roles.name else self.handle.host
        return f"{host}:{WATCH_PORT}"


@dataclass(frozen=True, slots=True)
class Watchers:
    """The agents on all machines of a run; none if it is only one. `bytes_per_s`: from the application's to wrk's."""

    all: tuple[Watcher, ...] = ()
    bytes_per_s: float | None = None

    @property
    def labels(self) -> dict[str, str]:
        """What each machine does, by its agent's address (empty: the load generator's), and further ones by number."""
        found = {watcher.address if watcher.roles.name else "": watcher.roles.label for watcher in self.all}
        others = [watcher for watcher in self.all if watcher.roles.load and watcher.roles.name]
        return found | {f"load{number}": watcher.roles.label for number, watcher in enumerate(others, 2)}

    def find(self, role: str) -> Watcher:
        """Find the agent on the machine with a role: `application`, `services` or `load`."""
        return next(watcher for watcher in self.all if getattr(watcher.roles, role))

    def describe(self) -> tuple[HostInfo, ...]:
        """Describe the machines for the result, without their addresses."""
        return tuple(
            HostInfo(
                roles=watcher.roles.label,
                cpu_model=watcher.found["cpu_model"] or watcher.found["machine"],
                cores=watcher.found["cores"],
                architecture=watcher.found["machine"],
            )
            for watcher in sorted(self.all, key=lambda each: not each.roles.application)
        )


def watch_machines(engine: Engine, image: Image, load: Handle, agent: Agent) -> Watchers:
    """Start an agent on each other machine, and prove that all reach each other; none if there is only one machine."""
    if not engine.machines:
        return Watchers()
    watchers = tuple(run_in_parallel(lambda roles: _watch(engine, roles, image, load, agent), engine.machines))
    token = secrets.token_hex(16)
    for watcher in watchers:
        watcher.agent.serve(WATCH_PORT, token)
    bytes_per_s = None
    for here, there in permutations(watchers, 2):
        timed = not here.roles.name and there.roles.application
        speed = _require_reached(here, there, timed=timed)
        bytes_per_s = speed if timed else bytes_per_s
    agent.serve(0)  # nobody asks it, and applications can reach it
    return Watchers(watchers, bytes_per_s)


def judge_machines(watchers: Watchers) -> Iterator[Condition]:
    """Judge each machine as its agent sees it: does something else run there, and is its disk nearly full?"""
    for watcher in watchers.all:
        title, found = watcher.roles.title, watcher.found
        if found["load_average"] > _BUSY_SHARE * found["cores"]:
            text = f"load average {found['load_average']:.2f} on {found['cores']} CPUs"
            yield Condition(f"{title}: load", "warning", text, "stop other programs there, or wait")
        if found["free_disk_mib"] < _LOW_DISK_MIB:
            text = f"{found['free_disk_mib']:,} MiB of its disk are free"
            yield Condition(f"{title}: disk", "warning", text, "run `docker system prune --all` there")


def _watch(engine: Engine, roles: MachineRoles, image: Image, load: Handle, agent: Agent) -> Watcher:
    if not roles.name:
        return Watcher(roles, load, agent, agent.machine())
    spec = ServiceSpec(
        "watch", f"watch-{roles.name}", image.id, slot=COMMON_SLOT, host=f"watch-{roles.name}", machine=roles.name
    )
    handle = engine.start(spec)
    own = Agent(engine, handle)
    return Watcher(roles, handle, own, own.machine())


def _require_reached(here: Watcher, there: Watcher, *, timed: bool) -> float:
    """Return how many bytes/s arrive from there, if that is timed.

    Raises StackError, with the cure, unless large packets arrive.
    """
    began = time.monotonic()
    while True:
        answer = here.agent.reach(there.address, _REACH_S, timed=timed)
        if answer["reached"] == "large":
            return answer["bytes_per_s"]
        if time.monotonic() - began > _PATIENCE_S[answer["reached"]]:
            break
        time.sleep(1.0)
    if answer["reached"] == "small":
        raise StackError(
            f"large packets are lost between {here.roles.title} and {there.roles.title}",
            cause=f"the network between them takes smaller packets than the run's own ({answer['problem']})",
            advice="set `mtu` in `hosts`, or `--host mtu=…`, to 50 less than the MTU that `ip link` shows there",
        )
    what, ports = _CLOSED[answer["reached"]]
    raise StackError(
        f"{here.roles.title} {what} {there.roles.title} over the overlay network",
        cause=f"probably ports of the Swarm are closed between them ({answer['problem']})",
        advice=f"open {ports} for each other on both hosts",
    )
