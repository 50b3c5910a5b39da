"""A private registry, a real one: what may be pulled and built with its password, and what is said without."""

import io
import json
import os
import secrets
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from tests.docker.conftest import make_owner
from tests.docker.footprint import Footprint

from bench_action.engine.docker import DockerEngine
from bench_action.engine.docker.credentials import Login, add_logins
from bench_action.engine.local.ports import Ports
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

pytestmark = pytest.mark.docker

SCRIPTS = Path(__file__).parents[2] / "scripts"
BASE = "python:3.13-slim"
NAME = "bench-action/test-registry"
LABELS = {"bench-action.test": "registry"}
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
def registry() -> Iterator[Registry]:
    """Run a registry on the loopback address of the engine, wherever that is: from there engines pull without TLS."""
    program = subprocess.run([SCRIPTS / "registry.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    ports = Ports()
    address = f"127.0.0.1:{ports.reserve()}"
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": "/data"}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": "/htpasswd"}},
    }
    files = {
        "docker-registry": Path(program).read_bytes(),
        "config.yml": json.dumps(config).encode(),  # which is YAML, too
        "htpasswd": f"{USER}:{HASH}\n".encode(),
    }
    client = docker.from_env()
    command = ["/docker-registry", "serve", "/config.yml"]
    container = client.containers.create(BASE, command, network_mode="host", labels=LABELS)
    try:
        container.put_archive("/", _pack(files))
        container.start()
        registry = Registry(address)
        _fill(registry, client, container)
        yield registry
    finally:
        container.remove(force=True, v=True)
        client.close()
        ports.release()


def _pack(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def _fill(registry: Registry, client: docker.DockerClient, container: Container) -> None:
    """Wait until the registry listens, and push its image."""
    deadline = time.monotonic() + WAIT_S
    while b"listening on" not in (log := container.logs()):
        assert time.monotonic() < deadline, log.decode()
        time.sleep(0.05)
    client.images.get(BASE).tag(registry.image)
    try:
        push: Any = client.api.push
        login = {"username": USER, "password": PASSWORD}
        events = push(registry.image, stream=True, decode=True, auth_config=login)
        assert not [event for event in events if "error" in event]
    finally:
        client.images.remove(registry.image)


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
