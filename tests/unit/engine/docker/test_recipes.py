"""How each kind of service is run."""

from itertools import pairwise
from typing import Any

import pytest

from bench_action.engine.docker.recipes import container_options
from bench_action.engine.protocol import Kind, ServiceSpec

pytestmark = pytest.mark.unit

KINDS: list[Kind] = ["postgres", "redis", "other", "load", "subject"]


def options_of(kind: Kind, **fields: Any) -> dict[str, Any]:
    return container_options(ServiceSpec(kind, "name", "image", **fields), ["/data"])


def settings_of(command: list[str]) -> dict[str, str]:
    """`-c name=value` as a mapping; the last one counts, as for PostgreSQL itself."""
    pairs = [word.partition("=") for flag, word in pairwise(command) if flag == "-c"]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("kind", KINDS)
def test_container_options__of_every_kind(kind: Kind) -> None:
    options = options_of(kind)
    assert options["healthcheck"] == {"test": ["NONE"]}
    assert options["sysctls"]["net.core.somaxconn"] == "4096"
    assert not options.get("privileged")
    limits = {limit.name: (limit.soft, limit.hard) for limit in options["ulimits"]}
    assert limits == {"nofile": (16384, 16384)}


@pytest.mark.parametrize("kind", ["subject", "load"])
def test_container_options__what_runs_code_of_others_gains_no_privileges(kind: Kind) -> None:
    assert options_of(kind)["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_container_options__data_lie_in_memory(kind: Kind) -> None:
    assert options_of(kind)["tmpfs"] == {"/data": ""}


def test_container_options__the_users_limits_win() -> None:
    limits = {
        limit.name: limit.soft for limit in options_of("subject", ulimits={"nofile": 64, "nproc": 100})["ulimits"]
    }
    assert limits == {"nofile": 64, "nproc": 100}


def test_container_options__of_a_subject_are_what_it_asked_for() -> None:
    options = options_of("subject", command=["python", "-m", "todo"], env={"A": "b"})
    assert (options["command"], options["environment"]) == (["python", "-m", "todo"], {"A": "b"})
    assert options_of("subject")["command"] is None  # the image's own


def test_postgres__counts_queries_whatever_the_user_sets() -> None:
    command = options_of("postgres", settings={"max_connections": "500", "timezone": "CET"})["command"]
    assert command[0] == "postgres"
    settings = settings_of(command)
    assert settings["shared_preload_libraries"] == "pg_stat_statements"
    assert settings["pg_stat_statements.track_utility"] == "on"
    assert settings["pg_stat_statements.max"] == "50000"
    assert (settings["max_connections"], settings["timezone"]) == ("500", "CET")


@pytest.mark.parametrize(
    ("own", "all_together"),
    [
        ("auto_explain", "auto_explain,pg_stat_statements"),
        ("pg_stat_statements, auto_explain", "pg_stat_statements,auto_explain"),
        ("", "pg_stat_statements"),
        (" , pg_cron ,", "pg_cron,pg_stat_statements"),
    ],
)
def test_postgres__keeps_the_users_libraries_beside_ours(own: str, all_together: str) -> None:
    command = options_of("postgres", settings={"shared_preload_libraries": own})["command"]
    assert settings_of(command)["shared_preload_libraries"] == all_together


def test_postgres__the_users_own_words_come_last_and_win() -> None:
    command = options_of("postgres", command=["-c", "timezone=CET"])["command"]
    assert settings_of(command)["timezone"] == "CET"


def test_redis__writes_nothing_to_disk_unless_asked_to() -> None:
    command = options_of("redis", settings={"databases": "16", "appendonly": "yes"})["command"]
    assert command == ["redis-server", "--save", "", "--appendonly", "yes", "--databases", "16"]


def test_load__may_read_counters_and_change_nothing() -> None:
    options = options_of("load", ulimits={"nofile": 4096})
    assert options["user"] == "65534:65534"
    assert options["cap_drop"] == ["ALL"]
    assert {volume["mode"] for volume in options["volumes"].values()} == {"ro"}
    (bound,) = (volume["bind"] for volume in options["volumes"].values())
    assert options["environment"]["BENCH_ACTION_CGROUPS"] == bound
    assert options["sysctls"]["net.ipv4.ip_local_port_range"] == "1024 65535"
    assert options["sysctls"]["net.core.somaxconn"] == "4096"
    assert [limit.soft for limit in options["ulimits"]] == [4096]
