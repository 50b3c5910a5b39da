"""Choose the engine of a run, and say why."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bench_action.config.load import Project
from bench_action.config.schema import Container
from bench_action.engine.local import LocalEngine
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Engine
from bench_action.model.errors import InputError, StackError
from bench_action.model.hosts import Hosts, SshFiles
from bench_action.model.progress import Progress

if TYPE_CHECKING:
    from bench_action.engine.docker import DockerEngine
    from bench_action.engine.hosts import HostsEngine

EngineName = Literal["auto", "docker", "local"]
_FROM = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Machines:
    """The hosts that the user names; None: those of the configuration. `ssh`: the files by which they are reached."""

    given: Hosts | None = None
    ssh: SshFiles = field(default_factory=SshFiles)

    def find(self, project: Project) -> Hosts | None:
        """Find the hosts of a run; None: this machine."""
        return self.given or project.config.hosts


def choose_engine(
    requested: EngineName,
    environ: Mapping[str, str],
    progress: Progress,
    owner: Ownership,
    project: Project,
    *,
    machines: Machines,
) -> Engine:
    """Choose the hosts if there are any, Docker if it answers and has, or can pull, every image, else the local engine.

    Raises StackError if none of them can be used.
    """
    if (hosts := machines.find(project)) is not None:
        if requested == "local":
            raise InputError("--engine local runs on this machine only", advice="leave out the hosts, or `--engine`")
        return make_hosts_engine(owner, environ, hosts, machines.ssh)
    if requested == "local":
        return LocalEngine(owner, environ)
    if requested == "docker":
        return make_docker_engine(owner, environ)
    obstacle = explain_not_local(project)
    try:
        engine = make_docker_engine(owner, environ)
        if not obstacle:  # if there is one, the run itself reports a missing image, as it sweeps before it builds
            for name in list_images(project):
                engine.image(name, "other")
    except StackError as error:
        if obstacle:
            advice = "; ".join(filter(None, (error.advice, f"it cannot run without Docker, as {obstacle}")))
            raise StackError(error.what, where=error.where, cause=error.cause, advice=advice, log=error.log) from error
        progress.step(f"engine: local, because {error.what}")
        return LocalEngine(owner, environ)
    progress.step("engine: docker, which answers" + ("" if obstacle else " and has every image"))
    return engine


def make_hosts_engine(owner: Ownership, environ: Mapping[str, str], hosts: Hosts, ssh: SshFiles) -> "HostsEngine":
    """Make the engine of several hosts."""
    from bench_action.engine.hosts import HostsEngine  # noqa: PLC0415 (as for Docker)

    return HostsEngine(owner, environ, hosts, ssh)


def make_docker_engine(owner: Ownership, environ: Mapping[str, str]) -> "DockerEngine":
    """Make the Docker engine. Its client is imported only if needed, as that takes a seventh of the start-up time."""
    from bench_action.engine.docker import DockerEngine  # noqa: PLC0415

    return DockerEngine(owner, environ)


def explain_not_local(project: Project) -> str:
    """Explain why a configuration cannot be run without containers; empty if it can."""
    config = project.config
    if foreign := [name for name, service in config.services.items() if service.kind not in {"postgres", "redis"}]:
        return f"{' and '.join(foreign)} can only run in a container"
    if without := [name for name, variant in config.variants.items() if variant.local is None]:
        return f"{' and '.join(without)} has no `local: {{command: […]}}`"
    return ""


def list_images(project: Project) -> Iterator[str]:
    """List the images that a run must have or pull: services', variants', and those that variants are built from."""
    config = project.config
    containers: dict[str, Container] = {**config.services, **config.variants}
    yield from (container.image for container in containers.values() if container.image)
    for name, container in containers.items():
        if container.build is not None:
            dockerfile = project.find_owner(name).folder / container.build.context / container.build.dockerfile
            yield from list_base_images(dockerfile.read_text(encoding="utf-8", errors="replace"))


def list_base_images(dockerfile: str) -> list[str]:
    """List the images that a Dockerfile's stages begin with, except other stages and names with build arguments."""
    stages = _FROM.findall(dockerfile)
    names = {alias.lower() for _, alias in stages if alias}
    bases = [image for image, _ in stages if image.lower() not in names and "$" not in image and image != "scratch"]
    return list(dict.fromkeys(bases))
