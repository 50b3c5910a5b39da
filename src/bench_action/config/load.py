"""Load `bench.yml` and presets. Errors name the file, the line and what was expected."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bench_action.config.paths import Role, find_problem, find_root
from bench_action.config.schema import Config, Policy, Profile, Variant
from bench_action.model.errors import InputError

PRESETS = ("quick", "article", "ci")
_Checked = TypeVar("_Checked", bound=BaseModel)
_Location = tuple[int | str, ...]
_MOST_SHOWN = 40  # characters of a scalar in a message
_QUOTED = re.compile(r"(?s)'.{41,}'")
_ALLOWED_FILES = "name a regular file of the same repository; without git, one in the configuration's own folder"


@dataclass(frozen=True, slots=True)
class Project:
    """A checked configuration and its preset's policy. Its paths are relative to `folder`; `file` is its file name.

    Every file that it names is inside `root`. `control_project`: the project that the built-in control belongs to; its
    variant is listed in `config` as well.
    """

    config: Config
    policy: Policy
    preset: str
    folder: Path
    origin: str
    file: str = "bench.yml"
    control_project: "Project | None" = None
    root: Path = Path("/")

    def find_owner(self, variant: str) -> "Project":
        """Find the project whose paths, seed, checks and requests apply to a variant."""
        control = self.control_project
        return control if control is not None and variant in control.config.variants else self

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


def load_project(
    path: Path | None, preset: str, *, variants: Sequence[str] = (), profiles: Sequence[str] = ()
) -> Project:
    """Load a configuration and a preset, narrowed to the given names of variants and profiles.

    `path`: None for `./bench.yml` if it exists, else the built-in applications. Raises InputError, with the line of
    the configuration if known.
    """
    default = Path("bench.yml")
    file = path or (default if default.is_file() else find_builtin_file())
    root = find_root(file)
    config = read_config(file, root)
    folder, origin = file.parent.resolve(), str(path or file.name)
    project = Project(config, load_policy(preset), preset, folder, origin, file.name, root=root)
    _check_files(project, file)
    return _narrow(project, variants, profiles)


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


def read_config(file: Path, root: Path) -> Config:
    """Read and check a configuration, but not the files it names. Raises InputError, with the line if known."""
    return _read_model(Config, file, root)


def list_missing_files(variant: Variant, folder: Path, root: Path) -> list[str]:
    """List the files that a variant names and that are missing in `folder`, or not inside `root`."""
    checked = [(name, role, find_problem(folder / name, root, role)) for name, role in _list_variant_files(variant)]
    missing = [name for name, role, problem in checked if problem and problem.absent and role == "Dockerfile"]
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


def _read_model(model: type[_Checked], file: Path, root: Path | None = None) -> _Checked:
    """Read a file and check it against a model. If `root` is given, the file, links followed, must be inside it."""
    problem = find_problem(file, root, "configuration") if root is not None else None
    if problem is not None and not problem.absent:
        raise InputError(f"could not read the configuration: {file} {problem.text}", advice=_ALLOWED_FILES)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"could not read the configuration {file}: {error}") from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node is not None else {}
    except (yaml.YAMLError, ValueError) as error:  # PyYAML does not wrap its constructors' errors (date 2017-13-45)
        raise InputError(f"the configuration is not YAML\n  {_describe_yaml_error(file, error)}") from error
    try:
        return model.model_validate(data if data is not None else {})
    except ValidationError as error:
        problems = [_describe_problem(file, node, problem) for problem in error.errors(include_url=False)]
        raise InputError(
            "the configuration is not valid\n" + "\n".join(f"  {line}" for line in problems),
            advice="see docs/configuration.md for every key; `bench-action schema` prints the JSON Schema for editors",
        ) from error


def _describe_problem(file: Path, root: yaml.Node | None, problem: Any) -> str:
    location: _Location = problem["loc"]
    key = ".".join(_shorten(str(part)) for part in location) or "the whole file"
    prefix = f"{file}:{_find_line(root, location)}: {key}"
    if problem["type"] == "extra_forbidden":
        return f"{prefix}: unknown key"
    value = problem["input"]
    got = f" (got {_shorten(value)!r})" if isinstance(value, str | int | float) else ""
    return f"{prefix}: {problem['msg'].removeprefix('Value error, ')}{got}"


def _describe_yaml_error(file: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{file}: {_shorten(str(error))}"
    what = _QUOTED.sub("'…'", str(getattr(error, "problem", None) or "could not be parsed"))
    return f"{file}:{mark.line + 1}: column {mark.column + 1}: {what}"


def _shorten(value: Any) -> Any:
    """Cut a text to 40 characters, as messages end up in logs and comments, and a scalar may be a secret."""
    return f"{value[:_MOST_SHOWN]}…" if isinstance(value, str) and len(value) > _MOST_SHOWN else value


def _find_line(node: yaml.Node | None, location: _Location) -> int:
    """Find the line of the deepest part of `location` that is in the file, as an error may name a missing key."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in location:
        child = _find_child(node, part)
        if child is None:
            break
        mark, node = child
        line = mark.start_mark.line + 1
    return line


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
        f"{role} {_shorten(name)} {problem.text}"
        for name, role, problem in checked
        if problem is not None and not problem.absent
    ]
    if refused:
        raise InputError(f"{file} names files that it may not use: {'; '.join(refused)}", advice=_ALLOWED_FILES)
    missing = [name for name, role, problem in checked if problem is not None and role in {"seed", "Dockerfile"}]
    if missing:
        raise InputError(
            f"{file} names files that do not exist: {', '.join(missing)}",
            cause="paths are relative to the configuration file, and a Dockerfile's to its build context",
            advice="fix the path, or set `dockerfile` in `build`",
        )


def _list_files(project: Project) -> Iterator[tuple[str, Role]]:
    """List the files that a configuration names, with their roles."""
    if project.config.seed:
        yield project.config.seed, "seed"
    for variant in project.config.variants.values():
        yield from _list_variant_files(variant)


def _list_variant_files(variant: Variant) -> Iterator[tuple[str, Role]]:
    if build := variant.build:
        yield build.context, "build context"
        yield str(Path(build.context) / build.dockerfile), "Dockerfile"
    if variant.local is not None and variant.local.requirements:
        yield variant.local.requirements, "requirements"


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
