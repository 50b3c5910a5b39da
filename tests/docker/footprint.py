"""What the runs of one test session have on the engine: containers, networks and volumes.

Runs say which repository they are for, on every object that they make. A session invents a repository for itself, so
other runs on the same engine are not looked at. Volumes carry no label; the engine's events tell which were theirs.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import NotFound

REPOSITORY = "bench-action.repository"
_LISTEN_S = 10.0


class Footprint:
    """Objects of the runs that are for `repository`."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client
        self.repository = f"tests/{secrets.token_hex(4)}"
        self._label = {"label": f"{REPOSITORY}={self.repository}"}
        self._ours: set[str] = set()
        self._mounted: list[tuple[str, str]] = []

    def containers(self) -> list[str]:
        """Names, also of containers that do not run."""
        return sorted(
            item["Names"][0].lstrip("/") for item in self.client.api.containers(all=True, filters=self._label)
        )

    def networks(self) -> list[str]:
        """Names."""
        return sorted(item["Name"] for item in self.client.api.networks(filters=self._label))

    def volumes(self) -> list[str]:
        """Volumes that a container of ours has mounted, and that are still there."""
        used = {volume for volume, container in list(self._mounted) if container in self._ours}
        return sorted(used & {item["Name"] for item in self.client.api.volumes()["Volumes"] or []})

    def left(self) -> list[str]:
        """Everything, for an assertion that it is nothing."""
        return self.containers() + self.networks() + self.volumes()

    def container(self, name: str) -> str:
        """The id of the one running container whose service or subject is called `name`."""
        found = [
            item["Id"]
            for item in self.client.api.containers(filters=self._label)
            if item["Names"][0].endswith(f"-{name}")
        ]
        (container,) = found
        return str(container)

    def remove(self, prefix: str = "") -> None:
        """After a test, so that the next one and the engine are not disturbed: what has a name that begins so."""
        with contextlib.suppress(NotFound):
            for name in self.containers():
                if name.startswith(prefix):
                    self.client.api.remove_container(name, v=True, force=True)
            for name in self.networks():
                if name.startswith(prefix):
                    self.client.api.remove_network(name)

    @classmethod
    @contextlib.contextmanager
    def of_a_session(cls) -> Iterator["Footprint"]:
        """Of everything until the context ends; then it is nothing."""
        client = docker.from_env()
        try:
            with cls(client).watched() as footprint:
                yield footprint
                left = footprint.left()
                footprint.remove()
        finally:
            client.close()
        assert left == []

    @contextlib.contextmanager
    def watched(self) -> Iterator["Footprint"]:
        """Listen to the engine meanwhile."""
        events = self.client.events(decode=True, filters={"event": ["create", "mount"]})
        listener = threading.Thread(target=self._listen, args=(events,), daemon=True)
        listener.start()
        try:
            yield self
        finally:
            events.close()
            listener.join(_LISTEN_S)

    def _listen(self, events: Iterator[dict[str, Any]]) -> None:
        # an attribute error is how a stream that was closed ends in some versions of urllib3
        with contextlib.suppress(AttributeError, ValueError):
            for event in events:
                actor = event["Actor"]
                if event["Type"] == "container" and actor["Attributes"].get(REPOSITORY) == self.repository:
                    self._ours.add(actor["ID"])
                if event["Type"] == "volume" and event["Action"] == "mount":
                    self._mounted.append((actor["ID"], actor["Attributes"].get("container", "")))
