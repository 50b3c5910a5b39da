"""A table in words, which every format lays out in its own way."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Headings, whether each column holds numbers (set to the right), and rows."""

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
