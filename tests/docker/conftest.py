"""An engine for each test that needs one, and one stack, with correct and faulty applications, shared by the rest."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docker.footprint import Footprint
from tests.quiet import Quiet

from bench_action.config.load import Project, load_project
from bench_action.engine.docker import DockerEngine
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec, ServiceSpec
from bench_action.stack.stack import Stack, bring_up

TINY_APP = Path(__file__).parent / "app"
APPS = Path(__file__).parents[2] / "apps"
TINY_IMAGE = "bench-action/tiny"

_FETCH = "self.request.app[POOL].fetch(_SELECT)"
# Each is the aiohttp application with one fault: the file, the code to replace, and its replacement.
FAULTS = {
    "unescaped": ("templates/home.html", "{{ item.text }}", "{{ item.text | safe }}"),
    "extra-query": ("views.py", _FETCH, f"{_FETCH}; await {_FETCH}"),
    "lost-row": ("views.py", "await self.request.app[POOL].fetchval(_INSERT, item.text)", "21"),
}
_FAILED = "    except _DATABASE_FAILURES:\n"
_ASK_LATER = """\
        import asyncio
        from todo_aiohttp.resources import POOL
        late = lambda: asyncio.ensure_future(request.app[POOL].fetch("SELECT 1"))
        asyncio.get_running_loop().call_later(0.02, late)
"""
# Not a fault, because Django does the same after a failure: a query that is sent after the reply.
LATE = {"late-query": ("errors.py", _FAILED, _FAILED + _ASK_LATER)}


@pytest.fixture(scope="session")
def footprint() -> Iterator[Footprint]:
    """Track what this session's engines create; at its end, nothing may be left."""
    with Footprint.track_session() as footprint:
        yield footprint


def make_owner(footprint: Footprint) -> Ownership:
    return Ownership.claim(f"test-{secrets.token_hex(4)}", footprint.repository)


@contextmanager
def open_engine(footprint: Footprint) -> Iterator[DockerEngine]:
    """Open an engine with its network; remove everything that it has made at the end."""
    engine = DockerEngine(make_owner(footprint), dict(os.environ))
    engine.open(["a"])
    try:
        yield engine
    finally:
        engine.remove()


@pytest.fixture
def engine(footprint: Footprint) -> Iterator[DockerEngine]:
    before = footprint.left()
    with open_engine(footprint) as engine:
        yield engine
    assert footprint.left() == before


@pytest.fixture(scope="session")
def tiny_image(footprint: Footprint) -> str:
    """Build the application that misbehaves as its environment says."""
    with open_engine(footprint) as engine:
        return engine.build(BuildSpec("subject", TINY_IMAGE, TINY_APP))


@pytest.fixture
def tiny(tiny_image: str) -> Callable[..., ServiceSpec]:
    def tiny(name: str = "tiny", command: tuple[str, ...] = (), **environment: str) -> ServiceSpec:
        return ServiceSpec("subject", name, tiny_image, env=environment, command=command, port=8000, slot="a")

    return tiny


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Write the built-in configuration with two of its variants, the changed ones, and the tiny application."""
    folder = tmp_path_factory.mktemp("stack")
    body: dict[str, Any] = yaml.safe_load((APPS / "bench.yml").read_text(encoding="utf-8"))
    shutil.copy(APPS / "seed.sql", folder)
    for source in (APPS / "aiohttp", APPS / "django", TINY_APP):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    correct = {name: body["variants"][name] | {"build": name} for name in ("aiohttp", "django")}
    changed = {name: correct["aiohttp"] | {"build": _change_app(name, folder)} for name in FAULTS | LATE}
    closing = {"closing": correct["aiohttp"] | {"keep_alive": False}}
    tiny = {"tiny": {"build": TINY_APP.name, "ready": {"path": "/health"}}}
    profile = {
        "path": "/items",
        "method": "POST",
        "body": '{"text": "x"}',
        "connections": 4,
        "threads": 2,
        "duration": "1s",
        "warmup": "1s",
    }
    body |= {"variants": correct | changed | closing | tiny, "compare": [], "profiles": {"writing": profile}}
    (folder / "bench.yml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return load_project(folder / "bench.yml", "quick")


def _change_app(name: str, folder: Path) -> str:
    file, old, new = (FAULTS | LATE)[name]
    shutil.copytree(APPS / "aiohttp", folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / name / "todo_aiohttp" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    return name


@pytest.fixture(scope="session")
def stack(footprint: Footprint, project: Project) -> Iterator[Stack]:
    """Bring up PostgreSQL, Redis, the load generator and all of these subjects."""
    engine = DockerEngine(make_owner(footprint), dict(os.environ))
    try:
        yield bring_up(engine, project, {}, Quiet())
    finally:
        engine.remove()
