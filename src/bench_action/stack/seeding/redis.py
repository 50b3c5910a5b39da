"""Fill Redis (or Valkey) from an RDB file or from commands.

Both become one stream of Redis' protocol, which `redis-cli --pipe` sends. It is kept, so that it can be sent again
after each flush. For an RDB file, a second server next to the first loads it, for as long as its keys are read with
DUMP: a running server loads no file, and restarting it would cost more than sending the stream again.
"""

import re
import secrets
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO

from bench_action.config.seed_files import SeedFile, SeedFileError, SeedFormat
from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import InputError, StackError
from bench_action.stack.seeding.feed import Program, Watch, encode, feed
from bench_action.stack.server import read_until

_IN_MEMORY = 2**24  # bytes of a stream; a longer one is kept in a file
_CHUNK = 2**18
_ANSWER_S = 60.0
_POLL_S = 0.1
_WORD = re.compile(
    r"""\s*(?:"(?P<double>(?:[^"\\]|\\.)*)"(?=\s|$)|'(?P<single>(?:[^'\\]|\\.)*)'(?=\s|$)|(?P<plain>[^\s"']\S*))"""
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}
_RECEIVE = ("sh", "-c", 'cat >"$0/dump.rdb"')
_SERVER = ["--port", "0", "--unixsocket", "socket", "--logfile", "log", "--databases", "10000"]
_SERVER += ["--save", "", "--appendonly", "no", "--daemonize", "yes"]
# one batch of keys: the cursor, then of each key its name, its milliseconds to live and its value, in hexadecimal
_EXPORT = (
    "local digits = {} for i = 0, 255 do digits[string.char(i)] = string.format('%02x', i) end "
    "local function hex(s) return (s:gsub('.', digits)) end "
    "local found = redis.call('SCAN', ARGV[1], 'COUNT', 500) local out = {found[1]} "
    "for _, key in ipairs(found[2]) do local value = redis.call('DUMP', key) if value then "
    "out[#out + 1] = hex(key) .. ' ' .. redis.call('PTTL', key) .. ' ' .. hex(value) end end return out"
)


class RedisSeed:
    """The stream of all seeds of one server. `apply` fills the server, as often as it was flushed."""

    def __init__(self, engine: Engine, handle: Handle, password: str = "") -> None:
        self._engine, self._handle, self._password = engine, handle, password
        self._stream: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (closed with this object)
        weakref.finalize(self, self._stream.close)

    def add(self, kind: SeedFormat, file: SeedFile, watch: Watch) -> int:
        """Add what a file contains; return where it begins in the stream. Raises InputError and SeedFileError."""
        start = self._stream.tell()
        self._stream.write(write_command([b"SELECT", b"0"]))  # what comes before may have selected another database
        if kind == "RDB file":
            self._add_rdb(file.read_bytes(), watch)
            return start
        chunks = file.read_bytes()
        first = next(chunks, b"")
        if first.startswith(b"*"):  # Redis' protocol, such as an append-only file
            for chunk in chain([first], chunks):
                self._stream.write(chunk)
        else:
            for number, line in enumerate(_split_lines(chain([first], chunks)), start=1):
                if line.strip() and not line.lstrip().startswith("#"):
                    self._stream.write(write_command(split_command(line, number)))
        return start

    def apply(self, watch: Watch, start: int = 0, handle: Handle | None = None) -> None:
        """Fill the server, or another of the same kind, with the stream from `start` on.

        Raises InputError for commands that it refuses.
        """
        end, server = self._stream.tell(), handle or self._handle
        if start == end:
            return
        client = ["redis-cli", "-p", str(server.port), "--pipe"]
        program = Program(client, "REDISCLI_AUTH" if self._password else "", self._password)
        try:
            self._stream.seek(start)
            chunks = iter(lambda: self._stream.read(_CHUNK), b"")
            status, lines = feed(self._engine, server, program, encode(chunks), watch, coded=True)
        finally:
            self._stream.seek(end)
        if status:
            raise InputError("Redis refused commands of the seed", log=lines[:10], advice="fix the commands")

    def _add_rdb(self, content: Iterable[bytes], watch: Watch) -> None:
        """Add the keys of an RDB file, and the time that each of them has to live. Raises InputError."""
        status, output = self._engine.exec(self._handle, ["mktemp", "-d"])
        folder = output.strip()
        if status:
            raise StackError("could not make a folder for the RDB file", where=self._handle.name, cause=folder)
        try:
            program = Program([*_RECEIVE, folder])
            status, lines = feed(self._engine, self._handle, program, encode(content), watch, coded=True)
            if status:
                raise StackError("could not write the RDB file", where=self._handle.name, log=lines)
            self._start_server(folder, watch)
            for command in self._export(f"{folder}/socket", watch):
                self._stream.write(write_command(command))
        finally:
            self._engine.exec(self._handle, ["redis-cli", "-s", f"{folder}/socket", "shutdown", "nosave"])
            self._engine.exec(self._handle, ["rm", "-rf", folder])

    def _start_server(self, folder: str, watch: Watch) -> None:
        """Load the file in a second server, which listens on a socket in `folder` only."""
        start = ["sh", "-c", 'cd "$0" && exec redis-server --dir "$0" "$@"', folder, *_SERVER]
        status, output = self._engine.exec(self._handle, start)
        if status:
            raise StackError("could not start a server for the RDB file", where=self._handle.name, cause=output.strip())
        while True:
            _, reply = self._engine.exec(self._handle, ["redis-cli", "-s", f"{folder}/socket", "ping"])
            if "PONG" in reply:
                return
            if "LOADING" not in reply:
                _, log = self._engine.exec(self._handle, ["cat", f"{folder}/log"])
                if re.search(r"(?i)fatal|can't handle|wrong signature|short read|aborting", log):
                    raise _make_rdb_error(log.splitlines())
            watch.wait()
            time.sleep(_POLL_S)

    def _export(self, socket: str, watch: Watch) -> Iterator[Sequence[bytes]]:
        """Read all keys of the second server, as commands that restore them."""
        session = self._engine.session(self._handle, ["redis-cli", "-s", socket])

        def ask(command: str) -> list[str]:
            mark = secrets.token_hex(16)
            session.send(f"{command}\nECHO {mark}\n", _ANSWER_S)
            lines = read_until(session, mark, _ANSWER_S, "Redis")[:-1]
            watch.move()
            return lines

        try:
            for number in re.findall(r"^db(\d+):", "\n".join(ask("INFO keyspace")), re.MULTILINE):
                ask(f"SELECT {number}")
                yield b"SELECT", number.encode()
                cursor = ""
                while cursor != "0":
                    cursor, *keys = ask(f'EVAL "{_EXPORT}" 0 {cursor or 0}')
                    if not cursor.isdecimal():
                        raise StackError("could not read the keys of the RDB file", cause=cursor)
                    for key, ttl, value in map(str.split, keys):
                        life = str(max(0, int(ttl))).encode()
                        yield b"RESTORE", bytes.fromhex(key), life, bytes.fromhex(value), b"REPLACE"
        finally:
            session.close()


def _split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (_decode(line) for line in lines)
    yield _decode(rest)


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        advice = 'write other bytes as "\\xff" in double quotes'
        raise SeedFileError("it is not UTF-8 text", advice) from None


def split_command(line: str, number: int) -> list[bytes]:
    """Split a command into words, as redis-cli does. Raises InputError for quotes that are not closed."""
    words, at = [], 0
    while line[at:].strip():
        word = _WORD.match(line, at)
        if word is None:
            raise InputError("a quote is never closed", where=f"line {number}", advice='quote values like "this"')
        at = word.end()
        if word["double"] is not None:
            words.append(_ESCAPE.sub(_unescape, word["double"].encode()))
        elif word["single"] is not None:
            words.append(word["single"].replace("\\'", "'").encode())
        else:
            words.append(word["plain"].encode())
    return words


def write_command(words: Sequence[bytes]) -> bytes:
    """Write a command in Redis' protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _unescape(match: re.Match[bytes]) -> bytes:
    code, letter = match.groups()
    return bytes([int(code, 16)]) if code else _ESCAPES.get(letter, letter)


def _make_rdb_error(log: Sequence[str]) -> InputError:
    newer = any("handle RDB format" in line for line in log)
    advice = "use an image of the server that wrote it, or later" if newer else "write it again with `redis-cli --rdb`"
    return InputError("the RDB file could not be loaded", log=log[-10:], advice=advice)
