"""Find the files of variables that are not under git, and the examples that a repository has of them."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from bench_action.config.paths import find_problem

_ENDINGS = tuple(
    f"{mark}{word}"
    for word in ("example", "sample", "dist", "template", "default", "defaults", "tpl", "dev")
    for mark in (".", "-", "_")
)
_FIRST = ("example", "sample", ".example", ".sample")
_LOADERS = re.compile(
    r"\bdotenv\b|python-dotenv|django-environ|python-decouple|\benvirons\b|pydantic-settings|phpdotenv|"
    r"laravel/framework|godotenv|dotenvy|@nestjs/config",
    re.IGNORECASE,
)
_IGNORED = re.compile(r"^(?:\*\*/|/)?\.env\*?/?$", re.MULTILINE)


def find_example(path: Path, top: Path, wanted: Collection[str] = (), words: Collection[str] = ()) -> Path | None:
    """Find an example of a file of variables next to it, such as `.env.example` of `.env`; None if there is none.

    Of several of the same form, the one that sets the most of `wanted`, then the one whose values contain the most of
    `words`. `top`: the repository, which it must be in.
    """

    def rank(example: Path) -> tuple[int, int]:
        variables = read_variables(example)
        values = " ".join(variables.values())
        return len(variables.keys() & set(wanted)), sum(word in values for word in words)

    for candidates in _list_candidates(path):
        found = [
            each for each in candidates if each.is_file() and find_problem(each, top.resolve(), "env_file") is None
        ]
        if found:
            return max(found, key=rank)
    return None


def _list_candidates(path: Path) -> Iterator[list[Path]]:
    """List the names that examples have, the usual ones first."""
    name, bare = path.name, path.name.lstrip(".")
    yield from ([path.with_name(f"{each}{ending}")] for ending in _ENDINGS for each in (name, bare))
    yield from ([path.with_name(f"{first}{name}")] for first in _FIRST)
    if path.parent.is_dir() and not set(name) & set("*?["):
        for pattern in (f"{name}.*.example", f"{name}.example.*", f"{name}.*.sample", f"{bare}-example-*"):
            yield sorted(path.parent.glob(pattern))


def read_variables(path: Path) -> dict[str, str]:
    """Read a file of variables; none if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def is_loaded(context: Path, manifests: Mapping[str, str], *, mounted: bool) -> bool:
    """Whether an application reads `.env` itself, and finds it in its image. `mounted`: its sources are mounted."""
    if not any(_LOADERS.search(text) for text in manifests.values()):
        return False
    try:
        ignored = (context / ".dockerignore").read_text(encoding="utf-8", errors="replace")
    except OSError:
        ignored = ""
    return mounted or _IGNORED.search(ignored) is None
