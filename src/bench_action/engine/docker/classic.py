"""Builds with the engine's classic builder, for machines without `docker buildx`."""

import secrets
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import docker
from docker.utils.build import create_archive
from urllib3.exceptions import HTTPError

from bench_action.engine.docker.build_log import LOG_LINES, build_failure, readable
from bench_action.engine.docker.client import refusals
from bench_action.engine.docker.dockerfile import declared_platform_args, find_heredoc
from bench_action.engine.docker.ignore import Ignore
from bench_action.engine.docker.labels import MARK
from bench_action.engine.docker.results import ignore_file, results_line
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError


def build_classic(client: docker.DockerClient, spec: BuildSpec, name: str) -> None:
    """Build `spec` under its name and under `name`.

    Raises StackError, also for a Dockerfile that would silently be built wrong.
    """
    text = _read(spec, spec.context / spec.dockerfile)
    if heredoc := find_heredoc(text):
        problem = f"a here-document (`{heredoc}`): only BuildKit reads these, the classic builder would drop its lines"
        raise build_failure(spec, problem, ())
    args = _platform(client, declared_platform_args(text)) | dict(spec.args)
    dockerfile, extra = spec.dockerfile, []
    if not _inside(spec):
        dockerfile = f".dockerfile.{secrets.token_hex(8)}"
        extra = [(dockerfile, text)]
    with _context(spec, dockerfile, extra) as context:
        _send(client, spec, context, dockerfile=dockerfile, tag=name, buildargs=args)
    with refusals(f"the image {spec.name} was built and cannot be named"):
        client.images.get(name).tag(spec.name)


def _platform(client: docker.DockerClient, names: frozenset[str]) -> dict[str, str]:
    """Values of the arguments that BuildKit sets by itself, and the classic builder leaves empty."""
    if not names:
        return {}
    with refusals("the Docker engine does not say what platform it builds for"):
        engine = client.version()
    system, processor = str(engine["Os"]), str(engine["Arch"])
    values = {"PLATFORM": f"{system}/{processor}", "OS": system, "ARCH": processor, "VARIANT": ""}
    known = {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in values.items()}
    return {name: known[name] for name in names}


def _inside(spec: BuildSpec) -> bool:
    """Whether the Dockerfile is part of the context."""
    return (spec.context / spec.dockerfile).resolve().is_relative_to(spec.context.resolve())


def _read(spec: BuildSpec, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(spec, error) from error


def _unreadable(spec: BuildSpec, error: Exception) -> StackError:
    return StackError(
        f"the build context {spec.context} cannot be read",
        where=f"the image {spec.name}",
        cause=str(error),
        advice="name files that cannot be read in `.dockerignore`",
    )


def _context(spec: BuildSpec, dockerfile: str, extra: list[tuple[str, str]]) -> IO[bytes]:
    """The context folder as a tar file, without what its ignore file names."""
    ignore = Ignore.parse(f"{_ignored(spec)}\n!{dockerfile}")
    try:
        kept = list(ignore.kept(spec.context))
        return cast(IO[bytes], create_archive(str(spec.context), kept, extra_files=extra))
    except OSError as error:
        raise _unreadable(spec, error) from error


def _ignored(spec: BuildSpec) -> str:
    """The text of the ignore file that counts, and a line for our results."""
    path = ignore_file(spec)
    return f"{_read(spec, path) if path else ''}\n{results_line(spec)}"


def _send(client: docker.DockerClient, spec: BuildSpec, context: IO[bytes], **options: Any) -> None:
    log: deque[str] = deque(maxlen=LOG_LINES)
    try:
        with refusals(f"the image {spec.name} cannot be built", where=str(spec.context)):
            # the proxies of Docker's configuration reach a build, as with `docker build`: it must be able to download
            events = client.api.build(
                fileobj=context,
                custom_context=True,
                target=spec.target,
                labels={MARK: ""},
                rm=True,
                forcerm=True,
                decode=True,
                use_config_proxy=True,
                **options,
                timeout=spec.limit_s,  # of each read: a builder that hangs says nothing
            )
            problem = _follow(_within(spec, events), log)
    except StackError as error:
        raise build_failure(spec, error.cause, list(log)) from error
    if problem:
        raise build_failure(spec, problem, list(log))


def _within(spec: BuildSpec, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events of a build within its limit. Raises StackError."""
    began = time.monotonic()
    given_up = StackError(spec.name, cause=f"it was given up after {spec.limit_s} s")
    try:
        for event in events:
            if spec.limit_s is not None and time.monotonic() - began > spec.limit_s:
                raise given_up
            yield event
    except HTTPError as error:  # the SDK reads the stream itself, so that this is no error of its own
        raise given_up if spec.limit_s is not None else StackError(spec.name, cause=str(error)) from error


def _follow(events: Iterator[dict[str, Any]], log: deque[str]) -> str:
    """Keep the last lines of a build's stream; its error, empty without one."""
    problem = ""
    for event in events:  # to its end, which releases the connection
        if not problem:
            log.extend(readable(str(event.get("stream", ""))))
        problem = problem or str(event.get("error", "")).strip()
    return problem
