"""Reads `bench.yml` and presets; errors name file, line and what was expected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bench_action.config.schema import Config, Policy, Profile, Variant
from bench_action.model.errors import InputError

PRESETS = ("quick", "article", "ci")
_Checked = TypeVar("_Checked", bound=BaseModel)
_Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked configuration with its preset's policy. `folder` is what its paths are relative to, `file` its name.

    `beside`: another configuration, whose variants are measured with these and are among them by name.
    """

    config: Config
    policy: Policy
    preset: str
    folder: Path
    origin: str
    file: str = "bench.yml"
    beside: "Loaded | None" = None

    def of(self, variant: str) -> "Loaded":
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


def load(path: Path | None, preset: str, *, variants: Sequence[str] = (), profiles: Sequence[str] = ()) -> Loaded:
    """The configuration at `path` (None: `./bench.yml`, else the built-in applications), narrowed to the names given.

    Raises InputError, with the line where there is one.
    """
    file = path or _default_file()
    config = read_config(file)
    loaded = Loaded(config, load_policy(preset), preset, file.parent.resolve(), str(path or file.name), file.name)
    _check_files(loaded, file)
    return _narrow(loaded, variants, profiles)


def with_commit(loaded: Loaded, commit: str) -> Loaded:
    """With `{revision}` in the names of images replaced. Raises InputError where the commit is not known."""
    variants = {}
    for name, variant in loaded.config.variants.items():
        image = variant.image or ""
        if "{revision}" in image and not commit:
            raise InputError(f"{name}: {image} needs a git repository, which tells the revision")
        update = {"image": image.replace("{revision}", commit)} if image else {}
        variants[name] = variant.model_copy(update=update)
    return replace(loaded, config=loaded.config.model_copy(update={"variants": variants}))


def load_policy(preset: str) -> Policy:
    """A preset by name. Raises InputError where there is none of that name."""
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}", advice=f"one of: {', '.join(PRESETS)}")
    with resources.as_file(resources.files("bench_action.config") / "presets" / f"{preset}.yml") as file:
        return _check(Policy, file)


def read_config(file: Path) -> Config:
    """Read and check a configuration; its paths are not looked at. Raises InputError, with the line if there is one."""
    return _check(Config, file)


def missing_files(variant: Variant, folder: Path) -> list[str]:
    """List the files that a variant's build names and `folder` does not have."""
    if variant.build is None:
        return []
    context = folder / variant.build.context
    dockerfile = context / variant.build.dockerfile
    return [] if dockerfile.is_file() else [str(Path(variant.build.context) / variant.build.dockerfile)]


def builtin_file() -> Path:
    """`bench.yml` of the built-in applications: in the wheel beside this package, in a checkout at its root."""
    package = Path(str(resources.files("bench_action")))
    candidates = (package / "apps" / "bench.yml", package.parent.parent / "apps" / "bench.yml")
    return next((file for file in candidates if file.is_file()), candidates[0])


def _default_file() -> Path:
    own = Path("bench.yml")
    return own if own.is_file() else builtin_file()


def _check(model: type[_Checked], file: Path) -> _Checked:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration {file}: {error}") from error
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        data = loader.construct_document(root) if root is not None else {}
    except (yaml.YAMLError, ValueError) as error:  # PyYAML lets its constructors' own errors through (2017-13-45)
        raise InputError(f"the configuration is not YAML\n  {_yaml_problem(file, error)}") from error
    try:
        return model.model_validate(data if data is not None else {})
    except ValidationError as error:
        problems = [_describe(file, root, problem) for problem in error.errors(include_url=False)]
        raise InputError(
            "the configuration is not valid\n" + "\n".join(f"  {line}" for line in problems),
            advice="docs/configuration.md lists every key; `bench-action schema` prints it for editors",
        ) from error


def _describe(file: Path, root: yaml.Node | None, problem: Any) -> str:
    location: _Location = problem["loc"]
    key = ".".join(str(part) for part in location) or "the whole file"
    text = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    got = f" (got {given!r})" if isinstance(given, str | int | float) and problem["type"] != "extra_forbidden" else ""
    return f"{file}:{_line(root, location)}: {key}: {text}{got}"


def _yaml_problem(file: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{file}: {error}"
    return f"{file}:{mark.line + 1}: column {mark.column + 1}: {getattr(error, 'problem', None) or error}"


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


def _check_files(loaded: Loaded, file: Path) -> None:
    """Every path that the configuration names must be there before anything is started."""
    config = loaded.config
    missing = [config.seed] if config.seed and not (loaded.folder / config.seed).is_file() else []
    missing += [p for variant in config.variants.values() for p in missing_files(variant, loaded.folder)]
    if missing:
        raise InputError(
            f"{file} names files that are not there: {', '.join(missing)}",
            cause="paths are relative to the configuration file, a Dockerfile's to its context",
            advice="mend the path, or name `dockerfile` in `build`",
        )


def _narrow(loaded: Loaded, variants: Sequence[str], profiles: Sequence[str]) -> Loaded:
    config = loaded.config
    kept = _pick("variant", config.variants, variants)
    pairs = [pair for pair in config.compare if set(pair) <= set(kept)]
    chosen = _pick("profile", loaded.profiles, profiles)
    return replace(loaded, config=config.model_copy(update={"variants": kept, "compare": pairs, "profiles": chosen}))


_Item = TypeVar("_Item")


def _pick(what: str, items: dict[str, _Item], names: Sequence[str]) -> dict[str, _Item]:
    if unknown := [name for name in names if name not in items]:
        raise InputError(f"there is no {what} {', '.join(unknown)}", advice=f"one of: {', '.join(items)}")
    return {name: item for name, item in items.items() if not names or name in names}
