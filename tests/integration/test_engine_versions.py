"""Engines that are not on every machine: what 28 and 29 answer, as their API's documentation has it, over real HTTP.

They stand in for the engines themselves, with which nothing here has run: 29 refuses clients below API 1.44, both use
control groups version 2 with systemd on the runners that GitHub hosts.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bench_action.engine.docker import DockerEngine
from bench_action.engine.docker.labels import labels_of
from bench_action.engine.ownership import Ownership

pytestmark = pytest.mark.integration

ENGINES = {
    "28": {"Version": "28.0.4", "ApiVersion": "1.48", "MinAPIVersion": "1.24"},
    "29": {"Version": "29.4.0", "ApiVersion": "1.53", "MinAPIVersion": "1.44"},
}
INFO = {
    "ID": "7TRN:IPZB",
    "ServerVersion": "",
    "Driver": "overlayfs",
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "NCPU": 4,
    "MemTotal": 16_766_251_008,
    "KernelVersion": "6.11.0-1018-azure",
    "OperatingSystem": "Ubuntu 24.04",
    "OSType": "linux",
    "Architecture": "x86_64",
    "Name": "runner",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
}
OWNER = Ownership("20261126-000000-abcdef", "", 1, "org/shop", "org/shop/1/1/benchmark/runner-1")


class Double(ThreadingHTTPServer):
    """An engine of one version, with one container and one network of a run that is gone."""

    daemon_threads = True

    def __init__(self, version: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version = version
        self.removed: list[str] = []
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """Answers as the engine's API documentation says."""

    protocol_version = "HTTP/1.1"
    server: Double

    def do_GET(self) -> None:
        """Reading."""
        version, path = self._parts()
        if version and _as_numbers(version) < _as_numbers(self.server.version["MinAPIVersion"]):
            least = self.server.version["MinAPIVersion"]
            text = f"client version {version} is too old. Minimum supported API version is {least}, please upgrade"
            self._answer(400, {"message": text})
            return
        gone = "bench-action-20261126-000000-abcdef"
        answers: dict[str, Any] = {
            "/_ping": "OK",
            "/version": {**self.server.version, "Os": "linux", "Arch": "amd64", "Components": []},
            "/info": {**INFO, "ServerVersion": self.server.version["Version"]},
            "/containers/json": []
            if "c1" in self.server.removed
            else [
                {
                    "Id": "c1",
                    "Names": [f"/{gone}-redis"],
                    "Image": "redis:8",
                    "State": "running",
                    "Labels": labels_of(OWNER),
                    "HostConfig": {"NetworkMode": gone},
                    "NetworkSettings": {"Networks": {}},
                },
            ],
            "/networks": []
            if "n1" in self.server.removed
            else [
                {"Name": gone, "Id": "n1", "Driver": "bridge", "Labels": labels_of(OWNER)},
            ],
        }
        self._answer(200, answers[path]) if path in answers else self._answer(404, {"message": f"no such: {path}"})

    def do_DELETE(self) -> None:
        """Removing."""
        self.server.removed.append(self._parts()[1].rsplit("/", 1)[-1])
        self._answer(204, None)

    def _parts(self) -> tuple[str, str]:
        found = re.fullmatch(r"(?:/v([\d.]+))?(/[^?]*)(?:\?.*)?", self.path)
        assert found
        self.server.asked.append(self.path)
        return found[1] or "", found[2]

    def _answer(self, status: int, body: Any) -> None:
        content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", self.server.version["ApiVersion"])
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """The test says what was asked."""


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@contextmanager
def running(version: dict[str, str]) -> Iterator[Double]:
    with Double(version) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("engine", ENGINES)
def test_engine__speaks_a_version_that_it_takes_and_tells_its_machine(engine: str) -> None:
    with running(ENGINES[engine]) as server:
        docker = DockerEngine(OWNER, {"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"})
        machine = docker.machine()
        assert ENGINES[engine]["Version"] in machine.engine_version
        assert "cgroup v2" in machine.engine_version
        assert (machine.cores, machine.kernel) == (4, "6.11.0-1018-azure")
        versions = {found[1] for path in server.asked if (found := re.match(r"/v([\d.]+)/", path))}
        least = _as_numbers(ENGINES[engine]["MinAPIVersion"])
        assert versions
        assert all(_as_numbers(version) >= least for version in versions)


@pytest.mark.parametrize("engine", ENGINES)
def test_engine__sweeps_what_a_job_has_left(engine: str) -> None:
    with running(ENGINES[engine]) as server:
        docker = DockerEngine(OWNER, {"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"})
        assert docker.sweep(OWNER.job) == [
            "bench-action-20261126-000000-abcdef-redis",
            "bench-action-20261126-000000-abcdef",
        ]
        assert sorted(server.removed) == ["c1", "n1"]
