"""PostgreSQL, asked through its own client inside its container."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.stack.script import Script, ScriptError, read_script

_ANSWER_S = 60.0
_LONGEST_TEXT = 16384  # of a statement; a longer one is known by its beginning
_OLDEST = 140000  # the first whose pg_stat_statements tells top-level statements
_REFUSED = re.compile(r"psql:(<stdin>:\d+: )?\s*(ERROR|FATAL|error):")
_FAILED = re.compile(r"psql:(?:<stdin>:(?P<line>\d+):)?\s*(?:ERROR|FATAL|PANIC|error):\s*(?P<why>.*)")
# parts of PostgreSQL's messages that repeat what a script or its data says
_QUOTING = re.compile(r' at character \d+$| at or near ".*|: ".*')
SUPERUSER = "postgres"
# The shell takes the password from the first line of its input, as a command line is readable by everybody: `read`
# takes no byte beyond that line.
_SIGN_IN = "read -r PGPASSWORD; export PGPASSWORD; "
_CONVERSE = f'{_SIGN_IN}exec "$@" 2>&1'
# psql's input ends with the script, whatever the script ends with. What psql leaves unread is thrown away, so that we
# can write all of it; rows are nobody's, errors are the answer.
_RUN = (
    _SIGN_IN + 'mark=$1 size=$2; shift 2; head -c "$size" | '
    '{ "$@" 2>&1 >/dev/null; status=$?; cat >/dev/null; echo; echo "$mark $status"; }'
)
_ADVICE = {
    "permission denied to create extension": "only a superuser can create it: use an image that creates it in "
    "`template1`, by a script in /docker-entrypoint-initdb.d",
    "must be able to set role": "dump with `pg_dump --no-owner --no-privileges`: the subject's role owns everything",
    "must be owner of": "dump with `pg_dump --no-owner --no-privileges --no-comments`",
    "must be member of role": "dump with `pg_dump --no-owner --no-privileges`: the subject's role owns everything",
    "role": "dump with `pg_dump --no-owner --no-privileges`: other roles do not exist here",
}
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


@dataclass(frozen=True, slots=True)
class Statements:
    """Everything that was run in a database: key, text, calls, rows of each top-level statement so far.

    `generation` changes when counters were reset, or thrown away for lack of room.
    """

    rows: Sequence[tuple[str, str, int, int]]
    generation: str


class Postgres:
    """The one server of a run, asked as superuser. Each role has its own password; ours is known to nobody else."""

    def __init__(self, engine: Engine, handle: Handle, password: str) -> None:
        """`password` is the superuser's."""
        self.handle = handle
        self._passwords = {SUPERUSER: password}
        self._engine = engine
        self._sessions: dict[str, Session] = {}

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
        return f"postgresql://{role}:{self._passwords[role]}@{host or self.handle.host}:{self.handle.port}/{database}"

    def execute(self, text: str, database: str = SUPERUSER) -> list[str]:
        """Statements in a database; their rows, one line each. Raises QueryError with the first that is refused."""
        if database not in self._sessions:
            self._sessions[database] = self._connect(SUPERUSER, database)
        return self._converse(self._sessions[database], text)

    def execute_as(self, role: str, database: str, *texts: str, patience_s: float = _ANSWER_S) -> list[str]:
        """Statements as a role, over a connection of their own: their rows. Raises QueryError."""
        session = self._connect(role, database)
        try:
            return [row for text in texts for row in self._converse(session, text, patience_s)]
        finally:
            session.close()

    def run_script(self, role: str, database: str, text: str, patience_s: float) -> None:
        """Run a script as a role, to its end or to its first error. Raises QueryError, which quotes nothing of it.

        `patience_s`: how long nothing may move, neither the script being read nor its end being told.
        """
        script, mark = _checked(text), secrets.token_hex(16)
        size = str(len(script.text.encode()))
        options = ["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", *self._options(role, database)]
        command = ["sh", "-c", _RUN, "sh", mark, size, "psql", *options]
        session = self._engine.session(self.handle, command)
        try:
            session.send(self._passwords[role] + "\n", patience_s)
            session.send(script.text, patience_s)
            lines = _read_until(session, mark, patience_s)
        finally:
            session.close()
        if lines.pop() != f"{mark} 0":
            self._raise_refused(lines, script)

    def fetch_json(self, statement: str) -> Any:
        """The one value of a statement that gives JSON."""
        return json.loads(self.execute(statement)[0])

    def create_role(self, role: str) -> None:
        """A role that may log in, and nothing more; its password is a new one."""
        self._passwords[role] = secrets.token_hex(16)
        self.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{self._passwords[role]}'")

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

    def statements(self, database: str) -> Statements:
        """What has been run in a database, by any role: ours too, so nothing of ours may run between two readings."""
        found = self.fetch_json(
            "SELECT jsonb_build_object("
            "'generation', (SELECT concat(dealloc, ' ', stats_reset) FROM pg_stat_statements_info),"
            " 'rows', (SELECT coalesce(jsonb_agg(jsonb_build_array(concat(s.userid, ' ', s.queryid),"
            f" coalesce(left(s.query, {_LONGEST_TEXT}), '(text not available)'), s.calls, s.rows)), '[]')"
            " FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
            f" WHERE s.toplevel AND d.datname = '{database}'))"
        )
        rows = [(str(row[0]), str(row[1]), int(row[2]), int(row[3])) for row in found["rows"]]
        return Statements(rows, str(found["generation"]))

    def _connect(self, role: str, database: str) -> Session:
        command = ["sh", "-c", _CONVERSE, "sh", "psql", *self._options(role, database)]
        session = self._engine.session(self.handle, command)
        session.send(self._passwords[role] + "\n")
        return session

    def _options(self, role: str, database: str) -> list[str]:
        # -X: no start-up file; -q -A -t: rows and nothing else. Errors come among the rows, so that none is missed;
        # over TCP, as pg_hba.conf asks for the password that we know
        where = f"host=127.0.0.1 port={self.handle.port} user={role} dbname={database}"
        return ["-X", "-q", "-A", "-t", "-f", "-", f"{where} options='-c client_min_messages=error'"]

    def _converse(self, session: Session, text: str, patience_s: float = _ANSWER_S) -> list[str]:
        script, mark = _checked(text), secrets.token_hex(16)
        # nothing is added to a complete text: after COPY's data psql takes an empty statement for more data to come
        session.send(f"{script.text}{script.rest}\n\\echo {mark}\n", patience_s)
        rows = _read_until(session, mark, patience_s)[:-1]
        if refused := next((row for row in rows if _REFUSED.match(row)), ""):
            # such as a disk that is full: "Consult … the server log"
            elsewhere = any("server log" in row for row in rows)
            log = self._engine.logs(self.handle) if elsewhere else rows[:5]
            raise QueryError(f"PostgreSQL refused a statement: {refused}", where=_shortened(text), log=log)
        return rows

    def _raise_refused(self, lines: Sequence[str], script: Script) -> None:
        found = next((match for line in lines if (match := _FAILED.match(line))), None)
        if found is None:
            raise QueryError("psql ended before the end of the script", log=self._engine.logs(self.handle))
        why = _QUOTING.sub("", found["why"])
        advice = next((advice for sign, advice in _ADVICE.items() if why.startswith(sign)), "")
        log = self._engine.logs(self.handle) if any("server" in line for line in lines) else []
        where = script.place(int(found["line"])) if found["line"] else ""
        raise QueryError(f"PostgreSQL refused a statement: {why}", where=where, advice=advice, log=log)


def _checked(text: str) -> Script:
    try:
        return read_script(text)
    except ScriptError as error:
        raise QueryError(error.why, where=f"line {error.line}", advice=error.advice) from None


def _read_until(session: Session, mark: str, patience_s: float) -> list[str]:
    """Lines up to and including the one that begins with the mark, which nobody else can know."""
    lines: list[str] = []
    while not lines or not lines[-1].startswith(mark):
        line = session.read_line(patience_s)
        if line is None:
            raise StackError("PostgreSQL does not answer", cause=f"no line within {patience_s:g} s")
        lines.append(line)
    return lines


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:200] + "…"
