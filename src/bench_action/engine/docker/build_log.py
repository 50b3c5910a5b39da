"""What a builder printed, and the error that ends a failed build."""

import re
from collections.abc import Sequence

from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

LOG_LINES = 20
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# how the classic builder of engines 20.10 to 29 refuses `RUN --mount`, `COPY --chmod`, `--link`, and a platform that
# only BuildKit knows
_NEEDS_BUILDKIT = re.compile(r"BuildKit|--mount|--chmod|unknown flag|parse platform", re.IGNORECASE)
_USE_BUILDKIT = (
    "this Dockerfile needs BuildKit: run bench-action where `docker buildx version` answers, or build the image in an "
    'earlier step and name it: `image: "name:{revision}"`'
)


def readable(text: str) -> list[str]:
    """Its lines without the colours that builders and compilers add (ECMA-48, 5.4), and without empty lines."""
    return [line.rstrip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]


def build_failure(spec: BuildSpec, problem: str, log: Sequence[str]) -> StackError:
    """Why `spec` could not be built, in the builder's words."""
    advice = "fix the Dockerfile; `docker build` in the context folder shows the same"
    if _NEEDS_BUILDKIT.search(problem):
        advice = _USE_BUILDKIT
    where = f"{spec.context.name}/{spec.dockerfile}"
    return StackError(f"the image {spec.name} cannot be built", where=where, cause=problem, advice=advice, log=log)
