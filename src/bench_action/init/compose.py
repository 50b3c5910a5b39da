"""Find the compose file, and in it the service that is measured. `docker compose config` reads the rest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench_action.config.documents import check_document
from bench_action.config.schema import COMPOSE_FILES
from bench_action.init.dockerfile import split_command

_FOLDERS = ("", "docker", "deploy", "deployment", ".docker", "infra")
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::?[-?+]([^}]*))?\}|\$(\w+)")
_WORKERS = re.compile(r"\b(celery|sidekiq|rq|worker|beat|scheduler|migrate|flower|queue:work|pytest)\b")
_PROXY = re.compile(
    r"(^|/)(nginx|traefik|caddy|haproxy|envoy|httpd)(:|$|-)|^(nginx|proxy|traefik|caddy|frontend|client|ui|admin|docs)$"
)


@dataclass(frozen=True, slots=True)
class ComposeService:
    """A service: how it is built, and the ports inside its container. `env_files`: as the compose file names them."""

    name: str
    context: str = ""
    dockerfile: str = "Dockerfile"
    image: str = ""
    ports: tuple[int, ...] = ()
    start: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    health: str = ""
    profiles: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()

    @property
    def is_built(self) -> bool:
        """Whether it is built from this repository."""
        return bool(self.context)


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file. `path`: relative to the repository. `problem`: why it could not be read."""

    path: str
    services: tuple[ComposeService, ...] = ()
    problem: str = ""

    def choose(self) -> tuple[ComposeService | None, str]:
        """Choose the service that is built and answers requests; also return what to say if others could be meant."""
        built = [service for service in self.services if service.is_built]
        likely = [
            service for service in built if not _WORKERS.search(" ".join((service.name, *service.start)))
        ] or built
        likely = [service for service in likely if not _PROXY.search(service.name)] or likely
        likely = [service for service in likely if service.ports] or likely
        if not likely:
            return None, ""
        others = [service.name for service in likely[1:]]
        return likely[0], f"{', '.join(others)} could be meant as well" if others else ""

    def list_profiles(self, service: ComposeService) -> list[str]:
        """List compose's profiles without which a service, or one that it depends on, would not be started."""
        needed = [service, *(other for other in self.services if other.name in service.depends_on)]
        return list(dict.fromkeys(each.profiles[0] for each in needed if each.profiles))


def find_compose_file(folder: Path) -> Path | None:
    """Find the compose file of a repository, at its top or in a usual folder."""
    candidates = (folder / place / name for place in _FOLDERS for name in COMPOSE_FILES)
    return next((path for path in candidates if path.is_file()), None)


def read_compose_file(path: Path, folder: Path) -> ComposeFile:
    """Read the services of a compose file. One that cannot be read has none, and a `problem`."""
    name = path.relative_to(folder).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
        check_document(text)
        data = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        return ComposeFile(name, problem=" ".join(str(error).split()))
    services = data.get("services") if isinstance(data, dict) else None
    if not isinstance(services, dict):
        return ComposeFile(name, problem="it has no `services`")
    variables = _read_dotenv(path.parent / ".env")
    found = [_read_service(str(key), body, variables) for key, body in services.items() if isinstance(body, dict)]
    return ComposeFile(name, tuple(found))


class _Loader(yaml.SafeLoader):
    """Reads compose's own tags (`!reset`, `!override`) as nothing."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def _read_service(name: str, body: Mapping[str, Any], variables: Mapping[str, str]) -> ComposeService:
    build = body.get("build")
    build = {"context": build} if isinstance(build, str) else build if isinstance(build, dict) else {}
    env = _read_env(body.get("environment"), variables)
    check = body.get("healthcheck")
    test = check.get("test") if isinstance(check, dict) else None
    words = [*split_command(body.get("entrypoint")), *split_command(body.get("command"))]
    return ComposeService(
        name,
        context=_fill(build.get("context", "." if build else ""), variables),
        dockerfile=_fill(build.get("dockerfile", "Dockerfile"), variables),
        image=_fill(body.get("image"), variables),
        ports=tuple(_read_ports(body, variables)),
        start=tuple(_fill(word, variables) for word in words),
        env=env,
        health=_fill(" ".join(split_command(test)), variables),
        profiles=_read_names(body.get("profiles")),
        depends_on=_read_names(body.get("depends_on")),
        env_files=_read_names(body.get("env_file")),
    )


def _read_names(value: Any) -> tuple[str, ...]:
    """Read a name, a list of names or of `{path: …}`, or the keys of a mapping."""
    if isinstance(value, dict):
        return tuple(map(str, value))
    items = value if isinstance(value, list) else [value]
    return tuple(str(item.get("path", "") if isinstance(item, dict) else item) for item in items if item)


def _read_env(value: Any, variables: Mapping[str, str]) -> dict[str, str]:
    if isinstance(value, list):
        value = dict(str(item).partition("=")[::2] for item in value)
    if not isinstance(value, dict):
        return {}
    return {str(name): _fill(item, variables) for name, item in value.items()}


def _read_ports(body: Mapping[str, Any], variables: Mapping[str, str]) -> list[int]:
    """Read the ports inside the container; those of UDP are left out."""
    found = []
    for key in ("ports", "expose"):
        items = body.get(key)
        for item in items if isinstance(items, list) else []:
            value = item.get("target") if isinstance(item, dict) else item
            text = _fill(value, variables)
            if match := re.search(r"(?:^|:)(\d{2,5})(?:-\d+)?(?:/tcp)?$", text):
                found.append(int(match[1]))
    return list(dict.fromkeys(port for port in found if 0 < port < 65536))


def _fill(value: Any, variables: Mapping[str, str]) -> str:
    """Fill in variables, from `.env` or by their defaults."""
    if value is None:
        return ""
    return _VARIABLE.sub(
        lambda match: "$" if match[0] == "$$" else variables.get(match[1] or match[3]) or match[2] or "", str(value)
    )


def _read_dotenv(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}
