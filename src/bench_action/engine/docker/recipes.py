"""How each kind of service is run in a container: command line, limits, where its data lie."""

from collections.abc import Mapping, Sequence
from typing import Any

from docker.types import LogConfig, Ulimit

from bench_action.engine.commands import postgres_command, redis_command
from bench_action.engine.protocol import ServiceSpec

# Linux caps a listen backlog at somaxconn (listen(2)), 4096 by default since 5.4 and 128 before.
_SOCKETS = {"net.core.somaxconn": "4096", "net.ipv4.tcp_max_syn_backlog": "4096"}
# wrk needs one local port a connection; the default range holds 28,232 of them (ip-sysctl, ip_local_port_range).
_PORTS = {"net.ipv4.ip_local_port_range": "1024 65535"}
_CGROUPS = "/engine-cgroups"
_OPEN_FILES = 16384  # ten times what the article asks for; engines in containers may refuse more


def container_options(spec: ServiceSpec, volumes: Sequence[str]) -> dict[str, Any]:
    """Arguments of `containers.create` for this kind. `volumes` are the paths that its image declares."""
    options: dict[str, Any] = {
        "command": list(spec.command) or None,
        "environment": dict(spec.env),
        "healthcheck": {"test": ["NONE"]},  # an image's own probe would load what is measured
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "1"}),
        "ulimits": _ulimits(spec.ulimits),
        "sysctls": _SOCKETS,
    }
    match spec.kind:
        case "postgres":
            options |= {"command": postgres_command(spec), "shm_size": "256m", "tmpfs": dict.fromkeys(volumes, "")}
        case "redis":
            options |= {"command": redis_command(spec), "tmpfs": dict.fromkeys(volumes, "")}
        case "load":
            options |= _load()
        case "subject":
            options |= {"security_opt": ["no-new-privileges:true"]}
        case "other":
            pass
    return options


def _ulimits(limits: Mapping[str, int]) -> list[Ulimit]:
    wanted = {"nofile": _OPEN_FILES, **limits}
    return [Ulimit(name=name, soft=value, hard=value) for name, value in wanted.items()]


def _load() -> dict[str, Any]:
    """It reads the counters of all parts where the engine's own host keeps them, as a user who may change nothing."""
    return {
        "entrypoint": ["sleep"],
        "command": ["infinity"],
        "init": True,
        "sysctls": _SOCKETS | _PORTS,
        "user": "65534:65534",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "volumes": {"/sys/fs/cgroup": {"bind": _CGROUPS, "mode": "ro"}},
        "environment": {"BENCH_ACTION_CGROUPS": _CGROUPS},
    }
