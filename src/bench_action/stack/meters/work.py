"""Count the work of one subject between two moments.

No other subject may work meanwhile, because Redis counts the commands of all of them together.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench_action.model.result import Statement, Work
from bench_action.stack.meters import sql
from bench_action.stack.meters.cache import count_commands
from bench_action.stack.meters.sql import count_queries
from bench_action.stack.subject import Subject


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment, `at` on the monotonic clock.

    `generation` changes when PostgreSQL's counters are reset, or some are discarded.
    """

    statements: Sequence[sql.Statement]
    commands: Mapping[str, int]
    generation: str = ""
    at: float = field(default_factory=time.monotonic)


def read_work(subject: Subject) -> Reading:
    """Read the counters of the subject's services now."""
    database, cache = subject.database, subject.cache
    commands = cache.command_calls() if cache is not None else {}
    if database is None:
        return Reading((), commands)
    statements = database.statements()
    return Reading(statements.rows, commands, statements.generation)


def count_work(before: Reading, after: Reading) -> Work | None:
    """Count the work between two readings; None if counters were reset or lost meanwhile."""
    queries = count_queries(before.statements, after.statements)
    commands = count_commands(before.commands, after.commands)
    if queries is None or commands is None or before.generation != after.generation:
        return None
    return Work(
        queries=sum(calls for calls, _ in queries.values()),
        rows=sum(rows for _, rows in queries.values()),
        cache_commands=commands,
    )


def list_queries(before: Reading, after: Reading) -> tuple[Statement, ...]:
    """List the queries between two readings, the most frequent first."""
    queries = count_queries(before.statements, after.statements) or {}
    statements = [
        Statement(text=" ".join(text.split()), calls=calls, rows=rows) for text, (calls, rows) in queries.items()
    ]
    return tuple(sorted(statements, key=lambda statement: (-statement.calls, statement.text)))
