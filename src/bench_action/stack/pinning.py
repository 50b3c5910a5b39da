"""Find out which CPUs the run can use, and, before anything relies on it, whether the engine can pin containers."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench_action.engine.protocol import Engine, Handle
from bench_action.load.generator import Agent
from bench_action.model.errors import StackError
from bench_action.model.progress import Progress
from bench_action.plan.placement import Placement, Processors, choose_placements, place_on_machines
from bench_action.plan.plan import Plan
from bench_action.stack.machines import Watcher
from bench_action.stack.stack import Stack

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def find_placements(stack: Stack) -> tuple[Placement, ...]:
    """Find the placements on the engine's machine, with as many tracks as the stack has slots for.

    If this process runs on that machine too, only the CPUs that it may use are considered.
    """
    if stack.watchers.all:
        found = (stack.watchers.find(role) for role in ("application", "services", "load"))
        return place_on_machines(*map(_describe_processors, found))
    generator = stack.agent.machine()
    usable = set(generator["cpus"])
    if _BOOT_ID.is_file() and _BOOT_ID.read_text(encoding="ascii").strip() == generator["boot_id"]:
        usable = usable & os.sched_getaffinity(0) or usable
    siblings = {int(cpu): found for cpu, found in generator["siblings"].items()}
    return choose_placements(usable, siblings, stack.tracks)


def read_cpus(agent: Agent) -> Sequence[int]:
    """Ask an agent which CPUs it may use."""
    return agent.machine()["cpus"]


def _describe_processors(watcher: Watcher) -> Processors:
    found = watcher.found
    siblings = {int(cpu): shared for cpu, shared in found["siblings"].items()}
    return Processors(watcher.roles.title, tuple(sorted(found["cpus"])), siblings)


def fit_to_pinning(stack: Stack, plan: Plan, progress: Progress) -> Plan:
    """Return the plan, or one that measures pairs in turn if the engine cannot pin containers to CPUs."""
    if not plan.needs_pinning:
        return plan
    checked = [(watcher.handle, watcher.agent) for watcher in stack.watchers.all] or [(stack.load, stack.agent)]
    problems = (check_pinning(stack.engine, handle, partial(read_cpus, agent)) for handle, agent in checked)
    why = next(filter(None, problems), "")
    if not why:
        return plan
    progress.warn(f"base and head are measured in turn, not at the same time: {why}")
    return plan.without_pinning(why)


def check_pinning(engine: Engine, handle: Handle, read_cpus: Callable[[], Sequence[int]]) -> str:
    """Try to move the processes of `handle` to one CPU and back; return why that fails, or an empty text.

    `read_cpus` asks one of these processes which CPUs it may use: without the cpuset controller, engines accept the
    request and ignore it (control groups v2 without delegation, rootless Docker). Raises StackError if the process has
    exited.
    """
    before = tuple(sorted(read_cpus()))
    first = before[:1]
    try:
        engine.pin(handle, first)
    except StackError as error:
        return error.cause or error.what
    after = tuple(sorted(read_cpus()))
    engine.pin(handle, before)
    if after == first:
        return ""
    still = ", ".join(map(str, after))
    return f"the engine accepted CPU {first[0]} for a container, but its processes still run on CPUs {still}"
