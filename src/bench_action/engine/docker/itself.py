"""The container that this process runs in, where it runs in one."""

import re
import socket
from pathlib import Path

import docker
from docker.errors import DockerException

from bench_action.engine.docker.labels import TOOL

_ID = re.compile(r"\b[0-9a-f]{64}\b")


def tool_image(client: docker.DockerClient, cgroup: Path = Path("/proc/self/cgroup")) -> str | None:
    """The id of the image that we run from, where it is the action's, which has wrk."""
    for identity in candidates(cgroup, socket.gethostname()):
        try:
            container = client.containers.get(identity)
        except DockerException:
            continue
        if TOOL in container.labels:
            return str(container.attrs["Image"])
    return None


def candidates(cgroup: Path, hostname: str) -> list[str]:
    """Ids, likely ones first: of the control group (version 1 tells it), then the host name, which Docker makes of it.

    Where a container shares the network of another, as under act, its host name is the other's.
    """
    try:
        found = _ID.findall(cgroup.read_text(encoding="ascii"))
    except OSError:
        found = []
    return [*dict.fromkeys(found), hostname]
