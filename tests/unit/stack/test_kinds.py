"""The kinds of services: what each reads from its configuration, and how its settings are written."""

from collections.abc import Sequence
from typing import cast

import pytest

from bench_action.engine.protocol import Engine, Handle, Kind
from bench_action.model.errors import StackError
from bench_action.stack.kinds import SERVERS, write_settings
from bench_action.stack.mysql import Mysql
from bench_action.stack.postgres import Postgres
from bench_action.stack.redis import Redis
from bench_action.stack.server import DatabaseServer, Setup

pytestmark = pytest.mark.unit

HANDLE = Handle("1", "db", "other", "db", 7)


class Programs:
    """An engine in whose containers only these programs are."""

    def __init__(self, output: str = "PONG\n", *names: str) -> None:
        self._output, self._names = output, names
        self.commands: list[Sequence[str]] = []

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        assert handle == HANDLE
        self.commands.append(argv)
        return (0, self._output) if argv[0] in self._names else (126, "executable file not found")


@pytest.mark.parametrize(("kind", "texts"), [("postgres", "on off"), ("redis", "yes no"), ("mysql", "ON OFF")])
def test_settings__have_the_booleans_of_their_kind(kind: Kind, texts: str) -> None:
    assert list(write_settings(kind, {"a": True, "b": False, "c": 16}).values()) == [*texts.split(), "16"]


@pytest.mark.parametrize(
    "setup",
    [
        Setup({}, {"requirepass": "secret"}),
        Setup({}, command=["redis-server", "--requirepass", "secret"]),
        Setup({}, command=["--appendonly", "no", "--requirepass", "secret"]),
    ],
)
def test_redis__finds_its_password(setup: Setup) -> None:
    programs = Programs("PONG\n", "redis-cli")
    server = Redis.connect(cast(Engine, programs), HANDLE, setup)
    assert server.address()["url"] == "redis://:secret@db:7/0"
    assert server.probe() == ""
    assert programs.commands == [["redis-cli", "-p", "7", "ping"]]  # the password is on no command line


def test_redis__uses_the_client_that_is_in_the_image() -> None:
    programs = Programs("PONG\n", "valkey-cli")
    server = Redis.connect(cast(Engine, programs), HANDLE, Setup({}))
    assert (server.probe(), server.probe()) == ("", "")
    assert [command[0] for command in programs.commands] == ["redis-cli", "valkey-cli", "valkey-cli"]


def test_redis__says_that_it_does_not_know_the_password() -> None:
    server = Redis.connect(cast(Engine, Programs("NOAUTH Authentication required.\n", "redis-cli")), HANDLE, Setup({}))
    with pytest.raises(StackError, match="db requires a password that bench-action does not have"):
        server.probe()


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "mysql://root:chosen@db:7/app"),
        ({"MYSQL_ROOT_PASSWORD": "r", "MYSQL_DATABASE": "shop"}, "mysql://root:r@db:7/shop"),
        ({"MARIADB_RANDOM_ROOT_PASSWORD": "1", "MARIADB_DATABASE": "d"}, "mysql://root:chosen@db:7/d"),
        ({"MYSQL_ALLOW_EMPTY_PASSWORD": "yes"}, "mysql://root:@db:7/app"),
        ({"MARIADB_USER": "u", "MARIADB_PASSWORD": "p@", "MARIADB_DATABASE": "d"}, "mysql://u:p%40@db:7/d"),
    ],
)
def test_mysql__has_the_account_of_its_environment(env: dict[str, str], url: str) -> None:
    server = Mysql.connect(cast(Engine, None), HANDLE, Setup(Mysql.complete(env, "chosen")))
    assert server.address()["url"] == url


def test_postgres__has_the_account_of_its_environment() -> None:
    server = Postgres.connect(cast(Engine, None), HANDLE, Setup(Postgres.complete({"POSTGRES_DB": "d"}, "chosen")))
    assert server.address()["url"] == "postgresql://postgres:chosen@db:7/d"


def test_kinds__with_sql_are_database_servers() -> None:
    databases = {kind for kind, server in SERVERS.items() if issubclass_of_database(server)}
    assert databases == {"postgres", "mysql"}


def issubclass_of_database(server: type) -> bool:
    instance = server.connect(cast(Engine, None), HANDLE, Setup(server.complete({}, "x")))  # type: ignore[attr-defined]
    return isinstance(instance, DatabaseServer)
