"""Which CPUs the application, the services and wrk get while subjects are compared. Pure.

Subjects of a duet share one CPU: the scheduler divides it fairly, so whatever slows this machine down meets both alike.
On a CPU each, the neighbours of the two CPUs would be compared as well (facts: a duet so needs 15 times the effect).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """CPUs by number. Nothing else of ours runs on the application's, nor on a CPU that shares a core with it."""

    application: tuple[int, ...]
    services: tuple[int, ...]
    load: tuple[int, ...]

    @property
    def everywhere(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(sorted({*self.application, *self.services, *self.load}))

    def __str__(self) -> str:
        if self.services == self.load:
            return f"application on {_cpus(self.application)}, services and wrk on {_cpus(self.services)}"
        return (
            f"application on {_cpus(self.application)}, services on {_cpus(self.services)}, wrk on {_cpus(self.load)}"
        )


def placements(cpus: Iterable[int], siblings: Mapping[int, Sequence[int]]) -> tuple[Placement, ...]:
    """The two between which a duet alternates, block by block; none where there is only one CPU.

    `cpus` are those that may be used, `siblings` tells which share a core. Where all share one core, they are taken for
    cores: what their core is worth at a moment, it is worth to both subjects.
    """
    usable = sorted(set(cpus))
    cores = sorted({tuple(sorted({cpu, *siblings.get(cpu, ())} & set(usable))) for cpu in usable})
    if len(cores) == 1:
        cores = [(cpu,) for cpu in usable]
    if len(cores) < 2:
        return ()
    return _placed(cores[0], cores[1:]), _placed(cores[-1], cores[:-1])


def _placed(own: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> Placement:
    services = others[:-1] or others
    return Placement(
        application=own[:1], services=tuple(cpu for core in services for cpu in core), load=tuple(others[-1])
    )


def _cpus(numbers: Sequence[int]) -> str:
    listed = " and ".join(
        [", ".join(map(str, numbers[:-1])), str(numbers[-1])] if len(numbers) > 1 else [str(numbers[0])]
    )
    return f"CPU {listed}" if len(numbers) == 1 else f"CPUs {listed}"
