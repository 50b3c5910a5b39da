"""Builds images: BuildKit through `docker buildx` if it answers, else the engine's classic builder."""

import subprocess
from collections.abc import Mapping
from shutil import which

import docker

from bench_action.engine.docker.buildx import build_with_buildx
from bench_action.engine.docker.classic import build_classic
from bench_action.engine.protocol import BuildSpec


def build_image(client: docker.DockerClient, spec: BuildSpec, environ: Mapping[str, str]) -> str:
    """Build `spec`; the image's id. Always invoked: the builder's own cache knows best what has changed.

    The id is what the builder reports, never looked up by name: another run may build the same name meanwhile.
    Raises StackError with the last lines of the builder's log.
    """
    cli = which("docker", path=environ.get("PATH"))
    if cli is not None and _has_buildx(cli, environ):
        return build_with_buildx(client, cli, spec, environ)
    return build_classic(client, spec)


def _has_buildx(cli: str, environ: Mapping[str, str]) -> bool:
    done = subprocess.run([cli, "buildx", "version"], env=dict(environ), capture_output=True, check=False)
    return done.returncode == 0
