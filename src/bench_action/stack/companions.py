"""Companions: services that belong to a revision's own code, and so to a subject rather than to a slot.

They are built from the revision's sources, run to their end before the subject starts (migrations), or work in the
background for it (Celery).
"""

import re
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter

from bench_action.config.schema import Config, Container, Service
from bench_action.engine.protocol import COPIED


def list_companions(config: Config, variant: str) -> dict[str, Service]:
    """List the companions of a variant.

    With several variants these are the ones that it depends on, directly or not, and workers that are built as it is.
    """
    companions = {name: service for name, service in config.services.items() if service.is_companion}
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


def find_late(config: Config) -> list[str]:
    """Find the services of a slot that need a subject's data, in the order in which they start.

    They depend on a database, directly or not, name one in their variables, or depend on something that runs to its end
    first, such as a migration.
    """
    services = config.services
    databases = {name: service for name, service in services.items() if service.kind in COPIED}
    once = {name for name, service in services.items() if service.once}
    naming = {name for name, service in services.items() if name not in databases and _names_any(service, databases)}
    found = naming | find_dependents(services, {*databases, *once, *naming})
    return [
        name
        for wave in find_waves(services)
        for name in wave
        if name in found and services[name].kind == "other" and not services[name].is_companion
    ]


def _names_any(service: Service, others: Mapping[str, Service]) -> bool:
    """Return whether the variables of a service contain a host name of another one."""
    names = [name for other, known in others.items() for name in (other, *known.aliases)]
    named = re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in names) or "(?!)")
    return any(named.search(text) for text in service.env.values())


def _find_needed(config: Config, variant: str) -> set[str]:
    needed, waiting = set(), [variant]
    containers: dict[str, Container] = {**config.services, **config.variants}
    while waiting:
        for other in containers[waiting.pop()].depends_on:
            if other not in needed:
                needed.add(other)
                waiting.append(other)
    return needed
