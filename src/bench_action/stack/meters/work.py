"""Work of one subject between two moments. Only one subject may be at work meanwhile: Redis counts for all together."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench_action.model.result import Statement, Work
from bench_action.stack.meters import sql
from bench_action.stack.meters.cache import commands_between
from bench_action.stack.meters.sql import queries_between
from bench_action.stack.subject import Subject


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment, `at` on the monotonic clock.

    `generation` changes when PostgreSQL's were reset, or some thrown away.
    """

    statements: Sequence[sql.Statement]
    commands: Mapping[str, int]
    generation: str = ""
    at: float = field(default_factory=time.monotonic)


def read_work(subject: Subject) -> Reading:
    """Counters of the subject's services now."""
    database, cache = subject.database, subject.cache
    commands = cache.server.command_calls() if cache is not None else {}
    if database is None:
        return Reading((), commands)
    statements = database.server.statements(database.name)
    return Reading(statements.rows, commands, statements.generation)


def work_between(before: Reading, after: Reading) -> Work | None:
    """What was done between two readings; None where counters were reset or lost meanwhile."""
    queries = queries_between(before.statements, after.statements)
    commands = commands_between(before.commands, after.commands)
    if queries is None or commands is None or before.generation != after.generation:
        return None
    return Work(
        queries=sum(calls for calls, _ in queries.values()),
        rows=sum(rows for _, rows in queries.values()),
        cache_commands=commands,
    )


def statements_between(before: Reading, after: Reading) -> tuple[Statement, ...]:
    """The queries among it, the most frequent first."""
    queries = queries_between(before.statements, after.statements) or {}
    found = [Statement(text=" ".join(text.split()), calls=calls, rows=rows) for text, (calls, rows) in queries.items()]
    return tuple(sorted(found, key=lambda one: (-one.calls, one.text)))
