"""Builds images: BuildKit through `docker buildx` where it is there, else the engine's classic builder."""

import re
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from shutil import which
from typing import IO, Any, cast

import docker
from docker.utils.build import create_archive, exclude_paths

from bench_action.engine.docker.client import refusals
from bench_action.engine.docker.labels import MARK
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

_LOG_LINES = 20
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def build_image(client: docker.DockerClient, spec: BuildSpec, environ: Mapping[str, str]) -> str:
    """Build `spec`; the image's id. Always invoked: the builder's own cache knows best what has changed.

    Raises StackError with the last lines of the builder's log.
    """
    cli = which("docker", path=environ.get("PATH"))
    if cli is not None and _has_buildx(cli, environ):
        _build_with_buildx(cli, spec, environ)
    else:
        _build_classic(client, spec)
    # at once: another run on this engine may build the same name, and from then on it means another image
    with refusals(f"the image {spec.name} was built and is not there"):
        return str(client.images.get(spec.name).id)


def _has_buildx(cli: str, environ: Mapping[str, str]) -> bool:
    done = subprocess.run([cli, "buildx", "version"], env=dict(environ), capture_output=True, check=False)
    return done.returncode == 0


def _build_with_buildx(cli: str, spec: BuildSpec, environ: Mapping[str, str]) -> None:
    command = [cli, "buildx", "build", "--load", "--progress", "plain", "--label", f"{MARK}=", "--tag", spec.name,
               "--file", spec.dockerfile]  # fmt: skip
    command += ["--target", spec.target] if spec.target else []
    for name, value in spec.args.items():
        command += ["--build-arg", f"{name}={value}"]
    with _context(spec) as context, tempfile.TemporaryFile() as log:
        done = subprocess.run(
            [*command, "-"],
            env=dict(environ),
            stdin=context,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            log.seek(0)
            raise _failed(spec, f"docker buildx ended with status {done.returncode}", _last_lines(log))


def _last_lines(log: IO[bytes]) -> list[str]:
    return _readable(b"".join(deque(log, maxlen=_LOG_LINES)).decode(errors="replace"))


def _context(spec: BuildSpec) -> IO[bytes]:
    """The context folder as a tar file, without what `.dockerignore` names."""
    ignore = spec.context / ".dockerignore"
    try:
        lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
        patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        kept = exclude_paths(str(spec.context), patterns, dockerfile=spec.dockerfile)
        return cast(IO[bytes], create_archive(str(spec.context), sorted(kept)))
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(
            f"the build context {spec.context} cannot be read",
            where=f"the image {spec.name}",
            cause=str(error),
            advice="name in `.dockerignore` what others may not read",
        ) from error


def _build_classic(client: docker.DockerClient, spec: BuildSpec) -> None:
    with _context(spec) as context:
        _send(client, spec, context)


def _send(client: docker.DockerClient, spec: BuildSpec, context: IO[bytes]) -> None:
    log: deque[str] = deque(maxlen=_LOG_LINES)
    try:
        with refusals(f"the image {spec.name} cannot be built", where=str(spec.context)):
            events = client.api.build(
                fileobj=context, custom_context=True, dockerfile=spec.dockerfile, tag=spec.name, target=spec.target,
                buildargs=dict(spec.args), labels={MARK: ""}, rm=True, forcerm=True, decode=True,
            )  # fmt: skip
            problem = _follow(events, log)
    except StackError as error:
        raise _failed(spec, error.cause, list(log)) from error
    if problem:
        raise _failed(spec, problem, list(log))


def _follow(events: Iterator[dict[str, Any]], log: deque[str]) -> str:
    """Keep the last lines of a build's stream; its error, empty when it went well."""
    problem = ""
    for event in events:  # to its end, which releases the connection
        if not problem:
            log.extend(_readable(str(event.get("stream", ""))))
        problem = problem or str(event.get("error", "")).strip()
    return problem


def _readable(text: str) -> list[str]:
    """Its lines without the colours that builders and compilers add (ECMA-48, 5.4), and none that is empty."""
    return [line.rstrip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]


def _failed(spec: BuildSpec, problem: str, log: list[str]) -> StackError:
    advice = "mend the Dockerfile; `docker build` in the context folder shows the same"
    if "--mount" in problem or "unknown flag" in problem.lower() or "BuildKit" in problem:
        advice = "this Dockerfile needs BuildKit: install the `docker-buildx` plugin"
    where = f"{spec.context.name}/{spec.dockerfile}"
    return StackError(f"the image {spec.name} cannot be built", where=where, cause=problem, advice=advice, log=log)
