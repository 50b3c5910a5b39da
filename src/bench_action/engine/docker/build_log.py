"""The log of a build, and the error that ends a failed one."""

import re
from collections.abc import Collection, Sequence

from bench_action.engine.docker.registry import advise_on_platform, advise_on_refusal
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

LOG_LINES = 20
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# how the classic builder of engines 20.10 to 29 refuses `RUN --mount`, `COPY --chmod`, `--link`, and a platform that
# only BuildKit sets
_NEEDS_BUILDKIT = re.compile(r"BuildKit|--mount|--chmod|unknown flag|parse platform", re.IGNORECASE)
# how builders begin the error of a base image that they could not get
_PULLING = re.compile(
    r"resolve source metadata|failed to authorize|failed to do request|pull access denied|manifests?\b|"
    r"unexpected status|^unauthorized|^denied|no basic auth|toomanyrequests|no match for platform|"
    r"(?:Get|Head) \"?https?://|^[\w./:@-]+: not found"
)
_SHORTEST_LINE = 4  # a line such as `}` of a secret file is not secret
_USE_BUILDKIT = (
    "this Dockerfile needs BuildKit: install buildx (`docker buildx version` must succeed), or build the image in an "
    'earlier step and name it: `image: "name:{revision}"`'
)


def split_log(text: str) -> list[str]:
    """Split a log into lines, dropping empty ones and the colours that builders and compilers add (ECMA-48, 5.4)."""
    return [line.rstrip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]


def make_build_error(spec: BuildSpec, problem: str, log: Sequence[str], *, frontend: str = "") -> StackError:
    """Make the error for a failed build; `problem` is what the builder reported.

    `frontend`: the image that the Dockerfile's `# syntax=` names, if BuildKit had to get it.
    """
    hidden = [hide_values(line, spec.secrets.values()) for line in (problem, *log)]
    where = f"{spec.context.name}/{spec.dockerfile}"
    advice = _advise(problem, log, frontend)
    return StackError(f"could not build image {spec.name}", where=where, cause=hidden[0], advice=advice, log=hidden[1:])


def hide_values(text: str, values: Collection[str]) -> str:
    """Replace each of these secret values in a text, and each line of those that have several, by `***`."""
    lines = {line.strip() for value in values for line in value.splitlines() if len(line.strip()) >= _SHORTEST_LINE}
    whole = {value.strip() for value in values} - {""}
    for part in sorted(lines | whole, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def _advise(problem: str, log: Sequence[str], frontend: str) -> str:
    if any("exec format error" in line for line in (problem, *log)):
        return advise_on_platform()
    if frontend and re.split("[:@]", frontend)[0].removeprefix("docker.io/") in problem:
        return (
            f"`# syntax={frontend}` makes BuildKit pull that image: let the engine reach its registry, or remove "
            "the line if the engine (23 or later) reads the Dockerfile without it"
        )
    if _NEEDS_BUILDKIT.search(problem):
        return _USE_BUILDKIT
    refusal = advise_on_refusal(problem) if _PULLING.search(problem) else ""
    return refusal or "fix the Dockerfile; `docker build` in the context folder shows the same error"
