"""Reads `bench.yml` and presets; errors name file, line and what was expected."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bench_action.config.paths import Role, problem_of, root_of
from bench_action.config.schema import Config, Policy, Profile, Variant
from bench_action.model.errors import InputError

PRESETS = ("quick", "article", "ci")
_Checked = TypeVar("_Checked", bound=BaseModel)
_Location = tuple[int | str, ...]
_MOST_SHOWN = 40  # characters of a scalar in a message
_QUOTED = re.compile(r"(?s)'.{41,}'")
_INSIDE = "name a regular file of the same repository; without git, one in the configuration's own folder"


@dataclass(frozen=True, slots=True)
class Project:
    """A checked configuration with its preset's policy. `folder` is what its paths are relative to, `file` its name.

    Every file that it names is inside of `root`. `beside`: another configuration, whose variants are measured with
    these and are among them by name.
    """

    config: Config
    policy: Policy
    preset: str
    folder: Path
    origin: str
    file: str = "bench.yml"
    beside: "Project | None" = None
    root: Path = Path("/")

    def of(self, variant: str) -> "Project":
        """By whose paths, seed, checks and requests a variant goes."""
        return self.beside if self.beside is not None and variant in self.beside.config.variants else self

    @property
    def own(self) -> tuple[str, ...]:
        """Variants of the configuration itself: all but those that stand beside it."""
        return tuple(name for name in self.config.variants if self.of(name) is self)

    def profile(self, variant: str, name: str) -> Profile:
        """What a variant is loaded with."""
        return self.of(variant).profiles[name]

    @property
    def profiles(self) -> dict[str, Profile]:
        """The configuration's own profiles, else the preset's."""
        return self.config.profiles or self.policy.profiles


def load(path: Path | None, preset: str, *, variants: Sequence[str] = (), profiles: Sequence[str] = ()) -> Project:
    """The configuration at `path` (None: `./bench.yml`, else the built-in applications), narrowed to the names given.

    Raises InputError, with the line where there is one.
    """
    file = path or _default_file()
    root = root_of(file)
    config = read_config(file, root)
    folder, origin = file.parent.resolve(), str(path or file.name)
    project = Project(config, load_policy(preset), preset, folder, origin, file.name, root=root)
    _check_files(project, file)
    return _narrow(project, variants, profiles)


def fill_in_commit(project: Project, commit: str) -> Project:
    """With `{revision}` in the names of images replaced. Raises InputError where the commit is not known."""
    variants = {}
    for name, variant in project.config.variants.items():
        image = variant.image or ""
        if "{revision}" in image and not commit:
            raise InputError(f"{name}: {image} needs a git repository, which tells the revision")
        update = {"image": image.replace("{revision}", commit)} if image else {}
        variants[name] = variant.model_copy(update=update)
    return replace(project, config=project.config.model_copy(update={"variants": variants}))


def load_policy(preset: str) -> Policy:
    """A preset by name. Raises InputError where there is none of that name."""
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}", advice=f"one of: {', '.join(PRESETS)}")
    with resources.as_file(resources.files("bench_action.config") / "presets" / f"{preset}.yml") as file:
        return _check(Policy, file)


def read_config(file: Path, root: Path) -> Config:
    """Read and check a configuration; its paths are not looked at. Raises InputError, with the line if there is one."""
    return _check(Config, file, root)


def missing_files(variant: Variant, folder: Path, root: Path) -> list[str]:
    """List the files that a variant names and `folder` does not have, or that are not inside of `root`."""
    found = [(name, role, problem_of(folder / name, root, role)) for name, role in _files_of(variant)]
    missing = [name for name, role, problem in found if problem is not None and problem.absent and role == "Dockerfile"]
    return missing + [f"{name} ({problem.text})" for name, _, problem in found if problem and not problem.absent]


def counterpart_root(head: Project, folder: Path) -> Path:
    """The top of the tree in which `folder` is the counterpart of head's folder."""
    depth = len(head.folder.relative_to(head.root).parts)
    return (folder, *folder.parents)[depth].resolve()


def builtin_file() -> Path:
    """`bench.yml` of the built-in applications: in the wheel beside this package, in a checkout at its root."""
    package = Path(str(resources.files("bench_action")))
    candidates = (package / "apps" / "bench.yml", package.parent.parent / "apps" / "bench.yml")
    return next((file for file in candidates if file.is_file()), candidates[0])


def _default_file() -> Path:
    own = Path("bench.yml")
    return own if own.is_file() else builtin_file()


def _check(model: type[_Checked], file: Path, root: Path | None = None) -> _Checked:
    """Read a file by a model; one of a checkout, whose top is `root`, only if it is really in there."""
    problem = problem_of(file, root, "configuration") if root is not None else None
    if problem is not None and not problem.absent:
        raise InputError(f"could not read the configuration: {file} {problem.text}", advice=_INSIDE)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration {file}: {error}") from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node is not None else {}
    except (yaml.YAMLError, ValueError) as error:  # PyYAML lets its constructors' own errors through (2017-13-45)
        raise InputError(f"the configuration is not YAML\n  {_yaml_problem(file, error)}") from error
    try:
        return model.model_validate(data if data is not None else {})
    except ValidationError as error:
        problems = [_describe(file, node, problem) for problem in error.errors(include_url=False)]
        raise InputError(
            "the configuration is not valid\n" + "\n".join(f"  {line}" for line in problems),
            advice="docs/configuration.md lists every key; `bench-action schema` prints it for editors",
        ) from error


def _describe(file: Path, root: yaml.Node | None, problem: Any) -> str:
    location: _Location = problem["loc"]
    key = ".".join(_shortened(str(part)) for part in location) or "the whole file"
    text = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    got = (
        f" (got {_shortened(given)!r})"
        if isinstance(given, str | int | float) and problem["type"] != "extra_forbidden"
        else ""
    )
    return f"{file}:{_line(root, location)}: {key}: {text}{got}"


def _yaml_problem(file: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{file}: {_shortened(str(error))}"
    what = _QUOTED.sub("'…'", str(getattr(error, "problem", None) or "cannot be parsed"))
    return f"{file}:{mark.line + 1}: column {mark.column + 1}: {what}"


def _shortened(value: Any) -> Any:
    """At most 40 characters of a text: a message goes into logs and comments, and a scalar may be a secret."""
    return f"{value[:_MOST_SHOWN]}…" if isinstance(value, str) and len(value) > _MOST_SHOWN else value


def _line(node: yaml.Node | None, location: _Location) -> int:
    """The line of the deepest part of `location` that the file has (an error may name a key that is missing)."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in location:
        found = _child(node, part)
        if found is None:
            break
        mark, node = found
        line = mark.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _check_files(project: Project, file: Path) -> None:
    """Every path that the configuration names must be there before anything is started, and inside of its root."""
    found = [
        (name, role, problem_of(project.folder / name, project.root, role)) for name, role in _named_files(project)
    ]
    refused = [
        f"{role} {_shortened(name)} {problem.text}"
        for name, role, problem in found
        if problem is not None and not problem.absent
    ]
    if refused:
        raise InputError(f"{file} names files that it may not use: {'; '.join(refused)}", advice=_INSIDE)
    missing = [name for name, role, problem in found if problem is not None and role in {"seed", "Dockerfile"}]
    if missing:
        raise InputError(
            f"{file} names files that are not there: {', '.join(missing)}",
            cause="paths are relative to the configuration file, a Dockerfile's to its context",
            advice="fix the path, or name `dockerfile` in `build`",
        )


def _named_files(project: Project) -> Iterator[tuple[str, Role]]:
    """Each file that a configuration names, and what it is for."""
    if project.config.seed:
        yield project.config.seed, "seed"
    for variant in project.config.variants.values():
        yield from _files_of(variant)


def _files_of(variant: Variant) -> Iterator[tuple[str, Role]]:
    if build := variant.build:
        yield build.context, "build context"
        yield str(Path(build.context) / build.dockerfile), "Dockerfile"
    if variant.local is not None and variant.local.requirements:
        yield variant.local.requirements, "requirements"


def _narrow(project: Project, variants: Sequence[str], profiles: Sequence[str]) -> Project:
    config = project.config
    kept = _pick("variant", config.variants, variants)
    pairs = [pair for pair in config.compare if set(pair) <= set(kept)]
    chosen = _pick("profile", project.profiles, profiles)
    return replace(project, config=config.model_copy(update={"variants": kept, "compare": pairs, "profiles": chosen}))


_Item = TypeVar("_Item")


def _pick(what: str, items: dict[str, _Item], names: Sequence[str]) -> dict[str, _Item]:
    if unknown := [name for name in names if name not in items]:
        raise InputError(f"there is no {what} {', '.join(unknown)}", advice=f"one of: {', '.join(items)}")
    return {name: item for name, item in items.items() if not names or name in names}
