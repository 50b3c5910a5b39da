"""What an engine says of the machine that it runs on, of a container's use of it, and of its end."""

from dataclasses import dataclass


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
class Exit:
    """How a container ended."""

    name: str
    id: str
    exit_code: int
    out_of_memory: bool

    def __str__(self) -> str:
        """For a sentence: `exited with status 3`."""
        return "was killed for lack of memory" if self.out_of_memory else f"exited with status {self.exit_code}"
