"""Jinja2, set up so that no value can break out of its place."""

import re

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!@])")


def markdown_environment() -> SandboxedEnvironment:
    """For markdown: `text` for running text, `cell` for a table's cell."""
    environment = SandboxedEnvironment(
        loader=PackageLoader("bench_action.report"), undefined=StrictUndefined, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    environment.filters.update(text=escape_text, cell=escape_cell)
    return environment


def svg_environment() -> SandboxedEnvironment:
    """For SVG, which is XML."""
    return SandboxedEnvironment(loader=PackageLoader("bench_action.report"), undefined=StrictUndefined, autoescape=True)


def escape_text(value: str) -> str:
    """Running text; what stands in backticks stays code."""
    parts = re.split(r"(`[^`\n]+`)", " ".join(value.split()))
    return "".join(part if part.startswith("`") else _SPECIAL.sub(r"\\\1", part) for part in parts)


def escape_cell(value: str) -> str:
    """One cell of a table: no line break, no column, no markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(value.split()))
