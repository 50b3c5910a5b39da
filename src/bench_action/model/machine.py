"""The machine that the engine runs on, and what a container uses of it."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "fatal"]
# what a machine of several does, as results and tables call it
APPLICATION: Final = "application"
SERVICES: Final = "services"
WRK: Final = "wrk"
_AND = " and "
# the limit for wrk, subjects and services (docs/architecture.md, "Choices that look odd, and why they stand")
OPEN_FILES: Final = 16384


def join_roles(*, application: bool, services: bool, load: bool) -> str:
    """Name a machine by what it does: `application`, `services and wrk`."""
    return _AND.join(name for name, has in ((APPLICATION, application), (SERVICES, services), (WRK, load)) if has)


def split_roles(name: str) -> list[str]:
    """Split such a name into roles; a number after it, as one of several has, is left out."""
    return name.rstrip(" 0123456789").split(_AND)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that the engine runs on, which may be another than the tool's."""

    cores: int
    memory_mib: int
    kernel: str
    engine_version: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The counters of a container since its start: CPU time in ms, memory in MiB without inactive file pages.

    `oom_kills`: its processes that ran out of memory and were killed. `refused_forks`: how often its limit of processes
    kept it from starting another one.
    """

    cpu_ms: float
    memory_mib: float
    throttled_ms: float
    oom_kills: int = 0
    refused_forks: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """The result of one preflight check: what was found, and the cure unless the level is `ok`."""

    name: str
    level: Level
    found: str
    cure: str = ""
