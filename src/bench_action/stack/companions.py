"""Companions: services that belong to a revision's own code, and so to a subject rather than to a slot.

They are built from the revision's sources, run to their end before the subject starts (migrations), or work in the
background for it (Celery).
"""

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter

from bench_action.config.schema import Config, Container, Service


def is_companion(service: Service) -> bool:
    """Return whether a service belongs to a subject."""
    return service.build is not None or service.once or service.worker


def list_companions(config: Config, variant: str) -> dict[str, Service]:
    """List the companions of a variant.

    With several variants these are the ones that it depends on, directly or not, and workers that are built as it is.
    """
    companions = {name: service for name, service in config.services.items() if is_companion(service)}
    if len(config.variants) == 1:
        return companions
    needed = _find_needed(config, variant)
    build = config.variants[variant].build
    return {
        name: service
        for name, service in companions.items()
        if name in needed or (service.worker and build is not None and service.build == build)
    }


def find_waves(containers: Mapping[str, Container]) -> list[list[str]]:
    """Sort containers into waves: each depends on earlier ones only. Dependencies on any others do not matter."""
    sorter = TopologicalSorter(
        {
            name: [other for other in container.depends_on if other in containers]
            for name, container in containers.items()
        }
    )
    sorter.prepare()
    waves = []
    while sorter.is_active():
        ready = sorter.get_ready()
        waves.append([name for name in containers if name in ready])  # in the order of the configuration
        sorter.done(*ready)
    return waves


def find_awaited(containers: Mapping[str, Container]) -> set[str]:
    """Find the containers that others wait for until they are healthy."""
    return {
        other
        for container in containers.values()
        for other, condition in container.depends_on.items()
        if condition == "service_healthy" and other in containers
    }


def find_dependents(containers: Mapping[str, Container], origins: Iterable[str]) -> set[str]:
    """Find the containers that depend on one of `origins`, directly or not."""
    found = set(origins)
    for wave in find_waves(containers):
        found |= {name for name in wave if found & set(containers[name].depends_on)}
    return found - set(origins)


def _find_needed(config: Config, variant: str) -> set[str]:
    needed, waiting = set(), [variant]
    containers: dict[str, Container] = {**config.services, **config.variants}
    while waiting:
        for other in containers[waiting.pop()].depends_on:
            if other not in needed:
                needed.add(other)
                waiting.append(other)
    return needed
