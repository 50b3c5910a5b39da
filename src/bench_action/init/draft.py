"""Put together what is known about a repository: what to build, where it listens, what it needs, what to measure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bench_action.config.paths import find_top
from bench_action.init.compose import INITIAL_DATA, ComposeFile, ComposeService, find_compose_file, read_compose_file
from bench_action.init.dockerfile import Dockerfile, parse_dockerfile
from bench_action.init.frameworks import UNKNOWN, Framework, find_framework, read_manifests
from bench_action.init.needs import Setting, choose_settings, find_kinds, find_variables
from bench_action.init.routes.route import Route, sort_routes
from bench_action.init.runtimes import find_compiler
from bench_action.init.sources import Sources
from bench_action.model.errors import InputError

_MOST_PROFILES = 3
_MOST_LISTED = 20
_BUILD_FOLDERS = frozenset(
    {"docker", "compose", "build", "deploy", "deployment", "deployments", "docker-files", "dockerfiles", "infra"}
)
_PORT = re.compile(
    r"(?:--port[= ]|-p |--server\.port=|(?:--bind|-b|--http|--http-socket)[= ]\S*:|0\.0\.0\.0:|\[::\]:|(?<=\s):)"
    r"(\d{2,5})\b"
)
_LISTENS = re.compile(r"(?:listen|Run|ListenAndServe|Start)\(\s*(?:[\w.]*PORT[\w.]*\s*\|\|\s*)?[\"'`]?:?(\d{4,5})\b")
_PORT_DEFAULT = re.compile(r"PORT\s*(?:\|\||\?\?|,|\")\s*[\"'`]?:?(\d{4,5})\b|env-default:\"(\d{4,5})\"")
_MIGRATES = re.compile(
    r"\bmigrate\b|db:(?:prepare|migrate|setup|schema:load)|alembic upgrade|flask db upgrade|create_all|create_db|"
    r"flyway|liquibase|\bgoose |dbmate|AutoMigrate"
)
_POSTGRES = re.compile(r"postg|pgvector|timescale")
_REDIS = re.compile(r"redis|valkey")
_SEEDS = ("seed*.sql", "*seed.sql", "seeds/*.sql", "dump.sql", "fixtures.sql", "sample*data*.sql", "testdata.sql")
_DOCKERFILES = ("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile")


@dataclass(frozen=True, slots=True)
class Guess:
    """A value, and why it was chosen; an empty reason needs no comment."""

    value: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the configuration will say. Paths are relative to `folder`.

    `compose`: empty without a compose file. `env_files`: those that it needs, and the examples to copy them from.
    `port`: None if the compose file says it. `services`: kind → image,
    without a compose file. `elsewhere`: kinds that an application needs and that must be described by hand.
    `setup`: a command, and what to check about it. `profiles` are measured; `others` are only listed.
    `seed`: a file of test data; `loaded`: one that a database loads itself. `counts_queries`: whether there is a
    PostgreSQL, whose queries are counted and which can be seeded. `compiler`: the runtime that compiles it while it
    runs, and so needs a long warm-up; empty if it has none.
    """

    folder: Path
    framework: str
    compose: str
    compose_profiles: Sequence[str]
    env_files: Sequence[tuple[str, str]]
    variant: str
    note: str
    build: tuple[str, str] | None
    port: Guess | None
    ready: Guess | None
    services: Mapping[str, str]
    elsewhere: Mapping[str, str]
    settings: Sequence[Setting]
    setup: tuple[Sequence[str], str] | None
    migrated_by: str
    seed: str
    loaded: str
    profiles: Sequence[Route]
    others: Sequence[Route]
    counts_queries: bool
    compiler: str


@dataclass(frozen=True, slots=True)
class _Application:
    """The part of a repository that is measured. `context`: its folder; `dockerfile`: relative to it."""

    folder: Path
    context: str
    dockerfile: str
    compose: ComposeFile | None
    service: ComposeService | None
    sources: Sources
    parsed: Dockerfile

    @property
    def words(self) -> Sequence[str]:
        """The words of the command line that starts it, as far as it is known."""
        if self.service is None or not self.service.start:
            return self.parsed.start
        # compose's own entrypoint replaces the image's, its command only the image's command
        return self.service.start if self.service.parsed.entrypoint else [*self.parsed.entrypoint, *self.service.start]

    @property
    def start(self) -> str:
        """The command line that starts it, as far as it is known."""
        return " ".join(self.words)


def make_draft(start: Path) -> Draft:
    """Make a draft for the repository that `start` is in. Raises InputError if nothing in it can be built."""
    application, note = _find_application(start)
    sources, service = application.sources, application.service
    framework = find_framework(sources)
    manifests = read_manifests(sources)
    kinds = find_kinds(manifests, sources)
    routes = sort_routes(framework.find_routes(sources))
    profiles, others = _choose_profiles(routes)
    setup, migrated_by = _find_setup(application, framework, manifests)
    seed, loaded = _find_seed(application)
    compose = application.compose.path if application.compose is not None else ""
    return Draft(
        folder=application.folder,
        framework=framework.name,
        compose=compose,
        compose_profiles=application.compose.list_profiles(service) if application.compose and service else (),
        env_files=list(_list_env_files(application)),
        variant=_make_name(service.name) if service is not None else "web",
        note=note,
        build=None if service is not None else (application.context, application.dockerfile),
        port=_find_port(application, framework),
        ready=_find_ready(application, framework, routes, profiles),
        services={} if compose else {kind: name for kind, name in kinds.items() if kind in {"postgres", "redis"}},
        elsewhere={} if compose else {kind: name for kind, name in kinds.items() if kind not in {"postgres", "redis"}},
        settings=_choose_settings(application, framework, kinds, manifests),
        setup=setup,
        migrated_by=migrated_by,
        seed=seed,
        loaded=loaded,
        profiles=profiles,
        others=others,
        counts_queries=_uses_postgres(application.compose) if application.compose is not None else "postgres" in kinds,
        compiler=find_compiler(framework.name, application.parsed.image, application.words),
    )


def _choose_settings(
    application: _Application, framework: Framework, kinds: Mapping[str, str], manifests: Mapping[str, str]
) -> list[Setting]:
    """Choose variables, unless a service of the compose file has its own."""
    if application.service is not None:
        return []
    settings = list(choose_settings(find_variables(application.sources), kinds, framework.name, manifests))
    return settings if application.compose is None else _rename_services(settings, application.compose)


def find_place(start: Path) -> Path:
    """Find the top of the repository that a folder is in; without git, the folder itself."""
    return find_top(start) or start


def _find_application(start: Path) -> tuple[_Application, str]:
    """Find what to build: a service of the nearest compose file going up, else the nearest Dockerfile."""
    top = find_place(start)
    folders = [folder for folder in (start, *start.parents) if folder.is_relative_to(top)]
    with_compose = next(((folder, file) for folder in folders if (file := find_compose_file(folder)) is not None), None)
    compose = read_compose_file(with_compose[1], with_compose[0]) if with_compose is not None else None
    service, note = compose.choose() if compose is not None else (None, "")
    if with_compose is not None and service is not None:
        folder, file = with_compose
        context = _normalise((file.parent / service.context), folder)
        if context is not None:
            sources = Sources.from_folder(folder / context)
            if find_framework(sources) is UNKNOWN:  # its code is mounted or copied from elsewhere
                sources = Sources.from_folder(folder)
            parsed = parse_dockerfile(_read_dockerfile(folder / context / service.dockerfile), service.target)
            return _Application(folder, context, service.dockerfile, compose, service, sources, parsed), note
    place = (
        with_compose[0]
        if with_compose is not None
        else next((folder for folder in folders if (folder / "Dockerfile").is_file()), top)
    )
    files = Sources.from_folder(place)
    found = [name for name in files.find(*_DOCKERFILES) if not name.endswith(".dockerignore")]
    if not found:
        raise _explain_nothing_to_build(place, compose, files)
    return _from_dockerfile(place, found, compose, files)


def _from_dockerfile(
    place: Path, found: Sequence[str], compose: ComposeFile | None, files: Sources
) -> tuple[_Application, str]:
    file = PurePosixPath(found[0])
    in_build_folder = str(file.parent) != "." and file.parent.parts[0].lower() in _BUILD_FOLDERS
    context = "." if in_build_folder else str(file.parent)
    dockerfile = str(file) if in_build_folder else file.name
    sources = files if context == "." else Sources.from_folder(place / context)
    others = f"other Dockerfiles: {', '.join(found[1:4])}" if len(found) > 1 else ""
    parsed = parse_dockerfile(files.read(found[0]))
    return _Application(place, context, dockerfile, compose, None, sources, parsed), others


def _normalise(path: Path, folder: Path) -> str | None:
    """Return a path relative to a folder; None if it is outside, or no folder."""
    resolved = path.resolve()
    if not resolved.is_dir() or not resolved.is_relative_to(folder.resolve()):
        return None
    return resolved.relative_to(folder.resolve()).as_posix()


def _read_dockerfile(path: Path) -> str:
    """Read a Dockerfile, which may be outside of its build context."""
    return Sources(path.parent, ()).read(path.name)


def _explain_nothing_to_build(place: Path, compose: ComposeFile | None, files: Sources) -> InputError:
    framework = find_framework(files)
    named = "" if framework is UNKNOWN else f" for {framework.name}"
    lines = "\n".join(f"    {line}" for line in framework.dockerfile.splitlines())
    cause = f"{compose.path} builds no service{f': {compose.problem}' if compose.problem else ''}" if compose else ""
    error = InputError(
        f"nothing to build in {place}: no Dockerfile{'' if compose else ' and no compose file'} found",
        cause=cause,
        advice="write a Dockerfile that starts your service, then run `bench-action init` again",
    )
    error.add_note(f"  a Dockerfile{named} could begin like this (check the names in it):\n{lines}")
    return error


def _choose_profiles(routes: Sequence[Route]) -> tuple[list[Route], list[Route]]:
    """Choose a few routes that anybody may request as they are, else a health check; the others are listed."""
    pages = [route for route in routes if route.is_page]
    able = [route for route in pages if route.is_literal and not route.needs_login]
    last_resorts = [*(route for route in routes if route.is_health), *(route for route in pages if route.is_literal)]
    chosen = able[:_MOST_PROFILES] or last_resorts[:1] or [Route("/")]
    paths = {route.path for route in chosen}
    return chosen, [route for route in pages if route.path not in paths][:_MOST_LISTED]


def name_profiles(routes: Sequence[Route]) -> list[tuple[str, Route]]:
    """Give each route a short name: its last part that is no parameter, or more parts if that is taken."""
    named: dict[str, Route] = {}
    for route in routes:
        parts = [part for part in re.split(r"[/.]", route.path) if part and not part.startswith("{") and part != "html"]
        names = [_make_name("-".join(parts[at:])) for at in range(len(parts) - 1, -1, -1)] or ["home"]
        if route.path.rstrip("/").endswith("}"):
            names = [_make_name(f"one-{name.removesuffix('s')}") for name in names]
        numbered = (f"{names[-1]}-{number}" for number in range(2, 2 + len(routes)))
        named[next(name for name in (*names, *numbered) if name not in named)] = route
    return list(named.items())


def _make_name(text: str) -> str:
    """Make a name of `bench.yml`: small letters, digits and single hyphens, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (name if name[:1].isalpha() else f"s-{name}".rstrip("-"))[:40].rstrip("-")


def _find_port(application: _Application, framework: Framework) -> Guess | None:
    """Find the port: the compose file's, else the most reliable of the others, else the framework's default."""
    if application.service is not None and application.service.parsed.ports:
        return None
    if found := next(_list_ports(application), None):
        return found
    if framework is UNKNOWN:
        return Guess("8000", "a guess: nothing in the repository says which port")
    return Guess(str(framework.port), f"a guess: the default of {framework.name}")


def _list_ports(application: _Application) -> Iterator[Guess]:
    """List the ports that EXPOSE, commands, scripts, PORT and sources name, in this order."""
    service, parsed = application.service, application.parsed
    if parsed.ports:
        several = len(parsed.ports) > 1
        yield Guess(str(parsed.ports[0]), "the first port that the Dockerfile exposes" if several else "")
    yield from (Guess(match[1]) for match in _PORT.finditer(f" {application.start}"))
    for name, text in _list_scripts(application):
        yield from (Guess(match[1], f"from {name}") for match in _PORT.finditer(f" {text}"))
    port = (service.parsed.env.get("PORT") if service is not None else "") or parsed.env.get("PORT", "")
    if port.isdigit() and 0 < int(port) < 65536:
        yield Guess(port)
    for name in application.sources.find_code(".js", ".ts", ".go", ".py"):
        text = application.sources.read(name)
        if match := _LISTENS.search(text) or _PORT_DEFAULT.search(text):
            yield Guess(next(filter(None, match.groups())), f"from {name}")


def _find_ready(
    application: _Application, framework: Framework, routes: Sequence[Route], profiles: Sequence[Route]
) -> Guess | None:
    """Find what to ask: nothing if the compose file has a healthcheck, else a health route, else a page."""
    health = application.service.health if application.service is not None else ""
    if health:
        return None
    named = [route.path for route in routes if route.is_health]
    if named:
        return Guess(named[0])
    if any("actuator" in text for text in read_manifests(application.sources).values()):
        return Guess("/actuator/health")
    if framework.name == "FastAPI" and (profiles[0].needs_login or not routes):
        return Guess("/docs", "FastAPI's own page: any path that answers 200 as soon as the service works")
    return Guess(profiles[0].path, "no health check found: any path that answers 200 as soon as the service works")


def _list_scripts(application: _Application) -> Iterator[tuple[str, str]]:
    """List the scripts that may start the application: those that its command names, and entrypoints."""
    sources = application.sources
    words = {
        PurePosixPath(word).name for word in re.split(r"[\s;&|]+", application.start) if "/" in word or "." in word
    }
    for name in sources.names:
        file = PurePosixPath(name).name
        if file.startswith("Dockerfile"):
            continue
        if (
            "entrypoint" in file.lower()
            or (file in words and file.endswith((".sh", ".ini", "")))
            or file in {"start.sh", "prestart.sh"}
        ):
            yield name, sources.read(name)


def _find_setup(
    application: _Application, framework: Framework, manifests: Mapping[str, str]
) -> tuple[tuple[Sequence[str], str] | None, str]:
    """Find a command that creates the tables, unless starting the application does; then, return what does."""
    others = application.compose.services if application.compose is not None else ()
    starts = [application.start, *(" ".join(other.start) for other in others)]
    if any(_MIGRATES.search(start) for start in starts):
        return None, f"a command in {application.compose.path}" if application.compose is not None else "its command"
    for name, text in _list_scripts(application):
        if _MIGRATES.search(text):
            return None, name
    command, reason = _find_migration(application, framework, manifests)
    return ((command, reason), "") if command else (None, "")


def _find_migration(
    application: _Application, framework: Framework, manifests: Mapping[str, str]
) -> tuple[Sequence[str], str]:
    """Find the command of the framework, else of the tool for migrations; also return what to check about it."""
    sources = application.sources
    manage = PurePosixPath(next(iter(sources.find("manage.py")), "manage.py"))
    in_workdir = manage.parent.name == PurePosixPath(application.parsed.workdir).name
    if framework.name == "Django" and manage.parent.name and not in_workdir:
        return ["python", str(manage), *framework.setup[2:]], "check its path in the image"
    everything = " ".join(manifests.values())
    tools: Sequence[tuple[object, Sequence[str], str]] = (
        (framework.setup, framework.setup, ""),
        (sources.find("alembic.ini"), ["alembic", "upgrade", "head"], ""),
        ("flask-migrate" in everything.lower(), ["flask", "db", "upgrade"], ""),
        (sources.find("schema.prisma"), ["npx", "prisma", "migrate", "deploy"], "needs prisma in the image"),
        (sources.find("knexfile.*"), ["npx", "knex", "migrate:latest"], ""),
        ('"sequelize-cli"' in everything, ["npx", "sequelize-cli", "db:migrate"], ""),
    )
    return next(((command, note) for found, command, note in tools if found), ([], ""))


def _find_seed(application: _Application) -> tuple[str, str]:
    """Find a file of SQL that looks like test data, relative to the configuration; or one that is loaded anyway."""
    names = application.sources.find(*_SEEDS)
    paths = [name if application.context == "." else f"{application.context}/{name}" for name in names]
    loaded = _find_loaded(application, paths)
    seed = next((path for path in paths if path not in loaded), "")
    return seed, "" if seed else next(iter(paths), "")


def _find_loaded(application: _Application, paths: Sequence[str]) -> set[str]:
    """Find the files that a service of the compose file loads when it starts: a second time would be an error."""
    if application.compose is None or not paths:
        return set()
    sources = Sources.from_folder(application.folder)
    copying = {name: text for name in sources.find(*_DOCKERFILES) if INITIAL_DATA in (text := sources.read(name))}
    return {
        path
        for path in paths
        if application.compose.mounts_in_image(application.folder / path, application.folder)
        or any(
            PurePosixPath(path).name in text or PurePosixPath(path).is_relative_to(PurePosixPath(name).parent)
            for name, text in copying.items()
        )
    }


def _list_env_files(application: _Application) -> Iterator[tuple[str, str]]:
    """List variable files that the compose file names and that have an example, as they are not under git then."""
    compose = application.compose
    place = PurePosixPath(compose.path).parent if compose is not None else PurePosixPath()
    named = [name for each in (compose.services if compose is not None else ()) for name in each.env_files]
    for file in dict.fromkeys(str(place / name) for name in named):
        examples = (
            f"{file}{ending}" for ending in ("-sample", ".sample", ".example", "-example", ".dist", ".template")
        )
        if example := next((name for name in examples if (application.folder / name).is_file()), ""):
            yield file, example


def _uses_postgres(compose: ComposeFile) -> bool:
    return any(_POSTGRES.search(service.parsed.image) for service in compose.services)


def _rename_services(settings: Sequence[Setting], compose: ComposeFile) -> list[Setting]:
    """Write placeholders with the names that services have in the compose file."""
    renamed = list(settings)
    for kind, image in (("postgres", _POSTGRES), ("redis", _REDIS)):
        name = next((service.name for service in compose.services if image.search(service.parsed.image)), kind)
        renamed = [replace(each, value=each.value.replace(f"{{{kind}.", f"{{{_make_name(name)}.")) for each in renamed]
    return renamed
