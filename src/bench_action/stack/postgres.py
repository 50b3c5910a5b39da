"""Talk to PostgreSQL through its own client, inside its container."""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Self

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.model.result import Revision
from bench_action.stack.postgres_schema import NOT_SYSTEM, SCHEMA
from bench_action.stack.script import Script, ScriptError, read_script
from bench_action.stack.server import Login, QueryError, Setup, Statements, read_until, require_copied

_ANSWER_S = 60.0
_COPY_S = 3600.0  # for a large table, of which nothing is heard
_MAX_STATEMENT, _MAX_OF_MANY = 16384, 1024  # characters; a longer statement is cut there
_MANY = 5000  # statements
_SINCE = 170000  # the first version that knows since when a statement is counted
# An application commits no more often than it runs statements, except for a few drivers that test or prepare something.
_COMMITS, _COMMITS_PER_STATEMENT = 200, 10
_SCRAM_ROUNDS = 4096
_OLDEST = 140000  # the first version whose pg_stat_statements marks top-level statements
_REFUSED = re.compile(r"psql:(<stdin>:\d+: )?\s*(ERROR|FATAL|error):")
_PASSWORD = frozenset({"POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE"})
_OWN = "bench_action"  # our role, a superuser, and our database
_PRISTINE = f"{_OWN}_pristine"  # the application's database as the image has made it
_ALWAYS_THERE = "postgres"  # a database that every cluster has (initdb), unless it is the application's
_TEMPLATE = "template1"  # one that every cluster has, and that nobody uses
# The shell reads the password from the first line of its input, because every process can read a command line. `read`
# takes no byte beyond that line.
_SIGN_IN = "read -r PGPASSWORD; export PGPASSWORD; "
_CONVERSE = f'{_SIGN_IN}exec "$@" 2>&1'
# Copies a database to another server, with the roles that it may need; those that are there refuse to be made again.
_COPY = (
    f"exec 3>&1; mark=$1 from=$2 to=$3; read -r other; {_SIGN_IN}"
    "export PGOPTIONS='-c timescaledb.restoring=on'; "  # any other server takes it for a variable of a stranger
    'pg_dumpall --roles-only --dbname="$from" 2>&3 | PGPASSWORD=$other psql -X -q -d "$to" >/dev/null 2>&1; '
    """{ pg_dump --create --dbname="$from" 2>&3; printf '%s\\n' "\\\\echo $mark written $?"; } | """
    'PGPASSWORD=$other psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d "$to" 2>&1; echo "$mark read $?"'
)
# What CREATE DATABASE does not copy from its template, although it belongs to the database and not to the cluster.
_COPY_PROPERTIES = """
BEGIN;
INSERT INTO pg_db_role_setting SELECT copy.oid, s.setrole, s.setconfig
  FROM pg_database copy, pg_database t JOIN pg_db_role_setting s ON s.setdatabase = t.oid
  WHERE copy.datname = {database} AND t.datname = {template};
UPDATE pg_database copy SET datdba = t.datdba, datacl = t.datacl, datconnlimit = t.datconnlimit
  FROM pg_database t WHERE copy.datname = {database} AND t.datname = {template};
COMMIT"""

# Of all databases, as an application may have several, or make some; without templates, in which nobody works. One who
# switches counting off, or resets a part of it, is found by the statement for it, as far as that one is counted.
_COUNTERS = f"""
WITH kept AS (SELECT oid FROM pg_database WHERE datname IN ({{templates}})),
counted AS (
  SELECT s.*, count(*) OVER () AS many FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
  WHERE s.toplevel AND d.oid NOT IN (TABLE kept) AND NOT (d.datname = '{_OWN}' AND s.userid = '{_OWN}'::regrole))
SELECT jsonb_build_object(
  'generation', (SELECT concat_ws(' ', dealloc, stats_reset,
      (SELECT sum(calls) FROM pg_stat_statements WHERE dbid IN (TABLE kept)),
      (SELECT sum(calls) FROM counted WHERE query ~* 'pg_stat_statements(_reset|\\.track)'))
    FROM pg_stat_statements_info),
  'commits', (SELECT coalesce(sum(xact_commit), 0) FROM pg_stat_database WHERE datname = {{database}}),
  'rows', (SELECT coalesce(jsonb_agg(jsonb_build_array(concat_ws(' ', dbid, userid, queryid{{since}}),
      coalesce(left(query, CASE WHEN many > {_MANY} THEN {_MAX_OF_MANY} ELSE {_MAX_STATEMENT} END),
      '(text not available)'), calls, rows)), '[]') FROM counted))"""
# What an application that is a superuser can change outside its database, so that it would stay for the next subject.
_SERVER_STATE = """
SELECT jsonb_build_object(
  'settings', (SELECT coalesce(jsonb_agg(s ORDER BY s.setrole), '[]') FROM pg_db_role_setting s WHERE setdatabase = 0),
  'roles', (SELECT jsonb_agg(a ORDER BY a.oid) FROM pg_authid a WHERE rolcanlogin OR rolsuper),
  'system', (SELECT coalesce(jsonb_object_agg(name, setting), '{{}}') FROM pg_file_settings
    WHERE sourcefile LIKE '%postgresql.auto.conf'),
  'databases', (SELECT jsonb_agg(datname ORDER BY datname) FROM pg_database WHERE datname <> {database}),
  'slots', (SELECT coalesce(jsonb_agg(slot_name ORDER BY slot_name), '[]') FROM pg_replication_slots))"""
# Whether anyone was in a template, where nobody works, or in our database: sessions are counted, busy or not.
_VISITS = """
SELECT coalesce(jsonb_object_agg(d.datname, jsonb_build_array(d.oid, s.sessions, s.stats_reset)), '{{}}')
FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid WHERE d.datname IN ({templates})"""
_RESTORE_ROLES = """
BEGIN;
DELETE FROM pg_db_role_setting WHERE setdatabase = 0{of_these};
INSERT INTO pg_db_role_setting
  SELECT s.* FROM jsonb_populate_recordset(NULL::pg_db_role_setting, {state}::jsonb -> 'settings') AS s;
UPDATE pg_authid a SET rolsuper = b.rolsuper, rolinherit = b.rolinherit, rolcreaterole = b.rolcreaterole,
    rolcreatedb = b.rolcreatedb, rolcanlogin = b.rolcanlogin, rolreplication = b.rolreplication,
    rolbypassrls = b.rolbypassrls, rolconnlimit = b.rolconnlimit, rolpassword = b.rolpassword,
    rolvaliduntil = b.rolvaliduntil
  FROM jsonb_populate_recordset(NULL::pg_authid, {state}::jsonb -> 'roles') AS b WHERE a.oid = b.oid;
COMMIT;"""
_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"""

# The user's own tables: without a list, ANALYZE reads the system's tables too, which takes longer than a small seed.
_ANALYZE = f"""\
DO $$
DECLARE
  own text := (SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname {NOT_SYSTEM});
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
        self._version = 0
        self._templates: set[str] = set()
        self._visits: dict[str, tuple[int, int, str | None]] = {}
        self._own_sessions = 0  # in our database
        self._state = ""

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
        server = copy(self)
        server.handle, server._sessions = handle, {}  # noqa: SLF001 (a copy of this object)
        server._templates, server._visits = set(self._templates), {}  # noqa: SLF001
        return server

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
        with self.connected_as(self.login.user, _ALWAYS_THERE) as run:
            for statement in self._create_own(run("SELECT datname FROM pg_database")):
                run(statement)
        self._version = int(self._execute("SHOW server_version_num")[0])
        if self._version < _OLDEST:
            raise StackError(
                f"PostgreSQL {self._version // 10000} is too old", advice=f"use version {_OLDEST // 10000} or later"
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

    def _create_own(self, known: Sequence[str]) -> list[str]:
        """Return what creates our role and database, and the application's if it is not among the known ones."""
        own = f"CREATE ROLE {_OWN} SUPERUSER LOGIN PASSWORD '{make_verifier(self._password)}'"
        statements = [own, f"CREATE DATABASE {_OWN} OWNER {_OWN}"]
        return statements if self.login.database in known else [*statements, self._create_database()]

    def close(self) -> None:
        """Close all connections; the next statement opens a new one."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def address(self) -> dict[str, str]:
        """Return how an application reaches its database: what placeholders name of it."""
        return self.login.address(self.handle, "postgresql")

    def adopt(self, origin: Handle, revision: Revision) -> None:
        """Copy the application's database of another server of the same image, in the same slot.

        A revision's subjects begin with it in the place of what this server's image has made. The other server sends
        it, as its account may have no password that we know. Raises StackError.
        """
        mark = secrets.token_hex(16)
        ends = (
            _write_address("127.0.0.1", origin.port, self.login.user, self.login.database),
            _write_address(self.handle.host, self.handle.port, _OWN, _TEMPLATE),
        )
        state, roles = self._read_state(), ", ".join(self._execute("SELECT oid FROM pg_authid"))
        session = self._engine.session(origin, ["sh", "-c", _COPY, "sh", mark, *ends])
        try:
            session.send(f"{self._password}\n{self.login.password}\n")
            require_copied(read_until(session, f"{mark} read", _COPY_S, "PostgreSQL"), mark, origin.name)
        except StackError:
            self._drop_database(self.login.database)
            raise
        finally:
            session.close()
        self._execute(_RESTORE_ROLES.format(state=quote_text(state), of_these=f" AND setrole IN (0, {roles})"))
        self.keep_as(_name_pristine(revision))
        if {_name_pristine("base"), _name_pristine("head")} <= self._templates:
            self.drop_template(_PRISTINE)  # it takes memory in every slot, and nobody begins with it

    def _read_state(self) -> str:
        return self._execute(_SERVER_STATE.format(database=quote_text(self.login.database)))[0]

    def renew(self, template: str = "", *, revision: Revision = "head") -> None:
        """Replace the application's database by a copy of a template; clients that are connected are cut off.

        The copy has the template's owner, privileges and settings (ALTER DATABASE … SET), too. `template`: empty for
        the database as the image has made it, for this revision. With a template, a subject follows: what the last one
        has changed outside its database is undone, and what it has left running is ended. Raises StackError if it was
        in a template, or in our database.
        """
        if template:
            self._restore_state()
            self._require_unvisited()
        pristine = _name_pristine(revision) if _name_pristine(revision) in self._templates else _PRISTINE
        origin, database = template or pristine, self.login.database
        self._drop_database(database)
        self._execute(self._create_database(origin))
        self._execute(_COPY_PROPERTIES.format(database=quote_text(database), template=quote_text(origin)))

    def keep_as(self, template: str) -> None:
        """Turn the application's database into a template; clients that are connected are cut off."""
        self._forget(self.login.database)
        name = quote_text(self.login.database)
        self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name}")
        self._execute(f"ALTER DATABASE {quote_name(self.login.database)} RENAME TO {quote_name(template)}")
        self._templates.add(template)

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
        with self.connected_as(role, database) as run:
            return [row for text in texts for row in run(text, patience_s)]

    @contextmanager
    def connected_as(self, role: str, database: str) -> Iterator[Callable[..., list[str]]]:
        """Yield what runs a text of statements as a role and returns its rows, over a separate connection.

        It takes a second to open a dozen of them, and a database with connections cannot become a template.
        """
        session = self._connect(role, database)
        try:
            yield partial(self._converse, session)
        finally:
            session.close()

    def describe_template(self, template: str) -> list[str]:
        """List the schema of a template and the rows of each table: equal for two that look the same to the planner."""
        with self.connected_as(_OWN, template) as run:
            rows = [json.loads(row) for row in run(SCHEMA)]
            tables = [str(name) for _, name in rows if name is not None]
            counts = run(";\n".join(f"SELECT count(*) FROM {name}" for name in tables)) if tables else []
            described = [str(line) for line, _ in rows]
            return described + [f"{name}: {count}" for name, count in zip(tables, counts, strict=True)]

    def drop_template(self, template: str) -> None:
        """Drop a template."""
        self._drop_database(template)
        self._templates.discard(template)

    def _drop_database(self, name: str) -> None:
        """Drop a database, even if clients are connected to it."""
        self._forget(name)
        self._execute(f"DROP DATABASE IF EXISTS {quote_name(name)} WITH (FORCE)")

    def connections(self) -> int:
        """Count the connections that applications have to their database now."""
        where = f"datname = {quote_text(self.login.database)} AND usename <> '{_OWN}'"
        return int(self._execute(f"SELECT count(*) FROM pg_stat_activity WHERE {where}")[0])

    def statements(self) -> Statements:
        """Read what has been run in all databases, except by us: we run nothing elsewhere between two readings."""
        query = _COUNTERS.format(
            database=quote_text(self.login.database),
            templates=self._list_templates(),
            since=", stats_since" if self._version >= _SINCE else "",
        )
        reading = json.loads(self._execute(query)[0])
        statements = [(str(row[0]), str(row[1]), int(row[2]), int(row[3])) for row in reading["rows"]]
        return Statements(statements, str(reading["generation"]), whole=_are_whole(statements, int(reading["commits"])))

    def _restore_state(self) -> None:
        """Undo what a subject has changed outside its database since the first call, while nothing runs here."""
        self._forget(self.login.database)
        self._execute(_END_OTHERS)
        state = self._read_state()
        if not self._state:
            self._state = state
        if state == self._state:
            return
        self._drop_new(json.loads(self._state), json.loads(state))
        settings = json.loads(self._state)["system"].items()
        system = [f"ALTER SYSTEM SET {quote_name(name)} = {quote_text(value)};" for name, value in settings]
        restore = _RESTORE_ROLES.format(state=quote_text(self._state), of_these="")
        self._execute("\n".join([restore, "ALTER SYSTEM RESET ALL;", *system, "SELECT pg_reload_conf()"]))

    def _drop_new(self, before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> None:
        """Drop databases and replication slots that a subject has made: they would take space and time of the next."""
        for name in sorted({*now["databases"]} - {*before["databases"]}):
            self._execute(f"ALTER DATABASE {quote_name(name)} IS_TEMPLATE false")
            self._drop_database(name)
        for name in sorted({*now["slots"]} - {*before["slots"]}):
            self._execute(f"SELECT pg_drop_replication_slot({quote_text(name)})")

    def _require_unvisited(self) -> None:
        """Raise StackError if anyone was in a template or in our database, or made it again, since the first call.

        After a crash, the server has forgotten its statistics.
        """
        names = f"{self._list_templates()}, '{_OWN}'"
        found = json.loads(self._execute(_VISITS.format(templates=names))[0])
        for name, (oid, sessions, reset_at) in found.items():
            known = self._visits.setdefault(name, (oid, sessions, reset_at))
            most = self._own_sessions if name == _OWN else known[1]
            if oid != known[0] or sessions > most or reset_at not in {None, known[2]}:
                raise StackError(
                    f"an application was in the database {name}, which it must not use",
                    where=self.handle.name,
                    cause="the data of the other subject, or what counts its work, may not be what it was",
                    advice=f"let the application leave databases alone whose names begin with {_OWN}",
                )

    def _list_templates(self) -> str:
        return ", ".join(map(quote_text, sorted({_PRISTINE, *self._templates})))

    def _create_database(self, template: str = _TEMPLATE) -> str:
        name, owner = quote_name(self.login.database), quote_name(self.login.user)
        return f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {quote_name(template)}"

    def _forget(self, database: str) -> None:
        """Close our connection to a database."""
        if database in self._sessions:
            self._sessions.pop(database).close()

    def _get_password(self, role: str) -> str:
        return self._password if role == _OWN else self.login.password

    def _connect(self, role: str, database: str) -> Session:
        self._own_sessions += database == _OWN
        command = ["sh", "-c", _CONVERSE, "sh", "psql", *self._options(role, database)]
        session = self._engine.session(self.handle, command)
        session.send(self._get_password(role) + "\n")
        return session

    def _options(self, role: str, database: str) -> list[str]:
        # -X: no start-up file; -q -A -t: rows and nothing else, with errors among them, so that none is missed.
        # Over TCP, because pg_hba.conf accepts the password there.
        where = _write_address("127.0.0.1", self.handle.port, role, database)
        return ["-X", "-q", "-A", "-t", "-f", "-", f"{where} options='-c client_min_messages=error'"]

    def _converse(self, session: Session, text: str, patience_s: float = _ANSWER_S) -> list[str]:
        script, mark = _read_script(text), secrets.token_hex(16)
        # nothing is added to a complete script: after COPY's data, psql takes an empty statement for more data to come
        session.send(f"{script.text}{script.rest}\n\\echo {mark}\n", patience_s)
        rows = read_until(session, mark, patience_s, "PostgreSQL")[:-1]
        if refused := next((row for row in rows if _REFUSED.match(row)), ""):
            # if the disk is full, for example: "Consult … the server log"
            see_log = any("server log" in row for row in rows)
            log = self._engine.logs(self.handle) if see_log else rows[:5]
            where = " ".join(text.split())
            where = where if len(where) <= 200 else where[:200] + "…"
            raise QueryError(f"PostgreSQL refused a statement: {refused}", where=where, log=log)
        return rows


def _write_address(host: str, port: int, role: str, database: str) -> str:
    """Write where a client connects, and as whom."""
    user, name = (text.replace("\\", r"\\").replace("'", r"\'") for text in (role, database))
    return f"host={host} port={port} user='{user}' dbname='{name}'"


def _name_pristine(revision: Revision) -> str:
    """Name what a revision's own image has made, if that differs from what base and head share."""
    return f"{_PRISTINE}_{revision}"


def quote_name(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Quote a text for SQL, regardless of `standard_conforming_strings`."""
    escaped = text.replace("\\", r"\\").replace("'", "''")
    return f"E'{escaped}'"


def make_verifier(password: str) -> str:
    """Make what PostgreSQL keeps of a password (RFC 5803), so that the password is in no statement, log or counter."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ROUNDS)
    client, server = (hmac.digest(salted, key, "sha256") for key in (b"Client Key", b"Server Key"))
    salt64, stored64, server64 = (
        base64.b64encode(part).decode("ascii") for part in (salt, hashlib.sha256(client).digest(), server)
    )
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{salt64}${stored64}:{server64}"


def _are_whole(statements: Sequence[tuple[str, str, int, int]], commits: int) -> bool:
    """Tell whether statements can be all that were run, as an application may switch off the counting of some."""
    return commits <= _COMMITS + _COMMITS_PER_STATEMENT * sum(calls for _, _, calls, _ in statements)


def _read_script(text: str) -> Script:
    try:
        return read_script(text)
    except ScriptError as error:
        raise QueryError(error.why, where=f"line {error.line}", advice=error.advice) from None
