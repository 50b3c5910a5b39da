"""PostgreSQL, asked through its own client inside its container."""

import itertools
import json
import re
from typing import Any

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError

_ANSWER_S = 60.0
_OLDEST = 140000  # the first whose pg_stat_statements tells top-level statements
_REFUSED = re.compile(r"psql:(<stdin>:\d+: )?\s*(ERROR|FATAL|error):")
SUPERUSER = "postgres"
_OWN = "NOT LIKE ALL (ARRAY['pg\\_%', 'information\\_schema'])"
# what a user can have made, as PostgreSQL itself writes it down
_SCHEMA = f"""
SELECT line FROM (
  SELECT format('table %I.%I', n.nspname, c.relname) AS line, 0 AS part FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND n.nspname {_OWN}
  UNION ALL SELECT format('column %s %s %I %s %s %s', a.attrelid::regclass, a.attnum, a.attname,
      format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), 1 FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE a.attnum > 0 AND NOT a.attisdropped AND n.nspname {_OWN}
  UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(k.oid), 2 FROM pg_constraint k
    JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.conrelid <> 0 AND n.nspname {_OWN}
  UNION ALL SELECT 'index ' || indexdef, 3 FROM pg_indexes WHERE schemaname {_OWN}
  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid), 4 FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'view ' || viewname || ' ' || definition, 5 FROM pg_views WHERE schemaname {_OWN}
  UNION ALL SELECT 'function ' || proname || ' ' || prosrc, 6 FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname {_OWN}
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
) found ORDER BY part, line"""


class QueryError(StackError):
    """PostgreSQL refused a statement. Who asked on the user's behalf makes it the user's error."""


class Postgres:
    """The one server of a run, asked as superuser, so that nothing of it counts as a subject's work."""

    def __init__(self, engine: Engine, handle: Handle, password: str) -> None:
        self.handle = handle
        self.password = password
        self._engine = engine
        self._sessions: dict[str, Session] = {}
        self._count = itertools.count()

    def probe(self) -> str:
        """For readiness: empty once it answers over TCP (while it initialises, it listens on its socket only)."""
        status, output = self._engine.exec(
            self.handle, ["pg_isready", "--host", "127.0.0.1", "--port", str(self.handle.port), "--username", SUPERUSER]
        )
        return "" if status == 0 else output.strip() or "pg_isready did not answer"

    def open(self) -> None:
        """Make sure that queries can be counted. Raises StackError."""
        version = int(self.execute("SHOW server_version_num")[0])
        if version < _OLDEST:
            raise StackError(
                f"PostgreSQL {version // 10000} is too old", advice=f"use version {_OLDEST // 10000} or later"
            )
        try:
            self.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        except QueryError as error:
            raise StackError(
                "PostgreSQL cannot count queries",
                cause=error.what,
                advice="use an image that has the contrib modules, as the official one does",
            ) from error

    def url(self, role: str, database: str, host: str | None = None) -> str:
        """How a client reaches a database."""
        return f"postgresql://{role}:{self.password}@{host or self.handle.host}:{self.handle.port}/{database}"

    def execute(self, text: str, database: str = SUPERUSER) -> list[str]:
        """Statements in a database; their rows, one line each. Raises QueryError with the first that is refused."""
        if database not in self._sessions:
            self._sessions[database] = self._connect(SUPERUSER, database)
        return self._converse(self._sessions[database], text)

    def execute_as(self, role: str, database: str, *texts: str) -> list[str]:
        """Statements as a role, over a connection of their own: their rows. Raises QueryError."""
        session = self._connect(role, database)
        try:
            return [row for text in texts for row in self._converse(session, text)]
        finally:
            session.close()

    def fetch_json(self, statement: str) -> Any:
        """The one value of a statement that gives JSON."""
        return json.loads(self.execute(statement)[0])

    def create_role(self, role: str) -> None:
        """A role that may log in, and nothing more."""
        self.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{self.password}'")

    def shape(self, database: str) -> list[str]:
        """Schema of a database and how many rows each table has: equal for two that hold the same for a planner."""
        lines = self.execute_as(SUPERUSER, database, _SCHEMA)
        tables = [line.removeprefix("table ") for line in lines if line.startswith("table ")]
        counts = [f"SELECT '{name}', count(*) FROM {name};" for name in tables]
        return lines + (self.execute_as(SUPERUSER, database, "\n".join(counts)) if counts else [])

    def create_database(self, name: str, role: str, template: str = "template1") -> None:
        """A database of a role's own, copied from a template."""
        self.execute(f'CREATE DATABASE "{name}" OWNER "{role}" TEMPLATE "{template}"')

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        if name in self._sessions:
            self._sessions.pop(name).close()
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def connections(self, database: str, role: str) -> int:
        """Connections of a role to a database now."""
        where = f"datname = '{database}' AND usename = '{role}'"
        return int(self.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {where}")[0])

    def statements(self, database: str, role: str) -> list[tuple[str, str, int, int]]:
        """What a role has run in a database: id, text, calls, rows of each top-level statement so far."""
        rows = self.fetch_json(
            "SELECT coalesce(jsonb_agg(jsonb_build_array(s.queryid::text, s.query, s.calls, s.rows)), '[]')"
            " FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid JOIN pg_roles r ON r.oid = s.userid"
            f" WHERE s.toplevel AND d.datname = '{database}' AND r.rolname = '{role}'"
        )
        return [(str(row[0]), str(row[1]), int(row[2]), int(row[3])) for row in rows]

    def _connect(self, role: str, database: str) -> Session:
        # -X: no start-up file; -q -A -t: rows and nothing else. Errors come among the rows, so that none is missed;
        # over TCP, as pg_hba.conf asks for the password that we know.
        url = f"{self.url(role, database, '127.0.0.1')}?options=-c%20client_min_messages%3Derror"
        psql = ["psql", "-X", "-q", "-A", "-t", "-f", "-", url]
        return self._engine.session(self.handle, ["sh", "-c", 'exec "$@" 2>&1', "sh", *psql])

    def _converse(self, session: Session, text: str) -> list[str]:
        mark = f"bench-action-end-{next(self._count)}"
        session.send(f"{text.rstrip().rstrip(';')}\n;\n\\echo {mark}\n")
        rows: list[str] = []
        while (line := session.read_line(_ANSWER_S)) != mark:
            if line is None:
                raise StackError("PostgreSQL does not answer", cause=f"no line within {_ANSWER_S:g} s")
            rows.append(line)
        if refused := next((row for row in rows if _REFUSED.match(row)), ""):
            elsewhere = any(
                "server log" in row for row in rows
            )  # such as a disk that is full: "Consult … the server log"
            log = self._engine.logs(self.handle) if elsewhere else rows[:5]
            raise QueryError(f"PostgreSQL refused a statement: {refused}", where=_shortened(text), log=log)
        return rows


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:200] + "…"
