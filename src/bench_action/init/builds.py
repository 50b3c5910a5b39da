"""Choose the Dockerfile that builds the application, and the folder that it is built in."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from bench_action.config.dockerfile import Dockerfile, Stage, parse_dockerfile
from bench_action.config.kinds import find_usual_port, is_tool, is_web_server
from bench_action.git.worktree import WorkTree
from bench_action.init.frameworks import MANIFESTS
from bench_action.init.sources import Sources
from bench_action.model.errors import InputError

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
    r"(?:^|[/._-])(?:front-?end|client|ui|web-?ui|admin|docs?|demo|proxy|nginx|dev|devel|development|local|debug|tests?|e2e|"
    r"ci|base|builder|worker|cron|jobs?|migrations?|examples?|devcontainer)(?:[/._-]|$)",
    re.IGNORECASE,
)
_LIKELY = re.compile(
    r"^[^/]*$|(?:^|[/._-])(?:default|prod|production|release|server|backend|api)(?:[/._-]|$)", re.IGNORECASE
)
_FRAGMENTS = frozenset({"base", "builder", "build", "runtime", "deps"})  # stages that another file has to begin with
_FOR_DEVELOPERS = re.compile(r"dev|debug|test|local")
_SERVES = re.compile(r"\b(?:start|serve|server|runserver|gunicorn|uvicorn|puma|unicorn|httpd|nginx)\b")
_JOB = re.compile(r"\b(?:jobs?|workers?|cron|scheduler|migrat\w*|tasks?|tests?|lint|celery|sidekiq|rake)\b")
_STARTS_NOTHING = re.compile(
    r"(?:.*/)?(?:python|node|ruby|golang|rust|debian|ubuntu|alpine|openjdk|eclipse-temurin|amazoncorretto|buildpack-deps)"
    r"(?:[:@]|$)"
)
_MOST_CANDIDATES = 40
_MOST_PATTERNS = 3  # parts of a path


@dataclass(frozen=True, slots=True)
class Build:
    """How an image is built: `dockerfile` is relative to `context`, and that to the repository.

    `target`: a stage; empty for the one that is built anyway. `file`: what the Dockerfile says, `stage`: what it says
    about the stage that is built. `missing`: what it copies that is not in the repository, so that something else must
    make it first.
    """

    context: str
    dockerfile: str
    target: str
    file: Dockerfile
    stage: Stage
    missing: Sequence[str] = ()

    @property
    def starts(self) -> bool:
        """Whether the image starts anything: by a command, or that of a base which is a server."""
        return bool(self.stage.start) or _STARTS_NOTHING.match(self.stage.image) is None


def choose_build(files: Sources) -> tuple[Build | None, Sequence[str]]:
    """Choose a Dockerfile of a folder's files; also return the others, the most likely first.

    One of a server, of pages, of tests or for development comes after others, as does one that copies what is not
    there, and, below the top, one that exposes no port.
    """
    names = [name for name in files.find(*DOCKERFILES) if not name.endswith(".dockerignore")][:_MOST_CANDIDATES]
    folders = {PurePosixPath(name).parent for name in files.find(*MANIFESTS)}
    builds = {name: _make_build(files, name, folders) for name in names}
    ordered = sorted(names, key=lambda name: (*_rank(builds[name], name), names.index(name)))
    if not ordered:
        return None, ()
    build = builds[ordered[0]]
    made = _list_ignored(files.folder, build.context, build.file.copied)
    return replace(build, missing=[*build.missing, *made]), ordered[1:]


def _rank(build: Build, name: str) -> tuple[bool, bool, bool, bool, bool]:
    image = build.stage.image
    is_server = find_usual_port(image) is not None or is_tool(image) or is_web_server(image)
    hidden = "/" in name and not build.stage.ports
    return (
        is_server or image.lower() in _FRAGMENTS,
        _UNLIKELY.search(name) is not None,
        bool(build.missing),
        _LIKELY.search(name) is None,
        hidden,
    )


def _make_build(files: Sources, name: str, folders: Collection[PurePosixPath]) -> Build:
    file = parse_dockerfile(files.read(name))
    target = _leave_job(file)
    contexts = list(dict.fromkeys(_list_contexts(PurePosixPath(name).parent, folders)))
    missing = {context: _list_missing(files.folder / context, file.copied) for context in contexts}
    context = min(contexts, key=lambda each: len(missing[each]))  # of equals, the first
    dockerfile = PurePosixPath(name).relative_to(context) if context != "." else PurePosixPath(name)
    return Build(context, str(dockerfile), target, file, file.find_stage(target), missing[context])


def _leave_job(file: Dockerfile) -> str:
    """Name the last stage that exposes a port if the last of all exposes none, and is a job by name or command."""
    last = file.find_stage()
    words = re.sub(r"[-_:/.]", " ", " ".join([last.name, *last.start]))
    serving = [each.name for each in file.stages if each.name and each.ports and not _FOR_DEVELOPERS.search(each.name)]
    if last.ports or not serving or not _JOB.search(words) or _SERVES.search(words):
        return ""
    return serving[-1]


def _list_contexts(place: PurePosixPath, folders: Collection[PurePosixPath]) -> Iterator[str]:
    """List the folders that a Dockerfile may be built in, the likeliest first: its own, or the application's.

    `folders`: those that have a manifest.
    """
    outermost = next((at for at, part in enumerate(place.parts) if part.lower() in _BUILD_FOLDERS), None)
    if outermost is not None:
        above = PurePosixPath(*place.parts[:outermost])
        yield next((str(folder) for folder in (above, *above.parents) if folder in folders), ".")
        yield "."
    yield from (str(folder) for folder in (place, *place.parents))


def _list_missing(context: Path, copied: Sequence[Sequence[str]]) -> list[str]:
    """List what a build would copy from this folder and is not there.

    A pattern without any match is no error for Docker if another source of the same COPY is there.
    """
    missing: list[str] = []
    for sources in copied:
        absent = [source for source in sources if not _find(context, source)]
        some = len(absent) < len(sources)
        missing += [source for source in absent if not (some and set(source) & set("*?["))]
    return list(dict.fromkeys(missing))


def _find(context: Path, source: str) -> list[Path]:
    """Find what a source of COPY names: paths are relative to the build context, also with a slash in front."""
    parts = [part for part in PurePosixPath(source.strip("/") or ".").parts if part not in {"..", "."}]
    path = context.joinpath(*parts)
    patterns = [part for part in parts if set(part) & set("*?[")]
    try:
        if not patterns:
            return [path] if path.exists() else []
        if len(patterns) > _MOST_PATTERNS or "**" in source:
            return [context]
        return list(islice(context.glob("/".join(parts)), 3))
    except (OSError, ValueError, NotImplementedError, RuntimeError):
        return [context]


def _list_ignored(folder: Path, context: str, copied: Sequence[Sequence[str]]) -> list[str]:
    """List what a build copies that is there, but not under git: somebody has built it here before."""
    tree = WorkTree.find(folder)
    found = {source: _find(folder / context, source) for sources in copied for source in sources}
    paths = [str(path) for each in found.values() for path in each if path != folder / context]
    if tree is None or not paths:
        return []
    try:
        answer = tree.run("check-ignore", "-z", "--stdin", given="\0".join(paths).encode(errors="surrogateescape"))
    except (InputError, UnicodeError):
        return []
    ignored = set(answer.stdout.decode(errors="surrogateescape").split("\0"))
    return [source for source, each in found.items() if each and all(str(path) in ignored for path in each)]
