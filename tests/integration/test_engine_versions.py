"""Docker 28 and 29, which are not on every machine: stand-ins that answer as their API documentation says, over HTTP.

Engine 29 refuses clients below API 1.44. On the runners that GitHub hosts, both use control groups version 2 with
systemd. `make test-newer-engine` tests against a real Docker 28.
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
from bench_action.engine.docker.labels import make_labels
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


class EngineDouble(ThreadingHTTPServer):
    """An engine of one version, with one container and one network of a dead run."""

    daemon_threads = True

    def __init__(self, version: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version = version
        self.removed: list[str] = []
        self.requests: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """Answers requests as the engine's API documentation says."""

    protocol_version = "HTTP/1.1"
    server: EngineDouble

    def do_GET(self) -> None:
        """Answer a request to read."""
        version, path = self._parts()
        if version and _parse_version(version) < _parse_version(self.server.version["MinAPIVersion"]):
            least = self.server.version["MinAPIVersion"]
            text = f"client version {version} is too old. Minimum supported API version is {least}, please upgrade"
            self._answer(400, {"message": text})
            return
        dead = "bench-action-20261126-000000-abcdef"
        answers: dict[str, Any] = {
            "/_ping": "OK",
            "/version": {**self.server.version, "Os": "linux", "Arch": "amd64", "Components": []},
            "/info": {**INFO, "ServerVersion": self.server.version["Version"]},
            "/containers/json": []
            if "c1" in self.server.removed
            else [
                {
                    "Id": "c1",
                    "Names": [f"/{dead}-redis"],
                    "Image": "redis:8",
                    "State": "running",
                    "Labels": make_labels(OWNER),
                    "HostConfig": {"NetworkMode": dead},
                    "NetworkSettings": {"Networks": {}},
                },
            ],
            "/volumes": {"Volumes": None},
            "/networks": []
            if "n1" in self.server.removed
            else [
                {"Name": dead, "Id": "n1", "Driver": "bridge", "Labels": make_labels(OWNER)},
            ],
        }
        self._answer(200, answers[path]) if path in answers else self._answer(404, {"message": f"no such: {path}"})

    def do_DELETE(self) -> None:
        """Answer a request to remove."""
        self.server.removed.append(self._parts()[1].rsplit("/", 1)[-1])
        self._answer(204, None)

    def _parts(self) -> tuple[str, str]:
        match = re.fullmatch(r"(?:/v([\d.]+))?(/[^?]*)(?:\?.*)?", self.path)
        assert match
        self.server.requests.append(self.path)
        return match[1] or "", match[2]

    def _answer(self, status: int, body: Any) -> None:
        content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", self.server.version["ApiVersion"])
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing: the tests look at `requests`."""


def _parse_version(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@contextmanager
def serve(version: dict[str, str]) -> Iterator[EngineDouble]:
    with EngineDouble(version) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("engine", ENGINES)
def test_engine__uses_a_supported_version_and_describes_its_machine(engine: str) -> None:
    with serve(ENGINES[engine]) as server:
        docker = DockerEngine(OWNER, {"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"})
        machine = docker.machine()
        assert ENGINES[engine]["Version"] in machine.engine_version
        assert "cgroup v2" in machine.engine_version
        assert (machine.cores, machine.kernel) == (4, "6.11.0-1018-azure")
        versions = {match[1] for path in server.requests if (match := re.match(r"/v([\d.]+)/", path))}
        least = _parse_version(ENGINES[engine]["MinAPIVersion"])
        assert versions
        assert all(_parse_version(version) >= least for version in versions)


@pytest.mark.parametrize("engine", ENGINES)
def test_engine__sweeps_what_a_job_left_behind(engine: str) -> None:
    with serve(ENGINES[engine]) as server:
        docker = DockerEngine(OWNER, {"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"})
        assert docker.sweep(OWNER.job) == [
            "bench-action-20261126-000000-abcdef-redis",
            "bench-action-20261126-000000-abcdef",
        ]
        assert sorted(server.removed) == ["c1", "n1"]
