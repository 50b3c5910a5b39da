"""Find the compose file, and in it the service that is measured. `docker compose config` reads the rest."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from bench_action.config.compose.parse import ComposeService as ParsedService
from bench_action.config.compose.parse import parse_service
from bench_action.config.compose.roles import find_danger, list_applications
from bench_action.config.documents import Loader, check_document
from bench_action.config.kinds import SQL_KINDS, guess_kind
from bench_action.config.paths import find_problem
from bench_action.config.schema import COMPOSE_FILES

INITIAL_DATA = "docker-entrypoint-initdb.d"  # whose files the official images of databases run
_FOLDERS = ("", "docker", "deploy", "deployment", ".docker", "infra")
# as templates of projects call them: `docker-compose.local.yml`
_FOR_DEVELOPERS = tuple(
    f"{name}.{purpose}.{ending}"
    for purpose in ("local", "dev", "development")
    for name in ("docker-compose", "compose")
    for ending in ("yml", "yaml")
)
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::?[-?+]([^}]*))?\}|\$(\w+)")
# what the parser raises for a service that compose would refuse
_REFUSED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
# of two services that answer requests, these are probably pages of another kind
_PAGES = re.compile(r"front-?end|client|ui|admin|docs|proxy")


@dataclass(frozen=True, slots=True)
class ComposeService:
    """A service, as far as the file alone says. `env_files`: as the compose file names them.

    `parsed`: what a run makes of it; its build context is an absolute path. `context`: as the compose file names it.
    """

    parsed: ParsedService
    context: str = ""
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the compose file."""
        return self.parsed.name

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile, relative to the build context."""
        return str((self.parsed.build or {}).get("dockerfile") or "Dockerfile")

    @property
    def target(self) -> str:
        """The stage of its Dockerfile that is built; empty for the last."""
        return str((self.parsed.build or {}).get("target") or "")

    @property
    def start(self) -> tuple[str, ...]:
        """The words of its entrypoint and command."""
        return tuple(self.parsed.words)

    @property
    def health(self) -> str:
        """Its healthcheck's command; empty if it has none."""
        test = self.parsed.health.test if self.parsed.health is not None else ""
        return test if isinstance(test, str) else " ".join(test)


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file. `path`: relative to the repository. `problem`: why it could not be read."""

    path: str
    services: tuple[ComposeService, ...] = ()
    problem: str = ""

    def choose(self) -> tuple[ComposeService | None, str]:
        """Choose the service that is built and answers requests; also return what to say if others could be meant."""
        parsed = {service.name: service.parsed for service in self.services}
        named: list[str] = []
        with suppress(*_REFUSED):
            named = [service.name for service in list_applications(parsed)]
        built = [service for service in self.services if service.parsed.build is not None]
        likely = [service for service in built if service.name in named] or built
        likely = [service for service in likely if not _PAGES.fullmatch(service.name)] or likely
        if not likely:
            return None, ""
        others = [service.name for service in likely[1:]]
        return likely[0], f"{', '.join(others)} could be meant as well" if others else ""

    def mounts_in_image(self, file: Path, folder: Path) -> bool:
        """Whether a file is mounted in a service that is not built, alone or with a folder of data, to be read there.

        `folder`: the repository's.
        """
        place, file = (folder / self.path).parent, file.resolve()
        for service in (each for each in self.services if each.parsed.build is None):
            database = guess_kind(service.parsed.image) in SQL_KINDS
            for mount in service.parsed.mounts:
                # without compose, a relative path looks like the name of a volume
                source = (place / mount.source).resolve() if mount.type == "bind" or mount.source[:1] == "." else None
                data = database or INITIAL_DATA in mount.target
                if source is not None and (file == source or (data and file.is_relative_to(source))):
                    return True
        return False

    def list_profiles(self, service: ComposeService) -> list[str]:
        """List compose's profiles without which a service, or one that it depends on, would not be started."""
        needed = [service, *(other for other in self.services if other.name in service.parsed.conditions)]
        return list(dict.fromkeys(each.profiles[0] for each in needed if each.profiles))


def find_compose_file(folder: Path) -> Path | None:
    """Find the compose file of a repository, at its top or in a usual folder; else one for developers, by its name."""
    candidates = (
        folder / place / name for names in (COMPOSE_FILES, _FOR_DEVELOPERS) for place in _FOLDERS for name in names
    )
    return next((path for path in candidates if path.is_file()), None)


def read_compose_file(path: Path, folder: Path) -> ComposeFile:
    """Read the services of a compose file. One that cannot be read has none, and a `problem`."""
    name = path.relative_to(folder).as_posix()
    if problem := find_problem(path, folder.resolve(), "configuration"):
        return ComposeFile(name, problem=f"it {problem.text}")
    try:
        text = path.read_text(encoding="utf-8")
        check_document(text)
        data = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        return ComposeFile(name, problem=" ".join(str(error).split()))
    services = data.get("services") if isinstance(data, dict) else None
    if not isinstance(services, dict):
        return ComposeFile(name, problem="it has no `services`")
    dotenv = path.parent / ".env"
    variables = {} if find_problem(dotenv, folder.resolve(), "env_file") else _read_dotenv(dotenv)
    found = []
    for key, body in services.items():
        with suppress(*_REFUSED):
            found.append(_read_service(str(key), body, path.parent, folder, variables))
    return ComposeFile(name, tuple(found))


class _Loader(Loader):
    """Reads compose's own tags (`!reset`, `!override`) as nothing."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def _read_service(
    name: str, body: Mapping[str, Any], place: Path, top: Path, variables: Mapping[str, str]
) -> ComposeService:
    """Read a service. Raises what `parse_service` raises for one that compose would refuse."""
    raw = _fill(body, variables)
    parsed = parse_service(name, raw)
    if parsed.build is None:
        return ComposeService(parsed, "", _read_names(raw.get("profiles")), _read_names(raw.get("env_file")))
    context = str(parsed.build.get("context") or ".")
    folder = (place / context).resolve()
    outside = "" if folder.is_relative_to(top.resolve()) else f"is built in {context}"
    parsed = replace(parsed, build={**parsed.build, "context": str(folder)}, danger=find_danger(raw) or outside)
    return ComposeService(parsed, context, _read_names(raw.get("profiles")), _read_names(raw.get("env_file")))


def _read_names(value: Any) -> tuple[str, ...]:
    """Read a name, or a list of names or of `{path: …}`."""
    items = value if isinstance(value, list) else [value]
    return tuple(str(item.get("path", "") if isinstance(item, dict) else item) for item in items if item)


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Fill in variables in all texts of a value, from `.env` or by their defaults."""
    if isinstance(value, dict):
        return {key: _fill(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(
        lambda match: "$" if match[0] == "$$" else variables.get(match[1] or match[3]) or match[2] or "", value
    )


def _read_dotenv(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}
