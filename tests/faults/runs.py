"""Real runs of the tool that something happens to, and what each of them must have kept and removed."""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import docker
from tests.docker.footprint import Footprint
from tests.e2e.conftest import Finished, Running, Tool
from tests.e2e.presets import shorten_presets
from tests.e2e.sites import DockerSite, LocalSite
from tests.faults.case import Case, Problem, judge_ending

DONE = frozenset({0, 3, 4, 5})  # what a run may end with if a part of it is killed
_ROOT = Path(__file__).parents[2]
_TEMPORARY = "temporary"


@dataclass(frozen=True)
class Bench:
    """One run's command and the engine that it uses. `environ` is that of the command."""

    tool: Tool
    sites: tuple[LocalSite, DockerSite | None]
    environ: Mapping[str, str]

    @property
    def footprint(self) -> Footprint:
        """The engine's objects of this run."""
        docker_site = self.sites[1]
        assert docker_site is not None
        return docker_site._footprint

    def start(self, *arguments: object, output: str = "results", **environ: str) -> Running:
        """Begin a run."""
        return self.tool.start(*arguments, output=output, **{**self.environ, **environ})

    def with_wrapper(self, *words: str) -> "Bench":
        """Return a bench whose command begins with these words."""
        return replace(self, tool=replace(self.tool, wrapper=words))

    def list_left(self) -> list[str]:
        """List what the run has left: on both engines, and among temporary files."""
        left = [name for site in self.sites if site is not None for name in site.left()]
        temporary = self.tool.folder / _TEMPORARY
        return left + sorted(str(path.relative_to(temporary)) for path in temporary.iterdir())


@contextmanager
def open_bench(case: Case, engine: str) -> Iterator[Bench]:
    """Open a bench in the case's folder. At its end, what the run has left is removed."""
    (case.folder / _TEMPORARY).mkdir()
    with ExitStack() as stack:
        repository = f"tests/{secrets.token_hex(4)}"
        containers = None
        if engine == "docker":
            client = docker.from_env()
            stack.callback(client.close)
            footprint = stack.enter_context(Footprint(client).watch())
            repository, containers = footprint.repository, DockerSite(footprint)
        local = LocalSite(repository)
        for site in (local, containers):
            if site is not None:
                stack.callback(site.remove)
        tool = Tool(case.folder, repository, local, engine)
        stack.callback(tool.close)
        environ = {"TMPDIR": str(case.folder / _TEMPORARY), "PYTHONPATH": str(_shorten(case))}
        yield Bench(tool, (local, containers), environ)


def _shorten(case: Case) -> Path:
    """Make a copy of the package whose presets measure for seconds; its name keeps the sources out of sight."""
    folder = case.folder / "short"
    (folder / "src" / "bench_action" / "config").mkdir(parents=True)
    source = _ROOT / "src" / "bench_action"
    for part in source.iterdir():
        if part.name != "config":
            (folder / "src" / "bench_action" / part.name).symlink_to(part)
    for part in (source / "config").iterdir():
        if part.name != "presets":
            (folder / "src" / "bench_action" / "config" / part.name).symlink_to(part)
    presets = folder / "src" / "bench_action" / "config" / "presets"
    presets.mkdir()
    for preset in (source / "config" / "presets").iterdir():
        (presets / preset.name).write_bytes(preset.read_bytes())
    shorten_presets(folder)
    return folder / "src"


def judge_run(bench: Bench, finished: Finished, allowed: Iterable[int]) -> Iterator[Problem]:
    """Judge how a run ended, whether its finished trials are in its output, and that nothing is left."""
    yield from judge_ending(finished.status, finished.stderr, allowed)
    yield from find_lost(finished)
    yield from judge_left(bench)


def find_lost(finished: Finished) -> Iterator[Problem]:
    """Find the finished trials, by the lines of `trials.jsonl`, that are not in the result."""
    trials = {trial.model_dump_json() for trial in finished.trials}
    if not trials or finished.status < 0:
        return
    if not (finished.output / "result.json").is_file():
        text = f"no result.json; exit status {finished.status}\n{finished.stderr[-1500:]}"
        yield Problem("lost", f"{len(trials)} finished trials: {text}", len(trials))
        return
    missing = trials - {trial.model_dump_json() for trial in finished.result.trials}
    if missing:
        yield Problem("lost", f"{len(missing)} finished trials are not in result.json", len(missing))


def judge_left(bench: Bench) -> Iterator[Problem]:
    """Judge that a run has left nothing."""
    if left := bench.list_left():
        yield Problem("left", f"left: {', '.join(left)}", len(left))
