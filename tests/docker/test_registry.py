"""A private registry, a real one: what may be pulled and built with its password, and what is said without."""

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest
from tests.docker.conftest import make_owner
from tests.docker.footprint import Footprint

from bench_action.engine.docker import DockerEngine
from bench_action.engine.docker.credentials import Login, add_logins
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

pytestmark = pytest.mark.docker

SCRIPTS = Path(__file__).parents[2] / "scripts"
BASE = "python:3.13-slim"
NAME = "bench-action/test-registry"
USER, PASSWORD = "someone", "pass word:1"
HASH = "$2b$04$jUhnJ1A/p03Z5.kjKEqAbuZV/zjuCrm9H5vl1GnVflBfxOYNz9xga"  # bcrypt of the password
WAIT_S = 30.0


@dataclass(frozen=True)
class Registry:
    """A registry that lets nobody in without a password; its one image is on no engine."""

    address: str

    @property
    def image(self) -> str:
        return f"{self.address}/private/app:1"

    def login(self, password: str = PASSWORD) -> Login:
        return Login(self.address, USER, password)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    program = subprocess.run([SCRIPTS / "registry.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "htpasswd").write_text(f"{USER}:{HASH}\n", encoding="utf-8")
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(config), encoding="utf-8")  # which is YAML, too
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        registry = Registry(address)
        _fill(registry, folder / "log")
        yield registry
    finally:
        process.kill()
        process.wait()


def _fill(registry: Registry, log: Path) -> None:
    """Wait until the registry answers, and push its image."""
    host, _, port = registry.address.partition(":")
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
    client = docker.from_env()
    client.images.get(BASE).tag(registry.image)
    try:
        login = {"username": USER, "password": PASSWORD}
        push: Any = client.api.push
        events = push(registry.image, stream=True, decode=True, auth_config=login)
        assert not [event for event in events if "error" in event]
    finally:
        client.images.remove(registry.image)
        client.close()


@pytest.mark.parametrize("builder", ["buildx", "classic"])
def test_private_image__is_pulled_and_built_from_with_the_password_only(
    registry: Registry, footprint: Footprint, tmp_path: Path, builder: str
) -> None:
    """Without, and with a wrong one, the registry refuses, and the message says where to log in."""
    (tmp_path / "Dockerfile").write_text(f"FROM {registry.image}\nLABEL test={secrets.token_hex()}\n", encoding="utf-8")
    spec = BuildSpec("subject", NAME, tmp_path)
    environ = _find_environ(builder)
    for logins in ([], [registry.login("wrong")]):
        with add_logins(logins, environ) as changed:
            engine = DockerEngine(make_owner(footprint), changed)
            for use in (partial(engine.image, registry.image, "subject"), partial(engine.build, spec)):
                with pytest.raises(StackError) as caught:
                    use()
                assert "`registries`" in caught.value.advice, caught.value
                assert PASSWORD not in str(caught.value)
    with add_logins([registry.login()], environ) as changed:
        engine = DockerEngine(make_owner(footprint), changed)
        try:
            built = engine.build(spec)
            assert engine.image(registry.image, "subject")
            assert built != engine.image(registry.image, "subject")
        finally:
            engine.remove()
            footprint.client.images.remove(registry.image)
            footprint.client.images.remove(NAME, force=True)


def _find_environ(builder: str) -> Mapping[str, str]:
    """An environment in which buildx answers, or no docker command is found."""
    if builder == "classic":
        return {**os.environ, "PATH": ""}
    done = subprocess.run([SCRIPTS / "buildx.sh"], stdout=subprocess.PIPE, text=True, check=True)
    return {**os.environ, "DOCKER_CONFIG": done.stdout.strip()}
