"""What a seed is recognised by: its contents, and its name only for Redis' commands."""

import gzip
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from tests.packing import PACK

from bench_action.config import seed_files
from bench_action.config.load import load_project
from bench_action.config.seed_files import SeedFileError, find_format, open_seed
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

CONFIG = "services: {{{services}}}\nseed: {seed}\nvariants: {{one: {{image: x}}}}\n"


def pack_tar(name: str) -> bytes:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name))
    return file.getvalue()


CONTENTS = {
    "sql": ("a.sql", b"SELECT 1;"),
    "empty": ("a.sql", b""),
    "utf-16": ("a.sql", "SELECT 1;".encode("utf-16")),
    "custom": ("a.sql", b"PGDMP\x01\x0e\x00\x04\x08"),
    "tar": ("a.dump", pack_tar("toc.dat")),
    "rdb": ("a", b"REDIS0011\xfa\tredis-ver"),
    "valkey": ("a", b"VALKEY080\xfa"),
    "commands": ("cache.redis", b"SET a 1"),
    "mysqldump": ("a.sql", b"-- MySQL dump 10.13  Distrib 8.0"),
    "mariadb-dump": ("a.sql", b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19"),
}
FORMATS = {
    "sql": "sql", "empty": "sql", "utf-16": "sql", "custom": "pg_dump archive", "tar": "pg_dump archive",
    "rdb": "RDB file", "valkey": "RDB file", "commands": "Redis commands", "mysqldump": "mysql dump",
    "mariadb-dump": "mysql dump",
}  # fmt: skip


@pytest.mark.parametrize("packed", ["", "gz", "zst"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_find_format__looks_at_the_contents(tmp_path: Path, kind: str, packed: str) -> None:
    name, content = CONTENTS[kind]
    path = tmp_path / (f"{name}.{packed}" if packed else name)
    path.write_bytes(PACK[packed](content))
    assert find_format(path) == FORMATS[kind]


def test_find_format__refuses_what_it_does_not_know_and_the_wrong_service(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(SeedFileError, match="no known format"):
        find_format(path)
    path.write_bytes(b"SELECT 1;")
    assert find_format(path, "redis") == "Redis commands"
    assert find_format(path, "mysql") == "mysql dump"
    path.write_bytes(b"PGDMP")
    with pytest.raises(SeedFileError, match="it is a seed for postgres"):
        find_format(path, "redis")


def test_read_text__unpacks_and_decodes(tmp_path: Path) -> None:
    path, text = tmp_path / "a", "SELECT 'ü€';\n" * 100_000
    for content in (text.encode(), gzip.compress(text.encode()), PACK["zst"](text.encode("utf-16"))):
        path.write_bytes(content)
        with open_seed(path) as file:
            assert "".join(file.read_text()) == text
            assert "".join(file.read_text()) == text, "it is read from its beginning each time"
            assert file.position == file.size


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (PACK["gz"](b"SELECT 1;")[:-4], "cannot be unpacked"),
        (PACK["zst"](b"SELECT 1;")[:-4], "cannot be unpacked"),
        (b"SELECT '\xff'", "not UTF-8"),
        (b"SELECT '\xc3", "not UTF-8"),
    ],
)
def test_read_text__explains_a_damaged_file(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with open_seed(tmp_path / "a") as file, pytest.raises(SeedFileError, match=why):
        list(file.read_text())


def test_read_bytes__ends_at_a_file_that_grows_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_files, "_MOST", 2**20)
    (tmp_path / "a").write_bytes(gzip.compress(bytes(2**21)))
    with open_seed(tmp_path / "a") as file, pytest.raises(SeedFileError, match="unpacked"):
        list(file.read_bytes())


def load(folder: Path, seed: str, services: str = "postgres: {image: x}, redis: {image: x}") -> list[object]:
    (folder / "bench.yml").write_text(CONFIG.format(seed=seed, services=services), encoding="utf-8")
    steps = load_project(folder / "bench.yml", "quick").config.seed
    return [(step.title, step.service, step.after) for step in steps]


def test_seed__has_four_forms_and_mixtures(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;", encoding="utf-8")
    (tmp_path / "b").write_text("SET a 1", encoding="utf-8")
    assert load(tmp_path, "a.sql") == [("a.sql", None, "setup")]
    assert load(tmp_path, "") == []
    assert load(tmp_path, "{run: manage.py loaddata, after: ready}") == [("manage.py loaddata", None, "ready")]
    mixed = "[a.sql, {file: b, service: redis}, {run: [x]}]"
    assert load(tmp_path, mixed) == [("a.sql", None, "setup"), ("b", "redis", "setup"), ("x", None, "setup")]


def test_seed__needs_exactly_one_service_of_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"REDIS0011")
    with pytest.raises(InputError, match="a seed for redis, but there is no service of kind redis"):
        load(tmp_path, "a", "postgres: {image: x}")
    (tmp_path / "a").write_bytes(b"PK\x03\x04\x00")
    with pytest.raises(InputError, match="no known format"):
        load(tmp_path, "a")


def test_seed__a_folder_of_pg_dump_is_checked_file_by_file(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").touch()
    (tmp_path / ".git" / "objects").mkdir()
    (tmp_path / "dump").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path, "dump")
    (tmp_path / "dump" / "toc.dat").write_bytes(b"PGDMP")
    assert load(tmp_path, "dump") == [("dump", None, "setup")]
    (tmp_path / "dump" / "1.dat").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match=r"dump/1\.dat is outside of"):
        load(tmp_path, "dump")
    with pytest.raises(InputError, match="seed /etc is outside of"):
        load(tmp_path, "/etc")
