"""Work of one subject between two moments. Only one subject may be at work meanwhile: Redis counts for all together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench_action.meters.cache import commands_between
from bench_action.meters.sql import Statement, queries_between
from bench_action.model.result import Work
from bench_action.stack.subject import Subject


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment."""

    statements: Sequence[Statement]
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
    queries, rows = queries_between(before.statements, after.statements)
    return Work(queries=queries, rows=rows, cache_commands=commands_between(before.commands, after.commands))
