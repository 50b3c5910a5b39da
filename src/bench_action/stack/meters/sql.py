"""Which statements are queries, and how many were run between two readings.

Every statement is a query, except for a closed list: what controls transactions and settings of a session, by its first
word, and whole statements that drivers send on their own. "Contains" is not enough for the latter: row-level security
reads a setting in every query, and an ORM may read the catalogue for each request.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

# key, text, calls, rows of a top-level statement, as stack.postgres.Postgres.statements gives them
Statement = tuple[str, str, int, int]

_SESSION = frozenset(
    [
        "begin",
        "start",
        "commit",
        "end",
        "rollback",
        "abort",
        "savepoint",
        "release",
        "prepare",
        "deallocate",
        "set",
        "reset",
        "show",
        "discard",
        "close",
        "listen",
        "unlisten",
    ]
)
# as `normalised` writes them
_UPKEEP = frozenset(
    {
        "select pg_advisory_unlock_all ( )",  # asyncpg and Npgsql, when a connection is released
        "select version ( )",
        "select pg_catalog . version ( )",  # SQLAlchemy, at an engine's first connection
        "select current_schema ( )",  # the same
        "select oid , typarray from pg_type where typname = ?",  # Django, hstore and citext
    }
)
# lookups of types, too long to be repeated here: SHA-256 of `normalised`, the first 16 digits
_LOOKUPS = frozenset(
    {
        "9bd1e3a60ef1d578",
        "f259171d4bc8bba2",
        "1e67e03d19a006aa",
        "f11739878baa06e5",  # asyncpg 0.27 to 0.32
        "aa6a554759b4a10f",
        "c4728578467d53ef",
        "958a0bd03e5f8681",  # psycopg 3: types, enumerations, composites,
        "4420cd77cffe101a",
        "94c0c0ad658bf5bc",  # ranges and multiranges
        "e372e0aaae3a38d5",  # psycopg2, hstore
    }
)
# one token, whatever the text: an open quote or comment reaches to the text's end, so no place is read twice
_TOKEN = re.compile(
    r"""(?P<space>\s++|--[^\n]*+)
    |(?P<constant>(?:[eEbBxXnN]|[uU]&)?'(?:[^']++|'')*+(?:'|\Z)|\$\d++|\d[\w.]*+)
    |(?P<quoted>"(?:[^"]++|"")*+(?:"|\Z))
    |(?P<word>[^\W\d]\w*+)
    |(?P<other>::|.)""",
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")


@lru_cache(maxsize=8192)
def is_query(text: str) -> bool:
    """Whether the glossary counts a statement."""
    bare = normalised(text)
    if bare in _UPKEEP or bare.partition(" ")[0] in _SESSION:
        return False
    return bool(bare) and hashlib.sha256(bare.encode()).hexdigest()[:16] not in _LOOKUPS


def normalised(text: str) -> str:
    """A statement's tokens with one space between them: no comments, words in lower case, `?` for each constant."""
    return " ".join(_tokens(text))


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        if text.startswith("/*", at):
            at = _after_comment(text, at)
            continue
        match = _TOKEN.match(text, at)
        assert match is not None  # noqa: S101 (`.` takes what nothing else does)
        at = match.end()
        if match.lastgroup == "constant":
            yield "?"
        elif match.lastgroup != "space":
            yield match[0] if match.lastgroup == "quoted" else match[0].lower()


def _after_comment(text: str, start: int) -> int:
    """Where a comment ends; PostgreSQL's are nested."""
    at, depth = start + 2, 1
    while depth:
        mark = _NESTED.search(text, at)
        if mark is None:
            return len(text)
        at, depth = mark.end(), depth + (1 if mark[0] == "/*" else -1)
    return at


def queries_between(before: Sequence[Statement], after: Sequence[Statement]) -> dict[str, tuple[int, int]] | None:
    """Text of each query → its calls and rows between two readings. A statement that is new has begun at zero.

    None where counters went back or are gone: somebody has reset them.
    """
    known = {key: (calls, rows) for key, _, calls, rows in before}
    if set(known) - {key for key, *_ in after}:
        return None
    found: dict[str, tuple[int, int]] = {}
    for key, text, calls, rows in after:
        calls_before, rows_before = known.get(key, (0, 0))
        if calls < calls_before or rows < rows_before:
            return None
        if calls > calls_before and is_query(text):
            calls_so_far, rows_so_far = found.get(text, (0, 0))
            found[text] = (calls_so_far + calls - calls_before, rows_so_far + rows - rows_before)
    return found
