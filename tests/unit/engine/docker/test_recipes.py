"""How to run each kind of service."""

from itertools import pairwise
from typing import Any

import pytest

from bench_action.engine.commands import add_preloaded, make_postgres_command
from bench_action.engine.docker.limits import Limits
from bench_action.engine.docker.recipes import make_container_options
from bench_action.engine.protocol import ContainerForm, Kind, ServiceSpec
from bench_action.model.machine import OPEN_FILES

pytestmark = pytest.mark.unit

DATA = {"run-a-name-0": {"bind": "/data", "mode": "rw"}}
KINDS: list[Kind] = ["postgres", "redis", "mysql", "other", "load", "subject"]
LIMITS = Limits(memory=1000, processes=50)
# what their entrypoints need to hand data to another user, and to become that user
DROPPING = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID"}


def make_options(kind: Kind, **fields: Any) -> dict[str, Any]:
    return make_container_options(ServiceSpec(kind, "name", "image", **fields), ["/data"], DATA, LIMITS)


def parse_settings(command: list[str]) -> dict[str, str]:
    """`-c name=value` as a mapping; the last one wins, as in PostgreSQL itself."""
    pairs = [word.partition("=") for flag, word in pairwise(command) if flag == "-c"]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("kind", KINDS)
def test_make_container_options__for_every_kind(kind: Kind) -> None:
    options = make_options(kind)
    assert options["healthcheck"] == {"test": ["NONE"]}
    assert options["sysctls"]["net.core.somaxconn"] == "4096"
    assert not options.get("privileged")
    limits = {limit.name: (limit.soft, limit.hard) for limit in options["ulimits"]}
    assert limits == {"nofile": (OPEN_FILES, OPEN_FILES)}


@pytest.mark.parametrize("kind", KINDS)
def test_make_container_options__no_kind_gains_privileges_or_is_without_limits(kind: Kind) -> None:
    options = make_options(kind)
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert options["cap_drop"] == ["ALL"]
    assert (options["mem_limit"], options["memswap_limit"], options["pids_limit"]) == (1000, 1000, 50)


@pytest.mark.parametrize(
    ("kind", "added"),
    [
        ("load", set()),
        ("postgres", DROPPING),
        ("redis", DROPPING),
        ("mysql", DROPPING),
        ("subject", DROPPING | {"AUDIT_WRITE", "NET_BIND_SERVICE", "SYS_CHROOT"}),
        ("other", DROPPING | {"AUDIT_WRITE", "NET_BIND_SERVICE", "SYS_CHROOT"}),
    ],
)
def test_make_container_options__capabilities_are_those_that_entrypoints_need(kind: Kind, added: set[str]) -> None:
    assert set(make_options(kind)["cap_add"]) == added


def test_make_container_options__keeps_data_in_memory() -> None:
    assert make_options("redis")["tmpfs"] == {"/data": "size=800"}
    assert make_options("postgres")["volumes"] == DATA  # whose volumes are in memory, and can be copied


@pytest.mark.parametrize(("kind", "user"), [("postgres", None), ("mysql", None), ("redis", "999"), ("other", "999")])
def test_make_container_options__the_entrypoint_of_a_database_starts_as_root(kind: Kind, user: str | None) -> None:
    assert make_options(kind, container=ContainerForm(user="999")).get("user") == user


def test_make_container_options__the_users_limits_win() -> None:
    limits = {
        limit.name: limit.soft for limit in make_options("subject", ulimits={"nofile": 64, "nproc": 100})["ulimits"]
    }
    assert limits == {"nofile": 64, "nproc": 100}


def test_make_container_options__a_subject_gets_its_command_and_environment() -> None:
    options = make_options("subject", command=["python", "-m", "todo"], env={"A": "b"})
    assert (options["command"], options["environment"]) == (["python", "-m", "todo"], {"A": "b"})
    assert make_options("subject")["command"] is None  # the image's own


def test_postgres__counts_queries_with_any_settings_of_the_user() -> None:
    command = make_options("postgres", settings={"max_connections": "500", "timezone": "CET"})["command"]
    assert command[0] == "postgres"
    settings = parse_settings(command)
    assert settings["shared_preload_libraries"] == "pg_stat_statements"
    assert settings["pg_stat_statements.track_utility"] == "on"
    assert settings["pg_stat_statements.max"] == "50000"
    assert (settings["max_connections"], settings["timezone"]) == ("500", "CET")


@pytest.mark.parametrize(
    ("own", "combined"),
    [
        ("auto_explain", "auto_explain,pg_stat_statements"),
        ("pg_stat_statements, auto_explain", "pg_stat_statements,auto_explain"),
        ("", "pg_stat_statements"),
        (" , pg_cron ,", "pg_cron,pg_stat_statements"),
    ],
)
def test_postgres__keeps_the_users_libraries_alongside_ours(own: str, combined: str) -> None:
    command = make_options("postgres", settings={"shared_preload_libraries": own})["command"]
    assert parse_settings(command)["shared_preload_libraries"] == combined


SAMPLE = """\
#shared_preload_libraries = ''		# (change requires restart)
shared_preload_librariesx = 'other'
"""


@pytest.mark.parametrize(
    ("line", "own", "combined"),
    [
        ("shared_preload_libraries = 'timescaledb'", "", "timescaledb,pg_stat_statements"),
        (
            "Shared_Preload_Libraries='citus, pg_cron'\t# both",
            "auto_explain",
            "citus,pg_cron,auto_explain,pg_stat_statements",
        ),
        ("  shared_preload_libraries pg_cron", "pg_cron", "pg_cron,pg_stat_statements"),
        ("shared_preload_libraries = a\nshared_preload_libraries = 'pg_stat_statements,b'", "", "pg_stat_statements,b"),
        ("shared_preload_libraries = 'a'\nshared_preload_libraries = ''", "b", "b,pg_stat_statements"),
        ("# shared_preload_libraries = 'a'", "", "pg_stat_statements"),
    ],
)
def test_add_preloaded__keeps_the_libraries_of_the_image(line: str, own: str, combined: str) -> None:
    settings = {"shared_preload_libraries": own} if own else {}
    spec = add_preloaded(ServiceSpec("postgres", "name", "image", settings=settings), f"{SAMPLE}{line}\n")
    assert parse_settings(make_postgres_command(spec))["shared_preload_libraries"] == combined


def test_postgres__the_users_arguments_come_last_and_win() -> None:
    command = make_options("postgres", command=["-c", "timezone=CET"])["command"]
    assert parse_settings(command)["timezone"] == "CET"


def test_redis__writes_to_disk_only_if_the_user_sets_it() -> None:
    command = make_options("redis", settings={"databases": "16", "appendonly": "yes"})["command"]
    assert command == ["--save", "", "--appendonly", "yes", "--databases", "16"]


def test_load__can_read_counters_and_change_nothing() -> None:
    options = make_options("load", ulimits={"nofile": 4096})
    assert options["user"] == "65534:65534"
    assert {volume["mode"] for volume in options["volumes"].values()} == {"ro"}
    (bound,) = (volume["bind"] for volume in options["volumes"].values())
    assert options["environment"]["BENCH_ACTION_CGROUPS"] == bound
    assert options["sysctls"]["net.ipv4.ip_local_port_range"] == "1024 65535"
    assert options["sysctls"]["net.ipv4.ip_forward"] == "0"  # no way from one slot to another
    assert options["sysctls"]["net.core.somaxconn"] == "4096"
    assert [limit.soft for limit in options["ulimits"]] == [4096]


def test_make_container_options__takes_over_how_a_container_runs() -> None:
    form = ContainerForm(
        entrypoint=[],
        volumes=["/media", "/data"],
        tmpfs=["/run:size=1m", "/cache"],
        user="1000",
        working_dir="/app",
        stop_signal="SIGINT",
        shm_size=1024,
        init=True,
        platform="linux/amd64",
    )
    options = make_options("redis", container=form)

    assert options["entrypoint"] == []
    assert (options["user"], options["working_dir"], options["stop_signal"]) == ("1000", "/app", "SIGINT")
    assert (options["shm_size"], options["init"], options["platform"]) == (1024, True, "linux/amd64")
    assert options["tmpfs"] == {"/data": "size=800", "/run": "size=1m", "/cache": "size=800"}
    assert [(mount["Target"], mount["Source"]) for mount in options["mounts"]] == [("/media", None)]
    assert make_options("postgres")["shm_size"] == "256m"


def test_mysql__counts_statements_with_any_settings_of_the_user() -> None:
    options = make_options("mysql", settings={"max_connections": "500"})
    assert options["volumes"] == DATA
    command = options["command"]
    assert command[0] == "--skip-log-bin"
    assert {"--performance-schema=ON", "--innodb-stats-auto-recalc=OFF", "--max-connections=500"} < {*command}
    assert "--performance-schema-consumer-statements-digest=ON" in command


def test_mysql__the_users_arguments_come_last_and_win() -> None:
    own = ["docker-entrypoint.sh", "mysqld", "--performance_schema_digests_size=99", "--log-bin=x"]
    command = make_options("mysql", command=own)["command"]
    assert command[-2:] == ["--performance_schema_digests_size=99", "--log-bin=x"]
    assert not [word for word in command if word.startswith("--performance-schema-digests-size")]
    assert "--skip-log-bin" not in command
