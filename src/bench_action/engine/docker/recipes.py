"""How to run each kind of service in a container: command line, rights, limits, and where its data are kept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from bench_action.engine.commands import make_mysql_options, make_postgres_command, make_redis_options
from bench_action.engine.docker.data import Binds
from bench_action.engine.docker.limits import Limits
from bench_action.engine.protocol import COPIED, ContainerForm, Kind, ServiceSpec
from bench_action.model.machine import OPEN_FILES

# Linux caps a listen backlog at somaxconn (listen(2)), 4096 by default since 5.4 and 128 before.
SOCKETS = {"net.core.somaxconn": "4096", "net.ipv4.tcp_max_syn_backlog": "4096"}
# wrk needs one local port per connection; the default range has 28,232 (ip-sysctl, ip_local_port_range). It is in the
# networks of all slots, and must not be a way from one to another.
_LOAD_NETWORK = {"net.ipv4.ip_local_port_range": "1024 65535", "net.ipv4.ip_forward": "0"}
_CGROUPS = "/engine-cgroups"
# What entrypoints that start as root need to hand their data to another user and become that user, as those of the
# official images do: chown and find in a folder that is not theirs; gosu, or setpriv, which also drops the bounding
# set; and an init process that passes signals on to that user's.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID")
# Images of any kind: ports below 1024, `chroot --userspec` (Bitnami, Elasticsearch 7), and `su`, which PAM ends
# without AUDIT_WRITE. What the engine gives by default beyond these (NET_RAW, MKNOD, SETFCAP, FSETID), nobody gets.
_MORE_CAPABILITIES = ("AUDIT_WRITE", "NET_BIND_SERVICE", "SYS_CHROOT")


def make_container_options(spec: ServiceSpec, volumes: Sequence[str], data: Binds, limits: Limits) -> dict[str, Any]:
    """Make the arguments of `containers.create` for this kind.

    `volumes`: the paths that its image declares. `data`: the volumes that are mounted there instead, for a database.
    They are root's at first, so its entrypoint starts as root, regardless of `user`, hands them to the server's user
    and becomes that user.
    """
    ulimits = {"nofile": OPEN_FILES, **spec.ulimits}
    options: dict[str, Any] = {
        "command": list(spec.command) or None,
        "environment": dict(spec.env),
        "healthcheck": {"test": ["NONE"]},  # an image's own probe would put load on what is measured
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "1"}),
        "ulimits": [Ulimit(name=name, soft=value, hard=value) for name, value in ulimits.items()],
        "sysctls": SOCKETS,
        **limits.make_options(_list_capabilities(spec.kind)),
    }
    match spec.kind:
        case "postgres":
            options |= {"command": make_postgres_command(spec), "shm_size": "256m", "volumes": data}
        case "redis":
            options |= {"command": make_redis_options(spec), "tmpfs": dict.fromkeys(volumes, "")}
        case "mysql":
            options |= {"command": make_mysql_options(spec), "volumes": data}
        case "load" | "watch":
            options |= _make_load_options()
        case "subject" | "other":
            pass
    form = replace(spec.container, user="") if spec.kind in COPIED else spec.container
    return _add_form(options, form, limits)


def _list_capabilities(kind: Kind) -> Sequence[str]:
    if kind in {"load", "watch"}:
        return ()
    return (*_CAPABILITIES, *_MORE_CAPABILITIES) if kind in {"subject", "other"} else _CAPABILITIES


def _add_form(options: dict[str, Any], form: ContainerForm, limits: Limits) -> dict[str, Any]:
    """Add how this container runs; what a kind needs (its data in memory, its own shared memory) stays."""
    chosen: dict[str, Any] = {
        "user": form.user,
        "working_dir": form.working_dir,
        "stop_signal": form.stop_signal,
        "shm_size": form.shm_size,
        "init": form.init,
        "platform": form.platform,
    }
    options = {**options, **{name: value for name, value in chosen.items() if value}}
    if form.entrypoint is not None:
        options["entrypoint"] = list(form.entrypoint)
    memory = dict(options.get("tmpfs", {}))
    memory |= {path: given for path, _, given in (text.partition(":") for text in form.tmpfs)}
    kept = {*memory, *(bind["bind"] for bind in options.get("volumes", {}).values())}
    volumes = [path for path in form.volumes if path not in kept]
    if memory:
        options["tmpfs"] = {path: limits.size_folder(given) for path, given in memory.items()}
    copied = {file.target.rstrip("/") for file in form.files}  # these contain nothing else
    mounts = [Mount(path, None, no_copy=path.rstrip("/") in copied) for path in volumes]
    return options | ({"mounts": mounts} if mounts else {})


def _make_load_options() -> dict[str, Any]:
    """Let it read the counters of all parts from the host's control groups, as a user who may change nothing."""
    return {
        "entrypoint": ["sleep"],
        "command": ["infinity"],
        "init": True,
        "sysctls": SOCKETS | _LOAD_NETWORK,
        "user": "65534:65534",
        "volumes": {"/sys/fs/cgroup": {"bind": _CGROUPS, "mode": "ro"}},
        "environment": {"BENCH_ACTION_CGROUPS": _CGROUPS},
        "oom_score_adj": 0,  # it is ours, and small
    }
