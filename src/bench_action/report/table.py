"""A table in words, which every format lays out in its own way."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Table:
    """Headings, whether each column holds numbers (aligned right), and rows.

    A row of one value is a heading for the rows below it.
    """

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]

    def leave_out(self, *headings: str) -> Self:
        """Return the table without the columns of these headings."""
        kept = [column for column, heading in enumerate(self.headings) if heading not in headings]
        return replace(
            self,
            headings=tuple(self.headings[column] for column in kept),
            numeric=tuple(self.numeric[column] for column in kept),
            rows=tuple(row if len(row) == 1 else tuple(row[column] for column in kept) for row in self.rows),
        )
