"""Choose what each service of a compose file is for: what is measured, what it needs, and what is left out."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench_action.config.compose.convert import make_name
from bench_action.config.compose.parse import ComposeService
from bench_action.config.compose.proxies import find_proxied_port, passes_fastcgi
from bench_action.config.dockerfile import Stage, read_dockerfile
from bench_action.config.kinds import find_usual_port, is_for_developers, is_tool, is_web_server
from bench_action.model.errors import InputError

COMPLETED = "service_completed_successfully"
_MIGRATES = re.compile(
    r"\b(migrate|migration|migrations|db:(migrate|prepare|setup|seed)|alembic upgrade|flyway|liquibase|collectstatic|"
    r"loaddata|prisma (migrate|db)|sequelize.* db:migrate|knex migrate|goose|dbmate|createcachetable)\b"
)
_ENDS = re.compile(r"(;|&&)\s*exit( 0)?\W*$")
_SETS_UP = re.compile(r"(^|[-_.])(init|setup|provision|bootstrap|seeder|create[-_]?(buckets?|topics?))([-_.]|$)")
_SERVES = re.compile(
    r"\b(runserver|gunicorn|uvicorn|uwsgi|hypercorn|daphne|granian|puma|unicorn|rails s|serve|server|start)\b"
)
_WORKS = re.compile(
    r"\b(celery|rq|dramatiq|huey|sidekiq|resque|taskiq|arq|queue:work|horizon|schedule:work|runworker)\b"
)
_TESTS = re.compile(
    r"\b(pytest|tox|nox|go test|(npm|yarn|pnpm)( run)? test|phpunit|rspec|cypress|playwright|manage\.py test)\b"
)
_TEST_NAME = re.compile(r"(^|[-_.])(e2e|tests?|lint|linter|cypress|playwright)([-_.]|$)")
_PORT = re.compile(r"(?:--port[= ]|-p |--bind[= ]\S*:|-b \S*:|--http[= ]\S*:|0\.0\.0\.0:|\[::\]:|(?<=\s):)(\d{2,5})\b")
_LISTENS = re.compile(r"(?:0\.0\.0\.0|//\+|//\*|\[::\]):(\d{2,5})\b|^traefik\..*\.server\.port=(\d{2,5})$")
_SOCKET = "docker.sock"
_SIDE_PORTS = frozenset({443, 8443, 5005, 5678, 9090, 9229})  # of TLS, debuggers and metrics
_FASTCGI_IMAGE = re.compile(r"(?:^|[:/-])(?:php-)?fpm(?!.*(?:nginx|apache|caddy|unit))")
_FASTCGI_PORT = 9000
_SERVES_HTTP = re.compile(r"nginx|apache|httpd|caddy|supervisor|artisan serve|php -S|--http")


class NothingBuiltError(InputError):
    """A compose file builds no service, and nothing says which one is measured."""


@dataclass(frozen=True, slots=True)
class RoleChoice:
    """What `bench.yml` says: variant → service, services that it keeps, and those that it leaves out (null).

    `builds`: whether it has variants that are no services, with a build or an image. `made_otherwise`: services to
    which it gives a build or an image.
    """

    variants: Mapping[str, str] = field(default_factory=dict)
    kept: Collection[str] = ()
    dropped: Collection[str] = ()
    builds: bool = False
    made_otherwise: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Roles:
    """The services of a compose file by role. `variants`: variant → service. `left_out`: service → why."""

    variants: Mapping[str, ComposeService]
    services: Mapping[str, ComposeService]
    once: Collection[str]
    workers: Collection[str]
    left_out: Mapping[str, str]


def choose_roles(services: Mapping[str, ComposeService], choice: RoleChoice, file: str) -> Roles:
    """Choose each service's role. Raises InputError if it is not clear what is measured, or it cannot be."""
    services = _share_builds(services)
    if choice.variants or (choice.builds and not list_measurable(services)):
        variants = choice.variants
    else:
        variants = _name_variant(find_application(services, file))
    for name, service in variants.items():
        if service not in services:
            raise _make_unknown(name, service, services, file)
    measured = {name: services[service] for name, service in variants.items()}
    targets = {service.name for service in measured.values()}
    needed = _find_needed(services, targets, choice.dropped)
    for name in (*targets, *sorted(needed)):
        if services[name].danger:
            raise _make_refusal(services[name], file)
    left_out = dict(_list_left_out(services, targets, needed, choice))
    kept = {name: service for name, service in services.items() if name not in left_out and name not in targets}
    once = {name for name, service in kept.items() if _runs_once(service, services)}
    workers = {name for name, service in kept.items() if name not in once and _may_work(service, services)}
    while True:
        others = [*measured.values(), *(service for name, service in kept.items() if name not in workers)]
        needed_by_others = workers & {other for service in others for other in service.conditions}
        if not needed_by_others:  # workers may wait for each other
            return Roles(measured, kept, once, workers, left_out)
        workers -= needed_by_others


def _make_unknown(variant: str, service: str, services: Mapping[str, ComposeService], file: str) -> InputError:
    """Make the error for a variant that is no service of the file, with the likeliest one in its advice."""
    likely = next((each.name for each in list_measurable(services)), next(iter(services), "NAME"))
    own = "a variant without `service`, `build` and `image` is the service of its name"
    return InputError(
        f"{file} has no service {service}",
        where=f"variant {variant}",
        cause=own if service == variant else "",
        advice=f"choose one of: {', '.join(services)}, such as `variants: {{{variant}: {{service: {likely}}}}}`; "
        "or give it a `build` or an `image`",
    )


def find_application(services: Mapping[str, ComposeService], file: str) -> str:
    """Find the one service that is built and serves. Raises InputError if there are several, or none."""
    if not has_application(services):
        for service in services.values():
            if service.build is not None:
                raise _make_refusal(service, file)
        raise NothingBuiltError(
            f"{file} builds no service",
            where=f"services: {', '.join(services)}",
            advice="choose one in bench.yml: `variants: {NAME: {service: NAME}}`",
        )
    candidates = list_measurable(services) or list_measurable(services, also_tools=True)
    if len(candidates) == 1:
        return candidates[0].name
    if not candidates:
        name = (_list_built(services) or [service for service in services.values() if _is_built(service)])[0].name
        raise InputError(
            f"{file} does not say what to measure: it has no service that is built and has a port",
            where=f"services: {', '.join(services)}",
            advice=f"choose one in bench.yml, with its port: `variants: {{{name}: {{service: {name}, port: 8000}}}}`",
        )
    names = list_names([service.name for service in candidates])
    name = candidates[0].name
    raise InputError(
        f"{file} does not say what to measure: {names} are built and have a port",
        advice=f"choose in bench.yml: `variants: {{{name}: {{service: {name}}}}}`",
    )


def list_measurable(services: Mapping[str, ComposeService], *, also_tools: bool = False) -> list[ComposeService]:
    """List the services that may be measured: the applications, or the web server of one that speaks no HTTP.

    `also_tools`: also those that are called like a tool of developers, and a database that is all there is.
    """
    applications = list_applications(services, also_tools=also_tools)
    found = [find_front(service, services) or service for service in applications]
    return list({service.name: service for service in found}.values())


def find_front(service: ComposeService, services: Mapping[str, ComposeService]) -> ComposeService | None:
    """Find the web server in front of a service that speaks FastCGI or uwsgi, such as PHP-FPM; None if it needs none.

    It does so if a web server says that, or by its image if nothing says that it serves another port than PHP-FPM's.
    """
    if service.build is None or service.danger or _SERVES_HTTP.search(" ".join(service.words)):
        return None
    proxies = [other for other in services.values() if is_proxy(other) and not other.danger]
    for proxy in proxies:
        if passes_fastcgi(service.name, proxy):
            return proxy
    stage = _read_stage(service)
    ports = {*service.ports, *stage.ports}
    if not _FASTCGI_IMAGE.search(stage.image) or ports - {_FASTCGI_PORT}:
        return None
    return next((proxy for proxy in proxies if proxy.published), None)


def list_applications(services: Mapping[str, ComposeService], *, also_tools: bool = False) -> list[ComposeService]:
    """List the services that are built and may answer requests: those that publish a port, else those that have one.

    `also_tools`: also those that are called like a tool of developers, and a database that is all there is.
    """
    built = _list_built(services)
    if not also_tools or len(services) > 1:
        built = [each for each in built if not is_backing_service(each)]
    if not also_tools:
        built = [each for each in built if not is_for_developers(each.name)]
    served = [service for service in built if not is_proxy(service)]
    return (
        [service for service in served if service.ports]
        or [service for service in served if find_port(service, services) is not None]
        or [service for service in built if service.ports]
    )


def _list_built(services: Mapping[str, ComposeService]) -> list[ComposeService]:
    return [service for service in services.values() if _is_built(service) and not _is_helper(service, services)]


def is_backing_service(service: ComposeService) -> bool:
    """Whether a service that is built is a database, a queue or a tool with something added, by its image's base."""
    image = _read_stage(service).image
    return find_usual_port(image) is not None or is_tool(image)


def has_application(services: Mapping[str, ComposeService]) -> bool:
    """Whether any service is built."""
    return any(_is_built(service) for service in services.values())


def find_port(service: ComposeService, services: Mapping[str, ComposeService]) -> int | None:
    """Find the port that a service listens on: its own, or one that its Dockerfile exposes.

    Of several that it publishes, the first, unless nothing else names it and the Dockerfile exposes one of the others.
    """
    port = find_own_port(service, services)
    if service.build is None or service.danger:
        return port
    exposed = _read_stage(service).ports
    if port is None:
        return next(iter(exposed), None)
    if len(exposed) == 1 and exposed[0] in service.published and exposed[0] not in _SIDE_PORTS and port != exposed[0]:
        named = find_own_port(replace(service, published=(), exposed=()), services)
        return exposed[0] if named is None else port
    return port


def find_own_port(service: ComposeService, services: Mapping[str, ComposeService]) -> int | None:
    """Find the port that a service listens on: declared, or in its healthcheck, command, labels or variables.

    The configuration of a web server in front of it may name it as well.
    """
    if service.ports:
        return service.ports[0]
    url = service.health.find_url([service.name]) if service.health is not None else None
    if url is not None and url[0]:
        return url[0]
    if found := _PORT.search(" " + " ".join((*(service.entrypoint or ()), *(service.command or ())))):
        return int(found[1])
    if re.fullmatch(r"[0-9]{1,5}", port := service.env.get("PORT", "")):
        return int(port)
    labels = service.raw.get("labels")
    texts = [f"{key}={value}" for key, value in labels.items()] if isinstance(labels, dict) else labels or []
    for text in (*service.env.values(), *texts):
        if found := _LISTENS.search(str(text)):
            return int(found[1] or found[2])
    return find_proxied_port(service.name, [other for other in services.values() if is_proxy(other)])


def is_proxy(service: ComposeService) -> bool:
    """Whether a service is a web server that others stand behind."""
    if service.build is None or service.danger:
        return is_web_server(service.image)
    return is_web_server(_read_stage(service).image)


def _read_stage(service: ComposeService) -> Stage:
    """Read the stage that is built for a service; an empty one if it has no build or its Dockerfile cannot be read."""
    build = service.build or {}
    if not build:
        return Stage()
    path = Path(str(build.get("context") or ".")) / str(build.get("dockerfile") or "Dockerfile")
    return read_dockerfile(path, service.build_arguments).find_stage(str(build.get("target") or ""))


def find_danger(raw: Mapping[str, Any]) -> str:
    """Find out why a service cannot or must not run; empty if it may."""
    if raw.get("privileged"):
        return "is `privileged`"
    mode = str(raw.get("network_mode") or "")
    if mode not in {"", "bridge", "default", "none"}:
        return f"has `network_mode: {mode}`"
    if raw.get("devices") or raw.get("gpus"):
        return "uses `devices` of the host"
    volumes = [item.get("source", "") if isinstance(item, dict) else item for item in raw.get("volumes") or ()]
    if raw.get("runtime") not in {None, "", "runc"}:
        return f"needs the runtime {raw['runtime']}"
    return "mounts the engine's socket" if any(_SOCKET in str(volume) for volume in volumes) else ""


def _make_refusal(service: ComposeService, file: str) -> InputError:
    return InputError(
        f"{file}: {service.name} cannot be run, as it {service.danger}",
        cause="a container of a run reaches nothing but its own network, and is built from files of the repository",
        advice=f"change it in a second compose file (`compose: [{file}, compose.bench.yaml]`), or leave it out in "
        f"bench.yml: `services: {{{service.name}: null}}`",
    )


def _name_variant(service: str) -> dict[str, str]:
    return {make_name(service): service}


def _share_builds(services: Mapping[str, ComposeService]) -> dict[str, ComposeService]:
    """Give services that use the image which another one builds the same build."""
    built = {
        service.image: service.build for service in services.values() if service.build is not None and service.image
    }
    return {
        name: replace(service, build=built[service.image])
        if service.build is None and service.image in built
        else service
        for name, service in services.items()
    }


def _find_needed(
    services: Mapping[str, ComposeService], targets: Collection[str], dropped: Collection[str]
) -> set[str]:
    """Find all services that the measured ones depend on, directly or not."""
    needed, waiting = set[str](), list(targets)
    while waiting:
        for other in services[waiting.pop()].conditions:
            if other in services and other not in needed | set(targets) | set(dropped):
                needed.add(other)
                waiting.append(other)
    return needed


def _list_left_out(
    services: Mapping[str, ComposeService], targets: Collection[str], needed: Collection[str], choice: RoleChoice
) -> Iterator[tuple[str, str]]:
    for name, service in services.items():
        if name in targets or name in needed:
            continue
        if name in choice.dropped:
            yield name, "bench.yml leaves it out"
        elif service.danger:
            yield name, f"it {service.danger}"
        elif name in choice.kept:
            continue
        elif reason := _explain_left_out(service, services, targets):
            yield name, reason


def _explain_left_out(service: ComposeService, services: Mapping[str, ComposeService], targets: Collection[str]) -> str:
    """Explain why nothing that is measured needs a service; empty if it may be needed."""
    if 0 in (service.raw.get("scale"), (service.raw.get("deploy") or {}).get("replicas")):
        return "it has no replicas"
    if is_tool(service.image) or "flower" in service.words:
        return "it is a tool of developers"
    if _is_test(service):
        return "it runs tests"
    in_front = _find_needed(services, [service.name], ()) & set(targets)
    if in_front and (service.ports or is_proxy(service)) and not _runs_once(service, services):
        return f"it is in front of {min(in_front)}, which is measured itself"
    return "it is a web server that nothing here depends on" if is_proxy(service) else ""


def _is_helper(service: ComposeService, services: Mapping[str, ComposeService]) -> bool:
    """Whether a service that is built is none that answers requests: a job, a worker, a tool or a test."""
    return _works(service) or _is_test(service) or "flower" in service.words or _runs_once(service, services)


def _may_work(service: ComposeService, services: Mapping[str, ComposeService]) -> bool:
    """Whether a service that is built works in the background, also if a port of others is among its variables."""
    return service.build is not None and (_works(service) or find_own_port(service, services) is None)


def _works(service: ComposeService) -> bool:
    words = " ".join(service.words)
    return _WORKS.search(words) is not None and _SERVES.search(words) is None


def _is_built(service: ComposeService) -> bool:
    return service.build is not None and not service.danger


def _is_test(service: ComposeService) -> bool:
    named = _TEST_NAME.search(service.name) is not None and service.name != "laravel.test"  # of Laravel Sail
    return named or _TESTS.search(" ".join(service.words)) is not None


def _runs_once(service: ComposeService, services: Mapping[str, ComposeService]) -> bool:
    """Whether a service runs to its end: another one waits for that, or it only migrates or sets something up."""
    if any(other.conditions.get(service.name) == COMPLETED for other in services.values()):
        return True
    if service.ports or service.raw.get("restart") in {"always", "unless-stopped"}:
        return False
    command = " ".join(service.words)
    words = f"{service.name.replace('_', ' ').replace('-', ' ')} {command}"
    if _MIGRATES.search(words) is not None and _SERVES.search(words) is None:
        return True
    return service.health is None and (_ENDS.search(command) is not None or _SETS_UP.search(service.name) is not None)


def list_names(names: Sequence[str]) -> str:
    """Join names for a message."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
