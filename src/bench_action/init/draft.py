"""Put together what is known about a repository: what to build, where it listens, what it needs, what to measure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath

from bench_action.config.kinds import INITIAL_DATA
from bench_action.init.application import Application, find_application, find_place
from bench_action.init.builds import DOCKERFILES, Build
from bench_action.init.envfiles import exists, find_example, is_ignored, is_loaded, read_examples
from bench_action.init.frameworks import Framework, find_framework, read_manifests
from bench_action.init.hosts import Headers, find_headers
from bench_action.init.names import make_name
from bench_action.init.needs import Setting, find_images, find_kinds, find_variables
from bench_action.init.routes.route import Route, sort_routes
from bench_action.init.runtimes import find_compiler
from bench_action.init.settings import choose_all, list_required, list_served
from bench_action.init.sources import Sources
from bench_action.init.starting import Guess, Setup, find_port, find_ready, find_setup

_MOST_PROFILES = 3
_MOST_LISTED = 20
_SEEDS = ("seed*.sql", "*seed.sql", "seeds/*.sql", "dump.sql", "fixtures.sql", "sample*data*.sql", "testdata.sql")
_PROCFILE = re.compile(r"^web:[ \t]*(\S[^\n]*)", re.MULTILINE)
_VARIANTS = ("web", "app", "application")


@dataclass(frozen=True, slots=True)
class Draft:
    """What the configuration will say. Paths are relative to `folder`.

    `compose`: its files; none without one. `compose_env`: variables that they need and that nothing sets.
    `env_files`: those that it needs, and the examples to copy them from; `lost_files`: those that have no example, and
    the variables that the code reads. `build`: None if the compose file says it, as `port`. `web`: the command of
    a Procfile. `services`: kind → image, and why, without a compose file; `elsewhere`: kinds that an application needs
    and that must be described by hand; `known`: whether there are packages that say what it needs. `profiles` are
    measured; `others` are only listed.
    `seed`: a file of test data; `loaded`: one that a database loads itself. `counts_queries`: whether there is a
    PostgreSQL, whose queries are counted and which can be seeded. `compiler`: the runtime that compiles it while it
    runs, and so needs a long warm-up; empty if it has none.
    """

    folder: Path
    framework: str
    compose: Sequence[str]
    compose_profiles: Sequence[str]
    compose_env: Sequence[Setting]
    env_files: Sequence[tuple[str, str]]
    lost_files: Sequence[tuple[str, Sequence[str]]]
    variant: str
    note: str
    build: Build | None
    web: str
    port: Guess | None
    ready: Guess | None
    headers: Headers
    services: Mapping[str, tuple[str, str]]
    elsewhere: Mapping[str, str]
    known: bool
    settings: Sequence[Setting]
    setup: Setup
    seed: str
    loaded: str
    profiles: Sequence[Route]
    others: Sequence[Route]
    counts_queries: bool
    compiler: str


def make_draft(start: Path) -> Draft:
    """Make a draft for the repository that `start` is in. Raises InputError if nothing in it can be built."""
    application = find_application(start)
    sources, build, compose = application.sources, application.build, application.compose
    framework = find_framework(sources, build.file.images)
    manifests = read_manifests(sources)
    kinds = find_kinds({**manifests, build.dockerfile: "\n".join(build.stage.extensions)}, sources)
    images = {} if compose is not None else find_images(find_place(start), kinds, manifests, sources)
    served = list_served(compose) if compose is not None else {kind: why for kind, (_, why) in images.items()}
    env_files = list(_list_env_files(application, manifests))
    settings = choose_all(application, framework.name, served, manifests, images=images, env_files=env_files)
    routes = sort_routes(framework.find_routes(sources))
    profiles, others = _choose_profiles(routes)
    seed, loaded = _find_seed(application)
    return Draft(
        folder=application.folder,
        framework=framework.name,
        compose=list(filter(None, [compose.path, compose.override])) if compose is not None else [],
        compose_profiles=compose.list_profiles(application.measured) if compose and application.measured else (),
        compose_env=list_required(compose, framework.name, env_files, application.folder),
        lost_files=_list_lost_files(application, env_files),
        env_files=env_files,
        variant=_name_variant(application),
        note=application.note,
        build=build if application.builds else None,
        web=match[1] if (match := _PROCFILE.search(sources.read("Procfile"))) else "",
        port=find_port(application, framework),
        ready=find_ready(application, framework, routes, profiles),
        headers=_find_headers(application, framework, env_files, settings),
        services=images,
        elsewhere={} if compose else {kind: name for kind, name in kinds.items() if kind not in images},
        known=bool(manifests),
        settings=settings,
        setup=find_setup(application, framework, manifests, {**kinds, **served}),
        seed=seed,
        loaded=loaded,
        profiles=profiles,
        others=others,
        counts_queries="postgres" in served,
        compiler=find_compiler(framework.name, build.stage.image, application.words),
    )


def _name_variant(application: Application) -> str:
    """Name the variant: as its service is called, else by a name that no service has."""
    if application.measured is not None:
        return make_name(application.measured.name)
    taken = (
        {make_name(each.name) for each in application.compose.services} if application.compose is not None else set()
    )
    return next((name for name in _VARIANTS if name not in taken), "bench")


def _find_headers(
    application: Application, framework: Framework, env_files: Sequence[tuple[str, str]], settings: Sequence[Setting]
) -> Headers:
    """Find the headers that requests need, by the variables that the application will have."""
    variables = dict(application.build.stage.env) | read_examples(env_files, application.folder)
    if application.service is not None:
        variables |= application.service.parsed.env
    variables |= {setting.name: setting.value for setting in settings if setting.active}
    return find_headers(framework.name, application, variables)


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
        names = [make_name("-".join(parts[at:])) for at in range(len(parts) - 1, -1, -1)] or ["home"]
        if route.path.rstrip("/").endswith("}"):
            names = [make_name(f"one-{name.removesuffix('s')}") for name in names]
        numbered = (f"{names[-1]}-{number}" for number in range(2, 2 + len(routes)))
        named[next(name for name in (*names, *numbered) if name not in named)] = route
    return list(named.items())


def _find_seed(application: Application) -> tuple[str, str]:
    """Find a file of SQL that looks like test data, relative to the configuration; or one that is loaded anyway."""
    names = application.sources.find(*_SEEDS)
    paths = [name if application.build.context == "." else f"{application.build.context}/{name}" for name in names]
    loaded = _find_loaded(application, paths)
    seed = next((path for path in paths if path not in loaded), "")
    return seed, "" if seed else next(iter(paths), "")


def _find_loaded(application: Application, paths: Sequence[str]) -> set[str]:
    """Find the files that a service of the compose file loads when it starts: a second time would be an error."""
    if application.compose is None or not paths:
        return set()
    sources = Sources.from_folder(application.folder)
    copying = {name: text for name in sources.find(*DOCKERFILES) if INITIAL_DATA in (text := sources.read(name))}
    return {
        path
        for path in paths
        if application.compose.mounts_in_image(application.folder / path)
        or any(
            PurePosixPath(path).name in text or PurePosixPath(path).is_relative_to(PurePosixPath(name).parent)
            for name, text in copying.items()
        )
    }


def _list_env_files(application: Application, manifests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """List files of variables that have an example, as they are not under git then.

    The compose file names them, uses variables that only `.env` can set, or is next to an application that reads it.
    """
    compose, folder = application.compose, application.folder
    if compose is None:
        return
    place = PurePosixPath(compose.path).parent
    named = [name for each in compose.services for name in each.env_files]
    service, context = application.service, (folder / application.build.context).resolve()
    mounted = service is not None and any(mount.type == "bind" for mount in service.parsed.mounts)
    next_to_it = context == (folder / place).resolve() and is_loaded(context, folder, manifests, mounted=mounted)
    found = {}
    if compose.example and (compose.required or next_to_it):
        found[str(place / ".env")] = compose.example
    for file in (normpath(place / name) for name in named):
        if file not in found and (example := find_example(folder / file, folder)):
            found[file] = example.relative_to(folder).as_posix()
    # GitHub fills in `${{ … }}` before a shell quotes anything
    yield from ((file, example) for file, example in found.items() if "${{" not in f"{file} {example}")


def _list_lost_files(application: Application, env_files: Sequence[tuple[str, str]]) -> list[tuple[str, Sequence[str]]]:
    """List files of variables that the compose file names, and that are neither under git nor have an example."""
    compose, folder = application.compose, application.folder
    if compose is None:
        return []
    place = PurePosixPath(compose.path).parent
    named = {normpath(place / name) for each in compose.services for name in each.env_files}
    named -= {file for file, _ in env_files}
    lost = [
        file
        for file in sorted(named)
        if "$" not in file and (not exists(folder / file) or is_ignored(folder / file, folder))
    ]
    read = [variable.name for variable in find_variables(application.sources) if variable.required] if lost else []
    return [(file, read[:_MOST_LISTED]) for file in lost]
