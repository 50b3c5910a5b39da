"""Keeping our own results out of build contexts: base has none, and they change with every run."""

import re
from pathlib import Path

from bench_action.engine.protocol import BuildSpec


def find_ignore_file(spec: BuildSpec) -> Path | None:
    """Find `NAME.dockerignore` next to a Dockerfile called NAME, else the context's `.dockerignore`, else None.

    This is BuildKit's rule (Docker's documentation, "Filename and location"); the classic builder does not have it.
    """
    dockerfile = spec.context / spec.dockerfile
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), spec.context / ".dockerignore")
    return next((path for path in candidates if path.is_file()), None)


def make_results_rule(spec: BuildSpec) -> str:
    """Make the last line of an ignore file, which excludes the results; empty if the context does not contain them."""
    if spec.results is None:
        return ""
    results, context = spec.results.resolve(), spec.context.resolve()
    if results == context or not results.is_relative_to(context):
        return ""
    return "/" + re.sub(r"([\\*?\[\]])", r"\\\1", results.relative_to(context).as_posix())
