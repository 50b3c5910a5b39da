"""Find the compose file, and in it the service that is measured. `docker compose config` reads the rest."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from bench_action.config.compose.find import find_override
from bench_action.config.compose.parse import ComposeService as ParsedService
from bench_action.config.compose.parse import Mount, parse_service
from bench_action.config.compose.roles import (
    COMPLETED,
    find_danger,
    find_front,
    find_own_port,
    is_backing_service,
    list_applications,
)
from bench_action.config.documents import Loader, check_document
from bench_action.config.kinds import (
    INITIAL_DATA,
    SQL_KINDS,
    find_usual_port,
    guess_kind,
    is_tool,
    is_web_server,
    split_image,
)
from bench_action.config.paths import find_problem
from bench_action.config.schema import COMPOSE_FILES, parse_environment
from bench_action.init.envfiles import find_example, is_ignored, read_variables

_FOLDERS = ("", "docker", "deploy", "deployment", ".docker", "infra")
# as templates of projects call them: `docker-compose.local.yml`
_FOR_DEVELOPERS = tuple(
    f"{name}.{purpose}.{ending}"
    for purpose in ("local", "dev", "development")
    for name in ("docker-compose", "compose")
    for ending in ("yml", "yaml")
)
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::?([-?+])([^}]*))?\}|\$(\w+)")
_REPLACED = frozenset({"command", "entrypoint", "test"})  # lists that an override file replaces as a whole
# what the parser raises for a service that compose would refuse
_REFUSED = (ValueError, TypeError, AttributeError, KeyError, RecursionError, OSError, RuntimeError)
# of two services that answer requests, these are probably pages of another kind
_PAGES = re.compile(r"front-?end|client|ui|admin|docs|proxy")


@dataclass(frozen=True, slots=True)
class ComposeService:
    """A service, as far as the file alone says. `env_files`: as the compose file names them.

    `parsed`: what a run makes of it; its build context is an absolute path. `context`: as the compose file names it.
    `passed_on`: variables that it gets from the environment of compose, if they are set there.
    """

    parsed: ParsedService
    context: str = ""
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    passed_on: tuple[str, ...] = ()

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
    """A compose file. `path`: relative to the repository. `problem`: why it could not be read.

    `override`: the file next to it that is read as well; empty if it is not needed. `required`: variables that it needs
    and that no `.env` sets. `example`: of that file; empty without one.
    """

    path: str
    services: tuple[ComposeService, ...] = ()
    problem: str = ""
    override: str = ""
    required: frozenset[str] = frozenset()
    example: str = ""

    @property
    def parsed(self) -> dict[str, ParsedService]:
        """Its services, as a run reads them."""
        return {service.name: service.parsed for service in self.services}

    def find_front(self, service: ComposeService) -> ComposeService | None:
        """Find the web server that a service is measured through, as it speaks no HTTP; None if it needs none."""
        with suppress(*_REFUSED):
            if front := find_front(service.parsed, self.parsed):
                return next(each for each in self.services if each.name == front.name)
        return None

    def has_port(self, service: ComposeService) -> bool:
        """Whether the file says on which port a service listens."""
        with suppress(*_REFUSED):
            return find_own_port(service.parsed, self.parsed) is not None
        return False

    def find_published(self, names: Collection[str]) -> ComposeService | None:
        """Find a service that runs a published image of the application, if that or it has one of these names.

        `names`: in lower case.
        """
        found = []
        awaited = {
            name
            for each in self.services
            for name, condition in each.parsed.conditions.items()
            if condition == COMPLETED
        }
        for service in self.services:
            image = split_image(service.parsed.image)
            if service.parsed.danger or is_tool(image) or is_web_server(image) or find_usual_port(image) is not None:
                continue
            if image and (image.rpartition("/")[2].lower() in names or service.name.lower() in names):
                found.append(service)
        return min(found, key=lambda each: (each.name in awaited, not each.parsed.ports), default=None)

    def choose(self) -> tuple[ComposeService | None, str]:
        """Choose the service that is built and answers requests; also return what to say if others could be meant."""
        named: list[str] = []
        with suppress(*_REFUSED):
            named = [service.name for service in list_applications(self.parsed)]
        built = [
            each for each in self.services if each.parsed.build is not None and not is_backing_service(each.parsed)
        ]
        likely = [service for service in built if service.name in named] or built
        likely = [service for service in likely if not _PAGES.fullmatch(service.name)] or likely
        if not likely:
            return None, ""
        others = [service.name for service in likely[1:]]
        return likely[0], f"other candidates: {', '.join(others)}" if others else ""

    def mounts_in_image(self, file: Path) -> bool:
        """Whether a file is mounted in a service that is not built, alone or with a folder of data, to be read."""
        file = file.resolve()
        for service in (each for each in self.services if each.parsed.build is None):
            database = guess_kind(service.parsed.image) in SQL_KINDS
            for mount in service.parsed.mounts:
                data = database or INITIAL_DATA in mount.target
                if mount.type == "bind" and (
                    file == Path(mount.source) or (data and file.is_relative_to(mount.source))
                ):
                    return True
        return False

    def list_profiles(self, service: ComposeService) -> list[str]:
        """List compose's profiles without which a service, or one that it depends on, would not be started."""
        needed = [service, *(other for other in self.services if other.name in service.parsed.conditions)]
        chosen: list[str] = []
        for each in needed:
            if each.profiles and not set(each.profiles) & set(chosen):  # the one that starts the fewest others
                chosen.append(min(each.profiles, key=self._count_with_profile))
        return chosen

    def _count_with_profile(self, name: str) -> int:
        return sum(name in service.profiles for service in self.services)


def find_compose_file(folder: Path) -> Path | None:
    """Find the compose file of a repository, at its top or in a usual folder; else one for developers, by its name."""
    candidates = (
        folder / place / name for names in (COMPOSE_FILES, _FOR_DEVELOPERS) for place in _FOLDERS for name in names
    )
    return next((path for path in candidates if path.is_file()), None)


def read_compose_file(path: Path, folder: Path) -> ComposeFile:
    """Read the services of a compose file. One that cannot be read has none, and a `problem`.

    An override file counts only if the application is not described without it, as it is for developers otherwise.
    """
    name = path.relative_to(folder).as_posix()
    try:
        data = _read_document(path, folder)
    except _UnreadableError as error:
        return ComposeFile(name, problem=str(error))
    file = _make_file(name, data, path, folder)
    override = find_override(path.parent)
    if override is None or path.name not in COMPOSE_FILES or _is_described(file):
        return file
    with suppress(_UnreadableError, RecursionError):
        merged = _lay_over(data, _read_document(override, folder))
        return replace(_make_file(name, merged, path, folder), override=override.relative_to(folder).as_posix())
    return file


class _UnreadableError(Exception):
    """A compose file cannot be read: why."""


def _read_document(path: Path, folder: Path) -> dict[Any, Any]:
    """Read a file that has services. Raises _UnreadableError."""
    if problem := find_problem(path, folder.resolve(), "configuration"):
        raise _UnreadableError(f"it {problem.text}")
    try:
        text = path.read_text(encoding="utf-8")
        check_document(text)
        data = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise _UnreadableError(" ".join(str(error).split())) from error
    if not isinstance(data, dict) or not isinstance(data.get("services"), dict):
        raise _UnreadableError("it has no `services`")
    return data


def _make_file(name: str, data: Mapping[Any, Any], path: Path, folder: Path) -> ComposeFile:
    """Make a compose file from its services, with variables from `.env` if others have it, or from an example."""
    services, dotenv = data["services"], path.parent / ".env"
    required = set(_list_attached(data))
    with suppress(RecursionError):
        required |= _find_required(services)
    known = {} if is_ignored(dotenv, folder) else read_variables(dotenv, folder)
    images = [str(body.get("image") or "") for body in services.values() if isinstance(body, dict)]
    example = find_example(
        dotenv, folder, required, [split_image(image).rpartition("/")[2] for image in images if image]
    )
    variables = {**(read_variables(example, folder) if example is not None else {}), **known}
    found = []
    for key, body in services.items():
        with suppress(*_REFUSED):
            found.append(_read_service(str(key), body, path.parent, folder, variables))
    named = example.relative_to(folder).as_posix() if example is not None else ""
    return ComposeFile(name, tuple(found), required=frozenset(required - known.keys()), example=named)


def _is_described(file: ComposeFile) -> bool:
    """Whether a file says more about the application than how it is built."""
    service, _ = file.choose()
    if service is None:
        return False
    parsed = service.parsed
    return bool(parsed.ports or parsed.env or parsed.command or service.env_files or parsed.raw.get("labels"))


def _lay_over(below: Any, above: Any, key: str = "") -> Any:
    """Lay a value of an override file over one of the file: mappings are merged, and lists put together."""
    if key == "environment":
        below, above = parse_environment(below), parse_environment(above)
    if key == "build":
        below, above = ({"context": each} if isinstance(each, str) else each for each in (below, above))
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{name: _lay_over(below.get(name), value, str(name)) for name, value in above.items()}}
    if isinstance(below, list) and isinstance(above, list) and key not in _REPLACED:
        return [*below, *above]
    return below if above is None else above


def _list_attached(data: Mapping[Any, Any]) -> Iterator[str]:
    """List the variables that secrets and configs of the file are made from."""
    for kind in ("secrets", "configs"):
        bodies = data.get(kind)
        for body in bodies.values() if isinstance(bodies, dict) else ():
            if isinstance(body, dict) and isinstance(body.get("environment"), str):
                yield body["environment"]


def _find_required(value: Any) -> set[str]:
    """Find the variables that a value names without a default."""
    if isinstance(value, dict):
        return set[str]().union(*(_find_required(item) for item in value.values()))
    if isinstance(value, list):
        return set[str]().union(*(_find_required(item) for item in value))
    matches = _VARIABLE.finditer(value) if isinstance(value, str) else ()
    return {match[1] or match[4] for match in matches if match[0] != "$$" and match[2] not in {"-", "+"}}


class _Loader(Loader):
    """Reads compose's own tags (`!reset`, `!override`) as nothing."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def _read_service(
    name: str, body: Mapping[str, Any], place: Path, top: Path, variables: Mapping[str, str]
) -> ComposeService:
    """Read a service. Raises what `parse_service` raises for one that compose would refuse."""
    raw = _fill(body, variables)
    parsed = parse_service(name, raw)
    parsed = replace(parsed, mounts=[_place_mount(mount, place, top) for mount in parsed.mounts])
    given = parse_environment(raw.get("environment"))
    passed_on = tuple(name for name, text in given.items() if text is None) if isinstance(given, dict) else ()
    names = _read_names(raw.get("profiles")), _read_names(raw.get("env_file")), passed_on
    if parsed.build is None:
        return ComposeService(parsed, "", *names)
    context = str(parsed.build.get("context") or ".")
    folder = (place / context).resolve()
    outside = "" if folder.is_relative_to(top.resolve()) else f"is built in {context}"
    parsed = replace(parsed, build={**parsed.build, "context": str(folder)}, danger=find_danger(raw) or outside)
    return ComposeService(parsed, context, *names)


def _place_mount(mount: Mount, place: Path, top: Path) -> Mount:
    """Make the source of a mount an absolute path, as compose does."""
    if mount.type != "bind" and mount.source[:1] != ".":  # without compose, it looks like the name of a volume
        return mount
    source = (place / mount.source).resolve()
    return replace(mount, type="bind", source=str(source), inside=source.is_relative_to(top.resolve()))


def _read_names(value: Any) -> tuple[str, ...]:
    """Read a name, or a list of names or of `{path: …}`, without those that may be missing."""
    items = value if isinstance(value, list) else [value]
    found = [str(item.get("path", "") if isinstance(item, dict) else item) for item in items if _is_needed(item)]
    return tuple(filter(None, found))


def _is_needed(item: Any) -> bool:
    return bool(item) and not (isinstance(item, dict) and item.get("required") is False)


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Fill in variables in all texts of a value, from `.env` or by their defaults."""
    if isinstance(value, dict):
        return {key: _fill(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(
        lambda match: (
            "$"
            if match[0] == "$$"
            else variables.get(match[1] or match[4]) or (match[3] if match[2] == "-" else "") or ""
        ),
        value,
    )
