"""Count the work of one subject between two moments, on all database servers and caches of its slot.

No other subject works on them: each slot has its own.
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
    """Counters at one moment, `at` on the monotonic clock. `commands`: those of each cache.

    `generation` changes when the counters of a database are reset, or some are discarded. `whole`: nothing indicates
    that some statements were not counted.
    """

    statements: Sequence[sql.Statement]
    commands: Mapping[str, Mapping[str, int]]
    generation: str = ""
    whole: bool = True
    at: float = field(default_factory=time.monotonic)


def read_work(subject: Subject) -> Reading:
    """Read the counters of the subject's services now."""
    commands = {name: cache.command_calls() for name, cache in subject.caches.items()}
    readings = {name: database.statements() for name, database in subject.databases.items()}
    return Reading(
        [
            (f"{name} {key}", text, calls, rows)
            for name, reading in readings.items()
            for key, text, calls, rows in reading.rows
        ],
        commands,
        "; ".join(reading.generation for reading in readings.values()),
        all(reading.whole for reading in readings.values()),
    )


def count_work(before: Reading, after: Reading) -> Work | None:
    """Count the work between two readings; None if counters were reset, lost or evaded."""
    queries = count_queries(before.statements, after.statements)
    commands = [count_commands(calls, after.commands.get(name, {})) for name, calls in before.commands.items()]
    known = [calls for calls in commands if calls is not None]
    if queries is None or len(known) < len(commands):
        return None
    if before.generation != after.generation or not (before.whole and after.whole):
        return None
    return Work(
        queries=sum(calls for calls, _ in queries.values()),
        rows=sum(rows for _, rows in queries.values()),
        cache_commands=sum(known),
    )


def list_queries(before: Reading, after: Reading) -> tuple[Statement, ...]:
    """List the queries between two readings, the most frequent first."""
    queries = count_queries(before.statements, after.statements) or {}
    statements = [
        Statement(text=" ".join(text.split()), calls=calls, rows=rows) for text, (calls, rows) in queries.items()
    ]
    return tuple(sorted(statements, key=lambda statement: (-statement.calls, statement.text)))
