"""Jinja2, set up so that no value can break out of its place."""

import re

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from bench_action.report.view import Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!@])")


def markdown_environment() -> SandboxedEnvironment:
    """For markdown: `text` for running text, `table` for a Table."""
    environment = SandboxedEnvironment(
        loader=PackageLoader("bench_action.report"), undefined=StrictUndefined, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    environment.filters.update(text=escape_text, table=markdown_table)
    return environment


def svg_environment() -> SandboxedEnvironment:
    """For SVG, which is XML."""
    return SandboxedEnvironment(loader=PackageLoader("bench_action.report"), undefined=StrictUndefined, autoescape=True)


def escape_text(value: str) -> str:
    """Running text; what stands in backticks stays code."""
    parts = re.split(r"(`[^`\n]+`)", " ".join(value.split()))
    return "".join(part if part.startswith("`") else _SPECIAL.sub(r"\\\1", part) for part in parts)


def markdown_table(table: Table) -> str:
    """A table; no value can end its cell."""
    rules = ["---:" if right else "---" for right in table.numeric]
    rows = [[_escape_cell(value) for value in row] for row in (table.headings, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rules, *rows[1:]))


def _escape_cell(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(value.split()))
