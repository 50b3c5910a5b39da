"""The log of a build, and the error that ends a failed one."""

import re
from collections.abc import Sequence

from bench_action.engine.docker.registry import advise_on_platform, advise_on_refusal
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

LOG_LINES = 20
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# how the classic builder of engines 20.10 to 29 refuses `RUN --mount`, `COPY --chmod`, `--link`, and a platform that
# only BuildKit sets
_NEEDS_BUILDKIT = re.compile(r"BuildKit|--mount|--chmod|unknown flag|parse platform", re.IGNORECASE)
# how BuildKit refuses what only newer versions of it know
_UNKNOWN = re.compile(r"dockerfile parse error.*\bunknown (?:flag|instruction)", re.IGNORECASE)
# how builders begin the error of a base image that they could not get
_PULLING = re.compile(
    r"resolve source metadata|failed to authorize|failed to do request|pull access denied|manifests?\b|"
    r"unexpected status|^unauthorized|^denied|no basic auth|toomanyrequests|no match for platform|"
    r"(?:Get|Head) \"?https?://|^[\w./:@-]+: not found"
)
_KILLED = re.compile(r"non-zero code: 137|exit code: 137")
_USE_BUILDKIT = (
    "this Dockerfile needs BuildKit: install buildx (`docker buildx version` must succeed), or build the image in an "
    'earlier step and name it: `image: "name:{revision}"`'
)
_UPDATE_BUILDKIT = (
    "if it is spelled right, this engine's BuildKit is too old for it: begin the Dockerfile with "
    "`# syntax=docker/dockerfile:1`, which downloads a newer one, or update the engine, or build the image in an "
    'earlier step and name it: `image: "name:{revision}"`'
)


def split_log(text: str) -> list[str]:
    """Split a log into lines, dropping empty ones and the colours that builders and compilers add (ECMA-48, 5.4)."""
    return [line.rstrip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]


def make_build_error(
    spec: BuildSpec, problem: str, log: Sequence[str], *, buildkit: bool = False, frontend: str = ""
) -> StackError:
    """Make the error for a failed build; `problem` is what the builder reported. It may quote the build's secrets.

    `buildkit`: whether BuildKit was the builder. `frontend`: the image that the Dockerfile's `# syntax=` names.
    """
    where = f"{spec.context.name}/{spec.dockerfile}"
    advice = _advise(problem, log, frontend, buildkit=buildkit)
    return StackError(f"could not build image {spec.name}", where=where, cause=problem, advice=advice, log=log)


def _advise(problem: str, log: Sequence[str], frontend: str, *, buildkit: bool) -> str:
    if any("exec format error" in line for line in (problem, *log)):
        return advise_on_platform()
    if frontend and re.split("[:@]", frontend)[0].removeprefix("docker.io/") in problem:
        return (
            f"`# syntax={frontend}` makes BuildKit pull that image: let the engine reach its registry, or remove "
            "the line if the engine (23 or later) reads the Dockerfile without it"
        )
    if buildkit and _UNKNOWN.search(problem):
        return _UPDATE_BUILDKIT
    if not buildkit and _NEEDS_BUILDKIT.search(problem):
        return _USE_BUILDKIT
    if _KILLED.search(problem):
        return "let the build use less memory, or build on a machine with more: it was ended because it ran out of it"
    refusal = advise_on_refusal(problem) if _PULLING.search(problem) else ""
    return refusal or "fix the Dockerfile; `docker build` in the context folder shows the same error"
