"""Containers that do nothing but hold a place in a network, into which others are started again and again.

In an overlay network each start is announced to all hosts by gossip. Of many starts and stops in short succession some
are announced late, or in the wrong order, and a name is unknown for up to half a minute. A place that is held is
announced once.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import docker
from docker.errors import DockerException
from docker.models.containers import Container

from bench_action.engine.docker.creations import Creations
from bench_action.engine.docker.recipes import SOCKETS

_MEMORY = 64 * 2**20


class Sandboxes:
    """The places of one run: one for each host name in each slot."""

    def __init__(self, client: docker.DockerClient, creations: Creations, labels: Mapping[str, str]) -> None:
        self._client = client
        self._creations = creations
        self._labels = labels
        self._turn = threading.Lock()
        self._held: dict[tuple[str, str], tuple[str, set[str]]] = {}  # network, host → container, its names there

    def hold(self, image: str, network: str, host: str, aliases: Sequence[str]) -> str:
        """Hold the place of a host in a network, under these names. Returns the container that holds it.

        Raises DockerException.
        """
        with self._turn:
            key = (network, host)
            if key not in self._held:
                self._held[key] = self._start(image, network, host, aliases), set(aliases)
            container_id, known = self._held[key]
            self._call(container_id, network, known, known | set(aliases))
            for other, (other_id, names) in self._held.items():
                if other != key and other[0] == network:  # a name leads to what was started last
                    self._call(other_id, network, names, names - set(aliases))
            return container_id

    def _call(self, container_id: str, network: str, known: set[str], wanted: set[str]) -> None:
        """Give a place other names, if it has not these."""
        if known != wanted:
            api = self._client.api
            api.disconnect_container_from_network(container_id, network)
            api.connect_container_to_network(container_id, network, aliases=sorted(wanted))
            known.clear()
            known.update(wanted)

    def _start(self, image: str, network: str, host: str, aliases: Sequence[str]) -> str:
        container = self._creations.make(partial(self._create, image, network, host, aliases))
        try:
            container.start()
        except DockerException:
            container.remove(force=True)
            raise
        return str(container.id)

    def _create(self, image: str, network: str, host: str, aliases: Sequence[str]) -> Container:
        endpoint = self._client.api.create_endpoint_config(aliases=list(aliases))
        return self._client.containers.create(
            image,
            name=f"{network}-at-{host}",
            entrypoint=["sleep"],
            command=["infinity"],
            init=True,
            user="65534:65534",
            hostname=host,
            labels=dict(self._labels),
            network=network,
            networking_config={network: endpoint},
            sysctls=SOCKETS,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=16,
            mem_limit=_MEMORY,
            memswap_limit=_MEMORY,
            use_config_proxy=False,
        )
