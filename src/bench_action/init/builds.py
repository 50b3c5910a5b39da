"""Choose the Dockerfile that builds the application, and the folder that it is built in."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from bench_action.config.kinds import find_usual_port, is_tool, is_web_server
from bench_action.git.worktree import WorkTree
from bench_action.init.dockerfile import Dockerfile, parse_dockerfile
from bench_action.init.frameworks import MANIFESTS
from bench_action.init.sources import Sources

DOCKERFILES = ("Dockerfile", "Dockerfile.*", "Dockerfile-*", "*.Dockerfile", "*.dockerfile", "Containerfile")
# folders that are about building and not part of the application
_BUILD_FOLDERS = frozenset(
    {
        "docker",
        "compose",
        "build",
        "deploy",
        "deployment",
        "deployments",
        "docker-files",
        "dockerfiles",
        "infra",
        "packaging",
        "package",
        "ops",
        "ci",
        "scripts",
        "container",
        "containers",
        "etc",
    }
)
# an image of pages or of a job, and not of what answers requests
_UNLIKELY = re.compile(
    r"(?:^|[/._-])(?:front-?end|client|ui|web-?ui|admin|docs?|proxy|nginx|dev|devel|development|local|debug|tests?|e2e|"
    r"ci|base|builder|worker|cron|jobs?|migrations?|examples?|devcontainer)(?:[/._-]|$)",
    re.IGNORECASE,
)
_MOST_CANDIDATES = 40


@dataclass(frozen=True, slots=True)
class Build:
    """How an image is built: `dockerfile` is relative to `context`, and that to the repository.

    `target`: a stage; empty for the one that is built anyway. `missing`: what it copies that is not in the repository,
    so that something else must make it first.
    """

    context: str
    dockerfile: str
    target: str
    parsed: Dockerfile
    missing: Sequence[str] = ()


def choose_build(files: Sources) -> tuple[Build | None, Sequence[str]]:
    """Choose a Dockerfile of a folder's files; also return the others, the most likely first.

    One of a server, of pages, of tests or for development comes after others, as does one that copies what is not
    there, and, below the top, one that exposes no port.
    """
    names = [name for name in files.find(*DOCKERFILES) if not name.endswith(".dockerignore")][:_MOST_CANDIDATES]
    builds = {name: _make_build(files, name) for name in names}
    ordered = sorted(names, key=lambda name: (*_rank(builds[name], name), names.index(name)))
    if not ordered:
        return None, ()
    build = builds[ordered[0]]
    made = _list_ignored(files.folder, build.context, build.parsed.copied)
    return replace(build, missing=[*build.missing, *made]), ordered[1:]


def _rank(build: Build, name: str) -> tuple[bool, bool, bool, bool]:
    image = build.parsed.image
    is_server = find_usual_port(image) is not None or is_tool(image) or is_web_server(image)
    hidden = "/" in name and not build.parsed.ports
    return is_server, _UNLIKELY.search(name) is not None, bool(build.missing), hidden


def _make_build(files: Sources, name: str) -> Build:
    parsed = parse_dockerfile(files.read(name))
    contexts = list(dict.fromkeys(_list_contexts(files, PurePosixPath(name).parent)))
    missing = {context: _list_missing(files.folder / context, parsed.copied) for context in contexts}
    context = min(contexts, key=lambda each: len(missing[each]))  # of equals, the first
    dockerfile = PurePosixPath(name).relative_to(context) if context != "." else PurePosixPath(name)
    return Build(context, str(dockerfile), parsed.name, parsed, missing[context])


def _list_contexts(files: Sources, place: PurePosixPath) -> Iterator[str]:
    """List the folders that a Dockerfile may be built in, the likeliest first: its own, or the application's."""
    outermost = next((at for at, part in enumerate(place.parts) if part.lower() in _BUILD_FOLDERS), None)
    if outermost is not None:
        above = PurePosixPath(*place.parts[:outermost])
        folders = [above, *above.parents]
        named = [str(folder) for folder in folders if any(_has_manifest(files, folder, each) for each in MANIFESTS)]
        yield from [*named[:1], "."]
    yield from (str(folder) for folder in (place, *place.parents))


def _has_manifest(files: Sources, folder: PurePosixPath, pattern: str) -> bool:
    return any(PurePosixPath(name).parent == folder for name in files.find(pattern))


def _list_missing(context: Path, copied: Sequence[str]) -> list[str]:
    """List what a build would copy from this folder and is not there."""
    return [source for source in copied if not _find(context, source)]


def _find(context: Path, source: str) -> list[Path]:
    """Find what a source of COPY names: paths are relative to the build context, also with a slash in front."""
    parts = [part for part in PurePosixPath(source.strip("/") or ".").parts if part not in {"..", "."}]
    path = context.joinpath(*parts)
    try:
        if not any(mark in part for part in parts for mark in "*?["):
            return [path] if path.exists() else []
        if "**" in source:
            return [context]
        return list(islice(context.glob("/".join(parts)), 3))
    except (OSError, ValueError, NotImplementedError):
        return [context]


def _list_ignored(folder: Path, context: str, copied: Sequence[str]) -> list[str]:
    """List what a build copies that is there, but not under git: somebody has built it here before."""
    tree = WorkTree.find(folder)
    found = {source: _find(folder / context, source) for source in copied}
    paths = [str(path) for each in found.values() for path in each if path != folder / context]
    if tree is None or not paths:
        return []
    ignored = set(tree.ask("check-ignore", "--", *paths).splitlines())
    return [source for source, each in found.items() if each and all(str(path) in ignored for path in each)]
