"""Tell which statements are queries, and count those that were run between two readings.

Every statement is a query, except for a closed list: control of transactions and session settings, known by the first
word, and whole statements that drivers send on their own. Drivers' statements are not known by what they contain:
row-level security reads a setting in every query, and an ORM may read the catalogue for each request.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

# key, text, calls and rows of a top-level statement, as `statements` of a database server returns them
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
        "use",
    ]
)
# as drivers for MySQL ask at the beginning of a connection: for variables and functions of the session, and no table
_NAME = r"(?:`[^`]+`|\w+)"
_ASKED = rf"(?:@ @ {_NAME}(?: \. {_NAME})*|`?(?:version|schema|database|connection_id|current_user|user)`? \( \))"
_ASKING = re.compile(rf"select {_ASKED}(?: as {_NAME})?(?: , {_ASKED}(?: as {_NAME})?)*")
# as `normalise_statement` writes them
_UPKEEP = frozenset(
    {
        "select pg_advisory_unlock_all ( )",  # asyncpg and Npgsql, when a connection is released
        "select version ( )",
        "select pg_catalog . version ( )",  # SQLAlchemy, at an engine's first connection
        "select current_schema ( )",  # the same
        "select oid , typarray from pg_type where typname = ?",  # Django, hstore and citext
    }
)
# lookups of types, too long to repeat here: the first 16 digits of the SHA-256 of `normalise_statement`
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
# one token of any text: an unclosed quote or comment extends to the end, so no character is read twice
_TOKEN = re.compile(
    r"""(?P<space>\s++|--[^\n]*+)
    |(?P<constant>(?:[eEbBxXnN]|[uU]&)?'(?:[^']++|'')*+(?:'|\Z)|\$\d++|\d[\w.]*+)
    |(?P<quoted>"(?:[^"]++|"")*+(?:"|\Z)|`[^`]*+(?:`|\Z))
    |(?P<word>[^\W\d]\w*+)
    |(?P<other>::|.)""",
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")


@lru_cache(maxsize=8192)
def is_query(text: str) -> bool:
    """Tell whether a statement counts as a query (docs/glossary.md)."""
    bare = normalise_statement(text)
    if bare in _UPKEEP or _ASKING.fullmatch(bare) or _controls_session(bare):
        return False
    return bool(bare) and hashlib.sha256(bare.encode()).hexdigest()[:16] not in _LOOKUPS


def _controls_session(bare: str) -> bool:
    word = bare.partition(" ")[0]
    return word in _SESSION and not (word == "set" and " select " in bare)  # MySQL: SET @a = (SELECT …)


def normalise_statement(text: str) -> str:
    """Join a statement's tokens by spaces: no comments, words in lower case, `?` for each constant."""
    return " ".join(_tokens(text))


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        if text.startswith("/*", at):
            at = _find_comment_end(text, at)
            continue
        match = _TOKEN.match(text, at)
        assert match is not None  # noqa: S101 (`.` matches anything else)
        at = match.end()
        if match.lastgroup == "constant":
            yield "?"
        elif match.lastgroup != "space":
            yield match[0] if match.lastgroup == "quoted" else match[0].lower()


def _find_comment_end(text: str, start: int) -> int:
    """Find where a comment ends; PostgreSQL's comments may be nested."""
    at, depth = start + 2, 1
    while depth:
        mark = _NESTED.search(text, at)
        if mark is None:
            return len(text)
        at, depth = mark.end(), depth + (1 if mark[0] == "/*" else -1)
    return at


def count_queries(before: Sequence[Statement], after: Sequence[Statement]) -> dict[str, tuple[int, int]] | None:
    """Count the calls and rows of each query between two readings, by its text; a new statement began at zero.

    Returns None if a counter decreased or disappeared, as the statistics were reset then.
    """
    known = {key: (calls, rows) for key, _, calls, rows in before}
    if set(known) - {key for key, *_ in after}:
        return None
    counts: dict[str, tuple[int, int]] = {}
    for key, text, calls, rows in after:
        calls_before, rows_before = known.get(key, (0, 0))
        if calls < calls_before or rows < rows_before:
            return None
        if calls > calls_before and is_query(text):
            calls_so_far, rows_so_far = counts.get(text, (0, 0))
            counts[text] = (calls_so_far + calls - calls_before, rows_so_far + rows - rows_before)
    return counts
