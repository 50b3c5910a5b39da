"""Convert a service of a compose file into the keys of `bench.yml`, and note what is not taken over."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_action.config.compose.parse import Attachment, ComposeService, Mount, parse_size
from bench_action.config.kinds import find_usual_port
from bench_action.config.paths import find_problem
from bench_action.config.schema import CACHE_SOURCE
from bench_action.model.errors import InputError

_SHORTEST_S, _LONGEST_S = 60.0, 600.0  # within which something must become ready
_NAME_LENGTH = 40
_ULIMITS = frozenset({"nofile", "nproc", "memlock", "core", "stack"})
_FEWEST_FILES = 64
_SECRET_MARK = re.compile(r"__bench_action_secret_([A-Za-z_][A-Za-z0-9_]*)__")
# honoured, or without meaning for a run
_HONOURED = frozenset(
    [
        *(
            "image",
            "build",
            "platform",
            "command",
            "entrypoint",
            "environment",
            "env_file",
            "healthcheck",
            "depends_on",
        ),
        *("ports", "expose", "configs", "secrets", "volumes", "tmpfs", "user", "working_dir", "stop_signal", "ulimits"),
        *("shm_size", "mem_limit", "init", "networks", "links", "container_name", "hostname", "extends", "profiles"),
        *("develop", "pull_policy", "annotations", "attach", "devices", "gpus", "privileged", "network_mode", "deploy"),
    ]
)
# keys of `deploy` that are looked at, or mean nothing
_OF_CLUSTERS = frozenset({"resources", "replicas", "labels", "mode"})
# keys of a build that say how it is stored or named
_WITHOUT_EFFECT = frozenset({"cache_to", "labels", "no_cache", "provenance", "pull", "sbom", "tags"})
# how compose files limit CPU, except by `cpus`
_CPU_LIMITS = ("cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpuset")
_DATA = {"postgres": "/var/lib/postgresql", "redis": "/data", "mysql": "/var/lib/mysql"}
# variables that may name a file with the value, as we sign in with these
_ACCOUNTS = {
    "postgres": ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"),
    "mysql": tuple(
        f"{maker}_{name}"
        for maker in ("MYSQL", "MARIADB")
        for name in ("ROOT_PASSWORD", "USER", "PASSWORD", "DATABASE")
    ),
}
# kinds whose entrypoint must start as root, as their data are root's until it hands them to the server's own user
_ROOTS = frozenset({"postgres", "mysql"})
_OPTION = re.compile(r"--([A-Za-z0-9_-]+)=(.*)", re.DOTALL)
_SETTING = re.compile(r"(?:-c|--)?\s*([A-Za-z0-9_.-]+)=(.*)", re.DOTALL)


@dataclass(slots=True)
class Notes:
    """What a person should know about how a compose file was taken: lines, and keys that were ignored, by service."""

    lines: list[str] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)

    def ignore(self, key: str, service: str) -> None:
        """Note that a key of a service was ignored."""
        self.ignored.setdefault(key, []).append(service)

    def list_lines(self) -> list[str]:
        """List all lines; what was ignored is one of them."""
        keys = "; ".join(f"{key} ({', '.join(names)})" for key, names in self.ignored.items())
        return [*self.lines, *([f"ignored, as it has no effect here: {keys}"] if keys else [])]


def make_secret_mark(name: str) -> str:
    """Make the text that stands for a secret while compose reads its files, so that no configuration contains it."""
    return f"__bench_action_secret_{name}__"


def make_name(service: str) -> str:
    """Make the name that a service has here: `my_db` is `my-db`, and keeps its own name as an alias."""
    name = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")
    name = name if name[:1].isalpha() else f"s-{name}"
    return name[:_NAME_LENGTH].rstrip("-")


@dataclass(frozen=True, slots=True)
class Converter:
    """Converts services. `folder`: that paths become relative to. `defined`: top-level configs and secrets.

    `made_otherwise`: services whose build `bench.yml` replaces.
    """

    folder: Path
    root: Path
    file: str
    defined: Mapping[str, Mapping[str, Any]]
    environ: Mapping[str, str]
    notes: Notes
    made_otherwise: Collection[str] = ()

    def convert_variant(self, service: ComposeService, name: str, port: int | None) -> dict[str, Any]:
        """Convert the service that is measured. `name`: the variant's. `port`: that it listens on, if known."""
        body = self._convert(service, name)
        if port is not None:
            body["port"] = port
            if len(service.ports) > 1:
                others = ", ".join(map(str, service.ports[1:]))
                self.notes.add(f"{service.name} is measured on port {port}; it also has {others}")
        if service.command is not None:
            body["command"] = list(service.command)
        return body

    def convert_service(self, service: ComposeService, *, once: bool, worker: bool, kind: str) -> dict[str, Any]:
        """Convert a service that others depend on. `kind`: that it may be, by its image."""
        settings, command = _read_settings(service, kind)
        if command is None:
            self.notes.add(
                f"{service.name} runs as a service of kind other, whose work is not counted: its command is a script"
            )
            kind, command = "other", list(service.command or ())
        body: dict[str, Any] = {
            "kind": kind,
            **self._convert(service, make_name(service.name), kind),
            "command": command,
        }
        if settings:
            body["settings"] = settings
        usual = find_usual_port(service.image)
        port = usual if usual is not None and (usual in service.ports or not service.published) else None
        if port is not None or service.ports:
            body["port"] = port or service.ports[0]
        return body | ({"once": True} if once else {}) | ({"worker": True} if worker else {})

    def _convert(self, service: ComposeService, name: str, kind: str = "other") -> dict[str, Any]:
        """Convert what services and variants have in common, under a name. Keys without a value are left out."""
        raw = service.raw
        self._note_ignored(service, kind)
        body: dict[str, Any] = {
            "image": None if service.build is not None else self._require_plain(service, "image", service.image),
            "build": self._convert_build(service),
            "platform": raw.get("platform"),
            "env": self._convert_environment(service, kind),
            "ready": self._convert_health(service),
            "user": raw.get("user") and kind not in _ROOTS and str(raw["user"]),
            "working_dir": raw.get("working_dir"),
            "stop_signal": raw.get("stop_signal"),
            "shm_size": parse_size(raw.get("shm_size")),
            "memory": parse_size(raw.get("mem_limit") or _read_limits(raw).get("memory")),
            "init": bool(raw.get("init")),
            "ulimits": self._convert_ulimits(service),
            "aliases": list(_list_aliases(service, name)),
            **self._convert_mounts(service, kind),
        }
        body = {key: value for key, value in body.items() if value}
        if service.entrypoint is not None:
            body["entrypoint"] = list(service.entrypoint)
        for word in (*(service.entrypoint or ()), *(service.command or ())):
            self._require_plain(service, "command", word)
        return body

    def _require_plain(self, service: ComposeService, key: str, text: str) -> str:
        """Require that a text contains no secret, which is filled in in the environment only."""
        if found := _SECRET_MARK.search(text):
            raise InputError(
                f"{self.file}: `{key}` of {service.name} contains the secret {found[1]}",
                cause="secrets are filled in only in `environment`, so that they appear in no log and no result",
                advice="give it to the container as a variable; "
                f"what is no secret belongs in `compose: {{env: [{found[1]}]}}`",
            )
        return text

    def _convert_ulimits(self, service: ComposeService) -> dict[str, int]:
        """Convert limits, without those that no server starts with, or that have no effect here."""
        limits = {
            name: int((value.get("soft") or value.get("hard") or 0) if isinstance(value, dict) else value)
            for name, value in (service.raw.get("ulimits") or {}).items()
        }
        taken = {
            name: value
            for name, value in limits.items()
            if name in _ULIMITS and (name not in {"nofile", "nproc"} or value >= _FEWEST_FILES)
        }
        for name in limits.keys() - taken.keys():
            self.notes.ignore(f"ulimits.{name}", service.name)
        return taken

    def _convert_build(self, service: ComposeService) -> dict[str, Any] | None:
        build = service.build
        if build is None:
            return None
        refused = [key for key in ("ssh", "additional_contexts", "entitlements", "privileged") if build.get(key)]
        if build.get("dockerfile_inline"):
            refused.append("dockerfile_inline")
        if refused and service.name not in self.made_otherwise:
            raise InputError(
                f"{self.file}: {service.name} is built with `{refused[0]}`, which is not supported",
                advice="build it from one context and a Dockerfile, or give it a `build` or an `image` in bench.yml, "
                f"as {make_name(service.name)}",
            )
        for name, value in service.build_arguments.items():
            self._require_plain(service, f"build.args.{name}", value)
        caches = [str(source) for source in build.get("cache_from") or []]
        converted: dict[str, Any] = {
            "context": self._make_relative(str(build["context"])),
            "dockerfile": build.get("dockerfile") if build.get("dockerfile") != "Dockerfile" else None,
            "target": build.get("target"),
            "args": service.build_arguments,
            "secrets": self._convert_build_secrets(service, build.get("secrets") or []),
            "cache_from": list(filter(_is_allowed_cache, caches)),
        }
        if caches != converted["cache_from"]:
            self.notes.ignore("build.cache_from, except images and `type=gha,scope=…`", service.name)
        for key in (key for key, value in build.items() if value and key not in {*converted, *_WITHOUT_EFFECT}):
            self.notes.ignore(f"build.{key}", service.name)
        return {key: value for key, value in converted.items() if value}

    def _convert_build_secrets(self, service: ComposeService, items: Sequence[Any]) -> dict[str, str]:
        attached = [item if isinstance(item, dict) else {"source": str(item)} for item in items]
        ids = {str(item.get("target") or item["source"]): str(item["source"]) for item in attached}
        return {
            name: self._read_file(self._convert_attachment(service, Attachment("secrets", source, "")))
            for name, source in ids.items()
        }

    def _convert_environment(self, service: ComposeService, kind: str) -> dict[str, str]:
        """Convert variables: secrets become placeholders again, and what only looks like one is escaped."""
        env = {name: _restore_secrets(text) for name, text in service.env.items()}
        for name in _ACCOUNTS.get(kind, ()):
            path = env.get(f"{name}_FILE")
            content = self._read_attachment(service, path) if path else None
            if content is not None:
                del env[f"{name}_FILE"]
                env[name] = content.rstrip("\n")
        return env

    def _read_attachment(self, service: ComposeService, target: str) -> str | None:
        for attachment in service.attachments:
            if attachment.target == target:
                return self._read_file(self._convert_attachment(service, attachment))
        return None

    def _read_file(self, file: Mapping[str, Any]) -> str:
        """Read a converted file, in the form of a text with placeholders."""
        if "content" in file:
            return str(file["content"])
        path = self.folder / str(file["source"])
        if problem := find_problem(path, self.root, "env_file"):
            raise InputError(
                f"{self.file}: could not read the value of a secret: {file['source']} {problem.text}",
                advice="use a file of the repository with a value for tests",
            )
        return _restore_secrets(path.read_text(encoding="utf-8", errors="replace"))

    def _convert_health(self, service: ComposeService) -> dict[str, Any] | None:
        if service.health is None:
            return None
        test = service.health.test
        for word in [test] if isinstance(test, str) else test:
            self._require_plain(service, "healthcheck", word)
        timeout_s = min(max(service.health.limit_s, _SHORTEST_S), _LONGEST_S)
        return {"command": test if isinstance(test, str) else list(test), "timeout": timeout_s}

    def _convert_mounts(self, service: ComposeService, kind: str) -> dict[str, Any]:
        """Convert mounts: files of the repository are copied, and all data are the container's own."""
        files: dict[str, Any] = {}
        volumes: list[str] = []
        tmpfs: list[str] = []
        for mount in service.mounts:
            if mount.type == "tmpfs":
                tmpfs.append(f"{mount.target}:{mount.size}" if mount.size else mount.target)
            elif mount.inside and not _is_data(kind, mount.target):
                files[mount.target] = self._convert_bind(service, mount)
                # what the image has there is hidden, as in compose; of one that is built, it may be what `.` lacks
                if kind == "other" and service.build is None and Path(mount.source).is_dir():
                    volumes.append(mount.target)
            elif not self._note_missing(service, mount) and not _is_data(kind, mount.target):
                volumes.append(mount.target)
        for attachment in service.attachments:
            files[attachment.target] = self._convert_attachment(service, attachment)
        return {"files": files, "volumes": volumes, "tmpfs": tmpfs}

    def _convert_bind(self, service: ComposeService, mount: Mount) -> str:
        source = self._make_relative(mount.source)
        if not mount.read_only and Path(mount.source).is_dir():
            self.notes.add(f"{service.name} gets a copy of {source} at {mount.target}; it is not mounted")
        return source

    def _note_missing(self, service: ComposeService, mount: Mount) -> bool:
        """Note what is mounted and does not exist; return whether it is not taken over at all."""
        problem = find_problem(Path(mount.source), self.root, "file") if mount.type == "bind" else None
        if problem is None:
            return False
        if not problem.absent:
            self.notes.add(f"{service.name} does not get {mount.target}: {mount.source} {problem.text}")
            return True
        self.notes.add(
            f"{service.name}: {mount.target} is empty, as {self._make_relative(mount.source)} does not exist"
        )
        return False

    def _convert_attachment(self, service: ComposeService, attachment: Attachment) -> dict[str, Any]:
        """Convert a config or a secret. Raises InputError if its content is not in the repository."""
        defined = self.defined.get(attachment.kind, {}).get(attachment.source) or {}
        what = f"the {attachment.kind[:-1]} {attachment.source} of {service.name}"
        mode = {} if attachment.mode is None else {"mode": attachment.mode}
        if defined.get("content") is not None:
            return {"content": _restore_secrets(str(defined["content"])), **mode}
        if variable := defined.get("environment"):
            if variable not in self.environ:
                advice = f"give it a value: `compose: {{env: {{{variable}: …}}}}`, or let it be a file"
                raise InputError(f"{self.file}: {what} is the variable {variable}, which is not set", advice=advice)
            return {"content": _restore_secrets(self.environ[str(variable)]), **mode}
        path = Path(str(defined.get("file") or ""))
        problem = find_problem(path, self.root, "file") if defined.get("file") else None
        if not defined.get("file") or problem is not None:
            why = "is not in this repository" if problem is None else f"is {path}, which {problem.text}"
            advice = "use a file of the repository with a value for tests"
            raise InputError(f"{self.file}: {what} {why}", advice=advice)
        return {"source": self._make_relative(str(path)), **mode}

    def _make_relative(self, path: str) -> str:
        return os.path.relpath(path, self.folder)

    def _note_ignored(self, service: ComposeService, kind: str) -> None:
        if service.raw.get("user") and kind in _ROOTS:
            self.notes.ignore("user", service.name)
        deploy = service.raw.get("deploy") or {}
        if (replicas := deploy.get("replicas") or 1) != 1:
            self.notes.add(f"{service.name} runs once, not {replicas} times")
        resources = deploy.get("resources") or {}
        others = [f"limits.{key}" for key in _read_limits(service.raw) if key not in {"memory", "cpus"}]
        for key in (*others, *(key for key in resources if key != "limits")):
            self.notes.ignore(f"deploy.resources.{key}", service.name)
        limits = {"cpus": _read_cpus(service.raw), **{key: service.raw.get(key) for key in _CPU_LIMITS}}
        if named := [f"{key}: {value}" for key, value in limits.items() if value]:
            self.notes.add(
                f"{service.name} runs without its limit of CPU ({', '.join(named)}): a run decides which CPUs a part "
                "gets, and a container that is throttled cannot be measured"
            )
        networks = service.raw.get("networks")
        attached = networks.values() if isinstance(networks, dict) else ()
        for prefix, values, known in (
            ("deploy.", deploy, _OF_CLUSTERS),
            *(("networks.", network or {}, {"aliases", "priority"}) for network in attached),
            ("", service.raw, {*_HONOURED, *limits}),
        ):
            for key in (key for key, value in values.items() if value and key not in known):
                if not key.startswith("x-"):
                    self.notes.ignore(f"{prefix}{key}", service.name)


def _read_limits(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the limits that a service has in a cluster, which compose applies as well."""
    return ((raw.get("deploy") or {}).get("resources") or {}).get("limits") or {}


def _read_cpus(raw: Mapping[str, Any]) -> Any:
    cpus = raw.get("cpus") or _read_limits(raw).get("cpus")
    return cpus if str(cpus or "").strip("0.") else None  # 0: no limit


def _is_allowed_cache(source: str) -> bool:
    """Whether a build may read this cache: an image or GitHub's, neither a folder of the machine nor other servers."""
    return re.match(CACHE_SOURCE, source) is not None


def _list_aliases(service: ComposeService, own: str) -> Iterator[str]:
    """List the other names by which a service is reached: its own, its container's, and those of networks."""
    names = [service.name, service.raw.get("container_name"), service.raw.get("hostname")]
    networks = service.raw.get("networks")
    for network in networks.values() if isinstance(networks, dict) else ():
        names += (network or {}).get("aliases") or []
    yield from dict.fromkeys(str(name) for name in names if name and name != own)


def _restore_secrets(text: str) -> str:
    """Make placeholders of secrets again, and escape what only looks like one."""
    return _SECRET_MARK.sub(r"${\1}", text.replace("${", "$${"))


def _is_data(kind: str, target: str) -> bool:
    """Whether a folder is where a service of this kind keeps its data, which the engine takes care of."""
    return kind in _DATA and target.startswith(_DATA[kind])


def _read_settings(service: ComposeService, kind: str) -> tuple[dict[str, str], list[str] | None]:
    """Read the settings in a service's command, and what else it contains; None if it is no command of this kind."""
    words = list(service.command or ())
    if kind == "other":
        return {}, words
    if service.entrypoint:
        return {}, None
    if words[:1] == ["docker-entrypoint.sh"]:
        words = words[1:]
    if words and not words[0].startswith("-"):
        programs = {
            "postgres": {"postgres"},
            "redis": {"redis-server", "valkey-server"},
            "mysql": {"mysqld", "mariadbd"},
        }[kind]
        if words[0].rpartition("/")[2] not in programs:
            return {}, None
        words = words[1:]
    return {"postgres": _split_postgres, "redis": _split_redis, "mysql": _split_mysql}[kind](words)


def _split_postgres(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split `-c name=value` and `--name=value` from the other arguments of PostgreSQL."""
    settings, others = {}, []
    waiting = iter(words)
    for word in waiting:
        text = next(waiting, "") if word in {"-c", "--config"} else word if word.startswith(("-c", "--")) else ""
        if found := _SETTING.fullmatch(text):
            settings[found[1].replace("-", "_")] = found[2]
        else:
            others.append(word if not text or text == word else f"{word} {text}")
    return settings, others


def _split_mysql(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split `--name=value` from the other arguments of MySQL."""
    settings = {found[1].replace("_", "-"): found[2] for word in words if (found := _OPTION.fullmatch(word))}
    return settings, [word for word in words if not _OPTION.fullmatch(word)]


def _split_redis(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split `--name value …` from the configuration file, which comes first, if any."""
    settings: dict[str, str] = {}
    files, name = [], ""
    for word in words:
        if word.startswith("--"):
            name = word.removeprefix("--").lower()
            settings[name] = ""
        elif name:
            settings[name] = f"{settings[name]} {word}".strip()
        else:
            files.append(word)
    return settings, files
