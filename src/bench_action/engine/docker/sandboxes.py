"""Containers that do nothing but hold a place in a network, into which others are started again and again.

In an overlay network each start is announced to all hosts by gossip. Of many starts and stops in short succession some
are announced late, or in the wrong order, and a name is unknown for up to half a minute. A place that is held is
announced once.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import docker
from docker.errors import APIError
from docker.models.containers import Container

from bench_action.engine.docker.creations import Creations, removing_on_failure
from bench_action.engine.docker.recipes import SOCKETS

_MEMORY = 64 * 2**20
# A Swarm's host learns of a network when a container is attached to it, and forgets it when the last one has left. If
# both happen together, the engine does not find the network that it has just been given: it calls a network by its name
# when a container is started for the first time, and by its id later (`findAndAttachNetwork` in moby's daemon).
_NOT_ATTACHED = re.compile(r"attaching to network failed|network \S+ not found")
_ATTEMPTS, _AGAIN_S = 5, 1.0


@dataclass(slots=True)
class _Placeholder:
    """The container that holds a place, and the names that lead to it."""

    container: str
    names: set[str]


def attach(start: Callable[[], object], again_s: float = _AGAIN_S) -> None:
    """Start or connect a container, again if a busy Swarm has not attached it to its network. Raises DockerException.

    Args:
        start: Calls the engine. It has changed nothing if it raises.
        again_s: Seconds between two attempts.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            start()
        except APIError as error:
            if attempt == _ATTEMPTS or not _NOT_ATTACHED.search(str(error.explanation)):
                raise
            time.sleep(again_s)
        else:
            return


class Sandboxes:
    """The places of one run: one for each host name in each slot."""

    def __init__(self, client: docker.DockerClient, creations: Creations, labels: Mapping[str, str]) -> None:
        self._client = client
        self._creations = creations
        self._labels = labels
        self._turn = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}  # by network, whose places one thread at a time changes
        self._places: dict[tuple[str, str], _Placeholder] = {}  # by network and host

    def hold(self, image: str, network: str, host: str, aliases: Sequence[str]) -> str:
        """Hold the place of a host in a network, under these names. Returns the container that holds it.

        Raises DockerException.
        """
        with self._turn:
            turn = self._turns.setdefault(network, threading.Lock())
        with turn:
            others = [each for (there, name), each in self._places.items() if there == network and name != host]
            place = self._places.get((network, host))
            if place is None:
                place = _Placeholder(self._start(image, network, host, aliases), set(aliases))
                self._places[network, host] = place
            self._rename(place, network, place.names | set(aliases))
            for other in others:  # a name leads to what was started last
                self._rename(other, network, other.names - set(aliases))
            return place.container

    def _rename(self, place: "_Placeholder", network: str, names: set[str]) -> None:
        """Give a place these names, if it has others."""
        if place.names != names:
            api = self._client.api
            api.disconnect_container_from_network(place.container, network)
            attach(partial(api.connect_container_to_network, place.container, network, aliases=sorted(names)))
            place.names = names

    def _start(self, image: str, network: str, host: str, aliases: Sequence[str]) -> str:
        container = self._creations.make(partial(self._create, image, network, host, aliases))
        with removing_on_failure(container):
            attach(container.start)
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
