"""Read a compose file as a configuration: the same services and variants that `bench.yml` can describe by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench_action.config.compose.command import Answer, find_compose
from bench_action.config.compose.convert import Converter, Notes, make_name, make_secret_mark
from bench_action.config.compose.find import Spare, list_compose_files
from bench_action.config.compose.parse import ComposeService, Mount, parse_service, unescape
from bench_action.config.compose.roles import (
    COMPLETED,
    RoleChoice,
    Roles,
    choose_roles,
    find_danger,
    find_port,
    has_application,
)
from bench_action.config.kinds import guess_kind
from bench_action.config.paths import find_problem
from bench_action.config.schema import Compose
from bench_action.config.secrets import Secrets
from bench_action.model.errors import InputError


@dataclass(frozen=True, slots=True)
class ComposeReading:
    """What a compose file says, in the form of `bench.yml`: `services` and `variants`.

    `file`: the compose file's name. `notes`: what a person should know. `health_path`: the path that the measured
    service's healthcheck requests; empty if it requests none.
    """

    services: Mapping[str, Any]
    variants: Mapping[str, Any]
    file: str
    notes: Sequence[str] = ()
    health_path: str = ""


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """What compose printed for a project, before it is known what its services are for.

    `defined`: configs and secrets. `environ`: the variables that compose was given.
    """

    services: Mapping[str, ComposeService]
    defined: Mapping[str, Mapping[str, Any]]
    file: str
    warnings: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def builds(self) -> bool:
        """Whether it builds any service."""
        return has_application(self.services)


def read_compose_project(
    compose: Compose,
    folder: Path,
    root: Path,
    *,
    marked: Sequence[str],
    environ: Mapping[str, str],
    secrets: Secrets,
    spare: Spare | None = None,
) -> ComposeProject:
    """Read compose files with compose. `folder`: that `compose.file` is relative to. Raises InputError.

    `marked`: secrets that the files may name, whose values compose does not see. `secrets`: what `compose.env` may
    read. `spare`: another revision, from which files that are not under git are copied if they are missing in this one.
    """
    named = [folder / name for name in compose.file]
    if missing := [path for path in named if not path.is_file()]:
        raise InputError(f"the compose file {missing[0]} does not exist", advice="fix `compose`, relative to bench.yml")
    for path in named:  # the project's folder is the first one's
        problem = find_problem(path, root, "configuration")
        if problem is not None:
            raise InputError(f"could not read the compose file {path}: it {problem.text}")
    secrets.require(name for name, text in compose.env.items() if text is None)
    allowed = {name: secrets.values.get(name) if text is None else text for name, text in compose.env.items()}
    variables = {name: text for name, text in allowed.items() if text is not None}
    variables |= {name: make_secret_mark(name) for name in marked}
    project = (named[0].parent if named else folder).resolve()
    if compose.project_directory is not None:
        project = (folder / compose.project_directory).resolve()
        if problem := find_problem(project, root, "build context"):
            raise InputError(f"the compose file's project_directory {compose.project_directory} {problem.text}")
    command = find_compose(project, environ, variables)
    files = list_compose_files(command, root, [path.resolve() for path in named], spare)
    return parse_project(command.read(files, compose.profiles), root, files[0].name, variables)


def parse_project(answer: Answer, root: Path, file: str, variables: Mapping[str, str]) -> ComposeProject:
    """Parse what compose printed. What a service may not use is noted in it, as it may not be needed."""
    data = unescape(answer.data)
    services = {}
    for name, raw in (data.get("services") or {}).items():
        try:
            service = parse_service(name, raw)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise InputError(f"{file}: could not read the service {name}: {error}") from error
        mounts = [replace(mount, inside=_is_inside(mount, root)) for mount in service.mounts]
        services[name] = replace(service, danger=find_danger(raw) or _find_outside(service, root), mounts=mounts)
    defined = {key: data.get(key) or {} for key in ("configs", "secrets")}
    return ComposeProject(services, defined, file, answer.warnings, variables)


def convert_project(project: ComposeProject, folder: Path, root: Path, choice: RoleChoice) -> ComposeReading:
    """Convert what compose printed into services and variants. `folder`: that their paths become relative to."""
    roles = choose_roles(project.services, choice, project.file)
    notes = Notes([f"compose: {warning}" for warning in project.warnings])
    converter = Converter(folder, root, project.file, project.defined, project.environ, notes, choice.made_otherwise)
    _note_roles(roles, choice, notes)
    names = _name_services(roles, project.file)
    variants = {
        variant: converter.convert_variant(service, variant, find_port(service, project.services))
        for variant, service in roles.variants.items()
    }
    services = {
        names[name]: converter.convert_service(
            service, once=name in roles.once, worker=name in roles.workers, kind=_find_kind(service, roles)
        )
        for name, service in _sort_services(roles).items()
    }
    for variant, service in roles.variants.items():
        variants[variant]["service"] = service.name
        jobs = dict.fromkeys((names[name] for name in roles.services if name in roles.once), COMPLETED)
        jobs = {name: condition for name, condition in jobs.items() if not _depends_on(project, roles, name, service)}
        variants[variant]["depends_on"] = {**jobs, **_convert_conditions(service, names)}
    for name, service in roles.services.items():
        services[names[name]]["depends_on"] = _convert_conditions(service, names)
        _add_links(service, names, services)
    for service in roles.variants.values():
        _add_links(service, names, services)
    return ComposeReading(services, variants, project.file, notes.list_lines(), _find_health_path(roles))


def _depends_on(project: ComposeProject, roles: Roles, name: str, service: ComposeService) -> bool:
    """Whether a job, by its name here, waits for the measured service, which then cannot wait for the job."""
    jobs = [job for job in roles.services.values() if make_name(job.name) == name]
    waiting, seen = [job.name for job in jobs], set[str]()
    while waiting:
        current = waiting.pop()
        if current == service.name:
            return True
        if current not in seen and current in project.services:
            seen.add(current)
            waiting += project.services[current].conditions
    return False


def _is_inside(mount: Mount, root: Path) -> bool:
    return mount.type == "bind" and find_problem(Path(mount.source), root, "file") is None


def _find_outside(service: ComposeService, root: Path) -> str:
    """Find out which file outside of the repository a service is built from; empty if all are inside."""
    if service.build is None:
        return ""
    context = str(service.build.get("context") or "")
    if "://" in context or context.startswith("git@"):
        return f"is built from {context}, which is not in this repository"
    problem = find_problem(Path(context), root, "build context")
    if problem is not None:
        return f"is built in {context}, which {problem.text}"
    dockerfile = Path(context) / str(service.build.get("dockerfile") or "Dockerfile")
    problem = None if service.build.get("dockerfile_inline") else find_problem(dockerfile, root, "Dockerfile")
    return "" if problem is None else f"is built from {dockerfile}, which {problem.text}"


def _name_services(roles: Roles, file: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for service in roles.services:
        name = make_name(service)
        if name in names.values() or name in roles.variants:
            raise InputError(f"{file}: two services would have the name {name}", advice="rename one of them")
        names[service] = name
    return names


def _sort_services(roles: Roles) -> dict[str, ComposeService]:
    """Put the services first that the measured one names: of several databases, the first is its own."""
    named = [name for service in roles.variants.values() for name in service.conditions if name in roles.services]
    return {name: roles.services[name] for name in dict.fromkeys((*named, *roles.services))}


def _find_kind(service: ComposeService, roles: Roles) -> str:
    return "other" if service.build is not None or service.name in roles.once else guess_kind(service.image)


def _note_roles(roles: Roles, choice: RoleChoice, notes: Notes) -> None:
    if not choice.variants and roles.variants:
        notes.add(f"measured: {', '.join(service.name for service in roles.variants.values())}")
    for role, names in (("runs once, before the rest", roles.once), ("works in the background", roles.workers)):
        for name in roles.services:
            if name in names:
                notes.add(f"{name} {role}")
    for name, reason in roles.left_out.items():
        if name not in choice.dropped:
            notes.add(f"left out: {name}, as {reason}")


def _convert_conditions(service: ComposeService, names: Mapping[str, str]) -> dict[str, str]:
    return {names[other]: condition for other, condition in service.conditions.items() if other in names}


def _add_links(service: ComposeService, names: Mapping[str, str], services: Mapping[str, dict[str, Any]]) -> None:
    """Add the names under which a service knows others to theirs."""
    for alias, other in service.links.items():
        if other in names and alias not in {other, names[other]}:
            aliases = services[names[other]].setdefault("aliases", [])
            aliases += [alias] if alias not in aliases else []


def _find_health_path(roles: Roles) -> str:
    for service in roles.variants.values():
        url = service.health.find_url([service.name]) if service.health is not None else None
        if url is not None:
            return url[1]
    return ""
