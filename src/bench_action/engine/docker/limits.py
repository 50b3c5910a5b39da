"""How much of the engine's machine a container may take, so that one that takes all it can get ends alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

_RESERVED_SHARE, _LEAST_RESERVED = 0.1, 256 * 2**20  # of the available memory, for the machine and the tool itself
_CONTAINER_SHARE = 0.75  # of a slot's memory: the others of the slot keep the rest
_FOLDER_SHARE = 0.8  # of a container's memory: a full folder is an error that programs report, unlike a lack of memory
_LEAST_MEMORY = 128 * 2**20
_MOST_PROCESSES, _LEAST_PROCESSES = 4096, 256
_SAME_MACHINE = 2**20  # bytes by which two readings of one machine's memory may differ
_OOM_SCORE = 500  # if the machine itself runs out of memory, the kernel ends a container before anything else


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use: bytes of memory, in which its folders in memory count too; processes and threads."""

    memory: int
    processes: int

    @classmethod
    def share_out(cls, engine_memory: int, slots: int, proc: Path | None = Path("/proc")) -> Self:
        """Share out a machine among slots, so that all of them can reach their limits at the same time.

        `engine_memory`: all memory of the engine's machine, in bytes. How much of it is available, and how many
        processes it can have, is known only if it is this machine, which `proc` describes; None: it is not.
        """
        if proc is None:
            return cls(_share_memory(engine_memory, slots), _MOST_PROCESSES)
        total, available = (_read_bytes(proc, name) for name in ("MemTotal", "MemAvailable"))
        if abs(total - engine_memory) > _SAME_MACHINE:
            return cls(_share_memory(engine_memory, slots), _MOST_PROCESSES)
        processes = min(_read_number(proc / "sys/kernel" / name) for name in ("pid_max", "threads-max"))
        share = min(_MOST_PROCESSES, processes // (2 * max(1, slots)))
        return cls(_share_memory(min(available, engine_memory), slots), max(_LEAST_PROCESSES, share))

    @property
    def folder(self) -> int:
        """Bytes of a folder in memory."""
        return int(_FOLDER_SHARE * self.memory)

    def lower_to(self, memory: int) -> Self:
        """Return these limits with less memory, if `memory` (bytes; 0: not set) is less."""
        return replace(self, memory=min(self.memory, memory)) if memory else self

    def times(self, count: int) -> Self:
        """Return these limits with `count` times the memory."""
        return replace(self, memory=count * self.memory)

    def make_options(self, capabilities: Sequence[str]) -> dict[str, Any]:
        """Make the arguments of `containers.create` that bound what a container may do and use."""
        return {
            "cap_drop": ["ALL"],
            "cap_add": list(capabilities),
            "security_opt": ["no-new-privileges:true"],
            "pids_limit": self.processes,
            "mem_limit": self.memory,
            "memswap_limit": self.memory,  # memory and swap together: no swap
            "oom_score_adj": _OOM_SCORE,
        }

    def size_folder(self, options: str) -> str:
        """Complete the mount options of a folder in memory with a size, if they have none."""
        given: Sequence[str] = [option for option in options.split(",") if option]
        sized = any(option.startswith(("size=", "nr_blocks=")) for option in given)
        return ",".join([*given, *([] if sized else [f"size={self.folder}"])])


def _share_memory(available: int, slots: int) -> int:
    reserved = max(_LEAST_RESERVED, int(_RESERVED_SHARE * available))
    return max(_LEAST_MEMORY, int(_CONTAINER_SHARE * (available - reserved) / max(1, slots)))


def _read_bytes(proc: Path, name: str) -> int:
    """Read one line of meminfo; 0 without it."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", _read(proc / "meminfo"), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def _read_number(path: Path) -> int:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else 2 * _MOST_PROCESSES


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
