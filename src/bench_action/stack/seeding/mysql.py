"""Run a dump of MySQL or MariaDB with the client in its container."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import InputError
from bench_action.stack.mysql_script import DatabaseFilter, refuse_commands
from bench_action.stack.script import ScriptError
from bench_action.stack.seeding.feed import Program, Watch, encode, feed

# the images of MariaDB from 11 on have no `mysql`
_CLIENT = 'client=$(command -v mariadb || command -v mysql) && exec "$client" "$@"'
# switches off the commands of the client that run programs; one that does not know an option only warns of it
_NO_PROGRAMS = ("--loose-sandbox", "--loose-system-command=OFF")
_FAILED = re.compile(r"ERROR (?P<code>\d+) \(\w+\)(?: at line (?P<line>\d+)[^:]*)?: (?P<why>.*)")
_QUOTING = re.compile(r" near '.*| for key .*|(?<=Duplicate entry) '.*?'|(?<=value:) '.*'(?= for )")
_OTHER_DATABASE = "write the names of tables, views and routines without that of a database"
_ADVICE = {
    "1227": "dump with `--set-gtid-purged=OFF`, and without DEFINER",
    "1044": _OTHER_DATABASE,
    "1049": _OTHER_DATABASE,
    "1366": "save the text as UTF-8, or name its encoding with SET NAMES",
    "1273": "a newer server wrote it: use an image of that version or later",
}


@dataclass(frozen=True, slots=True)
class Account:
    """Where a dump goes: a database, as a user."""

    handle: Handle
    user: str
    password: str = field(repr=False)
    database: str


def run_dump(engine: Engine, account: Account, text: Iterable[str], watch: Watch) -> str:
    """Run a dump to its end or to its first error; return in one line what was left out of it.

    `text`: with bytes that are no UTF-8, as in binary columns, as surrogates (PEP 383). Raises InputError that names
    the line, and quotes no data.
    """
    options = [f"--user={account.user}", "--host=127.0.0.1", f"--port={account.handle.port}", "--protocol=tcp"]
    options += ["--batch", "--default-character-set=utf8mb4", *_NO_PROGRAMS, account.database]
    program = Program(["sh", "-c", _CLIENT, "sh", *options], "MYSQL_PWD", account.password)
    databases = DatabaseFilter()
    try:
        script = (chunk.encode(errors="surrogateescape") for chunk in refuse_commands(text, databases))
        status, lines = feed(engine, account.handle, program, encode(script), watch, coded=True)
    except ScriptError as error:
        raise InputError(error.why, where=f"line {error.line}", advice=error.advice) from None
    if status:
        failed = next((match for line in lines if (match := _FAILED.match(line))), None)
        if failed is None:
            raise InputError("the client of MySQL exited early", log=lines[:10])
        why = _QUOTING.sub("", failed["why"])
        where = f"line {failed['line']}" if failed["line"] else ""
        raise InputError(f"MySQL refused a statement: {why}", where=where, advice=_ADVICE.get(failed["code"], ""))
    return databases.summarise(account.database)
