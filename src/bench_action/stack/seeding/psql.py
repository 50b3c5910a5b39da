"""Run SQL scripts and pg_dump's archives with PostgreSQL's own programs, next to its server."""

import base64
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench_action.engine.protocol import Engine
from bench_action.model.errors import InputError, StackError
from bench_action.stack.postgres import Postgres
from bench_action.stack.script import Piece, ScriptError, read_pieces
from bench_action.stack.seeding.dump import Cluster, DumpFilter
from bench_action.stack.seeding.feed import Program, Watch, encode, feed

APPLICATION = "bench-action-seed"  # the name of its connections
_FAILED = re.compile(r"psql:(?:<stdin>:(?P<line>\d+):)?\s*(?:ERROR|FATAL|PANIC|error):\s*(?P<why>.*)")
_RESTORE_FAILED = re.compile(r"pg_restore:.* (?:error|ERROR):\s*(?:could not execute query: ERROR:\s*)?(?P<why>.*)")
# parts of PostgreSQL's messages that quote a script or its data
_QUOTING = re.compile(r' at character \d+$| at or near ".*|: ".*')
_REMEMBERED = 20_000  # statements, or a megabyte of short ones; psql cannot be further behind
_FACTS = """
SELECT 'role ' || rolname FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')
UNION ALL SELECT 'setting ' || lower(name) FROM pg_settings
UNION ALL SELECT 'extension ' || extname FROM pg_extension
UNION ALL SELECT 'superuser yes' FROM pg_roles WHERE rolname = current_user AND rolsuper"""
# the beginnings of messages, as regular expressions
_ADVICE = {
    "permission denied to create extension": "only a superuser can create it: list it in `extensions`",
    "must be owner of": "dump with `pg_dump --no-owner --no-privileges --no-comments`",
    "must be able to set role": "dump with `pg_dump --no-owner --no-privileges`",
    "must be member of role": "dump with `pg_dump --no-owner --no-privileges`",
    'role ".*" does not exist': "dump with `pg_dump --no-owner --no-privileges`: other roles do not exist here",
    'extension ".*" is not available|could not open extension control file': "use an image that contains the "
    "extension, such as `postgis/postgis` for postgis",
    "unsupported version": "a newer pg_dump wrote it: use an image of that version or later for the service, or dump "
    "with `pg_dump --format=plain`",
    "could not write": "the data do not fit: seed with less, or give the machine more memory",
    "could not extend": "the data do not fit: seed with less, or give the machine more memory",
}


@dataclass(frozen=True, slots=True)
class SeedDatabase:
    """Where a seed goes: the application's database, as the application's role."""

    server: Postgres

    @property
    def name(self) -> str:
        """The name of the database."""
        return self.server.login.database

    def make_program(self, program: str, *arguments: str) -> Program:
        """Make a client's command line. Over TCP, because pg_hba.conf accepts the password there."""
        where = {
            "host": "127.0.0.1",
            "port": self.server.handle.port,
            "user": self.server.login.user,
            "dbname": self.name,
        }
        where |= {"application_name": APPLICATION, "options": "-c client_min_messages=error"}
        target = " ".join(f"{key}={_quote(str(value))}" for key, value in where.items())
        return Program([program, *arguments, "--dbname", target], "PGPASSWORD", self.server.login.password)

    def read_cluster(self) -> Cluster:
        """Read what exists in the cluster."""
        facts: dict[str, set[str]] = {}
        for row in self.server.execute_as(self.server.login.user, self.name, _FACTS):
            kind, _, name = row.partition(" ")
            facts.setdefault(kind, set()).add(name)
        roles, settings, extensions = (frozenset(facts.get(kind, ())) for kind in ("role", "setting", "extension"))
        return Cluster(roles, settings, extensions, may_create="superuser" in facts)


def _quote(value: str) -> str:
    """Write a value of a connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(slots=True)
class _Recent:
    """The last statements that were sent, to name the one at which a script stopped."""

    statements: list[tuple[int, int, int, str]] = field(default_factory=list)
    count: int = 0

    def watch(self, pieces: Iterable[Piece]) -> Iterator[str]:
        """Give out the texts of pieces."""
        for piece in pieces:
            if piece.code:
                self.count += 1
                self.statements.append((self.count, piece.first, piece.last, piece.kind))
                if len(self.statements) > 2 * _REMEMBERED:
                    del self.statements[:_REMEMBERED]
            yield piece.text

    def describe_line(self, line: int) -> str:
        """Name a line and its statement: psql reports the line on which a statement, or COPY's data, end."""
        begun = [statement for statement in self.statements if statement[1] <= line]
        ends = [statement for statement in begun if line <= statement[2]]
        if not begun:
            return f"line {line}"
        number, first, _, kind = ends[0] if ends else begun[-1]
        return f"line {line}, in statement {number} ({kind}), which begins on line {first}"


def run_script(engine: Engine, database: SeedDatabase, text: Iterable[str], watch: Watch) -> str:
    """Run a script to its end or to its first error; return in one line what was left out of it.

    Raises InputError, which quotes nothing of the script.
    """
    dump = DumpFilter(database.read_cluster())
    _run_filtered(engine, database, dump, text, watch)
    return dump.summarise()


def _run_filtered(engine: Engine, database: SeedDatabase, dump: DumpFilter, text: Iterable[str], watch: Watch) -> None:
    recent = _Recent()
    quiet = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-f", "-"]
    try:
        stream = recent.watch(dump.filter(read_pieces(text)))
        status, lines = feed(engine, database.server.handle, database.make_program("psql", *quiet), stream, watch)
    except ScriptError as error:
        raise InputError(error.why, where=f"line {error.line}", advice=error.advice) from None
    if status:
        failed = next((match for line in lines if (match := _FAILED.match(line))), None)
        where = recent.describe_line(int(failed["line"])) if failed and failed["line"] else ""
        raise _make_error(engine, database, failed["why"] if failed else "", lines, where)


def restore_archive(engine: Engine, database: SeedDatabase, read: Callable[[], Iterable[bytes]], watch: Watch) -> str:
    """Restore an archive (pg_dump's formats custom and tar), without owners and privileges.

    `read`: reads it from its beginning. Returns in one line what was left out of it. Raises InputError.
    """
    with _make_folder(engine, database) as folder:
        return _Archive(engine, database, folder, read, watch).restore()


def restore_folder(engine: Engine, database: SeedDatabase, source: Path, watch: Watch) -> str:
    """Restore a folder that pg_dump wrote (its format directory). Returns and raises the same as `restore_archive`."""
    with _make_folder(engine, database) as folder:
        unpack = Program(["tar", "-xf", "-", "-C", folder])
        status, lines = feed(engine, database.server.handle, unpack, encode(pack_folder(source)), watch, coded=True)
        if status:
            raise StackError("could not copy the folder of the dump", where=database.server.handle.name, log=lines[:10])
        return _Archive(engine, database, folder, lambda: (), watch, folder).restore()


_RESTORE = ("--no-owner", "--no-privileges", "--no-comments", "--exit-on-error")


@dataclass(frozen=True, slots=True)
class _Archive:
    """An archive that is being restored: its definitions as a script, to leave out of it what is left out of any dump.

    `folder`: where the script is written, in the container. `read`: reads what pg_restore gets as input. `path`: of an
    archive that is in the container.
    """

    engine: Engine
    database: SeedDatabase
    folder: str
    read: Callable[[], Iterable[bytes]]
    watch: Watch
    path: str = ""

    def restore(self) -> str:
        dump = DumpFilter(self.database.read_cluster())
        self._define(dump, "pre-data")
        self._run(self.database.make_program("pg_restore", "--section=data", *_RESTORE, *self._list_paths()))
        self._define(dump, "post-data")
        return dump.summarise()

    def _define(self, dump: DumpFilter, section: str) -> None:
        """Run the statements of a section."""
        script = f"{self.folder}/bench-action.sql"
        write = ["pg_restore", f"--section={section}", f"--file={script}", *_RESTORE, *self._list_paths()]
        self._run(Program(write))
        # base64, as the engine may change line breaks
        status, output = self.engine.exec(self.database.server.handle, ["base64", script])
        if status:
            raise StackError("could not read the definitions of the archive", cause=output.strip())
        try:
            text = base64.b64decode(output).decode()
        except UnicodeDecodeError:
            raise InputError("the archive is not in UTF-8", advice="dump with `pg_dump --encoding=UTF8`") from None
        try:
            _run_filtered(self.engine, self.database, dump, [text], self.watch)
        except InputError as error:
            where = f"`pg_restore --section={section} --file=-`, {error.where}"
            raise InputError(error.what, where=where, advice=error.advice, log=error.log) from error

    def _run(self, program: Program) -> None:
        handle = self.database.server.handle
        status, lines = feed(self.engine, handle, program, encode(self.read()), self.watch, coded=True)
        if status:
            failed = next((match for line in lines if (match := _RESTORE_FAILED.match(line))), None)
            raise _make_error(self.engine, self.database, failed["why"] if failed else "", lines, "")

    def _list_paths(self) -> list[str]:
        return [self.path] if self.path else []


@contextmanager
def _make_folder(engine: Engine, database: SeedDatabase) -> Iterator[str]:
    """Make a temporary folder in the container of a server."""
    handle = database.server.handle
    status, output = engine.exec(handle, ["mktemp", "-d"])
    folder = output.strip()
    if status:
        raise StackError("could not make a folder for the archive", where=handle.name, cause=folder)
    try:
        yield folder
    finally:
        engine.exec(handle, ["rm", "-rf", folder])


def pack_folder(folder: Path) -> Iterator[bytes]:
    """Write the files of a folder as a tar stream."""
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            yield info.tobuf()
            left = info.size
            while left and (chunk := file.read(min(left, 2**18))):
                left -= len(chunk)
                yield chunk
            yield bytes(left + -info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _make_error(engine: Engine, database: SeedDatabase, why: str, lines: Sequence[str], where: str) -> InputError:
    why = _QUOTING.sub("", why)
    if not why:
        return InputError("PostgreSQL's client exited early", where=where, log=lines[:10])
    advice = next((advice for sign, advice in _ADVICE.items() if re.match(sign, why)), "")
    log = engine.logs(database.server.handle) if any("server" in line for line in lines) else []
    return InputError(f"PostgreSQL refused a statement: {why}", where=where, advice=advice, log=log)
