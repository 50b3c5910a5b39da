"""Find the part of a repository that is measured: a service of its compose file, else what its Dockerfile builds."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench_action.config.dockerfile import parse_dockerfile
from bench_action.config.paths import find_top
from bench_action.init.builds import Build, choose_build
from bench_action.init.compose import ComposeFile, ComposeService, find_compose_file, read_compose_file
from bench_action.init.frameworks import UNKNOWN, find_framework
from bench_action.init.sources import Sources
from bench_action.init.suggestion import suggest_dockerfile
from bench_action.model.errors import InputError

_MODULE = re.compile(r"^module\s+(\S+)", re.MULTILINE)
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Application:
    """The part of a repository that is measured. `folder`: where `bench.yml` will be; `sources`: its own code.

    `service`: of the compose file; its `front` is the web server through which it is measured, as it speaks no HTTP.
    `builds`: whether `bench.yml` has to say how its image is built. `note`: what else could be meant.
    """

    folder: Path
    build: Build
    compose: ComposeFile | None
    service: ComposeService | None
    sources: Sources
    front: ComposeService | None = None
    builds: bool = False
    note: str = ""

    @property
    def words(self) -> Sequence[str]:
        """The words of the command line that starts it, as far as it is known."""
        stage = self.build.stage
        if self.service is None or not self.service.start:
            return stage.start
        # compose's own entrypoint replaces the image's, its command only the image's command
        return self.service.start if self.service.parsed.entrypoint else [*stage.entrypoint, *self.service.start]

    @property
    def start(self) -> str:
        """The command line that starts it, as far as it is known."""
        return " ".join(self.words)

    @property
    def measured(self) -> ComposeService | None:
        """The service of the compose file that answers requests; None without one."""
        return self.front or self.service

    @property
    def env(self) -> Mapping[str, str]:
        """The variables that the Dockerfile sets, and those to which the compose file gives a value."""
        own = self.service.parsed.env if self.service is not None else {}
        return {**self.build.stage.env, **{name: value for name, value in own.items() if value}}


def find_place(start: Path) -> Path:
    """Find the top of the repository that a folder is in; without git, the folder itself."""
    return find_top(start) or start


def find_application(start: Path) -> Application:
    """Find what to measure: a service of the nearest compose file going up, else what the nearest Dockerfile builds.

    Raises InputError if nothing can be built.
    """
    top = find_place(start)
    folders = [folder for folder in (start, *start.parents) if folder.is_relative_to(top)]
    with_compose = next(((folder, file) for folder in folders if (file := find_compose_file(folder)) is not None), None)
    if with_compose is None:
        place = next((folder for folder in folders if (folder / "Dockerfile").is_file()), top)
        return _from_dockerfile(place, None)
    place, file = with_compose
    compose = read_compose_file(file, place)
    found = _from_service(place, file, compose)
    return found if found is not None else _from_dockerfile(place, compose)


def _from_service(folder: Path, file: Path, compose: ComposeFile) -> Application | None:
    """Find the service that is built; None without one, or if it is built outside of the folder."""
    service, note = compose.choose()
    if service is None:
        return None
    context = _normalise(file.parent / service.context, folder)
    if context is None:
        return None
    sources = Sources.from_folder(folder / context)
    if find_framework(sources) is UNKNOWN:  # its code is mounted or copied from elsewhere
        sources = Sources.from_folder(folder)
    text = _read_dockerfile(folder / context / service.dockerfile)
    dockerfile = parse_dockerfile(text, service.parsed.build_arguments)
    stage = dockerfile.find_stage(service.target)
    build = Build(context, service.dockerfile, service.target, dockerfile, stage)
    if service.parsed.danger:
        note = f"a run will refuse it, as it {service.parsed.danger}: override that in a second compose file"
    return Application(folder, build, compose, service, sources, front=compose.find_front(service), note=note)


def _from_dockerfile(place: Path, compose: ComposeFile | None) -> Application:
    """Find a Dockerfile, and the service of the compose file that runs a published image of the same application."""
    files = Sources.from_folder(place)
    build, others = choose_build(files)
    if build is None:
        raise _explain_nothing_to_build(place, compose, files)
    sources = files if build.context == "." else Sources.from_folder(place / build.context)
    names = {*_list_names(place, sources), PurePosixPath(build.context).name.lower()}
    service = compose.find_published(names) if compose is not None else None
    note = f"other Dockerfiles: {', '.join(others[:_MOST_NAMED])}" if others else ""
    return Application(place, build, compose, service, sources, builds=True, note=note)


def _list_names(place: Path, sources: Sources) -> set[str]:
    """List what an application may be called: as its folder, its package or its module is."""
    names = {place.resolve().name}
    try:
        package = json.loads(sources.read("package.json") or "{}")
    except (ValueError, RecursionError):
        package = {}
    if isinstance(package, dict):
        names.add(str(package.get("name") or "").rpartition("/")[2])
    for module in _MODULE.findall(sources.read("go.mod")):
        parts = [part for part in PurePosixPath(module).parts if not re.fullmatch(r"v\d+", part)]
        names.add(parts[-1] if parts else "")
    return {name.lower() for name in names if name}


def _normalise(path: Path, folder: Path) -> str | None:
    """Return a path relative to a folder; None if it is outside, or no folder."""
    resolved = path.resolve()
    if not resolved.is_dir() or not resolved.is_relative_to(folder.resolve()):
        return None
    return resolved.relative_to(folder.resolve()).as_posix()


def _read_dockerfile(path: Path) -> str:
    """Read a Dockerfile, which may be outside of its build context."""
    return Sources(path.parent, ()).read(path.name)


def _explain_nothing_to_build(place: Path, compose: ComposeFile | None, files: Sources) -> InputError:
    framework = find_framework(files)
    named = "" if framework is UNKNOWN else f" for {framework.name}"
    lines = "\n".join(f"    {line}" for line in suggest_dockerfile(framework, files).splitlines())
    cause = f"{compose.path} builds no service{f': {compose.problem}' if compose.problem else ''}" if compose else ""
    error = InputError(
        f"nothing to build in {place}: no Dockerfile{'' if compose else ' and no compose file'} found",
        cause=cause,
        advice="write a Dockerfile that starts your service, then run `bench-action init` again",
    )
    error.add_note(f"  a Dockerfile{named} could begin like this (check the names in it):\n{lines}")
    return error
