"""Choose the variables that `bench.yml` sets: for services, and secrets that nothing else sets."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench_action.config.kinds import find_usual_port, guess_kind
from bench_action.config.variables import list_unset
from bench_action.init.application import Application
from bench_action.init.compose import ComposeFile
from bench_action.init.envfiles import read_examples, read_variables
from bench_action.init.names import make_name
from bench_action.init.needs import (
    Setting,
    choose_blank,
    choose_settings,
    find_alchemy_url,
    find_sql,
    find_value,
    find_variables,
    make_dummy,
)

_OF_USERS = dict.fromkeys(("WWWGROUP", "WWWUSER", "UID", "GID", "USER_ID", "GROUP_ID"), "1000")  # as of Laravel Sail
_PORTS = {"mongo": 27017}  # of kinds that a run does not know
_REFERRED = ("postgres", "mysql", "redis", *_PORTS)
_LOCAL = re.compile(r"(?<![\w.-])(?:localhost|127\.0\.0\.1)(?![\w.-])")
_SCHEMES = {  # of URLs → the image or name of the service that speaks it
    r"postgres": r"postg|pgvector|timescale",
    r"mysql|mariadb": r"mysql|maria",
    r"redis": r"redis|valkey",
    r"mongodb": r"mongo",
    r"amqp": r"rabbit",
}
_NAMES = {
    r"REDIS|CACHE|BROKER|CELERY": r"redis|valkey",
    r"MONGO": r"mongo",
    r"RABBIT|AMQP": r"rabbit",
    r"MYSQL|MARIADB": r"mysql|maria",
    r"POSTGRES|PG": r"postg|pgvector|timescale",
    r"DB|DATABASE|SQL": r"postg|pgvector|timescale|mysql|maria",
}


def choose_all(
    application: Application,
    framework: str,
    served: Mapping[str, str],
    manifests: Mapping[str, str],
    *,
    images: Mapping[str, tuple[str, str]],
    env_files: Sequence[tuple[str, str]],
) -> list[Setting]:
    """Choose all variables. `served`: the kinds of services that there are. `images`: without a compose file.

    A service of a compose file has its own, so only what they lack is added.
    """
    if application.service is not None:
        url = find_alchemy_url(manifests, served)
        return list(_complete(application, framework, served, env_files, url)) if application.front is None else []
    image = images.get("postgres", ("", ""))[0]
    settings = list(choose_settings(find_variables(application.sources), served, framework, manifests, image))
    return settings if application.compose is None else _rename_services(settings, application.compose)


def _complete(
    application: Application,
    framework: str,
    served: Mapping[str, str],
    env_files: Sequence[tuple[str, str]],
    url: str,
) -> Iterator[Setting]:
    """Complete the variables of a compose file's service: blank secrets, hosts, and addresses that nothing sets.

    `url`: of the database, if it is not the usual one.
    """
    service, compose = application.service, application.compose
    if service is None or compose is None:
        return
    values = dict.fromkeys(service.passed_on, "") | read_examples(env_files, application.folder)
    set_here = {name: text for name, text in service.parsed.env.items() if text}
    yield from choose_blank({name: text for name, text in values.items() if name not in set_here}, framework)
    values |= set_here
    for name, text in values.items():
        if _LOCAL.search(text) and not list_unset(text, {}) and (other := _find_meant(name, text, compose)):
            yield Setting(name, other.join(_LOCAL.split(text)), "localhost would be the container itself")
    read = {each.name: _find_address(each.name, served, url) for each in find_variables(application.sources)}
    known = {name: value for name, value in read.items() if "{" in value}
    if known and not service.env_files and not any(values.get(name) for name in known):
        yield from _rename_services([Setting(name, value) for name, value in known.items()], compose)


def _find_address(name: str, served: Mapping[str, str], url: str) -> str:
    kind = find_sql(served)
    if name == "DATABASE_URL" and kind:
        return url or f"{{{kind}.url}}"
    return find_value(name, served) or ""


def _find_meant(name: str, text: str, compose: ComposeFile) -> str:
    """Find the service that an address on this machine stands for: by the URL's scheme, else by the variable's name."""
    scheme, slashes, _ = text.partition("://")
    wanted = next(
        (
            pattern
            for mark, pattern in (_SCHEMES if slashes else _NAMES).items()
            if re.search(mark, scheme.lower() if slashes else name)
        ),
        None,
    )
    if wanted is None:
        return ""
    services = [each.name for each in compose.services if re.search(wanted, f"{each.parsed.image} {each.name}".lower())]
    return services[0] if services else ""


def list_required(
    compose: ComposeFile | None, framework: str, env_files: Sequence[tuple[str, str]], folder: Path
) -> list[Setting]:
    """List the variables that the compose file itself needs and nothing sets, with a value if they are secrets."""
    if compose is None:
        return []
    known = {
        name for _, example in env_files for name, text in read_variables(folder / example, folder).items() if text
    }
    chosen = {name: _OF_USERS.get(name) or make_dummy(name, framework) for name in sorted(compose.required - known)}
    return [Setting(name, value or "…", active=bool(value)) for name, value in chosen.items()]


def list_served(compose: ComposeFile) -> dict[str, str]:
    """List the kinds of services that `env` can refer to: kind → the compose file."""
    return {kind: compose.path for kind in _REFERRED if _find_service(compose, kind) is not None}


def _find_service(compose: ComposeFile, kind: str) -> str | None:
    """Find the service of a kind that a run knows: one that is built, or of another image, is of none."""
    return next(
        (
            service.name
            for service in compose.services
            if service.parsed.build is None
            and (
                find_usual_port(service.parsed.image) == _PORTS[kind]
                if kind in _PORTS
                else guess_kind(service.parsed.image) == kind
            )
        ),
        None,
    )


def _rename_services(settings: Sequence[Setting], compose: ComposeFile) -> list[Setting]:
    """Write placeholders with the names that services have in the compose file."""
    renamed = list(settings)
    for kind in _REFERRED:
        name = make_name(_find_service(compose, kind) or kind)
        renamed = [replace(each, value=each.value.replace(f"{{{kind}.", f"{{{name}.")) for each in renamed]
    return renamed
