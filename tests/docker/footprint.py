"""Track what the runs of one test session have on the engine: containers, networks and volumes.

Runs label every object that they make with their repository. A session makes up a repository, so that other runs on the
same engine are ignored. Volumes have no label; the engine's events show which ones these runs have mounted.
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
    """The objects of the runs that belong to `repository`."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client
        self.repository = f"tests/{secrets.token_hex(4)}"
        self._label = {"label": f"{REPOSITORY}={self.repository}"}
        self._ours: set[str] = set()
        self._mounted: list[tuple[str, str]] = []

    def containers(self) -> list[str]:
        """List the names of all containers, whether they run or not."""
        return sorted(
            item["Names"][0].lstrip("/") for item in self.client.api.containers(all=True, filters=self._label)
        )

    def networks(self) -> list[str]:
        """List the names of all networks."""
        return sorted(item["Name"] for item in self.client.api.networks(filters=self._label))

    def volumes(self) -> list[str]:
        """List the volumes that one of our containers has mounted and that still exist."""
        used = {volume for volume, container in list(self._mounted) if container in self._ours}
        return sorted(used & {item["Name"] for item in self.client.api.volumes()["Volumes"] or []})

    def left(self) -> list[str]:
        """List everything that is left, for an assertion that nothing is."""
        return self.containers() + self.networks() + self.volumes()

    def container(self, name: str) -> str:
        """Find the id of the one running container whose service or subject is called `name`."""
        ids = [
            item["Id"]
            for item in self.client.api.containers(filters=self._label)
            if item["Names"][0].endswith(f"-{name}")
        ]
        (container,) = ids
        return str(container)

    def remove(self, prefix: str = "") -> None:
        """Remove, after a test, everything whose name has this prefix, so that it does not disturb the next test."""
        with contextlib.suppress(NotFound):
            for name in self.containers():
                if name.startswith(prefix):
                    self.client.api.remove_container(name, v=True, force=True)
            for name in self.networks():
                if name.startswith(prefix):
                    self.client.api.remove_network(name)
            for name in self.volumes():
                if name.startswith(prefix):
                    self.client.api.remove_volume(name)

    @classmethod
    @contextlib.contextmanager
    def track_session(cls) -> Iterator["Footprint"]:
        """Track everything until the context ends, and check then that nothing is left."""
        client = docker.from_env()
        try:
            with cls(client).watch() as footprint:
                yield footprint
                left = footprint.left()
                footprint.remove()
        finally:
            client.close()
        assert left == []

    @contextlib.contextmanager
    def watch(self) -> Iterator["Footprint"]:
        """Listen to the engine's events until the context ends."""
        events = self.client.events(decode=True, filters={"event": ["create", "mount"]})
        listener = threading.Thread(target=self._listen, args=(events,), daemon=True)
        listener.start()
        try:
            yield self
        finally:
            events.close()
            listener.join(_LISTEN_S)

    def _listen(self, events: Iterator[dict[str, Any]]) -> None:
        # some versions of urllib3 raise AttributeError when a stream has been closed
        with contextlib.suppress(AttributeError, ValueError):
            for event in events:
                actor = event["Actor"]
                if event["Type"] == "container" and actor["Attributes"].get(REPOSITORY) == self.repository:
                    self._ours.add(actor["ID"])
                if event["Type"] == "volume" and event["Action"] == "mount":
                    self._mounted.append((actor["ID"], actor["Attributes"].get("container", "")))
