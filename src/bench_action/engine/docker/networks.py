"""The networks of a run: bridges on one machine, or the overlay networks of the Swarm that several machines are in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import docker


@dataclass(frozen=True, slots=True)
class NetworkForm:
    """How networks are made: arguments of `networks.create`, if they are made by this engine."""

    options: Mapping[str, Any]
    made_here: bool = True


@dataclass(frozen=True, slots=True)
class Swarm:
    """The Swarm that an engine is in. `node`: the engine's id there, empty without one. `state`: as Docker calls it.

    `nodes`: id → state of every engine in it, if this one manages it.
    """

    state: str
    node: str = ""
    manages: bool = False
    nodes: Mapping[str, str] = field(default_factory=dict)


BRIDGE: Final = NetworkForm({"driver": "bridge"})


def make_overlay(mtu: int, *, made_here: bool) -> NetworkForm:
    """Make the form of networks that plain containers of several hosts can join. Never encrypted: it costs 99 %."""
    options = {"com.docker.network.driver.mtu": str(mtu)}
    return NetworkForm({"driver": "overlay", "attachable": True, "options": options}, made_here)


def read_swarm(client: docker.DockerClient) -> Swarm:
    """Read which Swarm an engine is in."""
    found = client.info().get("Swarm") or {}
    manages = bool(found.get("ControlAvailable"))
    nodes = {node["ID"]: node["Status"]["State"] for node in client.api.nodes()} if manages else {}
    return Swarm(str(found.get("LocalNodeState", "inactive")), str(found.get("NodeID", "")), manages, nodes)
