"""Estimate how much memory the slots of a run need, before anything is started. Pure.

Each figure is a rough one of an idle service, plus the buffers that its settings let it fill. Data, and what the
application allocates under load, come on top; buffers may never be filled. So only a run that needs far more than there
is ends before it begins.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench_action.config.schema import Config, Service
from bench_action.config.units import parse_size
from bench_action.model.machine import Condition, Level

_SUBJECT_MIB, _LOAD_MIB = 100, 60
_OTHER_MIB = 80
_MIB = 1024**2
_TITLE = "memory of the slots"
_FEWER = "measure fewer variants at a time (`--variant`), use a machine with more memory"
_PLENTY_MIB = 2048  # so much may each container use, with slots that a run could do without
_BEYOND_HEAP = 1.25  # what a virtual machine needs, as a multiple of its heap
_LIMIT = 0.675  # of a slot's share of what is available: the limit of a container (engine/docker/limits.py)
_NEAR, _HOPELESS = 0.8, 1.5  # of what is available: a run may, or will, run out of memory
_HEAP = re.compile(r"-Xmx(\d+[kmgtKMGT]?)")
# kind → MiB when idle, with its data folder, and the setting that limits its buffers, with its default
_KINDS: Mapping[str, tuple[float, str, str]] = {
    "postgres": (90, "shared_buffers", "128MB"),
    "mysql": (260, "innodb-buffer-pool-size", "128M"),
    "redis": (12, "maxmemory", "0"),
}
# end of an image's name → MiB when idle; a virtual machine's heap comes on top
_IMAGES: Mapping[str, float] = {
    "rabbitmq": 140,
    "memcached": 70,
    "mongo": 180,
    "elasticsearch": 350,
    "opensearch": 400,
    "kafka": 300,
    "minio": 100,
}
_HEAPS = {"elasticsearch": 1024.0, "opensearch": 1024.0, "kafka": 1024.0}  # if none is set


@dataclass(frozen=True, slots=True)
class Room:
    """How many slots of a run fit into memory, and the condition that reports it.

    `slots`: as many as there are subjects or, if memory is too short for that, the fewest that a run can do with: one,
    or two if pairs are compared. Variants then take turns in them. `tracks`: how many duets of a pair can run at the
    same time, in two slots each, which may be more slots than there are subjects.
    """

    slots: int
    condition: Condition
    tracks: int = 1


def estimate_service(service: Service) -> float:
    """Estimate the MiB of a service: no more than its own limit."""
    estimate = _estimate_by_kind(service)
    return min(estimate, service.memory / _MIB) if service.memory else estimate


def _estimate_by_kind(service: Service) -> float:
    if service.kind in _KINDS:
        idle, setting, default = _KINDS[service.kind]
        settings = {name.replace("_", "-"): value for name, value in service.settings.items()}
        # PostgreSQL counts in blocks of 8 kB if there is no unit
        blocks = 8192 if service.kind == "postgres" else 1
        return idle + _read_mib(str(settings.get(setting.replace("_", "-"), default)), blocks)
    name = (service.image or "").partition("@")[0].rpartition("/")[2].partition(":")[0]
    heap = next((match[1] for text in service.env.values() if (match := _HEAP.search(text))), None)
    return _IMAGES.get(name, _OTHER_MIB) + (_read_mib(heap, 1) if heap else _HEAPS.get(name, 0.0))


def find_room(config: Config, subjects: int, available_mib: int | None, *, paired: bool, tracks: int = 1) -> Room:
    """Find out how many slots fit into the memory that is available.

    `subjects`: how many there are, of base and head together. `paired`: some of them are compared in pairs. `tracks`:
    how many duets of a pair are to run at the same time; fewer if memory is short.
    """
    services = {name: estimate_service(service) for name, service in config.services.items()}
    slot = sum(services.values()) + _SUBJECT_MIB
    parts = ", ".join([*(f"{name} {mib:.0f}" for name, mib in services.items()), f"application {_SUBJECT_MIB}"])
    if available_mib is None:
        return Room(subjects, Condition(_TITLE, "ok", f"{_describe_sum(subjects, slot, parts)}; not checked"))
    least = min(subjects, 2 if paired else 1)
    short = subjects * slot + _LOAD_MIB > available_mib
    slots = least if short else subjects
    needed = slots * slot + _LOAD_MIB
    if needed <= _NEAR * available_mib and slots == subjects:
        tracks = _count_tracks(config, subjects, slot, available_mib, tracks if paired else 1)
        slots = max(subjects, 2 * tracks if tracks > 1 else 0)
        return Room(slots, Condition(_TITLE, "ok", _describe_sum(slots, slot, parts)), tracks)
    found = _describe_sum(slots, slot, parts)
    most = max(services, key=lambda name: services[name], default="")
    cure = "use a machine with more memory" if slots == least else _FEWER
    cure += f", or limit {most} in its `settings` or `env`" if most else ""
    level: Level = "fatal" if needed > _HOPELESS * available_mib else "warning"
    turns = f"; {subjects} slots would need {subjects * slot + _LOAD_MIB:,.0f}, so variants take turns"
    found = f"{found}{turns if slots < subjects else ''}; {available_mib:,} MiB are available"
    return Room(slots, Condition(_TITLE, level, found, cure))


def _count_tracks(config: Config, subjects: int, slot_mib: float, available_mib: int, most: int) -> int:
    """Count how many duets can run at the same time, without slots for which there is not plenty of memory."""
    containers = [*config.services.values(), *config.variants.values()]
    named = [container.memory / _MIB for container in containers if container.memory]
    texts = [text for each in containers for text in (*each.env.values(), *each.command)]
    heaps = [_read_mib(match[1], 1) * _BEYOND_HEAP for text in texts for match in _HEAP.finditer(text)]
    largest = max([_PLENTY_MIB, *named, *heaps])
    for tracks in range(most, 1, -1):
        slots = 2 * tracks
        plenty = slots * slot_mib + _LOAD_MIB <= _NEAR * available_mib and _LIMIT * available_mib / slots >= largest
        if slots <= subjects or plenty:
            return tracks
    return 1


def _describe_sum(slots: int, slot_mib: float, parts: str) -> str:
    needed = slots * slot_mib + _LOAD_MIB
    return f"about {needed:,.0f} MiB needed: {slots} × {slot_mib:.0f} ({parts}) + {_LOAD_MIB} for wrk"


def _read_mib(text: str, unit: int) -> float:
    """Read a size such as `128MB`, in MiB, or a number of units of so many bytes; 0 for anything else."""
    try:
        return parse_size(text) * (unit if text.strip().isdecimal() else 1) / _MIB
    except ValueError:
        return 0.0
