"""Talk to MySQL and MariaDB through their own client, inside their container.

Neither can copy a database. A template is kept as tables in a separate database, and as the statements that create
everything else, written by their dump program: foreign keys, views, triggers, routines and counters survive. A copy is
made by the server itself (`INSERT … SELECT`).
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

from bench_action.engine.protocol import Engine, Handle, Session
from bench_action.model.errors import StackError
from bench_action.model.result import Revision
from bench_action.stack.mysql_script import refuse_commands
from bench_action.stack.script import ScriptError
from bench_action.stack.server import Login, QueryError, Setup, Statements, read_until, require_copied

_ANSWER_S = 60.0
_RENEW_S = 600.0
_COPY_S = 3600.0  # for a large table, of which nothing is heard
_OWN = "bench_action"  # our account, which may do everything, and our database
_PRISTINE = f"{_OWN}_pristine"  # the application's database as the image has made it
_COPIER = f"{_OWN}_copier"  # an account that is there while a database is copied from another server
_DATABASE = "app"  # if the environment names none
_FAILED = re.compile(r"ERROR (?P<code>\d+) \(\w+\)(?: at line (?P<line>\d+))?(?: in [^:]*)?: (?P<why>.*)")
_QUOTING = re.compile(r" near '.*| for key .*|(?<=Duplicate entry) '.*?'|(?<=value:) '.*'(?= for )")
# The shell reads the password from the first line of its input, because every process can read a command line.
_SIGN_IN = "read -r MYSQL_PWD; export MYSQL_PWD; "
_FIND = (
    'program=$(command -v "$1" || command -v "$2") || { echo "ERROR 127 (none): no $1 or $2"; exit 127; }; shift 2; '
)
_CONVERSE = f'{_SIGN_IN}{_FIND}exec "$program" "$@" 2>&1'
# `head` ends the input with the script; the rest that the client does not read is discarded, so that we can write all.
_RUN = (
    f'mark=$1 size=$2; shift 2; {_SIGN_IN}{_FIND}head -c "$size" | '
    '{ "$program" "$@" 2>&1 >/dev/null; status=$?; cat >/dev/null; echo; echo "$mark $status"; }'
)
_DUMP = (
    f'mark=$1; shift; {_SIGN_IN}{_FIND}errors=$(mktemp); "$program" "$@" 2>"$errors"; status=$?; '
    '[ "$status" = 0 ] || cat "$errors"; rm -f "$errors"; echo; echo "$mark $status"'
)
# copies a database to another server
_COPY = (
    f"exec 3>&1; mark=$1 host=$2 port=$3; shift 3; read -r other; {_SIGN_IN}"
    "dumper=$(command -v mariadb-dump || command -v mysqldump); client=$(command -v mariadb || command -v mysql); "
    """{ "$dumper" "$@" 2>&3; echo "SELECT '$mark written $?';"; } | """
    'MYSQL_PWD=$other "$client" --batch --skip-column-names --protocol=tcp --host="$host" --port="$port" '
    f'--user={_COPIER} --loose-skip-ssl-verify-server-cert --loose-get-server-public-key 2>&1; echo "$mark read $?"'
)
_CLIENTS = ("mariadb", "mysql")  # images of MariaDB from 11 on have no `mysql`
_DUMPERS = ("mariadb-dump", "mysqldump")
_DUMP_OPTIONS = ("--skip-comments", "--no-tablespaces", "--skip-lock-tables", "--loose-set-gtid-purged=OFF")
_CLIENT_OPTIONS = ("--batch", "--skip-column-names", "--unbuffered", "--skip-auto-rehash")
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "0": "\0"}
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_type <> 'VIEW' AND table_schema = "
_COLUMNS = (
    "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t"
    " USING (table_schema, table_name) WHERE t.table_type NOT IN ('VIEW', 'SEQUENCE')"
    " AND coalesce(c.generation_expression, '') = '' AND c.table_schema = {}"
    " ORDER BY c.table_name, c.ordinal_position"
)
# our own statements are not counted
_UNCOUNTED = "UPDATE performance_schema.threads SET INSTRUMENTED = 'NO' WHERE PROCESSLIST_ID = CONNECTION_ID()"
# sessions of others that have switched their counting off or use our database, and what is switched off for all
_EVADING = f"""SELECT
(SELECT count(*) FROM performance_schema.threads WHERE type = 'FOREGROUND'
  AND processlist_user NOT IN ('{_OWN}', 'event_scheduler', 'system user')
  AND (instrumented = 'NO' OR processlist_db = '{_OWN}'))
+ (SELECT count(*) FROM performance_schema.setup_consumers WHERE enabled = 'NO'
  AND name IN ('global_instrumentation', 'thread_instrumentation', 'statements_digest'))
+ (SELECT count(*) FROM performance_schema.setup_instruments WHERE enabled = 'NO' AND name LIKE 'statement/%')"""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# what a revision may leave on the server outside of its database, and what lists it
_REST = {
    "EVENT": "SELECT event_schema, event_name FROM information_schema.events",
    "DATABASE": "SELECT schema_name FROM information_schema.schemata",
    "USER": "SELECT user, host FROM mysql.user",
}
_OTHERS = (
    "SELECT id FROM information_schema.processlist WHERE id <> connection_id()"
    " AND user NOT IN ('event_scheduler', 'system user', 'unauthenticated user')"
)
_STATISTICS = {
    "innodb_table_stats": "table_name, last_update, n_rows, clustered_index_size, sum_of_other_index_sizes",
    "innodb_index_stats": "table_name, index_name, last_update, stat_name, stat_value, sample_size, stat_description",
}


@dataclass(frozen=True, slots=True)
class Template:
    """What a template's tables do not say: the statements before and after their rows are copied, and its options."""

    begin: str
    columns: Mapping[str, Sequence[str]]
    triggers: str
    charset: str
    collation: str


class Mysql:
    """The MySQL or MariaDB server of a slot."""

    booleans = ("ON", "OFF")

    def __init__(self, engine: Engine, handle: Handle, login: Login, root: str) -> None:
        """Keep what is needed to connect. `root`: the password of root."""
        self.handle = handle
        self.login = login
        self._root = root
        self._password = secrets.token_hex(16)  # of our own account
        self._engine = engine
        self._sessions: dict[str, Session] = {}
        self._templates: dict[str, Template] = {}
        self._variables: dict[str, str] = {}
        self._rest: dict[str, set[str]] = {}

    @classmethod
    def connect(cls, engine: Engine, handle: Handle, setup: Setup) -> Self:
        """Make the client; accounts are read from the environment, whose defaults are those of the official images."""
        root = _read(setup.env, "ROOT_PASSWORD")
        user = _read(setup.env, "USER") or "root"
        password = root if user == "root" else _read(setup.env, "PASSWORD")
        return cls(engine, handle, Login(user, password, _read(setup.env, "DATABASE") or _DATABASE), root)

    @staticmethod
    def complete(env: Mapping[str, str], password: str) -> dict[str, str]:
        """Add root's password, unless it is known or empty, and the name of a database."""
        own = {name: value for name, value in env.items() if "RANDOM_ROOT_PASSWORD" not in name}
        if not any("ROOT_PASSWORD" in name or "ALLOW_EMPTY" in name for name in own):
            own["MYSQL_ROOT_PASSWORD"] = password
        return own if _read(own, "DATABASE") else {**own, "MYSQL_DATABASE": _DATABASE}

    def copied_to(self, handle: Handle) -> Self:
        """Return the server of another slot, whose data are a copy of this one's."""
        server = copy(self)
        server.handle, server._sessions = handle, {}  # noqa: SLF001 (a copy of this object)
        return server

    def probe(self) -> str:
        """Return an empty text once it answers over TCP, else why not.

        While it initialises its data, it listens on its socket only.
        """
        find = _FIND + 'exec "$program" "$@" 2>&1'
        where = ["--protocol=tcp", "--host=127.0.0.1", f"--port={self.handle.port}", "--connect-timeout=2"]
        # a server that refuses the account has answered
        command = ["sh", "-c", find, "sh", "mariadb-admin", "mysqladmin", *where, "ping"]
        status, output = self._engine.exec(self.handle, command)
        return "" if status == 0 else output.strip() or "mysqladmin did not answer"

    def open(self) -> None:
        """Create our account and database, and check that queries can be counted. Raises StackError if not."""
        try:
            self._execute_as("root", "mysql", *self._create_own())
        except QueryError as error:
            advice = "give root's password as MYSQL_ROOT_PASSWORD, not in a file or as a hash"
            raise StackError(
                f"could not sign in to {self.handle.name} as root", cause=error.what, advice=advice
            ) from error
        if self._execute("SELECT @@performance_schema") != ["1"]:
            raise StackError(
                f"{self.handle.name} cannot count queries: its performance_schema is off",
                advice="remove `performance_schema` from its `settings` and `command`, or use an image that has it",
            )
        self._rest["EVENT"] = self._list_rest("EVENT")
        self.keep_as(_PRISTINE)

    def close(self) -> None:
        """Close all connections; the next statement opens a new one."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def address(self) -> dict[str, str]:
        """Return how an application reaches its database: what placeholders name of it."""
        return self.login.address(self.handle, "mysql")

    def adopt(self, origin: Handle, revision: Revision) -> None:
        """Copy the application's database of another server of the same image, in the same slot.

        A revision's subjects begin with it in the place of what this server's image has made. Raises StackError.
        """
        copier = f"{quote_text(_COPIER)}@'%'"
        made = f"CREATE USER {copier} IDENTIFIED BY {quote_text(self._password)}"
        self._execute(f"{made};\nGRANT ALL ON *.* TO {copier} WITH GRANT OPTION")
        try:
            self._copy_from(origin)
        except StackError:
            self._execute(f"DROP DATABASE IF EXISTS {quote_name(self.login.database)}")
            raise
        finally:
            self._execute(f"DROP USER {copier}")
        self.keep_as(_name_pristine(revision))
        if {_name_pristine("base"), _name_pristine("head")} <= self._templates.keys():
            self.drop_template(_PRISTINE)  # it takes memory in every slot, and nobody begins with it

    def _copy_from(self, origin: Handle) -> None:
        mark, everything = secrets.token_hex(16), ("--routines", "--events", "--triggers")
        words = [*_DUMP_OPTIONS, *_sign_in("root"), *everything, "--databases", self.login.database]
        ends = [mark, self.handle.host, str(self.handle.port)]
        session = self._engine.session(origin, ["sh", "-c", _COPY, "sh", *ends, *words])
        try:
            session.send(f"{self._password}\n{self._root}\n")
            require_copied(read_until(session, f"{mark} read", _COPY_S, "MySQL"), mark, origin.name)
        finally:
            session.close()

    def renew(self, template: str = "", *, revision: Revision = "head") -> None:
        """Replace the application's database by a copy of a template; clients that are connected are cut off.

        `template`: empty for the database as the image has made it, for this revision.
        """
        self._cut_off()
        if template:
            self._variables = self._variables or self._read_variables()
            self._drop_rest()
        pristine = _name_pristine(revision) if _name_pristine(revision) in self._templates else _PRISTINE
        name = template or pristine
        kept, database = self._templates[name], quote_name(self.login.database)
        fast = "SET foreign_key_checks = 0, unique_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\n"
        script = [
            f"DROP DATABASE IF EXISTS {database};",
            f"CREATE DATABASE {database} CHARACTER SET {kept.charset} COLLATE {kept.collation};",
            f"USE {database};\n{fast}{kept.begin}\n{fast}",
            *(_copy_rows(table, columns, name) for table, columns in kept.columns.items()),
            kept.triggers,
            *(self._copy_statistics(table, name) for table in _STATISTICS),
        ]
        if kept.columns:
            script.append(f"FLUSH TABLES {', '.join(map(quote_name, kept.columns))};")
        self._run(_OWN, "", "\n".join(script) + "\n", _RENEW_S)
        if template:
            self._end_others()  # also what an event of the database that was dropped is still running
            self._restore_variables()

    def analyse(self, patience_s: float) -> None:
        """Collect the planner's statistics on the tables of the application's database."""
        if tables := self._execute(_TABLES + quote_text(self.login.database)):
            names = ", ".join(f"{quote_name(self.login.database)}.{quote_name(_unescape(table))}" for table in tables)
            self._execute_as(_OWN, _OWN, f"ANALYZE TABLE {names}", patience_s=patience_s)

    def keep_as(self, template: str) -> None:
        """Turn the application's database into a template; clients that are connected are cut off."""
        self._forget(self.login.database)
        self._cut_off()
        own, new = self.login.database, quote_name(template)
        self._templates[template] = kept = self._describe(own)
        tables = [quote_name(_unescape(table)) for table in self._execute(_TABLES + quote_text(own))]
        moves = ", ".join(f"{quote_name(own)}.{table} TO {new}.{table}" for table in tables)
        self.drop_template(template, forget=False)
        self._execute(
            f"CREATE DATABASE {new} CHARACTER SET {kept.charset} COLLATE {kept.collation};\n"
            + "".join(
                f"DROP TRIGGER {quote_name(own)}.{quote_name(_unescape(name))};\n" for name in self._list_triggers()
            )
            + (f"SET foreign_key_checks = 0;\nRENAME TABLE {moves};\nSET foreign_key_checks = 1;\n" if moves else "")
            + f"DROP DATABASE {quote_name(own)}"
        )

    def drop_template(self, template: str, *, forget: bool = True) -> None:
        """Drop a template. `forget`: also what we know of it."""
        self._execute(f"DROP DATABASE IF EXISTS {quote_name(template)}")
        if forget:
            self._templates.pop(template, None)

    def describe_template(self, template: str) -> list[str]:
        """List the schema of a template and the rows of each table: equal for two that look the same to the planner."""
        kept = self._templates[template]
        counts = [
            f"SELECT {quote_text(table)}, count(*) FROM {quote_name(template)}.{quote_name(table)}"
            for table in kept.columns
        ]
        return [
            *kept.begin.splitlines(),
            *kept.triggers.splitlines(),
            *(self._execute(";\n".join(counts)) if counts else []),
        ]

    def execute(self, text: str) -> list[str]:
        """Run statements in the application's database as our account; return their rows, one line each.

        Raises QueryError for the first that fails.
        """
        _require_plain(text)
        return self._execute(text, self.login.database)

    def count_rows(self, most: int) -> dict[str, int]:
        """Count the rows of each table of the application's database, up to `most`."""
        names = [_unescape(table) for table in self._execute(_TABLES + quote_text(self.login.database))]
        counts = [f"SELECT count(*) FROM (SELECT 1 FROM {quote_name(table)} LIMIT {most}) AS t" for table in names]
        rows = self._execute(";\n".join(counts), self.login.database) if counts else []
        return {table: int(number) for table, number in zip(names, rows, strict=True)}

    def connections(self) -> int:
        """Count the connections that applications have to their database now."""
        return len(self._list_clients())

    def statements(self) -> Statements:
        """Read what has been run on the server, except by us."""
        lost, evading, *rows = self._execute(
            f"SHOW GLOBAL STATUS LIKE 'Performance_schema_digest_lost';\n{_EVADING};\n"
            "SELECT concat_ws(' ', schema_name, digest, first_seen), count_star, sum_rows_affected + sum_rows_sent,"
            " digest_text FROM performance_schema.events_statements_summary_by_digest"
            f" WHERE digest IS NOT NULL AND coalesce(schema_name, '') <> '{_OWN}'"
        )
        columns = [row.split("\t") for row in rows]
        statements = [(key, _unescape(text), int(calls), int(n)) for key, calls, n, text in columns]
        return Statements(statements, lost, whole=evading == "0")

    def _read_variables(self) -> dict[str, str]:
        return dict(row.split("\t", 1) for row in self._execute("SHOW GLOBAL VARIABLES"))

    def _restore_variables(self) -> None:
        """Undo what a subject has set for the whole server since they were read, if it may be set while it runs."""
        found = self._read_variables()
        for name, value in self._variables.items():
            if found.get(name) != value:
                restored = _write_value(_unescape(value))
                self._execute(f"SET GLOBAL {quote_name(name)} = {restored}", tolerated="ERROR 1238")  # read-only

    def _drop_rest(self) -> None:
        """Drop what a subject has left outside of its database: events, other databases and accounts.

        Databases and accounts stay that were there at the first call, as `setup` may have made them. Of events, which
        run on their own, only those of the image stay, and none runs until variables are restored.
        """
        self._execute("SET GLOBAL event_scheduler = OFF", tolerated="ERROR 1290")  # it is disabled for good
        for kind in _REST:
            found = self._list_rest(kind)
            for row in found - self._rest.setdefault(kind, found):
                self._execute(f"DROP {kind} IF EXISTS {_name_rest(kind, row)}", tolerated="ERROR 1396")  # a role
        self._end_others()

    def _end_others(self) -> None:
        """End all connections but this one: of clients, and of events, which may run as any account."""
        for database in [*self._sessions]:
            if database != _OWN:
                self._forget(database)
        for client in self._execute(_OTHERS):
            self._execute(f"KILL {client}", tolerated="ERROR 1094")  # it may have ended by now

    def _list_rest(self, kind: str) -> set[str]:
        own = {_OWN, *self._templates, self.login.database}
        return {row for row in self._execute(_REST[kind]) if kind == "USER" or row.split("\t")[0] not in own}

    def _create_own(self) -> list[str]:
        account = f"{quote_text(_OWN)}@'localhost'"
        return [
            f"CREATE USER {account} IDENTIFIED BY {quote_text(self._password)}",
            f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION",
            f"CREATE DATABASE {_OWN}",
            f"CREATE DATABASE IF NOT EXISTS {quote_name(self.login.database)}",
        ]

    def _list_clients(self) -> list[str]:
        return self._execute(
            f"SELECT id FROM information_schema.processlist WHERE db = {quote_text(self.login.database)}"
            f" AND user <> '{_OWN}'"
        )

    def _list_triggers(self) -> list[str]:
        where = f"trigger_schema = {quote_text(self.login.database)}"
        return self._execute(f"SELECT trigger_name FROM information_schema.triggers WHERE {where}")

    def _cut_off(self) -> None:
        """End the connections of all clients to the application's database, and ours."""
        self._forget(self.login.database)
        for client in self._list_clients():
            self._execute(f"KILL {client}", tolerated="ERROR 1094")  # it may have ended by now

    def _describe(self, database: str) -> Template:
        columns: dict[str, list[str]] = {}
        for row in self._execute(_COLUMNS.format(quote_text(database))):
            table, column = map(_unescape, row.split("\t"))
            columns.setdefault(table, []).append(column)
        where = f"schema_name = {quote_text(database)}"
        names = "default_character_set_name, default_collation_name"
        charset, collation = self._execute(f"SELECT {names} FROM information_schema.schemata WHERE {where}")[0].split()
        begin = self._dump(database, "--skip-triggers", "--routines", "--events")
        return Template(begin, columns, self._dump(database, "--no-create-info", "--triggers"), charset, collation)

    def _copy_statistics(self, table: str, template: str) -> str:
        """Write the statement that gives the copies the statistics of a template, as the tables are the same."""
        columns = _STATISTICS[table]
        return (
            f"REPLACE INTO mysql.{table} (database_name, {columns}) SELECT {quote_text(self.login.database)}, {columns}"
            f" FROM mysql.{table} WHERE database_name = {quote_text(template)};"
        )

    def _forget(self, database: str) -> None:
        """Close our connection to a database."""
        if database in self._sessions:
            self._sessions.pop(database).close()

    def _execute(self, text: str, database: str = _OWN, tolerated: str = "ERROR 0") -> list[str]:
        if database not in self._sessions:
            self._sessions[database] = session = self._open_session(_OWN, _OWN)
            self._converse(session, f"{_UNCOUNTED};\nUSE {quote_name(database)}")
        return self._converse(self._sessions[database], text, tolerated=tolerated)

    def _execute_as(self, user: str, database: str, *texts: str, patience_s: float = _ANSWER_S) -> list[str]:
        session = self._open_session(user, database)
        try:
            return [row for text in texts for row in self._converse(session, text, patience_s)]
        finally:
            session.close()

    def _open_session(self, user: str, database: str) -> Session:
        options = [*_CLIENT_OPTIONS, "--force", *_sign_in(user), database]
        session = self._engine.session(self.handle, ["sh", "-c", _CONVERSE, "sh", *_CLIENTS, *options])
        session.send(self._get_password(user) + "\n")
        return session

    def _get_password(self, user: str) -> str:
        return {_OWN: self._password, "root": self._root}.get(user, self.login.password)

    def _converse(
        self, session: Session, text: str, patience_s: float = _ANSWER_S, tolerated: str = "ERROR 0"
    ) -> list[str]:
        mark = secrets.token_hex(16)
        try:
            session.send(f"{text}\n;SELECT '{mark}';\n", patience_s)
            rows = read_until(session, mark, patience_s, "MySQL")[:-1]
        except StackError as error:  # the client exits if it cannot connect
            if refused := next((line for line in error.log if _FAILED.match(line)), ""):
                raise QueryError(f"MySQL refused the connection: {refused}") from error
            raise
        rows = [row for row in rows if not row.startswith(("ERROR 1065 ", tolerated))]  # 1065: an empty statement
        if refused := next((row for row in rows if _FAILED.match(row)), ""):
            where = " ".join(text.split())
            where = where if len(where) <= 200 else where[:200] + "…"
            raise QueryError(f"MySQL refused a statement: {refused}", where=where, log=rows[:5])
        return rows

    def _run(self, user: str, database: str, text: str, patience_s: float) -> None:
        """Run a script to its end or to its first error. Raises QueryError, which quotes nothing of it."""
        mark, script = secrets.token_hex(16), text if text.endswith("\n") else f"{text}\n"
        options = [*_CLIENT_OPTIONS, *_sign_in(user), *([database] if database else [])]
        command = ["sh", "-c", _RUN, "sh", mark, str(len(script.encode())), *_CLIENTS, *options]
        lines = self._collect(command, user, mark, script, patience_s)
        if lines.pop() == f"{mark} 0":
            return
        failed = next((match for line in lines if (match := _FAILED.match(line))), None)
        if failed is None:
            raise QueryError("the client of MySQL exited before the end of the script", log=lines[:10])
        where = f"line {failed['line']}" if failed["line"] else ""
        raise QueryError(f"MySQL refused a statement: {_QUOTING.sub('', failed['why'])}", where=where)

    def _dump(self, database: str, *options: str) -> str:
        mark = secrets.token_hex(16)
        words = ["--no-data", *_DUMP_OPTIONS, *_sign_in(_OWN), *options, database]
        lines = self._collect(["sh", "-c", _DUMP, "sh", mark, *_DUMPERS, *words], _OWN, mark, "", _ANSWER_S)
        if lines.pop() != f"{mark} 0":
            advice = "use an image that contains mysqldump or mariadb-dump, such as the official one"
            raise StackError(f"could not describe the database {database}", log=lines[-10:], advice=advice)
        return "\n".join(lines).strip()

    def _collect(self, command: Sequence[str], user: str, mark: str, text: str, patience_s: float) -> list[str]:
        session = self._engine.session(self.handle, command)
        try:
            session.send(self._get_password(user) + "\n" + text, patience_s)
            return read_until(session, mark, patience_s, "MySQL")
        finally:
            session.close()


def _name_pristine(revision: Revision) -> str:
    """Name what a revision's own image has made, if that differs from what base and head share."""
    return f"{_PRISTINE}_{revision}"


def quote_name(name: str) -> str:
    """Quote a name for SQL."""
    return "`" + name.replace("`", "``") + "`"


def _name_rest(kind: str, row: str) -> str:
    """Name what a row of `_REST` is about."""
    parts = [_unescape(part) for part in row.split("\t")]
    return "@".join(map(quote_text, parts)) if kind == "USER" else ".".join(map(quote_name, parts))


def quote_text(text: str) -> str:
    """Quote a text for SQL."""
    escaped = text.replace("\\", r"\\").replace("'", "''")
    return f"'{escaped}'"


def _sign_in(user: str) -> list[str]:
    return [f"--user={user}", "--default-character-set=utf8mb4"]


def _copy_rows(table: str, columns: Sequence[str], template: str) -> str:
    """Write the statement that copies a table's rows, without columns that the server computes."""
    names = ", ".join(map(quote_name, columns))
    return f"INSERT INTO {quote_name(table)} ({names}) SELECT {names} FROM {quote_name(template)}.{quote_name(table)};"


def _read(env: Mapping[str, str], name: str) -> str:
    """Read a variable of the official images: MariaDB's have two names for each."""
    return env.get(f"MARIADB_{name}") or env.get(f"MYSQL_{name}") or ""


def _require_plain(text: str) -> None:
    """Require that a script contains no command of the client, which may run programs. Raises QueryError."""
    try:
        for _ in refuse_commands([text]):
            pass
    except ScriptError as error:
        raise QueryError(error.why, where=f"line {error.line}", advice=error.advice) from None


def _write_value(value: str) -> str:
    return value if _NUMBER.fullmatch(value) else quote_text(value)


def _unescape(text: str) -> str:
    """Read a value as the client writes it in batch mode."""
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)
