"""Building with the engine's classic builder, on machines without `docker buildx`."""

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, cast

import docker
from docker.utils.build import create_archive
from urllib3.exceptions import HTTPError

from bench_action.engine.docker.build_log import LOG_LINES, make_build_error, split_log
from bench_action.engine.docker.client import translate_errors
from bench_action.engine.docker.dockerfile import find_misread, find_platform_args
from bench_action.engine.docker.excluded import find_ignore_file, make_own_rules
from bench_action.engine.docker.ignore import IgnoreRules
from bench_action.engine.docker.labels import MARK
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError


def build_classic(client: docker.DockerClient, spec: BuildSpec, name: str, memory: int) -> None:
    """Build an image and tag it with the spec's name and with `name`, each step in so many bytes of memory.

    Raises StackError, also for a Dockerfile that this builder would get wrong without reporting an error.
    """
    text = _read(spec, spec.context / spec.dockerfile)
    if problem := find_misread(text):
        raise make_build_error(spec, problem, ())
    if spec.secrets:
        raise make_build_error(spec, "only BuildKit has build secrets", ())
    args = _find_platform(client, find_platform_args(text)) | dict(spec.args)
    dockerfile = _name_dockerfile(spec)
    with _pack_context(spec, dockerfile, text) as context:
        limits = {"memory": memory, "memswap": memory}  # memory and swap together: no swap
        _send(client, spec, context, dockerfile=dockerfile, tag=name, buildargs=args, container_limits=limits)
    with translate_errors(f"could not tag image {spec.name}"):
        client.images.get(name).tag(spec.name)


def _find_platform(client: docker.DockerClient, names: frozenset[str]) -> dict[str, str]:
    """Return values for those build arguments that BuildKit sets and the classic builder leaves empty."""
    if not names:
        return {}
    with translate_errors("could not find out which platform the Docker engine builds for"):
        engine = client.version()
    system, processor = str(engine["Os"]), str(engine["Arch"])
    values = {"PLATFORM": f"{system}/{processor}", "OS": system, "ARCH": processor, "VARIANT": ""}
    known = {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in values.items()}
    return {name: known[name] for name in names}


def _read(spec: BuildSpec, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _make_context_error(spec, error) from error


def _make_context_error(spec: BuildSpec, error: Exception) -> StackError:
    return StackError(
        f"could not read the build context {spec.context}",
        where=f"image {spec.name}",
        cause=str(error),
        advice="list unreadable files in `.dockerignore`",
    )


def _name_dockerfile(spec: BuildSpec) -> str:
    """Name the Dockerfile by its path in the context, or as no file is named if it is outside of it."""
    path, context = (spec.context / spec.dockerfile).resolve(), spec.context.resolve()
    return path.relative_to(context).as_posix() if path.is_relative_to(context) else f".dockerfile.{token_hex(8)}"


def _pack_context(spec: BuildSpec, dockerfile: str, text: str) -> IO[bytes]:
    """Pack the context folder into a tar file, without what its ignore file and our own rule exclude.

    `dockerfile`, `text`: the name and the text of the Dockerfile, which is there even if it is excluded.
    """
    ignore_file = find_ignore_file(spec)
    ignored = _read(spec, ignore_file) if ignore_file else ""
    rules = IgnoreRules.parse(f"{ignored}\n{make_own_rules(spec)}")
    try:
        kept = list(rules.walk(spec.context))
        extra = [] if dockerfile in kept else [(dockerfile, text)]
        return cast(IO[bytes], create_archive(str(spec.context), kept, extra_files=extra))
    except OSError as error:
        raise _make_context_error(spec, error) from error


def _send(client: docker.DockerClient, spec: BuildSpec, context: IO[bytes], **options: Any) -> None:
    log: deque[str] = deque(maxlen=LOG_LINES)
    try:
        with translate_errors(f"could not build image {spec.name}", where=str(spec.context)):
            # a build gets the proxies of Docker's configuration, as with `docker build`: it must be able to download
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
                timeout=spec.limit_s,  # for each read, as a builder that hangs sends nothing
            )
            problem = _follow(_enforce_limit(spec, events), log)
    except StackError as error:
        raise make_build_error(spec, error.cause, list(log)) from error
    if problem:
        raise make_build_error(spec, problem, list(log))


def _enforce_limit(spec: BuildSpec, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pass on the events of a build. Raises StackError when its time is up."""
    started = time.monotonic()
    timeout = StackError(spec.name, cause=f"the build was stopped after {spec.limit_s} s")
    try:
        for event in events:
            if spec.limit_s is not None and time.monotonic() - started > spec.limit_s:
                raise timeout
            yield event
    except HTTPError as error:  # urllib3's own error: the SDK reads the stream without translating it
        raise timeout if spec.limit_s is not None else StackError(spec.name, cause=str(error)) from error


def _follow(events: Iterator[dict[str, Any]], log: deque[str]) -> str:
    """Keep the last lines of a build's stream in `log`, and return its error, which is empty on success."""
    problem = ""
    for event in events:  # to the end, which releases the connection
        if not problem:
            log.extend(split_log(str(event.get("stream", ""))))
        problem = problem or str(event.get("error", "")).strip()
    return problem
