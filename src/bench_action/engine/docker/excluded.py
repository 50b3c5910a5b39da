"""Keep out of build contexts what no image should contain: our own results, and the credentials of a checkout.

Base has no results, and they change with every run. `actions/checkout` writes the job's token to `.git/config`, also to
that of a submodule, unless `persist-credentials` is false.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bench_action.engine.protocol import BuildSpec

_CREDENTIALS = ("**/.git/config", "**/.git/config.worktree", "**/.git/modules/**/config")


def find_ignore_file(spec: BuildSpec) -> Path | None:
    """Find `NAME.dockerignore` next to a Dockerfile called NAME, else the context's `.dockerignore`, else None.

    This is BuildKit's rule (Docker's documentation, "Filename and location"); the classic builder does not have it.
    """
    dockerfile = spec.context / spec.dockerfile
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), spec.context / ".dockerignore")
    return next((path for path in candidates if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long, before Python 3.14
        return False


def make_own_rules(spec: BuildSpec) -> str:
    """Make the last lines of an ignore file, which exclude what no image should contain."""
    return "\n".join((*_CREDENTIALS, *_exclude_results(spec)))


def _exclude_results(spec: BuildSpec) -> Iterator[str]:
    """Yield the rule that excludes the results, if the context contains them."""
    if spec.results is None:
        return
    results, context = spec.results.resolve(), spec.context.resolve()
    if results != context and results.is_relative_to(context):
        yield "/" + re.sub(r"([\\*?\[\]])", r"\\\1", results.relative_to(context).as_posix())
