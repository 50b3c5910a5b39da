"""Choose the CPUs of the application, the services and wrk while subjects are compared. Pure.

The two subjects of a duet share one CPU: the scheduler divides it fairly, so anything that slows the machine down
affects both equally. On a CPU each, the neighbours of the two CPUs would be compared as well: a change has to be 15
times as large to be found (docs/how-it-decides.md, the table of designs).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """CPUs by number. Nothing else that we start runs on the application's CPU, or on one that shares its core."""

    application: tuple[int, ...]
    services: tuple[int, ...]
    load: tuple[int, ...]

    @property
    def everywhere(self) -> tuple[int, ...]:
        """All CPUs of the placement, in order."""
        return tuple(sorted({*self.application, *self.services, *self.load}))

    def __str__(self) -> str:
        if self.services == self.load:
            return f"application on {_format_cpus(self.application)}, services and wrk on {_format_cpus(self.services)}"
        services, load = _format_cpus(self.services), _format_cpus(self.load)
        return f"application on {_format_cpus(self.application)}, services on {services}, wrk on {load}"


def choose_placements(cpus: Iterable[int], siblings: Mapping[int, Sequence[int]]) -> tuple[Placement, ...]:
    """Choose the two placements between which duets alternate, block by block; empty if there is only one CPU.

    The application gets the first core in one, the last core in the other. It runs on one CPU of it; the core's other
    CPUs stay idle. wrk gets the last of the remaining cores, and the services get the others; if only one core remains,
    they share it.

    `cpus`: those that may be used. `siblings`: CPU → those that share its core. If all CPUs share one core, each counts
    as a core: the speed of their core at any moment is the same for both subjects.
    """
    usable = sorted(set(cpus))
    cores = sorted({tuple(sorted({cpu, *siblings.get(cpu, ())} & set(usable))) for cpu in usable})
    if len(cores) == 1:
        cores = [(cpu,) for cpu in usable]
    if len(cores) < 2:
        return ()
    return _make_placement(cores[0], cores[1:]), _make_placement(cores[-1], cores[:-1])


def _make_placement(own: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> Placement:
    services = others[:-1] or others
    return Placement(
        application=own[:1], services=tuple(cpu for core in services for cpu in core), load=tuple(others[-1])
    )


def _format_cpus(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"CPU {numbers[0]}"
    return f"CPUs {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
