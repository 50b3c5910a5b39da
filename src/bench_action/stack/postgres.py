"""Talk to PostgreSQL through its own client, inside its container."""

import json
import re
import secrets
from collections.abc import Mapping
from typing import Self

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.stack.script import Script, ScriptError, read_script
from bench_action.stack.server import Login, QueryError, Setup, Statements

_ANSWER_S = 60.0
_MAX_STATEMENT = 16384  # characters; a longer statement is cut there
_OLDEST = 140000  # the first version whose pg_stat_statements marks top-level statements
_REFUSED = re.compile(r"psql:(<stdin>:\d+: )?\s*(ERROR|FATAL|error):")
_PASSWORD = frozenset({"POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE"})
_OWN = "bench_action"  # our role, a superuser, and our database
_PRISTINE = f"{_OWN}_pristine"  # the application's database as the image has made it
_ALWAYS_THERE = "postgres"  # a database that every cluster has (initdb)
# The shell reads the password from the first line of its input, because every process can read a command line. `read`
# takes no byte beyond that line.
_SIGN_IN = "read -r PGPASSWORD; export PGPASSWORD; "
_CONVERSE = f'{_SIGN_IN}exec "$@" 2>&1'
_NOT_SYSTEM = "NOT LIKE ALL (ARRAY['pg\\_%', 'information\\_schema'])"
# everything that a user can create, as PostgreSQL itself describes it
_SCHEMA = f"""
SELECT line FROM (
  SELECT format('table %I.%I', n.nspname, c.relname) AS line, 0 AS part FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND n.nspname {_NOT_SYSTEM}
  UNION ALL SELECT format('column %s %s %I %s %s %s', a.attrelid::regclass, a.attnum, a.attname,
      format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), 1 FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE a.attnum > 0 AND NOT a.attisdropped AND n.nspname {_NOT_SYSTEM}
  UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(k.oid), 2 FROM pg_constraint k
    JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.conrelid <> 0 AND n.nspname {_NOT_SYSTEM}
  UNION ALL SELECT 'index ' || indexdef, 3 FROM pg_indexes WHERE schemaname {_NOT_SYSTEM}
  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid), 4 FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'view ' || viewname || ' ' || definition, 5 FROM pg_views WHERE schemaname {_NOT_SYSTEM}
  UNION ALL SELECT 'function ' || proname || ' ' || prosrc, 6 FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname {_NOT_SYSTEM}
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
) AS lines ORDER BY part, line"""


# The user's own tables: without a list, ANALYZE reads the system's tables too, which takes longer than a small seed.
_ANALYZE = f"""\
DO $$
DECLARE
  own text := (SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname {_NOT_SYSTEM});
BEGIN
  IF own IS NOT NULL THEN EXECUTE 'ANALYZE ' || own; END IF;
END $$"""


class Postgres:
    """The PostgreSQL server of a slot.

    Applications use `login`. We use a role and a database of our own, so that what we do is not counted as theirs.
    """

    booleans = ("on", "off")

    def __init__(self, engine: Engine, handle: Handle, login: Login, password: str = "") -> None:
        """Keep what is needed to connect; `password` is our own role's, chosen at random if it does not exist yet."""
        self.handle = handle
        self.login = login
        self._password = password or secrets.token_hex(16)
        self._engine = engine
        self._sessions: dict[str, Session] = {}

    @classmethod
    def connect(cls, engine: Engine, handle: Handle, setup: Setup) -> Self:
        """Make the client; the account is read from the environment, whose defaults are those of the official image."""
        user = setup.env.get("POSTGRES_USER") or "postgres"
        login = Login(user, setup.env.get("POSTGRES_PASSWORD", ""), setup.env.get("POSTGRES_DB") or user)
        return cls(engine, handle, login)

    @staticmethod
    def complete(env: Mapping[str, str], password: str) -> dict[str, str]:
        """Add a user, and a password if it has none: the image does not start without one."""
        known = _PASSWORD & set(env)
        return {"POSTGRES_USER": "postgres", **({} if known else {"POSTGRES_PASSWORD": password}), **env}

    def copied_to(self, handle: Handle) -> Self:
        """Return the server of another slot, whose data are a copy of this one's."""
        return type(self)(self._engine, handle, self.login, self._password)

    def probe(self) -> str:
        """Return an empty text once it answers over TCP, else why not.

        While it initialises its data, it listens on its Unix socket only.
        """
        status, output = self._engine.exec(
            self.handle,
            ["pg_isready", "--host", "127.0.0.1", "--port", str(self.handle.port), "--username", self.login.user],
        )
        return "" if status == 0 else output.strip() or "pg_isready did not answer"

    def open(self) -> None:
        """Create our role and database, and check that queries can be counted. Raises StackError if not."""
        self.execute_as(self.login.user, _ALWAYS_THERE, *self._create_own())
        version = int(self._execute("SHOW server_version_num")[0])
        if version < _OLDEST:
            raise StackError(
                f"PostgreSQL {version // 10000} is too old", advice=f"use version {_OLDEST // 10000} or later"
            )
        try:
            self._execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        except QueryError as error:
            raise StackError(
                "PostgreSQL cannot count queries",
                cause=error.what,
                advice="use an image with the contrib modules, such as the official one",
            ) from error
        self.keep_as(_PRISTINE)

    def _create_own(self) -> list[str]:
        own = f"CREATE ROLE {_OWN} SUPERUSER LOGIN PASSWORD '{self._password}'"
        statements = [own, f"CREATE DATABASE {_OWN} OWNER {_OWN}"]
        known = self.execute_as(self.login.user, _ALWAYS_THERE, "SELECT datname FROM pg_database")
        return statements if self.login.database in known else [*statements, self._create_database()]

    def close(self) -> None:
        """Close all connections; the next statement opens a new one."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def address(self) -> dict[str, str]:
        """Return how an application reaches its database: what placeholders name of it."""
        return self.login.address(self.handle, "postgresql")

    def renew(self, template: str = "") -> None:
        """Replace the application's database by a copy of a template; clients that are connected are cut off.

        `template`: empty for the database as the image has made it.
        """
        self._drop_database(self.login.database)
        self._execute(self._create_database(template or _PRISTINE))

    def keep_as(self, template: str) -> None:
        """Turn the application's database into a template; clients that are connected are cut off."""
        self._forget(self.login.database)
        name = quote_text(self.login.database)
        self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name}")
        self._execute(f"ALTER DATABASE {quote_name(self.login.database)} RENAME TO {quote_name(template)}")

    def execute(self, text: str) -> list[str]:
        """Run statements in the application's database as our role; return their rows, one line each.

        Raises QueryError for the first that fails.
        """
        return self._execute(text, self.login.database)

    def _execute(self, text: str, database: str = _OWN) -> list[str]:
        if database not in self._sessions:
            self._sessions[database] = self._connect(_OWN, database)
        return self._converse(self._sessions[database], text)

    def analyse(self, patience_s: float) -> None:
        """Collect the planner's statistics on the tables of the application's database."""
        self.execute_as(_OWN, self.login.database, _ANALYZE, patience_s=patience_s)

    def execute_as(self, role: str, database: str, *texts: str, patience_s: float = _ANSWER_S) -> list[str]:
        """Run statements as a role, over a separate connection; return their rows. Raises QueryError."""
        session = self._connect(role, database)
        try:
            return [row for text in texts for row in self._converse(session, text, patience_s)]
        finally:
            session.close()

    def describe_template(self, template: str) -> list[str]:
        """List the schema of a template and the rows of each table: equal for two that look the same to the planner."""
        lines = self.execute_as(_OWN, template, _SCHEMA)
        tables = [line.removeprefix("table ") for line in lines if line.startswith("table ")]
        counts = [f"SELECT '{name}', count(*) FROM {name};" for name in tables]
        return lines + (self.execute_as(_OWN, template, "\n".join(counts)) if counts else [])

    def drop_template(self, template: str) -> None:
        """Drop a template."""
        self._drop_database(template)

    def _drop_database(self, name: str) -> None:
        """Drop a database, even if clients are connected to it."""
        self._forget(name)
        self._execute(f"DROP DATABASE IF EXISTS {quote_name(name)} WITH (FORCE)")

    def connections(self) -> int:
        """Count the connections that applications have to their database now."""
        where = f"datname = {quote_text(self.login.database)} AND usename <> '{_OWN}'"
        return int(self._execute(f"SELECT count(*) FROM pg_stat_activity WHERE {where}")[0])

    def statements(self) -> Statements:
        """Read what has been run in the application's database: none of ours may run there between two readings."""
        rows = self._execute(
            "SELECT jsonb_build_object("
            "'generation', (SELECT concat(dealloc, ' ', stats_reset) FROM pg_stat_statements_info),"
            " 'rows', (SELECT coalesce(jsonb_agg(jsonb_build_array(concat(s.userid, ' ', s.queryid),"
            f" coalesce(left(s.query, {_MAX_STATEMENT}), '(text not available)'), s.calls, s.rows)), '[]')"
            " FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
            f" WHERE s.toplevel AND d.datname = {quote_text(self.login.database)}))"
        )
        reading = json.loads(rows[0])
        statements = [(str(row[0]), str(row[1]), int(row[2]), int(row[3])) for row in reading["rows"]]
        return Statements(statements, str(reading["generation"]))

    def _create_database(self, template: str = "template1") -> str:
        name, owner = quote_name(self.login.database), quote_name(self.login.user)
        return f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {quote_name(template)}"

    def _forget(self, database: str) -> None:
        """Close our connection to a database."""
        if database in self._sessions:
            self._sessions.pop(database).close()

    def _get_password(self, role: str) -> str:
        return self._password if role == _OWN else self.login.password

    def _connect(self, role: str, database: str) -> Session:
        command = ["sh", "-c", _CONVERSE, "sh", "psql", *self._options(role, database)]
        session = self._engine.session(self.handle, command)
        session.send(self._get_password(role) + "\n")
        return session

    def _options(self, role: str, database: str) -> list[str]:
        # -X: no start-up file; -q -A -t: rows and nothing else, with errors among them, so that none is missed.
        # Over TCP, because pg_hba.conf accepts the password there.
        user, name = (text.replace("\\", r"\\").replace("'", r"\'") for text in (role, database))
        where = f"host=127.0.0.1 port={self.handle.port} user='{user}' dbname='{name}'"
        return ["-X", "-q", "-A", "-t", "-f", "-", f"{where} options='-c client_min_messages=error'"]

    def _converse(self, session: Session, text: str, patience_s: float = _ANSWER_S) -> list[str]:
        script, mark = _read_script(text), secrets.token_hex(16)
        # nothing is added to a complete script: after COPY's data, psql takes an empty statement for more data to come
        session.send(f"{script.text}{script.rest}\n\\echo {mark}\n", patience_s)
        rows = _read_until(session, mark, patience_s)[:-1]
        if refused := next((row for row in rows if _REFUSED.match(row)), ""):
            # if the disk is full, for example: "Consult … the server log"
            see_log = any("server log" in row for row in rows)
            log = self._engine.logs(self.handle) if see_log else rows[:5]
            where = " ".join(text.split())
            where = where if len(where) <= 200 else where[:200] + "…"
            raise QueryError(f"PostgreSQL refused a statement: {refused}", where=where, log=log)
        return rows


def quote_name(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Quote a text for SQL, regardless of `standard_conforming_strings`."""
    escaped = text.replace("\\", r"\\").replace("'", "''")
    return f"E'{escaped}'"


def _read_script(text: str) -> Script:
    try:
        return read_script(text)
    except ScriptError as error:
        raise QueryError(error.why, where=f"line {error.line}", advice=error.advice) from None


def _read_until(session: Session, mark: str, patience_s: float) -> list[str]:
    """Read lines up to and including the one that begins with the mark, which nothing else can contain."""
    lines: list[str] = []
    while not lines or not lines[-1].startswith(mark):
        line = session.read_line(patience_s)
        if line is None:
            raise StackError("PostgreSQL did not answer", cause=f"no output for {patience_s:g} s")
        lines.append(line)
    return lines
