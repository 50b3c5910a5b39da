"""Keeps the folder of our own results out of build contexts: base has none, and it changes with every run."""

import re
from pathlib import Path

from bench_action.engine.protocol import BuildSpec


def ignore_file(spec: BuildSpec) -> Path | None:
    """`NAME.dockerignore` next to a Dockerfile called NAME, else the context's `.dockerignore`; None without one.

    BuildKit's rule (Docker's documentation, "Filename and location"), which the classic builder does not know.
    """
    dockerfile = spec.context / spec.dockerfile
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), spec.context / ".dockerignore")
    return next((path for path in candidates if path.is_file()), None)


def results_line(spec: BuildSpec) -> str:
    """A last line for an ignore file, which leaves the results out; empty if they are not in the context."""
    if spec.results is None:
        return ""
    results, context = spec.results.resolve(), spec.context.resolve()
    if results == context or not results.is_relative_to(context):
        return ""
    return "/" + re.sub(r"([\\*?\[\]])", r"\\\1", results.relative_to(context).as_posix())
