"""The log of a build, and the error that ends a failed one."""

import re
from collections.abc import Sequence

from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

LOG_LINES = 20
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# how the classic builder of engines 20.10 to 29 refuses `RUN --mount`, `COPY --chmod`, `--link`, and a platform that
# only BuildKit sets
_NEEDS_BUILDKIT = re.compile(r"BuildKit|--mount|--chmod|unknown flag|parse platform", re.IGNORECASE)
_USE_BUILDKIT = (
    "this Dockerfile needs BuildKit: install buildx (`docker buildx version` must succeed), or build the image in an "
    'earlier step and name it: `image: "name:{revision}"`'
)


def split_log(text: str) -> list[str]:
    """Split a log into lines, dropping empty ones and the colours that builders and compilers add (ECMA-48, 5.4)."""
    return [line.rstrip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]


def make_build_error(spec: BuildSpec, problem: str, log: Sequence[str]) -> StackError:
    """Make the error for a failed build; `problem` is what the builder reported."""
    advice = "fix the Dockerfile; `docker build` in the context folder shows the same error"
    if _NEEDS_BUILDKIT.search(problem):
        advice = _USE_BUILDKIT
    where = f"{spec.context.name}/{spec.dockerfile}"
    return StackError(f"could not build image {spec.name}", where=where, cause=problem, advice=advice, log=log)
