"""A dump of MySQL's kind, with this machine's real MariaDB."""

import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from tests.integration.conftest import _await_start, _free_port, _program, _running

from bench_action.config.seed_files import find_format, open_seed
from bench_action.engine.local.session import LocalSession
from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import InputError
from bench_action.stack.seeding.mysql import Account, run_dump

pytestmark = pytest.mark.integration

DUMP = """\
/*M!999999\\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)
--
/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
DROP TABLE IF EXISTS `item`;
CREATE TABLE `item` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `text` varchar(80) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
LOCK TABLES `item` WRITE;
INSERT INTO `item` VALUES (1,'it''s ü; -- \\\\'),(2,NULL);
UNLOCK TABLES;
DELIMITER ;;
CREATE TRIGGER t BEFORE INSERT ON item FOR EACH ROW BEGIN SET NEW.text = 'x'; END ;;
DELIMITER ;
"""


class Programs:
    """An engine that only starts programs."""

    def session(self, _: Handle, argv: Sequence[str]) -> LocalSession:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return LocalSession(process, argv[0])


class Unwatched:
    def move(self) -> None:
        pass

    def wait(self) -> None:
        pass


Query = Callable[[str], str]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="seed-mariadb-") as folder:
        data, port = f"{folder}/data", _free_port()
        # at its start, a server deletes the temporary tables that it finds: those of another test's, in a common folder
        options = ["--no-defaults", f"--datadir={data}", f"--tmpdir={folder}", "--user=root"]
        install = [_program("mariadb-install-db"), *options, "--auth-root-authentication-method=normal"]
        installed = subprocess.run(install, check=False, capture_output=True, text=True)
        assert installed.returncode == 0, installed.stdout + installed.stderr
        serve = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket", "--innodb-fast-shutdown=2"]
        ping = ["mariadb", "--protocol=tcp", f"--port={port}", "--user=root", "--execute=SELECT 1"]
        log = Path(folder, "log")
        with _running([_program("mariadbd"), *options, *serve], log, signal.SIGTERM) as process:
            _await_start(process, lambda: subprocess.run(ping, check=False, capture_output=True).returncode == 0, log)
            yield port


@pytest.fixture
def query(port: int) -> Query:
    def query(text: str) -> str:
        command = ["mariadb", "--protocol=tcp", f"--port={port}", "--user=root", "-N", "-B", f"--execute={text}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return query


@pytest.fixture
def account(port: int, query: Query) -> Account:
    user = "shop@localhost"
    query(f"CREATE OR REPLACE DATABASE shop; CREATE OR REPLACE USER {user} IDENTIFIED BY 's3cret'")
    query(f"GRANT ALL ON shop.* TO {user}")
    return Account(Handle("db", "db", "other", "127.0.0.1", port), "shop", "s3cret", "shop")


def run(account: Account, text: str) -> str:
    return run_dump(cast(Engine, Programs()), account, [text], Unwatched())


def test_run_dump__fills_the_database(account: Account, query: Query, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(DUMP, encoding="utf-8")
    assert find_format(tmp_path / "a") == "mysql dump"
    run(account, DUMP)
    assert query("SELECT id, text FROM shop.item") == "1\tit's ü; -- \\\\\n2\tNULL"
    query("INSERT INTO shop.item (text) VALUES ('y')")
    assert query("SELECT text FROM shop.item WHERE id = 3") == "x"


def test_run_dump__names_the_line_and_quotes_no_data(account: Account) -> None:
    with pytest.raises(InputError, match="Duplicate entry") as caught:
        run(account, f"{DUMP}\nINSERT INTO item VALUES (7, 'x');\nINSERT INTO item VALUES\n(7, 'secret');\n")
    assert caught.value.where.startswith("line ")
    assert "'7'" not in str(caught.value)
    with pytest.raises(InputError, match="error in your SQL syntax") as caught:
        run(account, "SELECT 1;\nINSERT secret;\n")
    assert caught.value.where == "line 2"
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="a command of the mysql client") as caught:
        run(account, f"{DUMP}\n\\! touch /tmp/started-by-a-seed\n")
    assert caught.value.where == f"line {DUMP.count(chr(10)) + 2}"
    with pytest.raises(InputError, match="Access denied"):
        run(account.__class__(account.handle, "shop", "wrong", "shop"), DUMP)


def test_run_dump__of_another_database_fills_the_applications(account: Account, port: int, query: Query) -> None:
    query("CREATE OR REPLACE DATABASE prod; CREATE TABLE prod.item (id int); INSERT INTO prod.item VALUES (7)")
    query("GRANT ALL ON *.* TO shop@localhost")
    dump = ["mariadb-dump", "--protocol=tcp", f"--port={port}", "--user=root", "--add-drop-database", "--databases"]
    text = subprocess.run([*dump, "prod"], check=True, capture_output=True, text=True).stdout
    query("DELETE FROM prod.item")
    assert run(account, text) == "skipped 3 statements about the database prod: its tables go to shop"
    assert query("SELECT id FROM shop.item") == "7"
    assert query("SELECT count(*) FROM prod.item") == "0"
    with pytest.raises(InputError, match="the dump contains more than one database"):
        run(account, subprocess.run([*dump, "prod", "shop"], check=True, capture_output=True, text=True).stdout)


def test_run_dump__keeps_the_bytes_of_binary_columns(account: Account, port: int, query: Query, tmp_path: Path) -> None:
    query("CREATE TABLE shop.file (name varchar(9), content blob) CHARSET utf8mb4")
    every = bytes(range(256)).hex().upper()
    query(f"INSERT INTO shop.file VALUES ('ü', X'{every}'), ('a', X'C328')")  # noqa: S608 (our own)
    dump = ["mariadb-dump", "--protocol=tcp", f"--port={port}", "--user=root", "shop"]
    (tmp_path / "a.sql").write_bytes(subprocess.run(dump, check=True, capture_output=True).stdout)
    query("DROP TABLE shop.file")
    with open_seed(tmp_path / "a.sql") as file:
        run_dump(cast(Engine, Programs()), account, file.read_text(any_bytes=True), Unwatched())
    rows = query("SELECT hex(name), hex(content) FROM shop.file ORDER BY name = 'a'")
    assert rows == f"C3BC\t{every}\n61\tC328"


def test_run_dump__quotes_nothing_of_text_in_another_encoding(account: Account) -> None:
    with pytest.raises(InputError, match="Incorrect string value") as caught:
        run(account, "CREATE TABLE n (t varchar(9)) CHARSET utf8mb4;\nINSERT INTO n VALUES ('x\udce9');\n")
    assert "E9" not in str(caught.value)
    assert caught.value.where == "line 2"
    assert "UTF-8" in caught.value.advice
