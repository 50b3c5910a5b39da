"""One run: a git repository made for it, with base and head, measured as a user would."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.detection.records import kept, share_of_a_turn
from benchmarks.detection.scenarios import AIOHTTP, CALIBRATIONS, COUNTED, Application, Edit, Scenario
from tests.hosts.demo import CPUS, copy_images, make_options
from tests.hosts.machines import bring_up

_ROOT = Path(__file__).resolve().parents[2]
_GIT = ("git", "-c", "user.name=detection", "-c", "user.email=detection@example.org", "-c", "commit.gpgsign=false")
_COUNTED_CONFIG = """\
seed: seed.sql
profiles:
  home: {path: /, connections: 8, threads: 2, duration: 1s}
variants:
"""


def prepare(scenarios: Sequence[Scenario]) -> None:
    """Have the base images of the applications, and compose, which describes those of the examples."""
    if images := {scenario.application.image for scenario in scenarios} - {""}:
        subprocess.run([_ROOT / "tests" / "images" / "build.sh", *sorted(images)], check=True)
        compose = subprocess.run([_ROOT / "scripts" / "compose.sh"], check=True, capture_output=True, text=True)
        os.environ["DOCKER_CONFIG"] = compose.stdout.strip()


@contextmanager
def over_hosts() -> Iterator[list[str]]:
    """Bring three hosts up on this machine; yields the tool's options for them."""
    with bring_up(CPUS) as machines:
        copy_images(machines)
        yield make_options(machines)


def measure(engine: str, scenario: Scenario, seed: int, loops: int, options: Sequence[str] = ()) -> dict[str, Any]:
    """One run, from the repository on."""
    limit = ("--max-minutes", str(scenario.minutes)) if scenario.minutes is not None else ()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = make_repository(folder / "repository", scenario, seed, loops)
        result = run_tool(engine, folder, base, seed, *limit, *options)
    return {"scenario": scenario.name, "seed": seed, "loops": loops, **kept(result)}


def counted(engine: str, folder: Path, seed: int) -> dict[str, Any]:
    """One run with every scenario as a variant. It takes no time beyond that of its counts."""
    repository, ignore = folder / "repository", shutil.ignore_patterns("__pycache__", "bench.yml")
    repository.mkdir()
    shutil.copy(AIOHTTP.path / "seed.sql", repository)
    variants = []
    for number, scenario in enumerate(COUNTED):
        shutil.copytree(AIOHTTP.path / "aiohttp", repository / f"kind-{number}" / "aiohttp", ignore=ignore)
        edit(repository / f"kind-{number}", scenario.both)
        variants.append(f"  kind-{number}: {AIOHTTP.variant.replace('aiohttp', f'kind-{number}/aiohttp')}\n")
    (repository / "bench.yml").write_text(_COUNTED_CONFIG + "".join(variants), encoding="utf-8")
    git(repository, "init", "--quiet")
    base = commit(repository, "base")
    for number, scenario in enumerate(COUNTED):
        edit(repository / f"kind-{number}", (add_code(AIOHTTP, scenario.code),))
    (repository / "head").touch()
    commit(repository, "head")
    return run_tool(engine, folder, base, seed, "--max-minutes", "0.1")


def loops_of(runs: Sequence[Mapping[str, Any]], scenario: Scenario) -> int:
    """How many turns of a loop cost so much: in proportion to the calibration's."""
    if math.isnan(scenario.slowdown):
        return round(CALIBRATIONS[scenario.name] * scenario.application.calibrating_turns)
    if not scenario.slowdown:
        return 0
    return round(scenario.slowdown / share_of_a_turn(runs)[0])


class RunError(Exception):
    """A run ended without a result."""


def run_tool(engine: str, folder: Path, base: str, seed: int, *more: str) -> dict[str, Any]:
    """The result of a run on the repository in a folder. Raises RunError."""
    command = [
        sys.executable,
        "-m",
        "bench_action",
        "run",
        "--preset",
        "ci",
        "--engine",
        engine,
        "--baseline",
        base,
        "--seed",
        str(seed),
        "--fail-on",
        "never",
        "--output",
        str(folder / "results"),
        *more,
    ]
    done = subprocess.run(command, cwd=folder / "repository", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"a run ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads((folder / "results" / "result.json").read_text(encoding="utf-8"))
    return found


def make_repository(folder: Path, scenario: Scenario, seed: int, loops: int) -> str:
    """A repository whose head has the change, also in what is built from it; the commit of base."""
    application = scenario.application
    shutil.copytree(application.path, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if application.config:
        (folder / "bench.yml").write_text(application.config, encoding="utf-8")
    for path, text in application.added:
        (folder / path).write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet")
    edit(folder, (*application.both, *scenario.both))
    mark(folder, application, f"build {seed} of base")
    base = commit(folder, "base")
    code = scenario.code + application.spin(loops)
    edit(folder, (*scenario.edits, *((add_code(application, code),) if code else ())))
    mark(folder, application, f"build {seed} of head")
    commit(folder, "head")
    return base


def edit(folder: Path, edits: Sequence[Edit]) -> None:
    """Replace each text, which must be there."""
    for one in edits:
        path = folder / one.file
        text = path.read_text(encoding="utf-8")
        if one.old not in text:
            raise SystemExit(f"{one.file} has changed: {one.old!r} is not in it")
        path.write_text(text.replace(one.old, one.new, 1), encoding="utf-8")


def add_code(application: Application, code: str) -> Edit:
    """Add code to what answers a request."""
    return Edit(application.file, application.anchor, application.anchor + code)


def mark(folder: Path, application: Application, text: str) -> None:
    """Make each revision of each run a new build: what one build is lucky in, the next is not."""
    path = folder / application.file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{application.comment} {text}\n", encoding="utf-8")


def commit(folder: Path, message: str) -> str:
    """Everything that is there; its name."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    return subprocess.run([*_GIT, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
