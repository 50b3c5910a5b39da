"""Parse the services that `docker compose config` prints: JSON of compose v2, or YAML of the classic docker-compose."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench_action.config import units
from bench_action.config.schema import parse_conditions, parse_environment

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|µs|ns|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LOCAL_URL = re.compile(r"https?://(?P<host>[A-Za-z0-9._-]+|\[::1\])(?::(?P<port>\d{1,5}))?(?P<path>/[!-~]*)?")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_MOST_PORTS = 100  # of a range
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "[::1]"})  # noqa: S104 (read in healthchecks, not bound)


@dataclass(frozen=True, slots=True)
class Mount:
    """What a service mounts: a folder of the host, a volume, or memory. `source` is empty if it has no name.

    `inside`: whether `source` is a file or folder of the repository.
    """

    type: Literal["bind", "volume", "tmpfs"]
    target: str
    source: str = ""
    read_only: bool = False
    size: str = ""
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """A healthcheck: a command in the container (text: for its shell), and in how many seconds it must succeed."""

    test: str | Sequence[str]
    limit_s: float

    def find_url(self, names: Sequence[str]) -> tuple[int, str] | None:
        """Find the port (0: none) and path of the container's own URL that it requests; None if it requests none."""
        text = self.test if isinstance(self.test, str) else " ".join(self.test)
        for match in _LOCAL_URL.finditer(text.replace("'", " ").replace('"', " ").replace(")", " ")):
            if match["host"] in _LOOPBACK or match["host"] in names:
                return int(match["port"] or 0), match["path"] or "/"
        return None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A config or a secret that a service gets as a file."""

    kind: Literal["configs", "secrets"]
    source: str
    target: str
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class ComposeService:
    """One service of a compose file, the same whichever compose has read it. `raw`: as it was printed.

    `published`, `exposed`: ports in the container. `conditions`: the services that it depends on. None of `entrypoint`
    or `command`: the image's own. `danger`: why it cannot or must not run; empty if it may.
    """

    name: str
    raw: Mapping[str, Any]
    image: str = ""
    build: Mapping[str, Any] | None = None
    entrypoint: Sequence[str] | None = None
    command: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    published: Sequence[int] = ()
    exposed: Sequence[int] = ()
    mounts: Sequence[Mount] = ()
    attachments: Sequence[Attachment] = ()
    health: Health | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    danger: str = ""

    @property
    def ports(self) -> Sequence[int]:
        """Its ports: those that it publishes first."""
        return tuple(dict.fromkeys((*self.published, *self.exposed)))

    @property
    def build_arguments(self) -> Mapping[str, str]:
        """The arguments of its build that have a value."""
        given = _mapping((self.build or {}).get("args"))
        return {name: str(value) for name, value in given.items() if value is not None}

    @property
    def words(self) -> Sequence[str]:
        """The words of its entrypoint and command, also those of a shell's script."""
        return [word for text in (*(self.entrypoint or ()), *(self.command or ())) for word in text.split()]


def parse_service(name: str, raw: Mapping[str, Any]) -> ComposeService:
    """Parse one service. Raises ValueError for what no compose prints."""
    build = raw.get("build")
    links = dict(_parse_link(str(text)) for text in _list(raw.get("links")))
    conditions = parse_conditions(raw.get("depends_on") or {})
    return ComposeService(
        name,
        raw,
        image=str(raw.get("image") or ""),
        build={"context": build} if isinstance(build, str) else build,
        entrypoint=_parse_words(raw.get("entrypoint")),
        command=_parse_words(raw.get("command")),
        env={key: str(text) for key, text in _mapping(raw.get("environment")).items() if text is not None},
        published=tuple(port for item in _list(raw.get("ports")) for port in _parse_port(item)),
        exposed=tuple(port for item in _list(raw.get("expose")) for port in _parse_port(item)),
        mounts=tuple(_parse_mounts(raw)),
        attachments=tuple(_parse_attachments(raw)),
        health=_parse_health(raw.get("healthcheck")),
        conditions={**dict.fromkeys(links.values(), "service_started"), **_mapping(conditions)},
        links=links,
    )


def unescape(value: Any) -> Any:
    """Undo the escape of dollar signs, which every compose prints doubled."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {key: unescape(item) for key, item in value.items()}
    return [unescape(item) for item in value] if isinstance(value, list) else value


def parse_seconds(value: object, default: float) -> float:
    """Parse a duration such as `1m30s`, into seconds."""
    found = _DURATION.findall(str(value or ""))
    return sum(float(number) * _SECONDS[unit] for number, unit in found) if found else default


def parse_size(value: object) -> int:
    """Parse a size such as `64m` or `67108864`, into bytes; 0 if it is no size."""
    try:
        return units.parse_size(str(value or ""))
    except ValueError:
        return 0


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _mapping(value: Any) -> Mapping[str, Any]:
    parsed = parse_environment(value)
    return parsed if isinstance(parsed, dict) else {}


def _parse_words(value: Any) -> list[str] | None:
    if value is None:
        return None
    return shlex.split(value) if isinstance(value, str) else [str(word) for word in value]


def _parse_link(text: str) -> tuple[str, str]:
    """Parse `service:alias` into alias and service."""
    service, _, alias = text.partition(":")
    return alias or service, service


def _parse_port(item: Any) -> Iterator[int]:
    """Parse a port in any form, such as `127.0.0.1:80:8000/tcp` or `8000-8001`: the container's, in order.

    Of a long range, only the first ones: no application is measured through the others.
    """
    if isinstance(item, dict):
        item = f"{item.get('target')}/{item.get('protocol', 'tcp')}"
    text, _, protocol = str(item).partition("/")
    if protocol in {"", "tcp"} and (match := _PORTS.fullmatch(text.rpartition(":")[2])):
        yield from range(int(match[1]), int(match[2] or match[1]) + 1)[:_MOST_PORTS]


def _parse_mounts(raw: Mapping[str, Any]) -> Iterator[Mount]:
    for item in _list(raw.get("volumes")):
        yield _parse_volume(item) if isinstance(item, dict) else _parse_short_volume(str(item))
    for item in _list(raw.get("tmpfs")):
        target, _, options = str(item).partition(":")
        yield Mount("tmpfs", target, size=options)


def _parse_volume(item: Mapping[str, Any]) -> Mount:
    kind = item.get("type", "volume")
    memory = item.get("tmpfs") or {}
    return Mount(
        "bind" if kind == "bind" else "tmpfs" if kind == "tmpfs" else "volume",
        str(item.get("target", "")),
        str(item.get("source") or ""),
        bool(item.get("read_only", False)),
        f"size={memory['size']}" if memory.get("size") else "",
    )


def _parse_short_volume(text: str) -> Mount:
    parts = text.split(":")
    if len(parts) == 1:
        return Mount("volume", text)
    options = parts[2].split(",") if len(parts) > 2 else []
    return Mount("bind" if parts[0].startswith("/") else "volume", parts[1], parts[0], "ro" in options)


def _parse_attachments(raw: Mapping[str, Any]) -> Iterator[Attachment]:
    kinds: tuple[Literal["configs", "secrets"], ...] = ("configs", "secrets")
    for kind in kinds:
        for item in _list(raw.get(kind)):
            body = item if isinstance(item, dict) else {"source": str(item)}
            source = str(body.get("source", ""))
            target = str(body.get("target") or source)
            if not target.startswith("/"):
                target = f"/run/secrets/{target}" if kind == "secrets" else f"/{target}"
            yield Attachment(kind, source, target, _parse_mode(body.get("mode")))


def _parse_mode(value: Any) -> int | None:
    return int(value, 8) if isinstance(value, str) else value


def _parse_health(raw: Any) -> Health | None:
    """Parse a healthcheck; None if a service has no healthcheck, or it is switched off."""
    test = raw.get("test") if isinstance(raw, dict) and not raw.get("disable") else None
    if not test or test in ("NONE", ["NONE"]):
        return None
    limit_s = parse_seconds(raw.get("start_period"), 0.0) + (int(raw.get("retries") or 3)) * (
        parse_seconds(raw.get("interval"), 30.0)
    )
    if isinstance(test, str):
        return Health(test, limit_s)
    first, *words = (str(word) for word in test)
    if first == "CMD-SHELL":
        return Health(" ".join(words), limit_s)
    return Health(words if first == "CMD" else [first, *words], limit_s)
