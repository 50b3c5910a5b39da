"""The base images, official or stand-ins, behave as everything built on them expects."""

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
    """Starts containers; they and their volumes are removed after the module's tests."""
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
    wait_until_success(container, ["pg_isready", "--host", find_address(container)])
    return container


@pytest.fixture(scope="module")
def redis(start: Start) -> Container:
    container = start("redis:8", ["--save", ""])
    wait_until_success(container, ["redis-cli", "ping"])
    return container


def find_address(container: Container) -> str:
    """Find its address on Docker's default bridge, where nothing counts as local."""
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


def read_output(container: Container, command: list[str], **environment: str) -> str:
    status, output = container.exec_run(command, environment=environment)
    assert isinstance(output, bytes)
    assert status == 0, output.decode()
    return output.decode().strip()


def wait_until_success(container: Container, command: list[str]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while (probe := container.exec_run(command)).exit_code != 0:
        container.reload()
        assert container.status == "running", container.logs().decode()
        assert time.monotonic() < deadline, f"{command}: {probe}; its log:\n{container.logs().decode()}"
        time.sleep(0.1)


def query_over_tcp(container: Container, statement: str, password: str = PASSWORD) -> str:
    command = ["psql", "-h", find_address(container), "-U", "postgres", "-Atc", statement]
    return read_output(container, command, PGPASSWORD=password)


def read_first_uid(container: Container) -> str:
    return read_output(container, ["stat", "--format", "%u", "/proc/1"])


@pytest.mark.parametrize("name", ["python", "python3"])
def test_python__is_version_3_13_and_root_under_both_names(client: DockerClient, name: str) -> None:
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
    assert query_over_tcp(postgres, "SELECT current_user") == "postgres"


def test_postgres__refuses_a_wrong_password(postgres: Container) -> None:
    with pytest.raises(AssertionError, match="password authentication failed"):
        query_over_tcp(postgres, "SELECT 1", password="wrong")


def test_postgres__reads_settings_from_its_command(postgres: Container) -> None:
    assert query_over_tcp(postgres, "SHOW max_connections") == "123"


def test_postgres__counts_statements(postgres: Container) -> None:
    query_over_tcp(postgres, "CREATE EXTENSION pg_stat_statements")
    query_over_tcp(postgres, "SELECT 40 + 2")
    counted = "SELECT calls FROM pg_stat_statements WHERE query LIKE 'SELECT $1 + $2'"
    assert query_over_tcp(postgres, counted) == "1"


def test_postgres__sorts_like_the_official_image(postgres: Container) -> None:
    collation = "SELECT datcollate FROM pg_database WHERE datname = current_database()"
    assert query_over_tcp(postgres, collation) == "en_US.utf8"


def test_postgres__runs_as_its_own_user(postgres: Container) -> None:
    assert read_first_uid(postgres) == "999"


def test_postgres__keeps_its_data_in_a_volume(postgres: Container) -> None:
    mounts = {mount["Destination"]: mount["Type"] for mount in postgres.attrs["Mounts"]}
    assert mounts == {read_output(postgres, ["printenv", "PGDATA"]): "volume"}


def test_postgres__creates_user_and_database_and_shuts_down_fast(start: Start) -> None:
    container = start("postgres:17", POSTGRES_PASSWORD=PASSWORD, POSTGRES_USER="ann", POSTGRES_DB="shop")
    wait_until_success(container, ["pg_isready", "--host", find_address(container)])
    command = ["psql", "-h", find_address(container), "-U", "ann", "-Atc", "SELECT current_user", "shop"]
    assert read_output(container, command, PGPASSWORD=PASSWORD) == "ann"
    container.stop()
    assert "received fast shutdown request" in container.logs().decode()
    assert container.wait()["StatusCode"] == 0


def test_postgres__refuses_to_start_without_a_password(start: Start) -> None:
    container = start("postgres:17")
    assert container.wait()["StatusCode"] == 1
    assert "superuser password is not specified" in container.logs().decode()


def test_redis__answers_other_hosts_without_a_password(redis: Container) -> None:
    assert read_output(redis, ["redis-cli", "-h", find_address(redis), "incr", "counter"]) == "1"


def test_redis__reads_settings_from_its_command(redis: Container) -> None:
    assert read_output(redis, ["redis-cli", "config", "get", "save"]).split() == ["save"]


def test_redis__runs_as_its_own_user(redis: Container) -> None:
    assert read_first_uid(redis) == "999"


def test_redis__keeps_its_data_in_a_volume(redis: Container) -> None:
    redis.reload()
    assert [(mount["Destination"], mount["Type"]) for mount in redis.attrs["Mounts"]] == [("/data", "volume")]


def test_build__does_not_touch_images_that_exist(client: DockerClient) -> None:
    before = [client.images.get(name).id for name in IMAGES]
    subprocess.run([BUILD], check=True)
    assert [client.images.get(name).id for name in IMAGES] == before


def test_build__reports_an_unknown_name() -> None:
    done = subprocess.run([BUILD, "push"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("images: unknown image 'push'; choose from: ")
