"""Put together what is known about a repository: what to build, where it listens, what it needs, what to measure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import normpath

from bench_action.config.kinds import guess_kind
from bench_action.init.application import Application, find_application, find_place
from bench_action.init.builds import DOCKERFILES
from bench_action.init.compose import INITIAL_DATA, ComposeFile
from bench_action.init.envfiles import find_example, is_loaded, read_variables
from bench_action.init.frameworks import Framework, find_framework, read_manifests
from bench_action.init.hosts import Headers, find_headers
from bench_action.init.needs import (
    Setting,
    choose_blank,
    choose_settings,
    find_images,
    find_kinds,
    find_variables,
    stand_in,
)
from bench_action.init.routes.route import Route, sort_routes
from bench_action.init.runtimes import find_compiler
from bench_action.init.sources import Sources
from bench_action.init.starting import Guess, Setup, find_port, find_ready, find_setup

_MOST_PROFILES = 3
_MOST_LISTED = 20
_SEEDS = ("seed*.sql", "*seed.sql", "seeds/*.sql", "dump.sql", "fixtures.sql", "sample*data*.sql", "testdata.sql")
_VARIANTS = ("web", "app", "application")


@dataclass(frozen=True, slots=True)
class Draft:
    """What the configuration will say. Paths are relative to `folder`.

    `compose`: its files; none without one. `compose_env`: variables that they need and that nothing sets.
    `env_files`: those that it needs, and the examples to copy them from. `build`: context, Dockerfile and stage, unless
    the compose file says it. `missing`: what the image copies that is not in the repository; `arguments`: those of its
    Dockerfile that have no default. `port`: None if the compose file says it. `services`: kind → image, and why,
    without a compose file; `elsewhere`: kinds that an application needs and that must be described by hand; `known`:
    whether there are packages that say what it needs. `profiles` are measured; `others` are only listed.
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
    variant: str
    note: str
    build: tuple[str, str, str] | None
    missing: Sequence[str]
    arguments: Sequence[str]
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
    framework = find_framework(sources)
    manifests = read_manifests(sources)
    kinds = find_kinds({**manifests, build.dockerfile: "\n".join(build.parsed.extensions)}, sources)
    images = {} if compose is not None else find_images(find_place(start), kinds, manifests, sources)
    served = _list_served(compose) if compose is not None else {kind: why for kind, (_, why) in images.items()}
    env_files = list(_list_env_files(application, manifests))
    settings = _choose_settings(application, framework, served, manifests, images)
    settings += _choose_blank(application, framework, env_files)
    routes = sort_routes(framework.find_routes(sources))
    profiles, others = _choose_profiles(routes)
    seed, loaded = _find_seed(application)
    return Draft(
        folder=application.folder,
        framework=framework.name,
        compose=list(filter(None, [compose.path, compose.override])) if compose is not None else [],
        compose_profiles=compose.list_profiles(application.measured) if compose and application.measured else (),
        compose_env=_list_required(compose, framework, env_files, application.folder),
        env_files=env_files,
        variant=_name_variant(application),
        note=application.note,
        build=(build.context, build.dockerfile, build.target) if application.builds else None,
        missing=build.missing if application.builds else (),
        arguments=build.parsed.arguments if application.builds else (),
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
        counts_queries=_has_postgres(compose) if compose is not None else "postgres" in images,
        compiler=find_compiler(framework.name, build.parsed.image, application.words),
    )


def _choose_settings(
    application: Application,
    framework: Framework,
    kinds: Mapping[str, str],
    manifests: Mapping[str, str],
    images: Mapping[str, tuple[str, str]],
) -> list[Setting]:
    """Choose variables, unless a service of the compose file has its own."""
    if application.service is not None:
        return []
    image = images.get("postgres", ("", ""))[0]
    settings = list(choose_settings(find_variables(application.sources), kinds, framework.name, manifests, image))
    return settings if application.compose is None else _rename_services(settings, application.compose)


def _choose_blank(
    application: Application, framework: Framework, env_files: Sequence[tuple[str, str]]
) -> list[Setting]:
    """Choose secrets that the service of a compose file needs and nothing sets: blank in an example, or passed on."""
    service, folder = application.service, application.folder
    if service is None or application.front is not None:
        return []
    values = dict.fromkeys(service.passed_on, "")
    for _, example in env_files:
        values |= read_variables(folder / example, folder)
    set_here = {name: text for name, text in service.parsed.env.items() if text}
    return list(choose_blank({name: text for name, text in values.items() if name not in set_here}, framework.name))


def _list_required(
    compose: ComposeFile | None, framework: Framework, env_files: Sequence[tuple[str, str]], folder: Path
) -> list[Setting]:
    """List the variables that the compose file itself needs and nothing sets, with a value if they are secrets."""
    if compose is None:
        return []
    known = {
        name for _, example in env_files for name, text in read_variables(folder / example, folder).items() if text
    }
    chosen = {name: stand_in(name, framework.name) for name in sorted(compose.required - known)}
    return [Setting(name, value or "…", active=bool(value)) for name, value in chosen.items()]


def _name_variant(application: Application) -> str:
    """Name the variant: as its service is called, else by a name that no service has."""
    if application.measured is not None:
        return _make_name(application.measured.name)
    taken = (
        {_make_name(each.name) for each in application.compose.services} if application.compose is not None else set()
    )
    return next((name for name in _VARIANTS if name not in taken), "bench")


def _find_headers(
    application: Application, framework: Framework, env_files: Sequence[tuple[str, str]], settings: Sequence[Setting]
) -> Headers:
    """Find the headers that requests need, by the variables that the application will have."""
    variables, folder = dict(application.build.parsed.env), application.folder
    for file, example in env_files:
        variables |= read_variables(folder / example, folder) | read_variables(folder / file, folder)
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


def _list_served(compose: ComposeFile) -> dict[str, str]:
    """List the kinds of services that `env` can refer to: kind → the compose file."""
    return {kind: compose.path for kind in ("postgres", "mysql", "redis") if _find_service(compose, kind) is not None}


def _has_postgres(compose: ComposeFile) -> bool:
    """Whether there is a PostgreSQL that a run knows: one that is built, or of another image, is any service."""
    return _find_service(compose, "postgres") is not None


def _find_service(compose: ComposeFile, kind: str) -> str | None:
    return next(
        (
            service.name
            for service in compose.services
            if service.parsed.build is None and guess_kind(service.parsed.image) == kind
        ),
        None,
    )


def _rename_services(settings: Sequence[Setting], compose: ComposeFile) -> list[Setting]:
    """Write placeholders with the names that services have in the compose file."""
    renamed = list(settings)
    for kind in ("postgres", "mysql", "redis"):
        name = _make_name(_find_service(compose, kind) or kind)
        renamed = [replace(each, value=each.value.replace(f"{{{kind}.", f"{{{name}.")) for each in renamed]
    return renamed
