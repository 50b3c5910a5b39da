"""MySQL's client against a real MariaDB, which runs as a process."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from tests.integration.conftest import _free_port

from bench_action.engine.local.session import LocalSession
from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import StackError
from bench_action.stack.meters.sql import count_queries
from bench_action.stack.mysql import Mysql
from bench_action.stack.seeding.check import count_rows, list_losses
from bench_action.stack.server import DatabaseServer, QueryError, Setup

pytestmark = pytest.mark.integration

START_TIMEOUT_S = 30.0
SCHEMA = """\
CREATE TABLE author (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40),
  shout VARCHAR(50) AS (CONCAT(name, '!')) STORED);
CREATE TABLE book (id INT PRIMARY KEY AUTO_INCREMENT, author_id INT, title TEXT, KEY (title(9)),
  FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE CASCADE);
CREATE TABLE note (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT);
CREATE VIEW titles AS SELECT name, title FROM author JOIN book ON book.author_id = author.id;
INSERT INTO author (name) VALUES ('Ann'), ('Bo;b'), ('C\\\\c');
INSERT INTO book (author_id, title) VALUES (1, 'x\\'y'), (2, 'line\\nline'), (2, 'tab\\tle');
DELETE FROM author WHERE name LIKE 'C%';
DELIMITER //
CREATE TRIGGER noted AFTER INSERT ON book FOR EACH ROW BEGIN INSERT INTO note (text) VALUES (NEW.title); END//
CREATE PROCEDURE twice() BEGIN SELECT count(*) FROM book; INSERT INTO note (text) VALUES ('twice'); END//
DELIMITER ;
"""


class Machine:
    """An engine whose containers are this machine. `exec` and `session` find a server by its socket."""

    def __init__(self) -> None:
        self._folders: dict[str, Path] = {}

    def add(self, handle: Handle, folder: Path) -> None:
        (folder / ".my.cnf").write_text(f"[client]\nsocket={folder}/socket\n", encoding="utf-8")
        self._folders[handle.id] = folder

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(argv, env=self._enter(handle), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def session(self, handle: Handle, argv: Sequence[str]) -> LocalSession:
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, env=self._enter(handle), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)
        return LocalSession(process, argv[0])

    def _enter(self, handle: Handle) -> dict[str, str]:
        return {**os.environ, "HOME": str(self._folders[handle.id])}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mysql]:
    with run_server(Machine(), "1", tmp_path_factory.mktemp("mariadb")) as client:
        try:
            client.open()
            yield client
        finally:
            client.close()


@contextmanager
def run_server(machine: Machine, name: str, folder: Path) -> Iterator[Mysql]:
    """Run a server, and yield its client once it answers."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-dump") is None:
        pytest.skip("MariaDB is not installed")
    port = _free_port()
    # at its start, a server deletes the temporary tables that it finds: those of another test's, in a common folder
    common = ["--no-defaults", "--user=root", f"--datadir={folder}/data", f"--tmpdir={folder}"]
    install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
    installed = subprocess.run(install, check=False, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    options = [
        f"--socket={folder}/socket",
        f"--port={port}",
        "--performance-schema=ON",
        "--innodb-stats-auto-recalc=OFF",
    ]
    options += ["--performance-schema-instrument=statement/%=ON", "--performance-schema-consumer-statements-digest=ON"]
    process = subprocess.Popen(["mariadbd", *common, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        handle = Handle(name, "mysql", "mysql", "127.0.0.1", port)
        machine.add(handle, folder)
        setup = Setup({"MYSQL_DATABASE": "shop", "MYSQL_ALLOW_EMPTY_PASSWORD": "1"})
        client = Mysql.connect(cast(Engine, machine), handle, setup)
        deadline = time.monotonic() + START_TIMEOUT_S
        while problem := client.probe():
            assert time.monotonic() < deadline, problem
            time.sleep(0.1)
        yield client
    finally:
        process.terminate()
        process.wait(30)


def run(server: Mysql, text: str) -> None:
    server._run(server.login.user, server.login.database, text, 60)


@pytest.fixture
def seeded(server: Mysql) -> Mysql:
    server.renew()
    run(server, SCHEMA)
    server.analyse(60)
    server.keep_as("seeded")
    server.renew("seeded")
    return server


def read_all(server: Mysql) -> list[str]:
    return server.execute("SELECT * FROM author; SELECT * FROM book; SELECT * FROM note; SELECT * FROM titles")


def test_mysql__is_a_database_server(server: Mysql) -> None:
    assert isinstance(server, DatabaseServer)


def test_adopt__gives_a_revision_the_data_of_another_server(server: Mysql, tmp_path: Path) -> None:
    with run_server(cast(Machine, server._engine), "2", tmp_path) as origin:
        create = "CREATE DATABASE shop CHARACTER SET latin1 COLLATE latin1_german1_ci;\nUSE shop;\n"
        origin._run("root", "", create + SCHEMA, 60)
        server.adopt(origin.handle, "base")
    server.renew(revision="base")
    assert "1\tAnn\tAnn!" in read_all(server)
    assert server.execute("CALL twice(); SELECT @@collation_database") == ["3", "latin1_german1_ci"]
    assert server.execute("SELECT count(*) FROM mysql.user WHERE user LIKE '%copier'") == ["0"]
    server.renew()
    assert server.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'shop'") == ["0"]


def test_adopt__says_why_data_cannot_be_copied(server: Mysql, tmp_path: Path) -> None:
    with (
        run_server(cast(Machine, server._engine), "2", tmp_path) as origin,
        pytest.raises(StackError, match="could not copy the initial data of mysql") as caught,
    ):
        server.adopt(origin.handle, "base")
    assert any("Unknown database 'shop'" in line for line in caught.value.log)


def test_renew__restores_rows_generated_columns_views_and_counters(seeded: Mysql) -> None:
    before = read_all(seeded)
    assert "1\tAnn\tAnn!" in before
    seeded.execute("DELETE FROM author; INSERT INTO note (text) VALUES ('n')")
    seeded.renew("seeded")
    assert read_all(seeded) == before
    seeded.execute("INSERT INTO author (name) VALUES ('Dora')")
    assert seeded.execute("SELECT max(id) FROM author") == ["4"]  # 3 was used and deleted


def test_renew__restores_triggers_foreign_keys_and_procedures(seeded: Mysql) -> None:
    assert seeded.execute("SELECT count(*) FROM note") == ["0"]  # copying rows runs no trigger
    seeded.execute("INSERT INTO book (author_id, title) VALUES (1, 'new')")
    assert seeded.execute("SELECT text FROM note") == ["new"]
    seeded.execute("DELETE FROM author WHERE id = 1")
    assert seeded.execute("SELECT count(*) FROM book WHERE author_id = 1") == ["0"]
    with pytest.raises(QueryError, match="foreign key"):
        seeded.execute("INSERT INTO book (author_id) VALUES (99)")
    assert seeded.execute("CALL twice()") == ["2"]


def test_renew__keeps_the_statistics_of_the_planner(seeded: Mysql) -> None:
    statistics = "SELECT table_name, n_rows FROM mysql.innodb_table_stats WHERE database_name = '{}' ORDER BY 1"
    kept = seeded.execute(statistics.format("seeded"))
    assert "book\t3" in kept
    assert seeded.execute(statistics.format("shop")) == kept


def test_describe_template__shows_what_differs(seeded: Mysql) -> None:
    first = seeded.describe_template("seeded")
    assert "book\t3" in first
    seeded.renew("seeded")
    seeded.keep_as("same")
    seeded.renew("seeded")
    seeded.execute("ALTER TABLE note ADD COLUMN more INT")
    seeded.keep_as("other")
    assert seeded.describe_template("same") == first != seeded.describe_template("other")
    seeded.drop_template("same")
    seeded.drop_template("other")
    seeded.renew("seeded")


def test_statements__are_those_of_applications_and_top_level(seeded: Mysql) -> None:
    before = seeded.statements()
    seeded.execute("SELECT 1 FROM book; SELECT 2 FROM author")  # ours
    run(seeded, "BEGIN; SELECT id FROM book; CALL twice(); UPDATE book SET title = 'a'; COMMIT; SELECT @@version")
    after = seeded.statements()
    counts = count_queries(before.rows, after.rows)
    assert before.generation == after.generation
    assert counts is not None
    assert sorted((" ".join(text.split()), *count) for text, count in counts.items()) == [
        ("CALL `twice` ( )", 1, 1),
        ("SELECT ID FROM `book`", 1, 3),
        ("UPDATE `book` SET `title` = ?", 1, 3),
    ]


def test_connections__are_those_of_applications(seeded: Mysql) -> None:
    assert seeded.connections() == 0
    session = seeded._open_session("root", "shop")
    seeded._converse(session, "SELECT 1")
    assert seeded.connections() == 1
    seeded.renew("seeded")  # cuts it off
    assert seeded.connections() == 0
    session.close()


def test_run__names_the_line_and_quotes_no_data(seeded: Mysql) -> None:
    with pytest.raises(QueryError) as caught:
        run(seeded, "SELECT 1;\nINSERT INTO author (id) VALUES (1);\n")
    assert caught.value.where == "line 2"
    assert "Duplicate entry" in caught.value.what
    assert "'1'" not in caught.value.what


@pytest.mark.parametrize("text", ["system id", "SELECT 1; \\! id", "/* a */ source x;", "DELIMITER x\nsystem id x"])
def test_scripts__contain_no_command_of_the_client(server: Mysql, text: str) -> None:
    with pytest.raises(QueryError, match="a command of the mysql client"):
        server.execute(text)


def test_open__says_how_to_give_the_password(server: Mysql) -> None:
    stranger = Mysql(server._engine, server.handle, server.login, "wrong")
    with pytest.raises(Exception, match="could not sign in to mysql as root"):
        stranger.open()


def test_statements__are_counted_in_any_schema_and_not_whole_if_somebody_evades_counting(seeded: Mysql) -> None:
    run(seeded, "SELECT id FROM book")
    before = seeded.statements()
    assert before.whole
    seeded._run("root", "mysql", "SELECT id FROM shop.book; SET @a = (SELECT count(*) FROM shop.note);", 60)
    counts = count_queries(before.rows, seeded.statements().rows)
    assert counts is not None
    assert sorted(calls for calls, _ in counts.values()) == [1, 1]
    session = seeded._open_session("root", "shop")
    seeded._converse(
        session, "UPDATE performance_schema.threads SET INSTRUMENTED = 'NO' WHERE PROCESSLIST_ID = CONNECTION_ID()"
    )
    assert not seeded.statements().whole
    session.close()


def test_statements__a_reset_is_noticed_even_if_there_is_more_afterwards(seeded: Mysql) -> None:
    run(seeded, "SELECT id FROM note")
    before = seeded.statements()
    time.sleep(1.1)  # MariaDB knows the second in which a statement was first seen
    run(seeded, "TRUNCATE performance_schema.events_statements_summary_by_digest;" + 2 * "SELECT id FROM note;")
    assert count_queries(before.rows, seeded.statements().rows) is None


def test_renew__undoes_what_was_set_for_the_whole_server(seeded: Mysql) -> None:
    seeded.renew("seeded")
    before = seeded.execute("SELECT @@GLOBAL.max_connections, @@GLOBAL.sort_buffer_size, @@GLOBAL.sql_mode")
    run(seeded, "SET GLOBAL max_connections = 10, GLOBAL sort_buffer_size = 32768, GLOBAL sql_mode = ''")
    seeded.renew("seeded")
    assert seeded.execute("SELECT @@GLOBAL.max_connections, @@GLOBAL.sort_buffer_size, @@GLOBAL.sql_mode") == before


def test_renew__drops_what_was_left_outside_of_the_database(seeded: Mysql) -> None:
    seeded.renew("seeded")
    run(
        seeded,
        """
        SET GLOBAL event_scheduler = ON;
        CREATE DATABASE `a b`;
        CREATE USER 'odd''name'@'%' IDENTIFIED BY 'x';
        CREATE ROLE helper;
        CREATE EVENT `a b`.busy ON SCHEDULE EVERY 1 SECOND DO SELECT SLEEP(300);
        """,
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not seeded._execute(
        "SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(300)%' AND id <> connection_id()"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    seeded.renew("seeded")
    assert not seeded._execute("SELECT event_name FROM information_schema.events")
    assert not seeded._execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'a b'")
    assert not seeded._execute("SELECT user FROM mysql.user WHERE user LIKE 'odd%'")
    assert seeded.execute("SELECT count(*) FROM note")


def test_renew__drops_events_that_were_made_before_the_first_call(server: Mysql) -> None:
    server.renew()
    run(
        server,
        "CREATE DATABASE kept; CREATE EVENT kept.busy ON SCHEDULE EVERY 1 HOUR DO SELECT 1; CREATE TABLE t (i int);",
    )
    server.keep_as("prepared")
    server._rest = {"EVENT": server._rest["EVENT"]}
    server.renew("prepared")
    assert not server._execute("SELECT event_name FROM information_schema.events")
    assert server._execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'kept'")
    server._execute("DROP DATABASE kept")


def test_count_rows__counts_each_table_up_to_a_limit(seeded: Mysql) -> None:
    seeded.renew("seeded")
    before = count_rows(seeded)
    assert before["book"] == int(seeded.execute("SELECT count(*) FROM book")[0]) > 0
    assert seeded.count_rows(1)["book"] == 1
    run(seeded, "DELETE FROM book")
    (loss,) = list_losses(before, count_rows(seeded))
    assert (loss.table, loss.left) == ("book", 0)
