"""Find out what kind of seed a file is, and read it, compressed or not."""

import codecs
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SeedFormat = Literal["sql", "mysql dump", "pg_dump archive", "pg_dump folder", "RDB file", "Redis commands"]
FILLS: dict[SeedFormat, str] = {
    "sql": "postgres",
    "pg_dump archive": "postgres",
    "pg_dump folder": "postgres",
    "mysql dump": "mysql",
    "RDB file": "redis",
    "Redis commands": "redis",
}
CONTENTS = "toc.dat"  # the file that a folder or a tar file of pg_dump begins with
_CHUNK = 2**18
_HEAD = 4096
_MOST = 2**34  # bytes, unpacked: data are kept in memory
_PACKED = re.compile(r"\.(gz|zst|zstd)$", re.IGNORECASE)
_COMMANDS = re.compile(r"\.(redis|resp|aof)$", re.IGNORECASE)
_RDB = re.compile(rb"(?:REDIS\d{4}|VALKEY\d{3})")
_MYSQL = re.compile(rb"(?:/\*M?!\d+.{0,60}\*/;?\s*)?-- (?:MySQL|MariaDB) dump |-- phpMyAdmin SQL Dump")
_UNPACKING_ERRORS = (OSError, EOFError, zlib.error, zstd.ZstdError)


class SeedFileError(ValueError):
    """A file is no seed, or cannot be read: why, and what to do."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(why)
        self.why, self.advice = why, advice


@dataclass(slots=True)
class SeedFile:
    """An open seed. `size`: of the file, in bytes, as it is on disk."""

    size: int
    _raw: IO[bytes]
    _unpack: Callable[[IO[bytes]], IO[bytes]]

    @property
    def position(self) -> int:
        """How many bytes of the file have been read."""
        return self._raw.tell()

    def read_bytes(self) -> Iterator[bytes]:
        """Read what the file contains from its beginning, unpacked.

        Raises SeedFileError if it is damaged or too large.
        """
        self._raw.seek(0)
        unpacked, total = self._unpack(self._raw), 0
        while chunk := _read(unpacked):
            total += len(chunk)
            if total > _MOST:
                raise SeedFileError(f"it is larger than {_MOST // 2**30} GiB, unpacked", "seed with less data")
            yield chunk

    def read_text(self, *, any_bytes: bool = False) -> Iterator[str]:
        """Read UTF-8 text, or UTF-16 text with a byte order mark. Raises SeedFileError.

        `any_bytes`: read what is no UTF-8 as surrogates (PEP 383).
        """
        decoder = None
        try:
            for chunk in self.read_bytes():
                decoder = decoder or _make_decoder(chunk, any_bytes=any_bytes)
                yield decoder.decode(chunk)
            if decoder is not None:
                decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            advice = "save it as UTF-8, or dump it with `pg_dump --encoding=UTF8`"
            raise SeedFileError("it is not UTF-8 text", advice) from None


@contextmanager
def open_seed(path: Path) -> Iterator[SeedFile]:
    """Open a seed, which may be compressed with gzip or zstd; its name does not matter. Raises SeedFileError."""
    try:
        with path.open("rb") as raw:
            yield SeedFile(path.stat().st_size, raw, _find_packing(raw.read(4)))
    except OSError as error:
        raise SeedFileError(f"it cannot be read: {error.strerror or error}", "check the file") from error


def _find_packing(magic: bytes) -> Callable[[IO[bytes]], IO[bytes]]:
    if magic.startswith(b"\x1f\x8b"):
        return lambda raw: cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if magic == b"\x28\xb5\x2f\xfd":
        return lambda raw: cast("IO[bytes]", zstd.ZstdFile(raw))
    return lambda raw: raw


def _read(unpacked: IO[bytes]) -> bytes:
    try:
        return unpacked.read(_CHUNK)
    except _UNPACKING_ERRORS as error:
        raise SeedFileError(f"it cannot be unpacked: {error}", "compress it again with `gzip` or `zstd`") from error


def find_format(path: Path, fills: str = "") -> SeedFormat:
    """Find out what a file or a folder contains; `fills`: the kind of the service that it is meant for, if known.

    Raises SeedFileError if it is no seed, or not one for that kind.
    """
    if path.is_dir():
        return "pg_dump folder"
    with open_seed(path) as file:
        head = next(file.read_bytes(), b"")
    found = _recognise(head[:_HEAD], _PACKED.sub("", path.name), fills)
    if found is None:
        forms = "SQL, a dump of pg_dump or mysqldump, an RDB file, or Redis commands (*.redis), also as .gz or .zst"
        raise SeedFileError("it is in no known format", f"seed with {forms}")
    if fills and FILLS[found] != fills:
        raise SeedFileError(f"it is a seed for {FILLS[found]} ({found}), not for {fills}", "name another `service`")
    return found


def _recognise(head: bytes, name: str, fills: str) -> SeedFormat | None:
    if head.startswith(b"PGDMP") or (head.startswith(CONTENTS.encode()) and head[257:262] == b"ustar"):
        return "pg_dump archive"
    if _RDB.match(head):
        return "RDB file"
    if b"\0" in head and _find_encoding(head) != "utf-16":
        return "Redis commands" if fills == "redis" else None
    if fills == "redis" or _COMMANDS.search(name):
        return "Redis commands"
    return "mysql dump" if fills == "mysql" or _MYSQL.match(head) else "sql"


def _make_decoder(head: bytes, *, any_bytes: bool) -> codecs.IncrementalDecoder:
    encoding = _find_encoding(head)
    return codecs.getincrementaldecoder(encoding)("surrogateescape" if any_bytes and encoding != "utf-16" else "strict")


def _find_encoding(head: bytes) -> str:
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
