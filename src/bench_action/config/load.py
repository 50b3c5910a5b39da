"""Load `bench.yml` and presets. Errors name the file, the line and what was expected."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bench_action.config.compose.find import Spare, find_compose_file
from bench_action.config.compose.merge import find_choice, find_rebuilt, merge
from bench_action.config.compose.read import ComposeReading, convert_project, read_compose_project
from bench_action.config.compose.roles import NothingBuiltError
from bench_action.config.documents import Loader, check_document, describe_yaml_error, shorten
from bench_action.config.gates import TAIL, TAIL_BLOCKS
from bench_action.config.levels import spread_levels
from bench_action.config.mixes import read_mixes
from bench_action.config.paths import ALLOWED_FILES, Role, find_problem, find_root
from bench_action.config.schema import (
    Compose,
    ComposeInputs,
    Config,
    Container,
    Objective,
    Policy,
    Profile,
    SeedStep,
    Variant,
    is_reserved,
)
from bench_action.config.secrets import NONE_ALLOWED, Secrets
from bench_action.config.seed_files import CONTENTS, FILLS, SeedFileError, find_format
from bench_action.model.errors import InputError

PRESETS = ("quick", "article", "ci", "capacity")
_Checked = TypeVar("_Checked", bound=BaseModel)
_Location = tuple[int | str, ...]
_COMPOSE_NAME = re.compile(r"(docker-)?compose([.-][\w.-]+)?\.ya?ml")


@dataclass(frozen=True, slots=True)
class Project:
    """A checked configuration and its preset's policy. Its paths are relative to `folder`; `file` is its file name.

    Every file that it names is inside `root`. `control_project`: the project that the built-in control belongs to; its
    variant is listed in `config` as well. `compose`: the name of the compose file that services and variants come from,
    if any. `notes`: what a person should know about how they were taken from it. `preset_connections`: profile →
    how many connections the preset asks for, if a server holds fewer.
    """

    config: Config
    policy: Policy
    preset: str
    folder: Path
    origin: str
    file: str = "bench.yml"
    control_project: "Project | None" = None
    root: Path = Path("/")
    compose: str = ""
    notes: tuple[str, ...] = ()
    preset_connections: Mapping[str, int] = field(default_factory=dict)

    def find_owner(self, variant: str) -> "Project":
        """Find the project whose paths, seed, checks and requests apply to a variant."""
        control = self.control_project
        return control if control is not None and variant in control.config.variants else self

    def list_foreign_services(self, variant: str) -> frozenset[str]:
        """List the services that are not for a variant: the built-in control uses few, and may have own ones."""
        control = self.control_project
        if control is None:
            return frozenset()
        if variant in control.config.variants:
            return frozenset(self.config.services) - frozenset(control.config.services)
        return frozenset(name for name in self.config.services if is_reserved(name))

    @property
    def own_variants(self) -> tuple[str, ...]:
        """Variants of the configuration itself: all except the built-in control."""
        return tuple(name for name in self.config.variants if self.find_owner(name) is self)

    def find_profile(self, variant: str, name: str) -> Profile:
        """Find the profile that a variant is loaded with."""
        return self.find_owner(variant).profiles[name]

    @property
    def profiles(self) -> dict[str, Profile]:
        """The configuration's own profiles, else the preset's."""
        return self.config.profiles or self.policy.profiles

    @property
    def rate_blocks(self) -> int:
        """The most blocks at a fixed rate: those of the preset, or as many as a gate on their p99 needs."""
        return max(self.policy.rate.blocks, TAIL_BLOCKS if TAIL in self.config.all_gates else 0)

    @property
    def requested(self) -> dict[str, Profile]:
        """The profiles whose requests are known: all except scripts."""
        return {name: profile for name, profile in self.profiles.items() if not profile.is_script}

    @property
    def scripts(self) -> dict[str, Profile]:
        """The profiles that are scripts."""
        return {name: profile for name, profile in self.profiles.items() if profile.is_script}

    @property
    def needs_k6(self) -> bool:
        """Whether a profile is loaded by k6."""
        return bool(self.rated or self.objectives)

    @property
    def objectives(self) -> dict[str, Objective]:
        """Profile → its objective, of those that have one."""
        return {name: profile.slo for name, profile in self.profiles.items() if profile.slo is not None}

    @property
    def rated(self) -> tuple[str, ...]:
        """The names of the profiles that are compared in turns with k6: scripts, and those with a rate."""
        return tuple(name for name, profile in self.profiles.items() if profile.is_rated)


def load_project(
    path: Path | None,
    preset: str,
    *,
    variants: Sequence[str] = (),
    profiles: Sequence[str] = (),
    environ: Mapping[str, str] = {},
    secrets: Secrets = NONE_ALLOWED,
) -> Project:
    """Load a configuration and a preset, narrowed to the given names of variants and profiles.

    `path`: a configuration or a compose file; None for `./bench.yml` if it exists, else a compose file that builds an
    application, else the built-in applications. `environ`: where compose is found. `secrets`: what a compose file may
    read of it. Raises InputError, with the line of the configuration if known.
    """
    file = path or find_configuration(environ, secrets) or find_builtin_file()
    root = find_root(file)
    reading = read_config(file, root, environ, secrets)
    if path is None and file.parent != Path() and (unused := find_compose_file(Path())) is not None:
        note = f"{unused.name} builds no service: the built-in applications are measured"
        reading = replace(reading, notes=(note,))
    folder, origin = file.parent.resolve(), str(path or file.name)
    policy = request_path(load_policy(preset), reading.health_path)
    project = Project(reading.config, policy, preset, folder, origin, file.name, root=root)
    project = replace(project, compose=reading.compose, notes=tuple(reading.notes))
    _check_files(project, file)
    return spread_levels(_narrow(project, variants, profiles))


def find_configuration(environ: Mapping[str, str], secrets: Secrets = NONE_ALLOWED) -> Path | None:
    """Find what is measured here if no path is given: `bench.yml`, else a compose file that builds an application.

    None: there is neither, so the built-in applications are measured. Raises InputError.
    """
    default = Path("bench.yml")
    file = default if default.is_file() else find_compose_file(Path())
    if file is None or file == default:
        return file
    try:
        read_config(file, find_root(file), environ, secrets)
    except NothingBuiltError:
        return None
    return file


def request_path(policy: Policy, path: str) -> Policy:
    """Let the preset's profiles request the path of the healthcheck; `/` if it has none."""
    profiles = {name: profile.model_copy(update={"path": path or "/"}) for name, profile in policy.profiles.items()}
    return policy.model_copy(update={"profiles": profiles})


def fill_in_commit(project: Project, commit: str) -> Project:
    """Replace `{revision}` in the names of images. Raises InputError if it is used and the commit is not known."""
    variants = {}
    for name, variant in project.config.variants.items():
        image = variant.image or ""
        if "{revision}" in image and not commit:
            raise InputError(
                f"{name}: could not fill in `{{revision}}` in the image {image}",
                cause="the configuration is in no git repository, so its revision is not known",
                advice="put the configuration under git, or name the image without `{revision}`",
            )
        update = {"image": image.replace("{revision}", commit)} if image else {}
        variants[name] = variant.model_copy(update=update)
    return replace(project, config=project.config.model_copy(update={"variants": variants}))


def load_policy(preset: str) -> Policy:
    """Load a preset by its name. Raises InputError if there is no preset of that name."""
    if preset not in PRESETS:
        raise InputError(f"unknown preset: {preset!r}", advice=f"use one of: {', '.join(PRESETS)}")
    with resources.as_file(resources.files("bench_action.config") / "presets" / f"{preset}.yml") as file:
        return _read_model(Policy, file)


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """A configuration, and what the compose file behind it says. `health_path`: of its application's healthcheck."""

    config: Config
    compose: str = ""
    notes: Sequence[str] = ()
    health_path: str = ""


@dataclass(frozen=True, slots=True)
class ConfigPlace:
    """A folder in which a configuration's paths are looked up, and the root that they must be in.

    `spare`: head's tree, if this is base: files that compose reads and base lacks are copied if they are not under git.
    """

    folder: Path
    root: Path
    spare: Spare | None = None


def read_config(
    file: Path, root: Path, environ: Mapping[str, str], secrets: Secrets, place: ConfigPlace | None = None
) -> ConfigReading:
    """Read and check a configuration and its compose file, but not the other files it names.

    `place`: where its compose file is, if not next to it. Raises InputError, with the line if known.
    """
    place = place or ConfigPlace(file.parent.resolve(), root)
    document = _Document(None, {}) if _is_compose_file(file) else _read_document(file, root)
    inputs = _check(ComposeInputs, file, document)
    data = document.data if isinstance(document.data, dict) else {}
    compose = inputs.compose
    if _is_compose_file(file):
        compose = Compose() if find_compose_file(file.parent) == file else Compose(file=[file.name])
    elif "compose" not in data and _needs_compose(data):
        compose = _find_compose(file, place)
    if compose is None:
        return ConfigReading(read_mixes(_check(Config, file, document), file.parent, root))
    found = read_compose_project(
        compose,
        place.folder,
        place.root,
        marked=inputs.secrets,
        environ=environ,
        secrets=secrets,
        spare=place.spare,
    )
    reading = convert_project(found, place.folder, place.root, find_choice(data, found.services))
    merged = _Document(document.node, merge(data, reading), reading.file)
    config = read_mixes(_check(Config, file, merged), file.parent, root)
    return ConfigReading(config, reading.file, _list_notes(file, data, reading), reading.health_path)


def _is_compose_file(file: Path) -> bool:
    return _COMPOSE_NAME.fullmatch(file.name) is not None


def _needs_compose(data: Mapping[str, Any]) -> bool:
    """Whether a configuration that names no compose file leaves it to one what its variants are."""
    variants = data.get("variants")
    if not isinstance(variants, dict):
        return "variants" not in data
    bodies = [body or {} for body in variants.values()]
    return any(isinstance(body, dict) and ("service" in body or not {"build", "image"} & set(body)) for body in bodies)


def _find_compose(file: Path, place: ConfigPlace) -> Compose | None:
    """Find the compose file next to a configuration; None without one. Raises InputError if it is elsewhere."""
    if find_compose_file(place.folder) is not None:
        return Compose()
    above = [folder for folder in place.folder.parents if folder.is_relative_to(place.root)]
    found = next(filter(None, map(find_compose_file, above)), None)
    if found is None:
        return None
    raise InputError(
        f"{file} does not say how its variants are built, and there is no compose file next to it",
        advice=f"use the one of this repository: `compose: {os.path.relpath(found, place.folder)}`",
    )


def _list_notes(file: Path, data: Mapping[str, Any], reading: ComposeReading) -> list[str]:
    notes = [f"{reading.file}: {note}" for note in reading.notes]
    notes += [
        f"{reading.file}: {name} has the image that a variant builds, so it is built too"
        for name in find_rebuilt(data, reading)
    ]
    if data.get("profiles"):
        return notes
    what = f"GET {reading.health_path or '/'}, as the configuration has no `profiles`"
    return [*notes, f"the load is {what}: choose requests in {file.name if data else 'bench.yml'}"]


def list_missing_files(container: Container, folder: Path, root: Path) -> list[str]:
    """List the files that a variant or a service names and that are missing in `folder`, or not inside `root`."""
    checked = [(name, role, find_problem(folder / name, root, role)) for name, role in _list_named_files(container)]
    required: set[Role] = {"Dockerfile", "file"}
    missing = [name for name, role, problem in checked if problem and problem.absent and role in required]
    return missing + [f"{name} ({problem.text})" for name, _, problem in checked if problem and not problem.absent]


def find_counterpart_root(head: Project, folder: Path) -> Path:
    """Find the top of the tree in which `folder` is the counterpart of head's folder."""
    depth = len(head.folder.relative_to(head.root).parts)
    return (folder, *folder.parents)[depth].resolve()


def find_builtin_file() -> Path:
    """Find `bench.yml` of the built-in applications: inside this package in a wheel, at the root of a checkout."""
    package = Path(str(resources.files("bench_action")))
    candidates = (package / "apps" / "bench.yml", package.parent.parent / "apps" / "bench.yml")
    return next((file for file in candidates if file.is_file()), candidates[0])


class _Document(NamedTuple):
    """A file's YAML. `node`: its tree, to find lines in. `compose`: the name of the file that the rest comes from."""

    node: yaml.Node | None
    data: Any
    compose: str = ""


def _read_model(model: type[_Checked], file: Path) -> _Checked:
    """Read a file and check it against a model."""
    return _check(model, file, _read_document(file))


def _read_document(file: Path, root: Path | None = None) -> _Document:
    """Read a file as YAML. If `root` is given, the file, links followed, must be inside it. Raises InputError."""
    problem = find_problem(file, root, "configuration") if root is not None else None
    if problem is not None and not problem.absent:
        raise InputError(f"could not read the configuration: {file} {problem.text}", advice=ALLOWED_FILES)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"could not read the configuration {file}: {error}") from error
    try:
        check_document(text)
        loader = Loader(text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node is not None else {}
    except (yaml.YAMLError, ValueError) as error:  # PyYAML does not wrap its constructors' errors (date 2017-13-45)
        raise InputError(f"could not read the configuration as YAML\n  {describe_yaml_error(file, error)}") from error
    return _Document(node, data if data is not None else {})


def _check(model: type[_Checked], file: Path, document: _Document) -> _Checked:
    """Check a document against a model. Raises InputError, with the line of each problem."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = [_describe_problem(file, document, problem) for problem in error.errors(include_url=False)]
        raise InputError(
            "the configuration is not valid\n" + "\n".join(f"  {line}" for line in problems),
            advice="see docs/configuration.md for every key; `bench-action schema` prints the JSON Schema for editors",
        ) from error


def _describe_problem(file: Path, document: _Document, problem: Any) -> str:
    location: _Location = problem["loc"]
    key = ".".join(shorten(str(part)) for part in location) or "the whole file"
    line, depth = _find_line(document.node, location)
    foreign = document.compose and location and depth < min(len(location), 2)
    prefix = f"{file.with_name(document.compose)}: {key}" if foreign else f"{file}:{line}: {key}"
    if problem["type"] == "extra_forbidden":
        return f"{prefix}: unknown key"
    value = problem["input"]
    got = f" (got {shorten(value)!r})" if isinstance(value, str | int | float) else ""
    return f"{prefix}: {problem['msg'].removeprefix('Value error, ')}{got}"


def _find_line(node: yaml.Node | None, location: _Location) -> tuple[int, int]:
    """Find the line of the deepest part of `location` that is in the file, as an error may name a missing key.

    Also return how many parts of `location` are in the file.
    """
    line = node.start_mark.line + 1 if node is not None else 1
    for depth, part in enumerate(location):
        child = _find_child(node, part)
        if child is None:
            return line, depth
        mark, node = child
        line = mark.start_mark.line + 1
    return line, len(location)


def _find_child(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    """Find the key and the value of one part of a location. An item of a list is its own key."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _check_files(project: Project, file: Path) -> None:
    """Check, before anything is started, that the files that a configuration names exist and may be used."""
    checked = [
        (name, role, find_problem(project.folder / name, project.root, role)) for name, role in _list_files(project)
    ]
    refused = [
        f"{role} {shorten(name)} {problem.text}"
        for name, role, problem in checked
        if problem is not None and not problem.absent
    ]
    if refused:
        raise InputError(f"{file} names files that it may not use: {'; '.join(refused)}", advice=ALLOWED_FILES)
    missing = [
        name for name, role, problem in checked if problem is not None and role in {"seed", "Dockerfile", "file"}
    ]
    if not missing:
        _check_seed(project, file)
    else:
        raise InputError(
            f"{file} names files that do not exist: {', '.join(missing)}",
            cause="paths are relative to the configuration file, and a Dockerfile's to its build context",
            advice="fix the path, or set `dockerfile` in `build`",
        )


def _list_files(project: Project) -> Iterator[tuple[str, Role]]:
    """List the files that a configuration names, with their roles."""
    yield from ((name, "seed") for name in list_seed_files(project))
    for container in (*project.config.variants.values(), *project.config.services.values()):
        yield from _list_named_files(container)


def list_seed_files(project: Project) -> Iterator[str]:
    """List the files of the seed, also those within a folder that pg_dump wrote."""
    for step in project.config.seed:
        if step.file is not None:
            path = project.folder / step.file
            archive = find_problem(path / CONTENTS, project.root, "seed") is None
            yield from sorted(str(Path(step.file) / name.name) for name in path.iterdir()) if archive else [step.file]


def _check_seed(project: Project, file: Path) -> None:
    """Check, before anything is started, that there is one service for each file of the seed. Raises InputError."""
    for step in project.config.seed:
        if step.file is not None:
            try:
                find_seed_service(project, step)
            except SeedFileError as error:
                raise InputError(
                    f"{file} names a seed that cannot be used: {shorten(step.file)}",
                    cause=error.why,
                    advice=error.advice,
                ) from error


def find_seed_service(project: Project, step: SeedStep) -> str:
    """Find the name of the service that a file of the seed fills: by default the first of its kind.

    Raises SeedFileError if it has none.
    """
    services = project.config.services
    own_kind = services[step.service].kind if step.service in services else ""
    kind = FILLS[find_format(project.folder / str(step.file), own_kind)]
    name = step.service or next((name for name, service in services.items() if service.kind == kind), None)
    if name is None:
        why = f"it is a seed for {kind}, but there is no service of kind {kind}"
        raise SeedFileError(why, "add one to `services`, or name the one that it is for: `{file: …, service: …}`")
    return name


def _list_named_files(container: Container) -> Iterator[tuple[str, Role]]:
    if build := container.build:
        yield build.context, "build context"
        dockerfile = Path(build.context) / build.dockerfile
        yield str(dockerfile), "Dockerfile"
        yield str(Path(build.context) / ".dockerignore"), "ignore file"
        yield f"{dockerfile}.dockerignore", "ignore file"
    for file in container.files.values():
        if file.source is not None:
            yield file.source, "file"
    if isinstance(container, Variant) and container.local is not None and container.local.requirements:
        yield container.local.requirements, "requirements"


def _narrow(project: Project, variants: Sequence[str], profiles: Sequence[str]) -> Project:
    config = project.config
    kept_variants = _pick("variant", config.variants, variants)
    kept = {
        "variants": kept_variants,
        "compare": [pair for pair in config.compare if set(pair) <= set(kept_variants)],
        "profiles": _pick("profile", project.profiles, profiles),
    }
    return replace(project, config=config.model_copy(update=kept))


_Item = TypeVar("_Item")


def _pick(what: str, items: dict[str, _Item], names: Sequence[str]) -> dict[str, _Item]:
    if unknown := [name for name in names if name not in items]:
        raise InputError(f"unknown {what}: {', '.join(unknown)}", advice=f"use one of: {', '.join(items)}")
    return {name: item for name, item in items.items() if not names or name in names}
