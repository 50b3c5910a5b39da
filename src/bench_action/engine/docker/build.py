"""Building images: BuildKit through `docker buildx` if it is installed, else the engine's classic builder."""

import subprocess
from collections.abc import Mapping
from shutil import which

import docker

from bench_action.engine.docker.buildx import build_with_buildx
from bench_action.engine.docker.classic import build_classic
from bench_action.engine.docker.registry import check_requested_platform
from bench_action.engine.protocol import BuildSpec


def build_image(
    client: docker.DockerClient, spec: BuildSpec, name: str, environ: Mapping[str, str], memory: int
) -> None:
    """Build an image and tag it with the spec's name and with `name`. The builder's cache decides what to rebuild.

    `memory`: bytes that a step of the classic builder may use; BuildKit has no such limit. Raises StackError with the
    last lines of the builder's log.
    """
    check_requested_platform(client, spec.platform, f"the build of {spec.name}")
    cli = which("docker", path=environ.get("PATH"))
    if cli is not None and _has_buildx(cli, environ):
        build_with_buildx(cli, spec, name, environ)
    else:
        build_classic(client, spec, name, memory)


def _has_buildx(cli: str, environ: Mapping[str, str]) -> bool:
    done = subprocess.run([cli, "buildx", "version"], env=dict(environ), capture_output=True, check=False)
    return done.returncode == 0
