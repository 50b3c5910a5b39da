"""Choose the CPUs of the application, the services and wrk while subjects are compared. Pure.

The two subjects of a duet share one CPU: the scheduler divides it fairly, so anything that slows the machine down
affects both equally. On a CPU each, the neighbours of the two CPUs would be compared as well: a change has to be 15
times as large to be found (docs/how-it-decides.md, the table of designs).

More cores allow several duets of the same pair at the same time: *tracks*, each with two more subjects, on a CPU of
its own. Their mean is the value of the block.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MOST_TRACKS = 4  # eight subjects with their services boot at the same time


@dataclass(frozen=True, slots=True)
class Placement:
    """CPUs by number. Nothing else that we start runs on the application's CPUs, or on one that shares their cores.

    `tracks`: how many duets run at the same time; if there are several, each has one CPU of the application's.
    `machines`: all CPUs of the machines of the application, the services and wrk, if there are several;
    `rest`: those of the application's other cores. `cores`: all CPUs of each core that the application has one of, if
    they have several; the others stay idle while a duet is measured.
    """

    application: tuple[int, ...]
    services: tuple[int, ...]
    load: tuple[int, ...]
    tracks: int = 1
    machines: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None = None
    rest: tuple[int, ...] = ()
    cores: tuple[tuple[int, ...], ...] = ()

    def track(self, number: int) -> tuple[int, ...]:
        """Return the CPUs of the application in one of the tracks."""
        return self.application if self.tracks == 1 else (self.application[number],)

    @property
    def boot(self) -> tuple[int, ...]:
        """All CPUs of the application's machine, in order, on which subjects boot."""
        if self.machines is not None:
            return self.machines[0]
        return tuple(sorted({*self.application, *_join(self.cores), *self.services, *self.load}))

    @property
    def background(self) -> tuple[int, ...]:
        """CPUs of the application's machine for what runs there and is not measured, such as workers."""
        if self.machines is None:
            return self.services
        return self.rest or self.machines[0]

    def spread(self) -> "Placement":
        """Return it with every CPU of its machine for each part."""
        if self.machines is None:
            return Placement(*(self.boot,) * 3)
        return Placement(*self.machines, machines=self.machines)

    def narrow(self, tracks: int) -> "Placement":
        """Return it with no more tracks than this; the services have the CPUs of the others as well."""
        freed = {*self.application[tracks:], *_join(self.cores[tracks:])} if self.tracks > tracks else ()
        if not freed:
            return self
        services = tuple(sorted((*self.services, *freed)))
        load = services if self.load == self.services else self.load
        return Placement(self.application[:tracks], services, load, tracks, cores=self.cores[:tracks])

    def __str__(self) -> str:
        own = _format_cpus(self.application)
        if self.machines is not None:
            services, load = _format_cpus(self.services), _format_cpus(self.load)
            return f"application on {own}, services on {services} and wrk on {load}, of their hosts"
        duets = f"application on {own}" if self.tracks == 1 else f"{self.tracks} duets at the same time on {own}"
        if self.services == self.load:
            return f"{duets}, services and wrk on {_format_cpus(self.services)}"
        return f"{duets}, services on {_format_cpus(self.services)}, wrk on {_format_cpus(self.load)}"


@dataclass(frozen=True, slots=True)
class Processors:
    """The CPUs of a machine that may be used, by its name. `siblings`: CPU → those that share its core."""

    machine: str
    cpus: tuple[int, ...]
    siblings: Mapping[int, Sequence[int]]

    @property
    def cores(self) -> list[tuple[int, ...]]:
        """Its cores; if all CPUs share one, each counts as a core."""
        return [(cpu,) for cpu in self.cpus] if self.has_one_core else self._find_cores()

    @property
    def has_one_core(self) -> bool:
        """Whether all its CPUs share one core."""
        return len(self._find_cores()) == 1

    def _find_cores(self) -> list[tuple[int, ...]]:
        usable = set(self.cpus)
        return sorted({tuple(sorted({cpu, *self.siblings.get(cpu, ())} & usable)) for cpu in usable})


def place_on_machines(application: Processors, services: Processors, load: Processors) -> tuple[Placement, ...]:
    """Choose placements on several machines, between which duets alternate: one, or two if there are cores for that.

    The application gets the first or the last core of its machine. What shares the machine gets the other cores; what
    does not has its own machine. Empty if the application's only core would be shared with something else.
    """
    machines = application.cpus, services.cpus, load.cpus
    cores = application.cores
    alone = application.machine not in {services.machine, load.machine}
    if len(cores) < 2:
        if not alone:
            return ()
        return (_place_around(cores[:1], [], (application, services, load), machines),)
    return tuple(
        _place_around(own, rest, (application, services, load), machines)
        for own, rest in ((cores[:1], cores[1:]), (cores[-1:], cores[:-1]))
    )


def _place_around(
    own: Sequence[tuple[int, ...]],
    rest: Sequence[tuple[int, ...]],
    machines: tuple[Processors, Processors, Processors],
    cpus: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
) -> Placement:
    """Place services and wrk, each on its machine, around the application's core."""
    application, services, load = machines
    serving = rest if services.machine == application.machine else services.cores
    loading = rest if load.machine == application.machine else load.cores
    if services.machine == load.machine and len(serving) > 1:
        serving, loading = serving[:-1], serving[-1:]
    return Placement(tuple(core[0] for core in own), _join(serving), _join(loading), 1, cpus, _join(rest))


def choose_placements(
    cpus: Iterable[int], siblings: Mapping[int, Sequence[int]], most: int = 1
) -> tuple[Placement, ...]:
    """Choose the two placements between which duets alternate, block by block; empty if there is only one CPU.

    The application gets the first cores in one, the last cores in the other: one for each track, and at most half of
    all. It runs on one CPU of each; the cores' other CPUs stay idle. wrk gets the last of the remaining cores, as many
    as there are tracks, and the services get the others; if fewer remain than two for each track, they share them.

    `cpus`: those that may be used. `siblings`: CPU → those that share its core. If all CPUs share one core, each counts
    as a core: the speed of their core at any moment is the same for both subjects. `most`: no more tracks than this.
    """
    processors = Processors("", tuple(sorted(set(cpus))), siblings)
    cores = processors.cores
    if len(cores) < 2:
        return ()
    if processors.has_one_core:
        most = 1
    tracks = max(1, min(most, MOST_TRACKS, len(cores) // 2))
    return _make_placement(cores[:tracks], cores[tracks:]), _make_placement(cores[-tracks:], cores[:-tracks])


def _make_placement(own: Sequence[tuple[int, ...]], others: Sequence[tuple[int, ...]]) -> Placement:
    tracks = len(own)
    services, load = (others[:-tracks], others[-tracks:]) if len(others) >= 2 * tracks else (others, others)
    cores = tuple(own) if any(len(core) > 1 for core in own) else ()
    return Placement(tuple(core[0] for core in own), _join(services), _join(load), tracks, cores=cores)


def _join(cores: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(cpu for core in cores for cpu in core)


def _format_cpus(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"CPU {numbers[0]}"
    return f"CPUs {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
