"""Check that a subject's start leaves what the seed put in."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural
from bench_action.stack.mysql import Mysql
from bench_action.stack.postgres import Postgres
from bench_action.stack.server import DatabaseServer

_COUNTED = 100_000  # rows of a table that are counted one by one; more are as good as all
_KEPT = 0.9  # a start may clean up a little, such as expired sessions
_SHOWN = 3
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE ALL (ARRAY['pg\\_%', 'information\\_schema'])
  AND NOT EXISTS (SELECT FROM pg_depend e
    WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Loss:
    """A table that has fewer rows than the seed put in; `left` is None if the table is gone."""

    table: str
    seeded: int
    left: int | None

    def __str__(self) -> str:
        """Say how many rows are left."""
        if self.left is None:
            return f"{self.table} ({plural(self.seeded, 'row')}) was dropped"
        what = f"{plural(self.seeded, 'row')} were seeded, {self.left} are left"
        return f"{self.table} was emptied ({what})" if not self.left else f"{self.table} has lost rows ({what})"


def count_rows(server: DatabaseServer) -> dict[str, int]:
    """Count the rows of the application's tables, up to 100,000 of each; an extension's tables are left out.

    It opens a separate connection and closes it, so that the database can be a template.
    """
    if isinstance(server, Mysql):
        return server.count_rows(_COUNTED)
    if not isinstance(server, Postgres):
        return {}
    with server.connected_as(server.login.user, server.login.database) as run:
        tables = run(_TABLES)
        if not tables:
            return {}
        counts = [f"(SELECT count(*) FROM (SELECT FROM {table} LIMIT {_COUNTED}) AS t)" for table in tables]
        rows = run(";\n".join(f"SELECT {count}" for count in counts))
    return {table: int(number) for table, number in zip(tables, rows, strict=True)}


def list_losses(seeded: Mapping[str, int], found: Mapping[str, int]) -> list[Loss]:
    """Compare the rows after seeding with those now: tables that were dropped, emptied or have lost a tenth."""
    losses = [Loss(_shorten(table), number, found.get(table)) for table, number in seeded.items() if number]
    return [loss for loss in losses if loss.left is None or loss.left < loss.seeded * _KEPT]


def warn_of_losses(subject: str, losses: list[Loss]) -> RunWarning | None:
    """Make the warning about what a subject's start has taken away; None if it is nothing."""
    if not losses:
        return None
    more = f" and {plural(len(losses) - _SHOWN, 'more table')}" if len(losses) > _SHOWN else ""
    listed = "; ".join(map(str, losses[:_SHOWN]))
    return Code.SEED_LOST.warn(f"{subject}: starting it removed seeded data: {listed}{more}")


def _shorten(table: str) -> str:
    return table.removeprefix("public.")
