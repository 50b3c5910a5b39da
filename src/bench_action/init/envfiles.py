"""Find the files of variables that are not under git, and the examples that a repository has of them."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from bench_action.config.paths import find_problem
from bench_action.config.variables import fill, list_unset
from bench_action.git.worktree import WorkTree
from bench_action.init.sources import Sources

_ENDINGS = tuple(
    f"{mark}{word}"
    for word in ("example", "sample", "dist", "template", "default", "defaults", "tpl", "dev")
    for mark in (".", "-", "_")
)
_PREFIXES = ("example", "sample", ".example", ".sample")
_LOADERS = re.compile(
    r"\bdotenv\b|python-dotenv|django-environ|python-decouple|\benvirons\b|pydantic-settings|phpdotenv|"
    r"laravel/framework|godotenv|dotenvy|@nestjs/config",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)\"""")
_ESCAPED = re.compile(r"""\\(["\\$])""")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_IGNORED = re.compile(r"^(?:\*\*/|/)?\.env\*?/?$", re.MULTILINE)


def find_example(path: Path, top: Path, wanted: Collection[str] = (), words: Collection[str] = ()) -> Path | None:
    """Find an example of a file of variables next to it, such as `.env.example` of `.env`; None without one.

    Of several of the same form, the one that sets the most of `wanted`, then the one whose values contain the most of
    `words`. `top`: the repository, which it must be in.
    """

    def rank(example: Path) -> tuple[int, int]:
        variables = read_variables(example, top)
        values = " ".join(variables.values())
        return len(variables.keys() & set(wanted)), sum(word in values for word in words)

    try:
        for candidates in _list_candidates(path):
            found = [each for each in candidates if find_problem(each, top.resolve(), "env_file") is None]
            if found:
                return max(found, key=rank)
    except (OSError, ValueError, RuntimeError):  # a name that no file can have
        pass
    return None


def _list_candidates(path: Path) -> Iterator[list[Path]]:
    """List the names that examples have, the usual ones first."""
    name, bare = path.name, path.name.lstrip(".")
    yield from ([path.with_name(f"{each}{ending}")] for ending in _ENDINGS for each in (name, bare))
    yield from ([path.with_name(f"{first}{name}")] for first in _PREFIXES)
    if path.parent.is_dir() and not set(name) & set("*?["):
        yield from ([path.with_name(f"{name}.{each}")] for each in ("docker", "ci", "test"))
        for pattern in (f"{name}.*.example", f"{name}.example.*", f"{name}.*.sample", f"{bare}-example-*"):
            yield sorted(path.parent.glob(pattern))


def read_variables(path: Path, top: Path) -> dict[str, str]:
    """Read a file of variables; none if it cannot be read, or is outside of the repository, `top`.

    A value may refer to variables above it. If one of them is not set, the value is not filled in.
    """
    found: dict[str, str] = {}
    for line in _read(path, top).splitlines():
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and not line.lstrip().startswith("#"):
            found[name.strip()] = _read_value(value.strip(), found)
    return found


def _read_value(text: str, known: Mapping[str, str]) -> str:
    quoted = _QUOTED.match(text)
    if quoted is not None and quoted[1] is not None:
        return quoted[1]
    value = quoted[2] if quoted is not None else _COMMENT.sub("", text).rstrip()
    value = value if list_unset(value, known) else fill(value, known, keep_quotes=True)
    return value if quoted is None else _ESCAPED.sub(r"\1", value)


def read_examples(env_files: Iterable[tuple[str, str]], top: Path) -> dict[str, str]:
    """Read the examples of files of variables; what a file that is not under git says is not for others."""
    found: dict[str, str] = {}
    for _, example in env_files:
        found |= read_variables(top / example, top)
    return found


def _read(path: Path, top: Path) -> str:
    try:
        return Sources(top, ()).read(os.path.relpath(path, top))
    except ValueError:
        return ""


def exists(path: Path) -> bool:
    """Whether a file exists; true for a name that no file can have, as nobody can make it either."""
    try:
        return path.exists()
    except OSError:
        return True


def is_ignored(path: Path, top: Path) -> bool:
    """Whether git ignores a file of a repository, so that others do not have it."""
    tree = WorkTree.find(top)
    return tree is not None and bool(tree.ask("check-ignore", "--", str(path)))


def is_loaded(context: Path, top: Path, manifests: Mapping[str, str], *, mounted: bool) -> bool:
    """Whether an application reads `.env` itself, and finds it in its image. `mounted`: its sources are mounted."""
    if not any(_LOADERS.search(text) for text in manifests.values()):
        return False
    return mounted or _IGNORED.search(_read(context / ".dockerignore", top)) is None
