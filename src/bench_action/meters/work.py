"""Work of one subject between two moments. Only one subject may be at work meanwhile: Redis counts for all together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench_action.meters import sql
from bench_action.meters.cache import commands_between
from bench_action.meters.sql import queries_between
from bench_action.model.result import Statement, Work
from bench_action.stack.subject import Subject


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment."""

    statements: Sequence[sql.Statement]
    commands: Mapping[str, int]


def read_work(subject: Subject) -> Reading:
    """Counters of the subject's services now."""
    database, cache = subject.database, subject.cache
    return Reading(
        statements=database.server.statements(database.name, database.role) if database is not None else (),
        commands=cache.server.command_calls() if cache is not None else {},
    )


def work_between(before: Reading, after: Reading) -> Work:
    """What was done between two readings."""
    queries = queries_between(before.statements, after.statements)
    return Work(
        queries=sum(calls for calls, _ in queries.values()),
        rows=sum(rows for _, rows in queries.values()),
        cache_commands=commands_between(before.commands, after.commands),
    )


def statements_between(before: Reading, after: Reading) -> tuple[Statement, ...]:
    """The queries among it, the most frequent first."""
    queries = queries_between(before.statements, after.statements)
    found = [Statement(text=" ".join(text.split()), calls=calls, rows=rows) for text, (calls, rows) in queries.items()]
    return tuple(sorted(found, key=lambda one: (-one.calls, one.text)))
