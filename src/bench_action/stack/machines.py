"""What watches the machines of a run that the load generator is not on, and the network between all of them."""

from collections.abc import Sequence
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
from bench_action.load.messages import MachineAnswer, ReachAnswer
from bench_action.model.errors import StackError
from bench_action.stack.images import Image
from bench_action.stack.parallel import run_in_parallel

_REACH_S = 5.0
_PORTS = "2377/tcp, 7946/tcp, 7946/udp and 4789/udp"


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


def watch_machines(engine: Engine, image: Image, load: Handle, agent: Agent) -> tuple[Watcher, ...]:
    """Start an agent on each other machine, and prove that all reach each other; none if there is only one machine."""
    if not engine.machines:
        return ()
    watchers = tuple(run_in_parallel(lambda roles: _watch(engine, roles, image, load, agent), engine.machines))
    for watcher in watchers:
        watcher.agent.serve(WATCH_PORT)
    for here, there in permutations(watchers, 2):
        _require_reached(here, there, here.agent.reach(there.address, _REACH_S))
    return watchers


def _watch(engine: Engine, roles: MachineRoles, image: Image, load: Handle, agent: Agent) -> Watcher:
    if not roles.name:
        return Watcher(roles, load, agent, agent.machine())
    spec = ServiceSpec(
        "watch", f"watch-{roles.name}", image.id, slot=COMMON_SLOT, host=f"watch-{roles.name}", machine=roles.name
    )
    handle = engine.start(spec)
    own = Agent(engine, handle)
    return Watcher(roles, handle, own, own.machine())


def _require_reached(here: Watcher, there: Watcher, answer: ReachAnswer) -> None:
    """Raise StackError, with the cure, unless large packets arrive and come back."""
    if answer["reached"] == "large":
        return
    way = f"from {here.roles.title} to {there.roles.title}"
    if answer["reached"] == "small":
        raise StackError(
            f"large packets are lost on the way {way}",
            cause=f"the network between them takes smaller packets than the run's own ({answer['problem']})",
            advice="set `mtu` in `hosts` to 50 less than the MTU that `ip link` shows there, such as `mtu: 1350`",
        )
    raise StackError(
        f"nothing arrives on the way {way}",
        cause=f"the Swarm's ports are closed between them ({answer['problem']})",
        advice=f"let the hosts reach each other at {_PORTS}",
    )


def find_watcher(watchers: Sequence[Watcher], role: str) -> Watcher:
    """Find the agent on the machine with a role: `application`, `services` or `load`."""
    return next(watcher for watcher in watchers if getattr(watcher.roles, role))
