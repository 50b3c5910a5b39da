"""The container that this process runs in, if any."""

import re
import socket
from pathlib import Path

import docker
from docker.errors import DockerException

from bench_action.engine.docker.labels import TOOL

_ID = re.compile(r"\b[0-9a-f]{64}\b")


def find_tool_image(client: docker.DockerClient, cgroup: Path = Path("/proc/self/cgroup")) -> str | None:
    """Return the id of the image that we run from if it is the action's own, which contains wrk; else None."""
    for container_id in list_candidates(cgroup, socket.gethostname()):
        try:
            container = client.containers.get(container_id)
        except DockerException:
            continue
        if TOOL in container.labels:
            return str(container.attrs["Image"])
    return None


def list_candidates(cgroup: Path, hostname: str) -> list[str]:
    """List what may be our container's id, likely ones first: from the control group's name, then the host name.

    Docker derives the host name from the id, but a container that shares another's network, as under act, has the
    other's host name. Control groups of version 1 show the id.
    """
    try:
        ids = _ID.findall(cgroup.read_text(encoding="ascii"))
    except OSError:
        ids = []
    return [*dict.fromkeys(ids), hostname]
