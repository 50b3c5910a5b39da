"""Which CPUs there are, and whether an engine can pin a container to them: tried once, before anything relies on it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import StackError
from bench_action.model.progress import Progress
from bench_action.plan.placement import Placement, choose_placements
from bench_action.plan.plan import Plan
from bench_action.stack.stack import Stack

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def find_placements(stack: Stack) -> tuple[Placement, ...]:
    """Find the placements on the engine's machine.

    If that is the machine we run on, only CPUs that this process may use count.
    """
    generator = stack.services.agent.machine()
    usable = set(generator["cpus"])
    if _BOOT_ID.is_file() and _BOOT_ID.read_text(encoding="ascii").strip() == generator["boot_id"]:
        usable = usable & os.sched_getaffinity(0) or usable
    return choose_placements(usable, {int(cpu): found for cpu, found in generator["siblings"].items()})


def fit_to_pinning(stack: Stack, plan: Plan, progress: Progress) -> Plan:
    """Return the plan, or one that measures pairs in turn if the engine cannot pin containers to CPUs."""
    if not plan.needs_pinning:
        return plan
    agent = stack.services.agent
    why = why_not_pinned(stack.engine, stack.services.load, lambda: agent.machine()["cpus"])
    if not why:
        return plan
    progress.warn(f"base and head are measured in turn, not at the same time: {why}")
    return plan.without_pinning(why)


def why_not_pinned(engine: Engine, handle: Handle, allowed: Callable[[], Sequence[int]]) -> str:
    """Why the processes of `handle` cannot be moved to one CPU; empty if they can, and then all theirs are given back.

    `allowed` asks one of these processes for its CPUs: without the cpuset controller, engines accept the request and
    ignore it (control groups v2 without delegation, rootless Docker). Raises StackError if the process is gone.
    """
    before = tuple(sorted(allowed()))
    one = before[:1]
    try:
        engine.pin(handle, one)
    except StackError as error:
        return error.cause or error.what
    after = tuple(sorted(allowed()))
    engine.pin(handle, before)
    if after == one:
        return ""
    return f"the engine accepts CPU {one[0]} for a container, and its processes still use CPUs {_listed(after)}"


def _listed(cpus: Sequence[int]) -> str:
    return ", ".join(map(str, cpus))
