"""The base images, official or standing in, behave as everything built on them takes for granted."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.client import DockerClient
from docker.models.containers import Container

pytestmark = pytest.mark.docker

BUILD = Path(__file__).parents[1] / "images" / "build.sh"
IMAGES = ("python:3.13-slim", "postgres:17", "redis:8")
LABELS = {"bench-action.test": "images"}
PASSWORD = "only for this test"
READY_TIMEOUT_S = 60.0

Start = Callable[..., Container]


@pytest.fixture(scope="module")
def client() -> Iterator[DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def start(client: DockerClient) -> Iterator[Start]:
    """Starts containers; they and their volumes are gone when the module's tests are done."""
    containers: list[Container] = []

    def start(image: str, command: list[str] | None = None, **environment: str) -> Container:
        container = client.containers.run(image, command, environment=environment, labels=LABELS, detach=True)
        containers.append(container)
        return container

    yield start
    for container in containers:
        container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def postgres(start: Start) -> Container:
    settings = {"max_connections": "123", "shared_preload_libraries": "pg_stat_statements"}
    command = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    container = start("postgres:17", command, POSTGRES_PASSWORD=PASSWORD)
    until_it_succeeds(container, ["pg_isready", "--host", address_of(container)])
    return container


@pytest.fixture(scope="module")
def redis(start: Start) -> Container:
    container = start("redis:8", ["--save", ""])
    until_it_succeeds(container, ["redis-cli", "ping"])
    return container


def address_of(container: Container) -> str:
    """Its address on Docker's default bridge, where nothing counts as local."""
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


def output_of(container: Container, command: list[str], **environment: str) -> str:
    status, output = container.exec_run(command, environment=environment)
    assert isinstance(output, bytes)
    assert status == 0, output.decode()
    return output.decode().strip()


def until_it_succeeds(container: Container, command: list[str]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while (probe := container.exec_run(command)).exit_code != 0:
        container.reload()
        assert container.status == "running", container.logs().decode()
        assert time.monotonic() < deadline, f"{command}: {probe}; its log:\n{container.logs().decode()}"
        time.sleep(0.1)


def over_tcp(container: Container, statement: str, password: str = PASSWORD) -> str:
    command = ["psql", "-h", address_of(container), "-U", "postgres", "-Atc", statement]
    return output_of(container, command, PGPASSWORD=password)


def first_process_uid(container: Container) -> str:
    return output_of(container, ["stat", "--format", "%u", "/proc/1"])


@pytest.mark.parametrize("name", ["python", "python3"])
def test_python__is_3_13_and_root_under_both_names(client: DockerClient, name: str) -> None:
    program = "import os, sys; print(*sys.version_info[:2], os.getuid())"
    output = client.containers.run("python:3.13-slim", [name, "-c", program], labels=LABELS, remove=True)
    assert output.decode().split() == ["3", "13", "0"]


def test_python__installs_into_itself_with_pip(client: DockerClient) -> None:
    steps = (
        "mkdir /it && cd /it && printf 'x = 42' > it.py"
        ' && printf \'from setuptools import setup; setup(name="it", py_modules=["it"])\' > setup.py'
        " && pip --quiet install . && cd / && python -c 'import it; print(it.x)'"
    )
    output = client.containers.run("python:3.13-slim", ["sh", "-ec", steps], labels=LABELS, remove=True)
    assert output.decode().split()[-1] == "42"


def test_postgres__answers_other_hosts_with_the_password(postgres: Container) -> None:
    assert over_tcp(postgres, "SELECT current_user") == "postgres"


def test_postgres__refuses_a_wrong_password(postgres: Container) -> None:
    with pytest.raises(AssertionError, match="password authentication failed"):
        over_tcp(postgres, "SELECT 1", password="wrong")


def test_postgres__takes_settings_from_its_command(postgres: Container) -> None:
    assert over_tcp(postgres, "SHOW max_connections") == "123"


def test_postgres__counts_statements(postgres: Container) -> None:
    over_tcp(postgres, "CREATE EXTENSION pg_stat_statements")
    over_tcp(postgres, "SELECT 40 + 2")
    counted = "SELECT calls FROM pg_stat_statements WHERE query LIKE 'SELECT $1 + $2'"
    assert over_tcp(postgres, counted) == "1"


def test_postgres__sorts_as_the_official_image(postgres: Container) -> None:
    collation = "SELECT datcollate FROM pg_database WHERE datname = current_database()"
    assert over_tcp(postgres, collation) == "en_US.utf8"


def test_postgres__runs_as_its_own_user(postgres: Container) -> None:
    assert first_process_uid(postgres) == "999"


def test_postgres__keeps_its_data_in_a_volume(postgres: Container) -> None:
    mounts = {mount["Destination"]: mount["Type"] for mount in postgres.attrs["Mounts"]}
    assert mounts == {output_of(postgres, ["printenv", "PGDATA"]): "volume"}


def test_postgres__makes_the_user_and_the_database_and_shuts_down_fast(start: Start) -> None:
    container = start("postgres:17", POSTGRES_PASSWORD=PASSWORD, POSTGRES_USER="ann", POSTGRES_DB="shop")
    until_it_succeeds(container, ["pg_isready", "--host", address_of(container)])
    command = ["psql", "-h", address_of(container), "-U", "ann", "-Atc", "SELECT current_user", "shop"]
    assert output_of(container, command, PGPASSWORD=PASSWORD) == "ann"
    container.stop()
    assert "received fast shutdown request" in container.logs().decode()
    assert container.wait()["StatusCode"] == 0


def test_postgres__does_not_start_without_a_password(start: Start) -> None:
    container = start("postgres:17")
    assert container.wait()["StatusCode"] == 1
    assert "superuser password is not specified" in container.logs().decode()


def test_redis__answers_other_hosts_without_a_password(redis: Container) -> None:
    assert output_of(redis, ["redis-cli", "-h", address_of(redis), "incr", "counter"]) == "1"


def test_redis__takes_settings_from_its_command(redis: Container) -> None:
    assert output_of(redis, ["redis-cli", "config", "get", "save"]).split() == ["save"]


def test_redis__runs_as_its_own_user(redis: Container) -> None:
    assert first_process_uid(redis) == "999"


def test_redis__keeps_its_data_in_a_volume(redis: Container) -> None:
    redis.reload()
    assert [(mount["Destination"], mount["Type"]) for mount in redis.attrs["Mounts"]] == [("/data", "volume")]


def test_build__leaves_images_alone_that_are_there(client: DockerClient) -> None:
    before = [client.images.get(name).id for name in IMAGES]
    subprocess.run([BUILD], check=True)
    assert [client.images.get(name).id for name in IMAGES] == before


def test_build__says_which_commands_it_knows() -> None:
    done = subprocess.run([BUILD, "biuld"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "images: unknown command 'biuld': build or remove\n")
