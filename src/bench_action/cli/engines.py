"""Which engine a run uses, and why."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from bench_action.config.load import Project
from bench_action.engine.local import LocalEngine
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Engine
from bench_action.model.errors import StackError
from bench_action.model.progress import Progress

if TYPE_CHECKING:
    from bench_action.engine.docker import DockerEngine

Wanted = Literal["auto", "docker", "local"]
_FROM = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.IGNORECASE | re.MULTILINE)


def choose_engine(
    wanted: Wanted, environ: Mapping[str, str], progress: Progress, owner: Ownership, project: Project
) -> Engine:
    """Docker where it answers and has, or can get, every image; else local. Raises StackError where neither can be."""
    if wanted == "local":
        return LocalEngine(owner, environ)
    if wanted == "docker":
        return docker_engine(owner, environ)
    obstacle = why_not_local(project)
    try:
        engine = docker_engine(owner, environ)
        if not obstacle:  # with one, a missing image is for the run to tell, which sweeps before it builds
            for name in images_of(project):
                engine.image(name, "other")
    except StackError as error:
        if obstacle:
            advice = "; ".join(filter(None, (error.advice, f"without Docker it cannot be run, as {obstacle}")))
            raise StackError(error.what, where=error.where, cause=error.cause, advice=advice, log=error.log) from error
        progress.step(f"engine: local, because {error.what}")
        return LocalEngine(owner, environ)
    progress.step("engine: docker, which answers" + ("" if obstacle else " and has every image"))
    return engine


def docker_engine(owner: Ownership, environ: Mapping[str, str]) -> "DockerEngine":
    """The Docker engine, imported only where one is asked for: Docker's client is a seventh of a start."""
    from bench_action.engine.docker import DockerEngine  # noqa: PLC0415

    return DockerEngine(owner, environ)


def why_not_local(project: Project) -> str:
    """What the configuration lacks to be run without containers; empty where it lacks nothing."""
    config = project.config
    if foreign := [name for name, service in config.services.items() if service.kind not in {"postgres", "redis"}]:
        return f"{' and '.join(foreign)} can only be a container"
    if silent := [name for name, variant in config.variants.items() if variant.local is None]:
        return f"{' and '.join(silent)} has no `local: {{command: […]}}`"
    return ""


def images_of(project: Project) -> Iterator[str]:
    """Images that a run in containers needs from elsewhere: services', variants', and those they are built from."""
    config = project.config
    yield from (service.image for service in config.services.values())
    yield from (variant.image for variant in config.variants.values() if variant.image)
    for name, variant in config.variants.items():
        if variant.build is not None:
            dockerfile = project.of(name).folder / variant.build.context / variant.build.dockerfile
            yield from base_images(dockerfile.read_text(encoding="utf-8", errors="replace"))


def base_images(dockerfile: str) -> list[str]:
    """What a Dockerfile's stages begin with, apart from one another and from what only arguments tell."""
    stages = _FROM.findall(dockerfile)
    names = {alias.lower() for _, alias in stages if alias}
    bases = [image for image, _ in stages if image.lower() not in names and "$" not in image and image != "scratch"]
    return list(dict.fromkeys(bases))
