"""How each kind of service is run in a container: command line, limits, where its data lie."""

from collections.abc import Mapping, Sequence
from typing import Any

from docker.types import LogConfig, Ulimit

from bench_action.engine.protocol import ServiceSpec

# Linux caps a listen backlog at somaxconn (listen(2)), 4096 by default since 5.4 and 128 before.
_SOCKETS = {"net.core.somaxconn": "4096", "net.ipv4.tcp_max_syn_backlog": "4096"}
# wrk needs one local port a connection; the default range holds 28,232 of them (ip-sysctl, ip_local_port_range).
_PORTS = {"net.ipv4.ip_local_port_range": "1024 65535"}
_POSTGRES_SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_utility": "off",  # transaction control is not a query (glossary)
    "timezone": "UTC",
    "log_min_messages": "error",
}
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
            options |= _postgres(spec) | {"tmpfs": dict.fromkeys(volumes, "")}
        case "redis":
            options |= _redis(spec) | {"tmpfs": dict.fromkeys(volumes, "")}
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


def _postgres(spec: ServiceSpec) -> dict[str, Any]:
    # whoever sets shared_preload_libraries means "as well": without ours, no query could be counted
    settings = {**_POSTGRES_SETTINGS, **spec.settings}
    libraries = [part.strip() for part in settings["shared_preload_libraries"].split(",") if part.strip()]
    if "pg_stat_statements" not in libraries:
        libraries.append("pg_stat_statements")
    settings["shared_preload_libraries"] = ",".join(libraries)
    command = ["postgres"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return {"command": command + list(spec.command), "shm_size": "256m"}


def _redis(spec: ServiceSpec) -> dict[str, Any]:
    settings = {"save": "", "appendonly": "no", **spec.settings}
    command = ["redis-server"]
    for name, value in settings.items():
        command += [f"--{name}", value]
    return {"command": command + list(spec.command)}


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
