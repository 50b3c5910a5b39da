"""The machine of the engine, and a part's use of it."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "fatal"]
# the limit for wrk, subjects and services (docs/architecture.md, "Choices that look odd, and why they stand")
OPEN_FILES: Final = 16384


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of the engine, which may not be the tool's own."""

    cores: int
    memory_mib: int
    kernel: str
    engine_version: str


@dataclass(frozen=True, slots=True)
class Usage:
    """A container's counters since its start: CPU time in ms, memory in MiB without inactive file pages."""

    cpu_ms: float
    memory_mib: float
    throttled_ms: float


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that the preflight has looked at: what was found, and the cure where it is not as it should be."""

    name: str
    level: Level
    found: str
    cure: str = ""
