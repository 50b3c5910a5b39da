"""Which statements are queries, and how many were run between two readings."""

import re
from collections.abc import Sequence

# id, text, calls, rows of a top-level statement, as stack.postgres.Postgres.statements gives them
Statement = tuple[str, str, int, int]

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_QUERY = re.compile(r"(select|insert|update|delete|merge|with|values|table)\b", re.IGNORECASE)
# session upkeep of drivers, none of it asked for by the application: asyncpg resets a connection at each release
# (pg_advisory_unlock_all), libpq clients and ORMs set or show a setting by function, asyncpg and SQLAlchemy look up
# types in the catalogues
_UPKEEP = re.compile(
    r"pg_advisory_unlock_all|\bset_config\s*\(|\bcurrent_setting\s*\(|\bpg_catalog\.|\bfrom\s+pg_(type|range|attribute|namespace|class)\b|"
    r"typeinfo_tree|select\s+(version|current_schema)\s*\(\s*\)",
    re.IGNORECASE,
)


def is_query(text: str) -> bool:
    """Whether the glossary counts a statement: SELECT, INSERT, UPDATE, DELETE or MERGE that the subject asked for."""
    bare = _COMMENT.sub(" ", text).strip().lstrip("(").lstrip()
    return _QUERY.match(bare) is not None and _UPKEEP.search(bare) is None


def queries_between(before: Sequence[Statement], after: Sequence[Statement]) -> dict[str, tuple[int, int]]:
    """Text of each query → its calls and rows between two readings. A statement that is new has begun at zero."""
    known = {statement: (calls, rows) for statement, _, calls, rows in before}
    found: dict[str, tuple[int, int]] = {}
    for statement, text, calls, rows in after:
        calls_before, rows_before = known.get(statement, (0, 0))
        if calls > calls_before and is_query(text):
            calls_so_far, rows_so_far = found.get(text, (0, 0))
            found[text] = (calls_so_far + calls - calls_before, rows_so_far + rows - rows_before)
    return found
